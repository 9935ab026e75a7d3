//! The far end for few connections: it echoes, swallows, pours or stands still, each in a thread of its own.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::{BUFFER, HEADER_LEN, STACK, spawn};
use crate::failure::{Attempt, Result};

/// Tasks that a target does for a connection.
pub(super) mod order {
    /// Sends back what comes.
    pub(crate) const ECHO: u8 = b'E';
    /// Takes what comes, and counts it.
    pub(crate) const SWALLOW: u8 = b'U';
    /// Sends without end.
    pub(crate) const POUR: u8 = b'D';
    /// Both.
    pub(crate) const BOTH: u8 = b'B';
    /// Reads nothing more.
    pub(crate) const STAND_STILL: u8 = b'S';
}

/// The end of the tunnel where connections arrive.
#[derive(Debug)]
pub(crate) struct Target {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    stopped: Mutex<bool>,
    changed: Condvar,
    next: AtomicU32,
    swallowed: Mutex<HashMap<u32, Arc<AtomicU64>>>,
}

impl Target {
    /// Listens on a free port of 127.0.0.1.
    pub(crate) fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .attempt(|| "listen for the load on 127.0.0.1".to_owned())?;
        let address = listener
            .local_addr()
            .attempt(|| "read the target's address".to_owned())?;
        let shared = Arc::new(Shared::default());
        let for_thread = Arc::clone(&shared);
        spawn(move || accept(&listener, &for_thread))?;
        Ok(Self { address, shared })
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// A new counter of swallowed bytes, and its number.
    pub(super) fn counter(&self) -> (u32, Arc<AtomicU64>) {
        let number = self.shared.next.fetch_add(1, Ordering::SeqCst);
        let count = Arc::new(AtomicU64::new(0));
        lock(&self.shared.swallowed).insert(number, Arc::clone(&count));
        (number, count)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        *lock(&self.shared.stopped) = true;
        self.shared.changed.notify_all();
        // Wakes the accepting thread; if it is gone, there is nothing to wake.
        let _ = TcpStream::connect(self.address);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for socket in listener.incoming().flatten() {
        if shared.stop.load(Ordering::SeqCst) {
            return;
        }
        let shared = Arc::clone(shared);
        // Without a thread the connection is closed, and the other end reports it.
        let _ = spawn(move || serve(socket, &shared));
    }
}

/// Ends with the connection; errors are the other end closing.
fn serve(mut socket: TcpStream, shared: &Shared) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut header = [0; HEADER_LEN];
    socket.read_exact(&mut header)?;
    let [order, a, b, c] = header;
    let number = u32::from_be_bytes([0, a, b, c]);
    let count = lock(&shared.swallowed)
        .get(&number)
        .cloned()
        .unwrap_or_default();
    match order {
        order::ECHO => echo(socket)?,
        order::SWALLOW => swallow(socket, &count),
        order::POUR => pour(socket, BUFFER),
        order::BOTH => {
            let out = socket.try_clone()?;
            let pouring = thread::Builder::new()
                .stack_size(STACK)
                .spawn(|| pour(out, BUFFER))?;
            swallow(socket, &count);
            let _ = pouring.join();
        }
        order::STAND_STILL => {
            let mut stopped = lock(&shared.stopped);
            while !*stopped {
                let woken = shared.changed.wait(stopped);
                stopped = woken.unwrap_or_else(PoisonError::into_inner);
            }
        }
        _ => {}
    }
    Ok(())
}

fn echo(mut socket: TcpStream) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        match socket.read(&mut buffer)? {
            0 => return Ok(()),
            len => socket.write_all(&buffer[..len])?,
        }
    }
}

/// Writes `size` bytes again and again, until the connection ends.
pub(super) fn pour(mut socket: TcpStream, size: usize) {
    let buffer = vec![0x5a; size];
    while socket.write_all(&buffer).is_ok() {}
}

/// Reads until the connection ends.
pub(super) fn swallow(mut socket: TcpStream, count: &AtomicU64) {
    let mut buffer = vec![0; BUFFER];
    loop {
        match socket.read(&mut buffer) {
            Ok(0) => return,
            Ok(len) => {
                count.fetch_add(len as u64, Ordering::Relaxed);
            }
            // The patience of the connecting end; a flow that stalls goes on being measured.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

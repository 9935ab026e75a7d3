//! The load: a target that echoes, swallows or pours, and flows that run through a tunnel to it.
//!
//! A connection opens with four bytes: what the target shall do, and the number of the counter of
//! swallowed bytes. Contents are not checked; that tunnels carry the right bytes is tested in
//! `interop`.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::failure::{Attempt, Failure, Result};
use crate::measure::Processes;

/// What one write or read of a flow carries at most, in bytes.
const BUFFER: usize = 256 * 1024;

/// The stack of a load thread: there may be thousands, and they need little.
const STACK: usize = 64 * 1024;

/// No single answer may take longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Which way the bytes of a flow run, seen from the end that connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Send,
    Receive,
    Both,
}

/// The end of the tunnel where connections arrive.
#[derive(Debug)]
pub(crate) struct Target {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    next: AtomicU32,
    swallowed: Mutex<HashMap<u32, Arc<AtomicU64>>>,
}

/// A stream of bytes at full speed, until it is dropped.
#[derive(Debug)]
pub(crate) struct Flow {
    socket: TcpStream,
    /// Bytes that have arrived at the target.
    sent: Arc<AtomicU64>,
    /// Bytes that have arrived at the connecting end.
    received: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

/// What a group of flows reached, and what it cost.
#[derive(Debug, Clone)]
pub(crate) struct Rate {
    /// Megabytes (10^6 bytes) per second, all flows together.
    pub(crate) megabytes_per_second: f64,
    /// CPU seconds of the tunnel's processes per gigabyte (10^9 bytes).
    pub(crate) cpu_per_gigabyte: f64,
    /// The slowest flow's share of the mean, in the direction where it is smaller.
    pub(crate) fairness: f64,
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
}

impl Drop for Target {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        // Wakes the accepting thread; if it is gone, there is nothing to wake.
        let _ = TcpStream::connect(self.address);
    }
}

impl Flow {
    /// Connects to `entry`, the tunnel's mouth, and lets bytes run.
    pub(crate) fn start(entry: SocketAddr, target: &Target, way: Way) -> Result<Self> {
        let sent = Arc::new(AtomicU64::new(0));
        let received = Arc::new(AtomicU64::new(0));
        let number = target.shared.next.fetch_add(1, Ordering::SeqCst);
        lock(&target.shared.swallowed).insert(number, Arc::clone(&sent));
        let order = match way {
            Way::Send => b'U',
            Way::Receive => b'D',
            Way::Both => b'B',
        };
        let mut socket = connect(entry)?;
        socket
            .write_all(&header(order, number))
            .attempt(|| format!("begin a flow through {entry}"))?;
        let mut threads = Vec::new();
        if way != Way::Receive {
            let out = clone(&socket)?;
            threads.push(spawn(move || pour(out))?);
        }
        if way != Way::Send {
            let (inward, count) = (clone(&socket)?, Arc::clone(&received));
            threads.push(spawn(move || swallow(inward, &count))?);
        }
        Ok(Self {
            socket,
            sent,
            received,
            threads,
        })
    }

    /// Bytes that have arrived so far, both ways together.
    pub(crate) fn bytes(&self) -> u64 {
        let (sent, received) = self.counts();
        sent + received
    }

    fn counts(&self) -> (u64, u64) {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (load(&self.sent), load(&self.received))
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        // Ends blocked reads and writes; a socket that is already broken needs no end.
        let _ = self.socket.shutdown(Shutdown::Both);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Measures running flows for `time`, after `warm_up`.
pub(crate) fn rate(
    flows: &[Flow],
    processes: &Processes,
    warm_up: Duration,
    time: Duration,
) -> Result<Rate> {
    thread::sleep(warm_up);
    let counts_before: Vec<(u64, u64)> = flows.iter().map(Flow::counts).collect();
    let (cpu_before, start) = (processes.cpu_seconds()?, Instant::now());
    thread::sleep(time);
    let seconds = start.elapsed().as_secs_f64();
    let cpu = processes.cpu_seconds()? - cpu_before;
    let moved: Vec<(f64, f64)> = flows
        .iter()
        .zip(counts_before)
        .map(|(flow, (sent, received))| {
            let now = flow.counts();
            ((now.0 - sent) as f64, (now.1 - received) as f64)
        })
        .collect();
    let total: f64 = moved.iter().map(|(sent, received)| sent + received).sum();
    if total <= 0.0 {
        return Err(Failure::new(format!("no byte arrived in {seconds:.1} s")));
    }
    let sent = fairness(moved.iter().map(|(sent, _)| *sent));
    let received = fairness(moved.iter().map(|(_, received)| *received));
    Ok(Rate {
        megabytes_per_second: total / 1e6 / seconds,
        cpu_per_gigabyte: cpu / (total / 1e9),
        fairness: sent.min(received),
    })
}

/// An echoing connection to the target through `entry`, proven by one byte.
pub(crate) fn echo_connection(entry: SocketAddr) -> Result<TcpStream> {
    let mut socket = connect(entry)?;
    first_echo(&mut socket).attempt(|| format!("get an echo through {entry}"))?;
    Ok(socket)
}

/// Asks the target at the other end of `socket` to echo, and waits for the echo of one byte.
pub(crate) fn first_echo(socket: &mut TcpStream) -> io::Result<()> {
    let [order, a, b, c] = header(b'E', 0);
    socket.write_all(&[order, a, b, c, b'!'])?;
    socket.read_exact(&mut [0])
}

/// Sends 64 bytes and waits for their echo, again and again; each trip's time in microseconds.
pub(crate) fn echo_times(socket: &mut TcpStream, time: Duration) -> io::Result<Vec<f64>> {
    let mut ball = [0x5a; 64];
    let mut times = Vec::new();
    let end = Instant::now() + time;
    loop {
        let start = Instant::now();
        if start >= end {
            return Ok(times);
        }
        socket.write_all(&ball)?;
        socket.read_exact(&mut ball)?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
}

/// Connects without Nagle's delay and with patience that ends.
pub(crate) fn connect(entry: SocketAddr) -> Result<TcpStream> {
    let open = || {
        let socket = TcpStream::connect_timeout(&entry, PATIENCE)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(socket)
    };
    open().attempt_io(entry)
}

/// A thread with a small stack.
pub(crate) fn spawn<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>> {
    thread::Builder::new()
        .stack_size(STACK)
        .spawn(work)
        .attempt(|| "start a thread".to_owned())
}

trait AttemptIo<T> {
    fn attempt_io(self, entry: SocketAddr) -> Result<T>;
}

impl<T> AttemptIo<T> for io::Result<T> {
    fn attempt_io(self, entry: SocketAddr) -> Result<T> {
        self.attempt(|| format!("connect to {entry}"))
    }
}

fn fairness(moved: impl Iterator<Item = f64> + Clone) -> f64 {
    let count = moved.clone().count() as f64;
    let mean = moved.clone().sum::<f64>() / count;
    // A direction in which nothing was meant to run is fair.
    if mean <= 0.0 {
        return 1.0;
    }
    moved.fold(f64::INFINITY, f64::min) / mean
}

fn header(order: u8, number: u32) -> [u8; 4] {
    let [_, a, b, c] = number.to_be_bytes();
    [order, a, b, c]
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn clone(socket: &TcpStream) -> Result<TcpStream> {
    socket
        .try_clone()
        .attempt(|| "duplicate a socket".to_owned())
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
    let mut header = [0; 4];
    socket.read_exact(&mut header)?;
    let [order, a, b, c] = header;
    let number = u32::from_be_bytes([0, a, b, c]);
    let count = lock(&shared.swallowed)
        .get(&number)
        .cloned()
        .unwrap_or_default();
    match order {
        b'E' => echo(socket)?,
        b'U' => swallow(socket, &count),
        b'D' => pour(socket),
        b'B' => {
            let out = socket.try_clone()?;
            let pouring = thread::Builder::new()
                .stack_size(STACK)
                .spawn(|| pour(out))?;
            swallow(socket, &count);
            let _ = pouring.join();
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

fn pour(mut socket: TcpStream) {
    let buffer = vec![0x5a; BUFFER];
    while socket.write_all(&buffer).is_ok() {}
}

fn swallow(mut socket: TcpStream, count: &AtomicU64) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_moves_bytes() {
        let target = Target::start().unwrap();
        let own = Processes::new(vec![std::process::id()]);
        for way in [Way::Send, Way::Receive, Way::Both] {
            let flows = [Flow::start(target.address, &target, way).unwrap()];
            let moved = || flows[0].counts();
            while !match way {
                Way::Send => moved().0 > 0,
                Way::Receive => moved().1 > 0,
                Way::Both => moved().0 > 0 && moved().1 > 0,
            } {
                thread::yield_now();
            }
            let rate = rate(&flows, &own, Duration::ZERO, Duration::from_millis(50)).unwrap();
            assert!(rate.megabytes_per_second > 0.0, "{way:?}");
            assert!((rate.fairness - 1.0).abs() < 1e-9, "{way:?}");
        }
    }

    #[test]
    fn echoes_come_back() {
        let target = Target::start().unwrap();
        let mut socket = echo_connection(target.address).unwrap();
        let times = echo_times(&mut socket, Duration::from_millis(20)).unwrap();
        assert!(times.iter().all(|time| *time > 0.0));
        assert!(!times.is_empty());
    }

    #[test]
    fn fairness_is_the_smallest_share() {
        assert!((fairness([1.0, 3.0].into_iter()) - 0.5).abs() < 1e-9);
        assert!((fairness([0.0, 0.0].into_iter()) - 1.0).abs() < 1e-9);
    }
}

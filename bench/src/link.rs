//! A long link in user space: what enters one end leaves the other later, at a bounded rate.
//!
//! ```text
//! socket ─▶ reader ─▶ queue of (due, bytes) ─▶ writer ─▶ socket       (and the same back)
//! ```
//!
//! The reader stamps each chunk with the time at which its last byte would have crossed the link;
//! the writer sleeps until then. When the queue holds two bandwidth-delay products the reader
//! waits, as a sender does before a full link. Each connection has the whole rate for itself.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt::RcvBuf};

use crate::failure::{Attempt, Result};
use crate::load::spawn;

/// Bytes that the reader takes at once: half a millisecond at 1 Gbit/s.
const CHUNK: usize = 64 * 1024;

/// The receive buffer of the link's own sockets, in bytes: enough for a millisecond, and small
/// beside the queue, which alone shall decide how much the link holds.
const RECEIVE_BUFFER: usize = 256 * 1024;

/// Properties of a link.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LinkKind {
    /// From one end to the other and back.
    pub(crate) round_trip: Duration,
    /// In bytes per second, each way.
    pub(crate) rate: f64,
}

/// A link to one server. Dropping it cuts its connections.
#[derive(Debug)]
pub(crate) struct Link {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    cut: bool,
    sockets: Vec<TcpStream>,
}

/// One direction of one connection.
#[derive(Debug, Default)]
struct Pipe {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    chunks: VecDeque<(Instant, Vec<u8>)>,
    bytes: usize,
    /// Set once the writer is gone and nobody will make room.
    broken: bool,
}

impl Link {
    /// Listens on a free port of 127.0.0.1 for connections to `server`.
    pub(crate) fn start(server: SocketAddr, kind: LinkKind) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .attempt(|| "listen for the link on 127.0.0.1".to_owned())?;
        setsockopt(&listener, RcvBuf, &RECEIVE_BUFFER)
            .attempt(|| "size the link's receive buffer".to_owned())?;
        let address = listener
            .local_addr()
            .attempt(|| "read the link's address".to_owned())?;
        let shared = Arc::new(Shared::default());
        let for_thread = Arc::clone(&shared);
        spawn(move || accept(&listener, server, kind, &for_thread))?;
        Ok(Self { address, shared })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let mut state = lock(&self.shared.state);
        state.cut = true;
        for socket in state.sockets.drain(..) {
            // A socket whose connection has ended needs no cut.
            let _ = socket.shutdown(Shutdown::Both);
        }
        drop(state);
        let _ = TcpStream::connect(self.address);
    }
}

impl LinkKind {
    fn one_way(self) -> Duration {
        self.round_trip / 2
    }

    /// Capacity of a pipe, in bytes: two bandwidth-delay products, and at least two chunks.
    fn capacity(self) -> usize {
        let bytes = self.rate * self.one_way().as_secs_f64() * 2.0;
        (bytes as usize).max(2 * CHUNK)
    }
}

fn accept(listener: &TcpListener, server: SocketAddr, kind: LinkKind, shared: &Shared) {
    for near in listener.incoming().flatten() {
        if lock(&shared.state).cut {
            return;
        }
        // A connection that cannot be set up is dropped, and both ends see that.
        let _ = join(near, server, kind, shared);
    }
}

fn join(near: TcpStream, server: SocketAddr, kind: LinkKind, shared: &Shared) -> Result<()> {
    let copy = |socket: &TcpStream| {
        socket
            .try_clone()
            .attempt(|| "duplicate a socket".to_owned())
    };
    let far = TcpStream::connect(server).attempt(|| format!("connect to {server}"))?;
    setsockopt(&far, RcvBuf, &RECEIVE_BUFFER).attempt(|| "size a receive buffer".to_owned())?;
    for socket in [&near, &far] {
        socket
            .set_nodelay(true)
            .attempt(|| "set TCP_NODELAY".to_owned())?;
    }
    let copies = [copy(&near)?, copy(&far)?];
    let mut state = lock(&shared.state);
    if state.cut {
        return Ok(());
    }
    state.sockets.extend(copies);
    drop(state);
    pipe(copy(&near)?, copy(&far)?, kind)?;
    pipe(far, near, kind)
}

fn pipe(from: TcpStream, to: TcpStream, kind: LinkKind) -> Result<()> {
    let pipe = Arc::new(Pipe::default());
    let for_writer = Arc::clone(&pipe);
    spawn(move || for_writer.write(to))?;
    spawn(move || pipe.read(from, kind))?;
    Ok(())
}

impl Pipe {
    /// Takes what arrives; an empty chunk stands for the end.
    fn read(&self, mut from: TcpStream, kind: LinkKind) {
        let mut buffer = vec![0; CHUNK];
        let mut crossed = Instant::now();
        loop {
            let len = from.read(&mut buffer).unwrap_or(0);
            let time = Duration::from_secs_f64(len as f64 / kind.rate);
            crossed = crossed.max(Instant::now()) + time;
            let chunk = (crossed + kind.one_way(), buffer[..len].to_vec());
            if !self.push(chunk, kind.capacity()) || len == 0 {
                return;
            }
        }
    }

    fn write(&self, mut to: TcpStream) {
        loop {
            let (due, chunk) = self.pop();
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let ended = chunk.is_empty();
            if ended || to.write_all(&chunk).is_err() {
                let _ = to.shutdown(if ended {
                    Shutdown::Write
                } else {
                    Shutdown::Both
                });
                lock(&self.queue).broken = true;
                self.changed.notify_all();
                return;
            }
        }
    }

    /// Waits for room; false if the other side is gone.
    fn push(&self, chunk: (Instant, Vec<u8>), capacity: usize) -> bool {
        let mut queue = lock(&self.queue);
        while queue.bytes + chunk.1.len() > capacity && !queue.broken {
            queue = wait(&self.changed, queue);
        }
        if queue.broken {
            return false;
        }
        queue.bytes += chunk.1.len();
        queue.chunks.push_back(chunk);
        self.changed.notify_all();
        true
    }

    /// Bytes leave the count when they leave for the socket, not when they become due.
    fn pop(&self) -> (Instant, Vec<u8>) {
        let mut queue = lock(&self.queue);
        loop {
            if let Some(chunk) = queue.chunks.pop_front() {
                queue.bytes -= chunk.1.len();
                self.changed.notify_all();
                return chunk;
            }
            queue = wait(&self.changed, queue);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wait<'a, T>(changed: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    changed.wait(guard).unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connected(kind: LinkKind) -> (Link, TcpStream, TcpStream) {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let link = Link::start(server.local_addr().unwrap(), kind).unwrap();
        let near = TcpStream::connect(link.address()).unwrap();
        let (far, _) = server.accept().unwrap();
        (link, near, far)
    }

    #[test]
    fn a_byte_takes_a_round_trip_there_and_back() {
        let round_trip = Duration::from_millis(60);
        let (_link, mut near, mut far) = connected(LinkKind {
            round_trip,
            rate: 1e9,
        });
        let start = Instant::now();
        near.write_all(b"x").unwrap();
        far.read_exact(&mut [0]).unwrap();
        assert!(start.elapsed() >= round_trip / 2);
        far.write_all(b"y").unwrap();
        near.read_exact(&mut [0]).unwrap();
        assert!(start.elapsed() >= round_trip);
    }

    #[test]
    fn the_rate_is_kept_and_nothing_is_lost() {
        let kind = LinkKind {
            round_trip: Duration::from_millis(10),
            rate: 10e6,
        };
        let (_link, mut near, mut far) = connected(kind);
        let start = Instant::now();
        let sender = thread::spawn(move || {
            near.write_all(&vec![1; 2_000_000]).unwrap();
            near.shutdown(Shutdown::Write).unwrap();
            near
        });
        let mut heard = Vec::new();
        far.read_to_end(&mut heard).unwrap();
        let seconds = start.elapsed().as_secs_f64();
        assert_eq!(heard.len(), 2_000_000);
        assert!(seconds >= 0.2, "2 MB at 10 MB/s took {seconds} s");
        drop(sender.join().unwrap());
    }

    #[test]
    fn dropping_the_link_cuts_its_connections() {
        let kind = LinkKind {
            round_trip: Duration::from_millis(1),
            rate: 1e9,
        };
        let (link, mut near, _far) = connected(kind);
        near.write_all(b"x").unwrap();
        drop(link);
        let end = near.read(&mut [0]);
        assert!(matches!(end, Ok(0) | Err(_)));
    }
}

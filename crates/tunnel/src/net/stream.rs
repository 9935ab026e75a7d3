//! A byte stream: what SSH runs over, what is forwarded, and the standard streams of a session.
//!
//! Everything works on `&self` and never blocks, so that the driver may write to the very socket whose relay
//! task reads from it.

use std::io::{self, IoSlice, IoSliceMut, Read};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{SockRef, Socket};
use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};

use super::descriptor::{Access, Descriptor};

/// Unsent bytes that the kernel holds for the SSH connection: enough to keep the wire busy, little enough that a
/// small packet does not queue behind a long backlog.
const NOTSENT_LOWAT: u32 = 512 << 10;

/// Bytes that `read_some` takes at most.
const SOME: usize = 4096;

/// A connected stream.
#[derive(Debug)]
pub enum Stream {
    /// TCP.
    Tcp(TcpStream),
    /// A unix socket.
    Unix(UnixStream),
    /// A pipe, a terminal, a file, or what is shared with other processes.
    Descriptor(Box<Descriptor>),
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Stream::Tcp(stream)
    }
}

impl From<UnixStream> for Stream {
    fn from(stream: UnixStream) -> Self {
        Stream::Unix(stream)
    }
}

/// Streams over descriptors.
///
/// A pipe has no shutdown: its other end reads EOF when the stream is dropped.
impl Stream {
    /// A stream to read from, over a descriptor that other processes may share, such as standard input. It is not made
    /// non-blocking, which the others would feel.
    ///
    /// # Errors
    /// If the descriptor is closed, or no more can be opened.
    pub fn source(fd: BorrowedFd<'_>) -> io::Result<Self> {
        let descriptor = Descriptor::shared(fd, Access::Read)?;
        Ok(Stream::Descriptor(Box::new(descriptor)))
    }

    /// A stream to write to, over a descriptor that other processes may share, such as standard output.
    ///
    /// # Errors
    /// As of [`Stream::source`].
    pub fn sink(fd: BorrowedFd<'_>) -> io::Result<Self> {
        let descriptor = Descriptor::shared(fd, Access::Write)?;
        Ok(Stream::Descriptor(Box::new(descriptor)))
    }

    /// A stream over a descriptor that no other process has: our end of a pipe to a child, the controlling side of a
    /// pseudo-terminal. It is made non-blocking.
    ///
    /// # Errors
    /// If the kernel refuses that.
    pub fn own(fd: OwnedFd) -> io::Result<Self> {
        Ok(Stream::Descriptor(Box::new(Descriptor::own(fd)?)))
    }

    /// Waits until all that was written is with the descriptor that [`Stream::sink`] was made of: a thread may stand in
    /// between. Nothing is written from here on. Who ends the process waits for this first.
    pub async fn drained(&self) -> io::Result<()> {
        match self {
            Stream::Tcp(_) | Stream::Unix(_) => Ok(()),
            Stream::Descriptor(descriptor) => descriptor.drained().await,
        }
    }
}

impl Stream {
    /// Options of a forwarded stream: small writes leave at once, as OpenSSH has it at both ends.
    pub fn prepare_forwarded(&self) {
        if let Stream::Tcp(stream) = self {
            // A socket that refuses the option still carries data.
            let _ = stream.set_nodelay(true);
        }
    }

    /// Options of the stream that SSH runs over.
    pub fn prepare_ssh(&self, keep_alive: TcpKeepAlive) {
        if let Stream::Tcp(stream) = self {
            let socket = SockRef::from(stream);
            // Each is an improvement only: a kernel that refuses one still carries SSH.
            let _ = socket.set_tcp_nodelay(true);
            let _ = socket.set_keepalive(keep_alive == TcpKeepAlive::On);
            let _ = socket.set_tcp_notsent_lowat(NOTSENT_LOWAT);
        }
    }

    /// The address of the other end; only TCP has one.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        match self {
            Stream::Tcp(stream) => stream.peer_addr().ok(),
            Stream::Unix(_) | Stream::Descriptor(_) => None,
        }
    }

    /// The address of this end; only TCP has one.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Stream::Tcp(stream) => stream.local_addr().ok(),
            Stream::Unix(_) | Stream::Descriptor(_) => None,
        }
    }

    /// Waits until there is something to read.
    pub async fn readable(&self) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.readable().await,
            Stream::Unix(stream) => stream.readable().await,
            Stream::Descriptor(descriptor) => Box::pin(descriptor.readable()).await,
        }
    }

    /// Waits until there is room to write.
    pub async fn writable(&self) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.writable().await,
            Stream::Unix(stream) => stream.writable().await,
            Stream::Descriptor(descriptor) => Box::pin(descriptor.writable()).await,
        }
    }

    /// Reads what is there; 0 is the end.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = buffer.len();
        if let Stream::Descriptor(descriptor) = self {
            return descriptor.try_read_vectored(&mut [IoSliceMut::new(buffer)], room);
        }
        self.read_until_empty(room, |mut socket| socket.read(buffer))
    }

    /// Waits for bytes and takes some of them, none at the end. For handshakes: whoever waits holds no buffer.
    pub async fn read_some(&self) -> io::Result<Vec<u8>> {
        loop {
            self.readable().await?;
            match self.try_read_some() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
        }
    }

    fn try_read_some(&self) -> io::Result<Vec<u8>> {
        let mut chunk = [0; SOME];
        let n = self.try_read(&mut chunk)?;
        Ok(chunk[..n].to_vec())
    }

    /// Reads what is there into several places; 0 is the end.
    pub fn try_read_vectored(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let room = buffers.iter().map(|buffer| buffer.len()).sum();
        if let Stream::Descriptor(descriptor) = self {
            return descriptor.try_read_vectored(buffers, room);
        }
        self.read_until_empty(room, |mut socket| socket.read_vectored(buffers))
    }

    /// A read that does not fill its `room` has emptied the socket: `readable` then waits for the next edge at once,
    /// and no system call is spent on being told so. (An end that has come stays readable; tokio keeps that apart.)
    ///
    /// The readiness is cleared as of before the read, so that what arrives meanwhile is not missed.
    fn read_until_empty(
        &self,
        room: usize,
        read: impl FnOnce(&Socket) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let mut short = None;
        let attempt = || match read(&self.socket()) {
            Ok(n) if 0 < n && n < room => {
                short = Some(n);
                Err(io::ErrorKind::WouldBlock.into())
            }
            result => result,
        };
        let result = match self {
            Stream::Tcp(stream) => stream.try_io(Interest::READABLE, attempt),
            Stream::Unix(stream) => stream.try_io(Interest::READABLE, attempt),
            // It has its own way.
            Stream::Descriptor(_) => return Err(io::ErrorKind::Unsupported.into()),
        };
        short.map_or(result, Ok)
    }

    /// Writes what there is room for.
    pub fn try_write(&self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.try_write(buffer),
            Stream::Unix(stream) => stream.try_write(buffer),
            Stream::Descriptor(descriptor) => {
                descriptor.try_write_vectored(&[IoSlice::new(buffer)])
            }
        }
    }

    /// Writes what there is room for, also to a socket of which the runtime does not know yet that it has room.
    pub fn write_at_once(&self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => SockRef::from(stream).send(buffer),
            Stream::Unix(stream) => SockRef::from(stream).send(buffer),
            Stream::Descriptor(descriptor) => descriptor.write_at_once(buffer),
        }
    }

    /// Writes what there is room for, from several places.
    pub fn try_write_vectored(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.try_write_vectored(buffers),
            Stream::Unix(stream) => stream.try_write_vectored(buffers),
            Stream::Descriptor(descriptor) => descriptor.try_write_vectored(buffers),
        }
    }

    /// Writes everything.
    pub async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.try_write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => bytes = &bytes[n..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable().await?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Ends our direction: the other end reads EOF. Only sockets can do that and stay open.
    pub fn shutdown_write(&self) -> io::Result<()> {
        self.socket().shutdown(std::net::Shutdown::Write)
    }

    /// Ends our direction where nobody takes what the other end still says. A unix socket tells it so: unread input at
    /// the close would be an error to it, in front of the end of what we sent.
    pub(crate) fn shutdown_after_peer_closed(&self) -> io::Result<()> {
        let how = match self {
            Stream::Tcp(_) | Stream::Descriptor(_) => std::net::Shutdown::Write,
            Stream::Unix(_) => std::net::Shutdown::Both,
        };
        self.socket().shutdown(how)
    }

    /// Asks for `is_delivered`: nothing is written from here on.
    pub(crate) fn watch_delivery(&self) {
        let socket = self.socket();
        // Each makes the answer more exact only: room for anything more means that hardly anything is left.
        let _ = socket.set_send_buffer_size(0);
        if matches!(self, Stream::Tcp(_)) {
            let _ = socket.set_tcp_notsent_lowat(1);
        }
    }

    /// True once the kernel has sent everything, and the other end has acknowledged all but a packet of it. A unix socket puts
    /// it straight into the other end's queue.
    ///
    /// The kernel tells how much is left only to `unsafe` code. But with the smallest buffer, and the least that may wait
    /// unsent, it has room for more only then.
    pub(crate) fn is_delivered(&self) -> bool {
        let Stream::Tcp(stream) = self else {
            return true;
        };
        let mut asked = [PollFd::new(stream.as_fd(), PollFlags::POLLOUT)];
        // Nobody could wait for a socket that the kernel tells nothing about.
        let answers = poll(&mut asked, PollTimeout::ZERO).unwrap_or(1);
        answers > 0
    }

    /// Waits for the end of the other end's direction, or of both, whatever it has said before and nobody has read. No
    /// listener accepts a descriptor; its end is not heard of here.
    pub(crate) async fn input_ended(&self) {
        // Not as READABLE: data that waits would be told again and again.
        self.told(Interest::PRIORITY).await;
    }

    /// Waits until the other end has broken off.
    pub(crate) async fn broken(&self) {
        self.told(Interest::ERROR).await;
    }

    async fn told(&self, interest: Interest) {
        // Nobody could wait for a socket that the runtime tells nothing about.
        let _ = match self {
            Stream::Tcp(stream) => stream.ready(interest).await,
            Stream::Unix(stream) => stream.ready(interest).await,
            Stream::Descriptor(_) => std::future::pending().await,
        };
    }

    /// True where both directions have ended: a reset, or a unix socket whose other end was closed.
    pub(crate) fn is_gone(&self) -> bool {
        let fd = match self {
            Stream::Tcp(stream) => stream.as_fd(),
            Stream::Unix(stream) => stream.as_fd(),
            Stream::Descriptor(_) => return false,
        };
        // An error and a hang-up are told in any case.
        let mut asked = [PollFd::new(fd, PollFlags::empty())];
        poll(&mut asked, PollTimeout::ZERO).unwrap_or(1) > 0
    }

    /// True where the other end is on this machine: what was sent has arrived.
    pub(crate) fn is_local(&self) -> bool {
        let Stream::Tcp(stream) = self else {
            return true;
        };
        match (stream.local_addr(), stream.peer_addr()) {
            (Ok(ours), Ok(theirs)) => {
                ours.ip() == theirs.ip() || theirs.ip().to_canonical().is_loopback()
            }
            _ => true,
        }
    }

    /// Makes the close to come a reset instead of an orderly end.
    pub fn reset_on_close(&self) {
        // A unix socket knows no reset; its close is what the other end gets.
        let _ = self.socket().set_linger(Some(Duration::ZERO));
    }

    /// Takes the stream out of the runtime that it was made in, for another thread's.
    pub fn leave_runtime(self) -> io::Result<Unregistered> {
        Ok(match self {
            Stream::Tcp(stream) => Unregistered::Tcp(stream.into_std()?),
            Stream::Unix(stream) => Unregistered::Unix(stream.into_std()?),
            // Each is used where it was made.
            Stream::Descriptor(_) => return Err(io::ErrorKind::Unsupported.into()),
        })
    }

    fn socket(&self) -> SockRef<'_> {
        match self {
            Stream::Tcp(stream) => SockRef::from(stream),
            Stream::Unix(stream) => SockRef::from(stream),
            Stream::Descriptor(descriptor) => SockRef::from(&**descriptor),
        }
    }
}

/// A stream between two runtimes.
#[derive(Debug)]
pub enum Unregistered {
    /// TCP.
    Tcp(std::net::TcpStream),
    /// A unix socket.
    Unix(std::os::unix::net::UnixStream),
}

impl Unregistered {
    /// Puts the stream into the runtime of this thread.
    pub fn enter_runtime(self) -> io::Result<Stream> {
        Ok(match self {
            Unregistered::Tcp(stream) => Stream::Tcp(TcpStream::from_std(stream)?),
            Unregistered::Unix(stream) => Stream::Unix(UnixStream::from_std(stream)?),
        })
    }
}

/// `TCPKeepAlive`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TcpKeepAlive {
    /// The kernel probes a silent peer.
    On,
    /// It does not.
    Off,
}

//! A byte stream: the SSH connection's socket, a forwarded connection, or a standard stream of a session.
//!
//! All methods work on `&self` and never block, so that the driver may write to the same socket that a relay task reads
//! from.

use std::io::{self, IoSlice, IoSliceMut, Read};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{SockRef, Socket};
use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};

use super::descriptor::{Access, Descriptor};

/// Unsent bytes that the kernel holds for the SSH connection: enough to keep the link busy, and few enough that a small
/// packet does not wait long behind them.
const NOTSENT_LOWAT: u32 = 512 << 10;

/// Limit of the bytes that `read_some` reads.
const SOME: usize = 4096;

/// A connected stream.
#[derive(Debug)]
pub enum Stream {
    /// TCP.
    Tcp(TcpStream),
    /// A unix socket.
    Unix(UnixStream),
    /// A pipe, a terminal, a file, or a descriptor that other processes share.
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
    /// non-blocking, which would affect the other processes.
    ///
    /// # Errors
    /// The descriptor is closed, or no more can be opened.
    pub fn source(fd: BorrowedFd<'_>) -> io::Result<Self> {
        let descriptor = Descriptor::shared(fd, Access::Read)?;
        Ok(Stream::Descriptor(Box::new(descriptor)))
    }

    /// A stream to write to, over a descriptor that other processes may share, such as standard output.
    ///
    /// # Errors
    /// Those of [`Stream::source`].
    pub fn sink(fd: BorrowedFd<'_>) -> io::Result<Self> {
        let descriptor = Descriptor::shared(fd, Access::Write)?;
        Ok(Stream::Descriptor(Box::new(descriptor)))
    }

    /// A stream over a descriptor of this process only: our end of a pipe to a child, or the controlling side of a
    /// pseudo-terminal. It is made non-blocking.
    ///
    /// # Errors
    /// The kernel refuses that.
    pub fn own(fd: OwnedFd) -> io::Result<Self> {
        Ok(Stream::Descriptor(Box::new(Descriptor::own(fd)?)))
    }

    /// Waits until all written bytes have reached the descriptor of [`Stream::sink`]: a thread may copy them. Nothing
    /// may be written after this. Wait for it before the process ends.
    pub async fn drained(&self) -> io::Result<()> {
        match self {
            Stream::Tcp(_) | Stream::Unix(_) => Ok(()),
            Stream::Descriptor(descriptor) => descriptor.drained().await,
        }
    }
}

impl Stream {
    /// Sets the options of a forwarded stream: small writes are sent at once, as by OpenSSH at both ends.
    pub fn prepare_forwarded(&self) {
        if let Stream::Tcp(stream) = self {
            // A socket that refuses the option still carries data.
            let _ = stream.set_nodelay(true);
        }
    }

    /// Sets the options of the SSH connection's stream.
    pub fn prepare_ssh(&self, keep_alive: TcpKeepAlive) {
        if let Stream::Tcp(stream) = self {
            let socket = SockRef::from(stream);
            // The options only improve speed: a kernel that refuses one still carries SSH.
            let _ = socket.set_tcp_nodelay(true);
            let _ = socket.set_keepalive(keep_alive == TcpKeepAlive::On);
            let _ = socket.set_tcp_notsent_lowat(NOTSENT_LOWAT);
        }
    }

    /// Address of the other end; only TCP has one.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        match self {
            Stream::Tcp(stream) => stream.peer_addr().ok(),
            Stream::Unix(_) | Stream::Descriptor(_) => None,
        }
    }

    /// Address of this end; only TCP has one.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Stream::Tcp(stream) => stream.local_addr().ok(),
            Stream::Unix(_) | Stream::Descriptor(_) => None,
        }
    }

    /// Waits for input, or its end.
    pub async fn readable(&self) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.readable().await,
            Stream::Unix(stream) => stream.readable().await,
            Stream::Descriptor(descriptor) => Box::pin(descriptor.readable()).await,
        }
    }

    /// Waits for room to write.
    pub async fn writable(&self) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.writable().await,
            Stream::Unix(stream) => stream.writable().await,
            Stream::Descriptor(descriptor) => Box::pin(descriptor.writable()).await,
        }
    }

    /// Reads without blocking; 0 is the end.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = buffer.len();
        if let Stream::Descriptor(descriptor) = self {
            return descriptor.try_read_vectored(&mut [IoSliceMut::new(buffer)], room);
        }
        self.read_until_empty(room, |mut socket| socket.read(buffer))
    }

    /// Waits for bytes and returns some of them, none at the end. For handshakes: no buffer is held while waiting.
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

    /// Reads into several buffers without blocking; 0 is the end.
    pub fn try_read_vectored(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let room = buffers.iter().map(|buffer| buffer.len()).sum();
        if let Stream::Descriptor(descriptor) = self {
            return descriptor.try_read_vectored(buffers, room);
        }
        self.read_until_empty(room, |mut socket| socket.read_vectored(buffers))
    }

    /// Reads once. A read that does not fill its `room` has emptied the socket: `readable` then waits for the next
    /// edge, and no system call is spent to learn it. (After the end the socket stays readable; tokio handles that
    /// separately.)
    ///
    /// The readiness is cleared as of before the read, so that bytes that arrive meanwhile are not missed.
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
            // Descriptors have a method of their own.
            Stream::Descriptor(_) => return Err(io::ErrorKind::Unsupported.into()),
        };
        short.map_or(result, Ok)
    }

    /// Writes as much as fits.
    pub fn try_write(&self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.try_write(buffer),
            Stream::Unix(stream) => stream.try_write(buffer),
            Stream::Descriptor(descriptor) => {
                descriptor.try_write_vectored(&[IoSlice::new(buffer)])
            }
        }
    }

    /// Writes as much as fits, even if the runtime does not know yet that the socket is writable.
    pub fn write_at_once(&self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => SockRef::from(stream).send(buffer),
            Stream::Unix(stream) => SockRef::from(stream).send(buffer),
            Stream::Descriptor(descriptor) => descriptor.write_at_once(buffer),
        }
    }

    /// Writes as much as fits, from several buffers.
    pub fn try_write_vectored(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.try_write_vectored(buffers),
            Stream::Unix(stream) => stream.try_write_vectored(buffers),
            Stream::Descriptor(descriptor) => descriptor.try_write_vectored(buffers),
        }
    }

    /// Writes all bytes.
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

    /// Ends our direction, so that the other end reads EOF. Only sockets can do that and stay open.
    pub fn shutdown_write(&self) -> io::Result<()> {
        self.socket().shutdown(std::net::Shutdown::Write)
    }

    /// Reads no more: a program at the other end of a unix socket cannot write any more. Only sockets can do that.
    pub fn shutdown_read(&self) -> io::Result<()> {
        self.socket().shutdown(std::net::Shutdown::Read)
    }

    /// Ends our direction when input of the other end is no longer read. A unix socket is told that: unread input at
    /// the close would be an error there, before the last of our data.
    pub(crate) fn shutdown_after_peer_closed(&self) -> io::Result<()> {
        let how = match self {
            Stream::Tcp(_) | Stream::Descriptor(_) => std::net::Shutdown::Write,
            Stream::Unix(_) => std::net::Shutdown::Both,
        };
        self.socket().shutdown(how)
    }

    /// Prepares `is_delivered`: nothing may be written after this.
    pub(crate) fn watch_delivery(&self) {
        let socket = self.socket();
        // Each option only makes the result more exact: room for more then means that hardly anything is left.
        let _ = socket.set_send_buffer_size(0);
        if matches!(self, Stream::Tcp(_)) {
            let _ = socket.set_tcp_notsent_lowat(1);
        }
    }

    /// True once the kernel has sent everything, and the other end has acknowledged all but one packet. A unix socket
    /// puts data straight into the other end's queue.
    ///
    /// Only `unsafe` code can ask the kernel how much is left. But with the smallest buffer and the lowest limit of
    /// unsent data, it has room for more only then.
    pub(crate) fn is_delivered(&self) -> bool {
        let Stream::Tcp(stream) = self else {
            return true;
        };
        let mut asked = [PollFd::new(stream.as_fd(), PollFlags::POLLOUT)];
        // Nothing could be awaited on a socket whose state the kernel does not report.
        let answers = poll(&mut asked, PollTimeout::ZERO).unwrap_or(1);
        answers > 0
    }

    /// Waits for the end of the other end's direction, or of both, whatever unread data is before it. Listeners accept
    /// no descriptors, so their end is not noticed here.
    pub(crate) async fn input_ended(&self) {
        // Not READABLE: waiting data would be reported again and again.
        self.told(Interest::PRIORITY).await;
    }

    /// Waits until the other end has broken off.
    pub(crate) async fn broken(&self) {
        self.told(Interest::ERROR).await;
    }

    async fn told(&self, interest: Interest) {
        // Nothing could be awaited on a socket whose state the runtime does not report.
        let _ = match self {
            Stream::Tcp(stream) => stream.ready(interest).await,
            Stream::Unix(stream) => stream.ready(interest).await,
            Stream::Descriptor(_) => std::future::pending().await,
        };
    }

    /// True if both directions have ended: a reset, or a unix socket whose other end is closed.
    pub(crate) fn is_gone(&self) -> bool {
        let fd = match self {
            Stream::Tcp(stream) => stream.as_fd(),
            Stream::Unix(stream) => stream.as_fd(),
            Stream::Descriptor(_) => return false,
        };
        // Errors and hang-ups are always reported.
        let mut asked = [PollFd::new(fd, PollFlags::empty())];
        poll(&mut asked, PollTimeout::ZERO).unwrap_or(1) > 0
    }

    /// True if the other end is on this machine: sent data has arrived.
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

    /// Makes the close a reset instead of an orderly end.
    pub fn reset_on_close(&self) {
        // A unix socket has no reset; the other end gets a close.
        let _ = self.socket().set_linger(Some(Duration::ZERO));
    }

    /// Takes the stream out of its runtime, for that of another thread.
    pub fn leave_runtime(self) -> io::Result<Unregistered> {
        Ok(match self {
            Stream::Tcp(stream) => Unregistered::Tcp(stream.into_std()?),
            Stream::Unix(stream) => Unregistered::Unix(stream.into_std()?),
            // Descriptors are used in the runtime that they were made in.
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
    /// The kernel does not.
    Off,
}

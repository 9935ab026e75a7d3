//! A connected stream, TCP or unix, that never waits for ever.

use crate::forward::Address;
use socket2::{Domain, Socket, Type};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Longest silence on a connection that is expected to move.
const SILENCE: Duration = Duration::from_secs(60);

/// Bytes that the system holds for a slow reader.
pub(super) const NARROW: usize = 32 * 1024;

/// A connection.
pub enum Conn {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a unix socket.
    Unix(UnixStream),
}

impl Conn {
    /// Connects.
    ///
    /// # Errors
    ///
    /// As the system says.
    pub fn connect(to: &Address) -> io::Result<Self> {
        match to {
            Address::Tcp(addr) => Self::Tcp(TcpStream::connect_timeout(addr, SILENCE)?),
            Address::Unix(path) => Self::Unix(UnixStream::connect(path)?),
        }
        .bounded(SILENCE)
    }

    /// The same connection with another bound on silence.
    ///
    /// # Errors
    ///
    /// As the system says.
    pub fn bounded(self, silence: Duration) -> io::Result<Self> {
        match &self {
            Self::Tcp(stream) => {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(silence))?;
                stream.set_write_timeout(Some(silence))?;
            }
            Self::Unix(stream) => {
                stream.set_read_timeout(Some(silence))?;
                stream.set_write_timeout(Some(silence))?;
            }
        }
        Ok(self)
    }

    /// Connects a slow reader, whose system holds little that it has not read yet.
    pub(super) fn connect_narrow(to: &Address) -> io::Result<Self> {
        let Address::Tcp(addr) = to else {
            return Self::connect(to);
        };
        let socket = Socket::new(Domain::for_address(*addr), Type::STREAM, None)?;
        // Before the handshake: a window that has been granted cannot be taken back.
        socket.set_recv_buffer_size(NARROW)?;
        socket.connect_timeout(&(*addr).into(), SILENCE)?;
        Self::Tcp(socket.into()).bounded(SILENCE)
    }

    pub(super) fn try_clone(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(stream) => Self::Tcp(stream.try_clone()?),
            Self::Unix(stream) => Self::Unix(stream.try_clone()?),
        })
    }

    /// Ends our direction, leaves the other one open.
    ///
    /// # Errors
    ///
    /// As the system says.
    pub fn end_writing(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
        }
    }
}

impl Read for Conn {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = match self {
                Self::Tcp(stream) => stream.read(buffer),
                Self::Unix(stream) => stream.read(buffer),
            };
            // A process that was stopped for a moment is no failure of the tunnel.
            match read {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }
}

impl Write for Conn {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

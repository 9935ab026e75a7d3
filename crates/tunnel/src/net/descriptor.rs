//! Descriptors other than our sockets: pipes, terminals, files, and descriptors that other processes share.
//!
//! O_NONBLOCK belongs to the file description, and a shell shares that of its terminal with all programs that it
//! starts: setting it there would end the shell. So a shared pipe or terminal is opened again under `/proc/self/fd`,
//! where the kernel makes another description of it. Sockets get a flag with each call, and files never block. If none
//! of that works (after `su` the terminal belongs to another user), a thread copies between the descriptor and a socket
//! pair.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, IoSliceMut, IsTerminal, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::thread;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv, send};
use nix::sys::stat::{major, minor};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::UnixStream;

/// Bytes that the copying thread copies at a time.
const COPIED: usize = 32 << 10;
/// Major and minor number of `/dev/ptmx`, which makes another terminal when it is opened again.
const PTMX: (u64, u64) = (5, 2);

/// Use of a descriptor. One that permits both is opened again for this use only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

/// A descriptor to read from or write to without blocking.
#[derive(Debug)]
pub struct Descriptor {
    io: Io,
    kind: Kind,
}

#[derive(Debug)]
enum Io {
    /// The kernel reports when it is ready.
    Polled(AsyncFd<File>),
    /// Always ready: a file, or a device such as `/dev/null`.
    Ready(File),
    /// Our end of a socket pair; a thread copies between the other end and the descriptor.
    Copied(UnixStream),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Pipe,
    Socket,
    /// A terminal, or the controlling side of a pseudo-terminal.
    Terminal,
    Device,
    File,
}

impl Kind {
    fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let file_type = metadata.file_type();
        Ok(if file_type.is_fifo() {
            Kind::Pipe
        } else if file_type.is_socket() {
            Kind::Socket
        } else if !file_type.is_char_device() {
            Kind::File
        } else if file.is_terminal() || is_ptmx(&metadata) {
            Kind::Terminal
        } else {
            Kind::Device
        })
    }

    /// True if a read that does not fill its buffer has emptied the descriptor. A terminal returns a line at a time.
    fn is_emptied_by_a_short_read(self) -> bool {
        matches!(self, Kind::Pipe | Kind::Socket)
    }
}

fn is_ptmx(metadata: &std::fs::Metadata) -> bool {
    let device = metadata.rdev();
    (major(device), minor(device)) == PTMX
}

impl Descriptor {
    /// A descriptor whose file description other processes may share, and whose flags are not changed.
    pub(super) fn shared(fd: BorrowedFd<'_>, access: Access) -> io::Result<Self> {
        let file = File::from(fd.try_clone_to_owned()?);
        let kind = Kind::of(&file)?;
        let io = match kind {
            Kind::Socket => Io::polled_or_ready(file)?,
            Kind::File => Io::Ready(file),
            Kind::Pipe | Kind::Terminal | Kind::Device => match open_anew(&file, access) {
                Ok(anew) => Io::polled_or_ready(anew)?,
                Err(_) => return Self::copied(file, access),
            },
        };
        Ok(Self { io, kind })
    }

    /// A descriptor of this process only, which may be made non-blocking.
    pub(super) fn own(fd: OwnedFd) -> io::Result<Self> {
        let file = File::from(fd);
        let kind = Kind::of(&file)?;
        let flags = OFlag::from_bits_retain(fcntl(&file, FcntlArg::F_GETFL)?);
        fcntl(&file, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        Ok(Self {
            io: Io::polled_or_ready(file)?,
            kind,
        })
    }

    /// A descriptor behind a thread that blocks in our place.
    fn copied(file: File, access: Access) -> io::Result<Self> {
        let (ours, theirs) = StdUnixStream::pair()?;
        ours.set_nonblocking(true)?;
        // A blocking read cannot be cancelled: such a thread ends with its input, or with the process.
        thread::Builder::new()
            .name("descriptor".into())
            .spawn(move || match access {
                Access::Read => copy(&file, &theirs),
                Access::Write => copy(&theirs, &file),
            })?;
        Ok(Self {
            io: Io::Copied(UnixStream::from_std(ours)?),
            kind: Kind::Socket,
        })
    }

    /// Waits for input, or its end.
    pub(super) async fn readable(&self) -> io::Result<()> {
        match &self.io {
            Io::Polled(fd) => fd.readable().await.map(drop),
            Io::Ready(_) => Ok(()),
            Io::Copied(stream) => stream.readable().await,
        }
    }

    /// Waits for room to write.
    pub(super) async fn writable(&self) -> io::Result<()> {
        match &self.io {
            Io::Polled(fd) => fd.writable().await.map(drop),
            Io::Ready(_) => Ok(()),
            Io::Copied(stream) => stream.writable().await,
        }
    }

    /// Reads into several buffers without blocking; 0 is the end. After a read that does not fill them, `readable`
    /// waits for more.
    pub(super) fn try_read_vectored(
        &self,
        buffers: &mut [IoSliceMut<'_>],
        room: usize,
    ) -> io::Result<usize> {
        let fd = match &self.io {
            Io::Polled(fd) => fd,
            Io::Ready(file) => return (&*file).read_vectored(buffers),
            Io::Copied(stream) => return stream.try_read_vectored(buffers),
        };
        let mut short = None;
        let result = fd.try_io(Interest::READABLE, |file| {
            let n = self.read(file, buffers)?;
            if 0 < n && n < room && self.kind.is_emptied_by_a_short_read() {
                short = Some(n);
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(n)
        });
        short.map_or(result, Ok)
    }

    fn read(&self, file: &File, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        match self.kind {
            Kind::Socket => {
                let recv = |piece: &mut IoSliceMut<'_>| {
                    recv(file.as_raw_fd(), piece, MsgFlags::MSG_DONTWAIT)
                };
                piece_by_piece(buffers.iter_mut(), |piece| piece.len(), recv)
            }
            Kind::Terminal => match (&*file).read_vectored(buffers) {
                // The other side of the pseudo-terminal is closed.
                Err(error) if error.raw_os_error() == Some(Errno::EIO as i32) => Ok(0),
                result => result,
            },
            Kind::Pipe | Kind::Device | Kind::File => (&*file).read_vectored(buffers),
        }
    }

    /// Writes from several buffers without blocking, as much as fits.
    pub(super) fn try_write_vectored(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        match &self.io {
            Io::Polled(fd) => fd.try_io(Interest::WRITABLE, |file| self.write(file, buffers)),
            Io::Ready(file) => (&*file).write_vectored(buffers),
            Io::Copied(stream) => stream.try_write_vectored(buffers),
        }
    }

    /// The same, whatever the runtime knows of the descriptor's room.
    pub(super) fn write_at_once(&self, buffer: &[u8]) -> io::Result<usize> {
        let buffers = [IoSlice::new(buffer)];
        match &self.io {
            Io::Polled(fd) => self.write(fd.get_ref(), &buffers),
            Io::Ready(_) | Io::Copied(_) => self.try_write_vectored(&buffers),
        }
    }

    fn write(&self, file: &File, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.kind != Kind::Socket {
            return (&*file).write_vectored(buffers);
        }
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        let send = |piece: &IoSlice<'_>| send(file.as_raw_fd(), piece, flags);
        piece_by_piece(buffers.iter(), |piece| piece.len(), send)
    }

    /// Waits until the copying thread has written everything, and ends its output. For other descriptors there is
    /// nothing to wait for.
    pub(super) async fn drained(&self) -> io::Result<()> {
        let Io::Copied(stream) = &self.io else {
            return Ok(());
        };
        socket2::SockRef::from(stream).shutdown(std::net::Shutdown::Write)?;
        let mut nothing = [0];
        loop {
            stream.readable().await?;
            match stream.try_read(&mut nothing) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result.map(drop),
            }
        }
    }
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.io {
            Io::Polled(fd) => fd.get_ref().as_fd(),
            Io::Ready(file) => file.as_fd(),
            Io::Copied(stream) => stream.as_fd(),
        }
    }
}

impl Io {
    /// The kernel refuses to watch descriptors that never block.
    #[expect(
        deprecated,
        reason = "it wants a descriptor that stays open as long as its owner, which a file is; what comes after it is unsafe"
    )]
    fn polled_or_ready(file: File) -> io::Result<Self> {
        match AsyncFd::try_new(file) {
            Ok(fd) => Ok(Io::Polled(fd)),
            Err(error) => match error.into_parts() {
                (file, error) if error.raw_os_error() == Some(Errno::EPERM as i32) => {
                    Ok(Io::Ready(file))
                }
                (_, error) => Err(error),
            },
        }
    }
}

/// Another description of the same pipe, terminal or device, which does not block.
fn open_anew(file: &File, access: Access) -> io::Result<File> {
    if is_ptmx(&file.metadata()?) {
        return Err(io::ErrorKind::Unsupported.into());
    }
    OpenOptions::new()
        .read(access == Access::Read)
        .write(access == Access::Write)
        .custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits())
        .open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Makes one call for each buffer, while each is filled. The error is that of the first call.
fn piece_by_piece<P>(
    pieces: impl Iterator<Item = P>,
    len: impl Fn(&P) -> usize,
    mut call: impl FnMut(P) -> nix::Result<usize>,
) -> io::Result<usize> {
    let mut total = 0;
    for piece in pieces {
        let whole = len(&piece);
        match call(piece) {
            Ok(n) => {
                total += n;
                if n < whole {
                    break;
                }
            }
            Err(error) if total == 0 => return Err(error.into()),
            Err(_) => break,
        }
    }
    Ok(total)
}

/// Copies until the end of `from`, or until `to` is closed. The caller then closes both, which ends the socket pair.
fn copy<F, T>(from: &F, to: &T)
where
    F: AsFd,
    T: AsFd,
    for<'a> &'a F: Read,
    for<'a> &'a T: Write,
{
    let mut buffer = vec![0; COPIED];
    loop {
        let n = match { from }.read(&mut buffer) {
            Ok(0) => return,
            Ok(n) => n,
            Err(error) if is_in_vain(&error, from, PollFlags::POLLIN) => continue,
            Err(_) => return,
        };
        let mut rest = &buffer[..n];
        while !rest.is_empty() {
            match { to }.write(rest) {
                Ok(n) => rest = &rest[n..],
                Err(error) if is_in_vain(&error, to, PollFlags::POLLOUT) => {}
                Err(_) => return,
            }
        }
    }
}

/// True if the call should be repeated. If another process made the description non-blocking, this waits until it is
/// ready.
fn is_in_vain(error: &io::Error, fd: &impl AsFd, event: PollFlags) -> bool {
    match error.kind() {
        io::ErrorKind::Interrupted => true,
        io::ErrorKind::WouldBlock => {
            let _ = poll(&mut [PollFd::new(fd.as_fd(), event)], PollTimeout::NONE);
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;

//! A pseudo-terminal for a session (RFC 4254 §6.2): opened, given the client's modes and size, resized later.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use adit_proto::message::session::TerminalSize;
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, Winsize, tcgetattr, tcsetattr, tcsetwinsize};

use crate::net::Stream;
use crate::session::modes;

/// Our end of a pseudo-terminal: what is written to it the program reads, and the other way round.
#[derive(Debug)]
pub struct Pty {
    controller: OwnedFd,
    path: PathBuf,
}

impl Pty {
    /// Opens a pseudo-terminal; gives it with the program's end.
    ///
    /// # Errors
    /// The system's: there may be no free one.
    pub fn open(size: TerminalSize, modes: &[(u8, u32)]) -> io::Result<(Self, OwnedFd)> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let controller = openpt(flags)?;
        unlockpt(&controller)?;
        let program = ioctl_tiocgptpeer(&controller, flags)?;
        let path = OsString::from_vec(ptsname(&controller, Vec::new())?.into_bytes());
        let mut attributes = tcgetattr(&program)?;
        modes::apply(&mut attributes, modes);
        tcsetattr(&program, OptionalActions::Now, &attributes)?;
        let pty = Self {
            controller,
            path: path.into(),
        };
        pty.resize(size)?;
        Ok((pty, program))
    }

    /// The name of the program's end: `SSH_TTY`.
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// A stream over our end, beside this.
    ///
    /// # Errors
    /// The system's: there may be no free descriptor.
    pub fn stream(&self) -> io::Result<Stream> {
        Stream::own(self.controller.try_clone()?)
    }

    /// Sets the size; the programs in the foreground get SIGWINCH.
    ///
    /// # Errors
    /// The system's.
    pub fn resize(&self, size: TerminalSize) -> io::Result<()> {
        // A terminal of more than 65,535 lines is a peer's joke; the kernel has no room for it.
        let short = |value: u32| u16::try_from(value).unwrap_or(u16::MAX);
        let size = Winsize {
            ws_row: short(size.rows),
            ws_col: short(size.columns),
            ws_xpixel: short(size.width),
            ws_ypixel: short(size.height),
        };
        Ok(tcsetwinsize(&self.controller, size)?)
    }
}

impl AsFd for Pty {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.controller.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};

    use rustix::termios::{LocalModes, tcgetwinsize};

    use super::*;

    #[test]
    fn pseudo_terminal_has_the_modes_and_the_size_that_were_asked_for() {
        let size = TerminalSize {
            columns: 132,
            rows: 70_000,
            width: 1,
            height: 2,
        };
        // ECHO off.
        let (pty, program) = Pty::open(size, &[(53, 0)]).unwrap();
        let modes = tcgetattr(&program).unwrap();
        assert!(!modes.local_modes.contains(LocalModes::ECHO));
        let got = tcgetwinsize(&program).unwrap();
        assert_eq!((got.ws_col, got.ws_row), (132, u16::MAX));
        assert!(pty.path().starts_with("/dev/pts"), "{:?}", pty.path());
    }

    #[test]
    fn bytes_go_both_ways() {
        let (pty, program) = Pty::open(TerminalSize::default(), &[(53, 0), (70, 0)]).unwrap();
        let (mut ours, mut theirs) = (File::from(pty.controller), File::from(program));
        ours.write_all(b"typed\n").unwrap();
        let mut read = [0; 6];
        theirs.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"typed\n");
        theirs.write_all(b"shown\n").unwrap();
        ours.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"shown\n");
    }
}

//! The user's terminal while a session uses it: raw mode and the way back, its size, its modes.
//!
//! Raw mode is a guard: it ends when the guard is dropped, in a panic too. Whoever ends the process by another way (a
//! signal, `exit`) calls [`restore`] first, which knows the terminal that is raw at present.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use adit_proto::message::session::TerminalSize;
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, OutputModes, SpecialCodeIndex, Termios, tcgetattr,
    tcgetwinsize, tcsetattr,
};

use crate::session::modes;

/// A terminal of the user.
#[derive(Debug)]
pub struct Terminal(OwnedFd);

impl Terminal {
    /// The terminal behind a descriptor; none where it is something else.
    pub fn of(descriptor: BorrowedFd<'_>) -> Option<Self> {
        tcgetattr(descriptor).ok()?;
        descriptor.try_clone_to_owned().ok().map(Self)
    }

    /// The terminal's size; zeroes where it has none, as in ssh.
    pub fn size(&self) -> TerminalSize {
        let Ok(size) = tcgetwinsize(&self.0) else {
            return TerminalSize::default();
        };
        TerminalSize {
            columns: size.ws_col.into(),
            rows: size.ws_row.into(),
            width: size.ws_xpixel.into(),
            height: size.ws_ypixel.into(),
        }
    }

    /// The terminal's modes as opcodes and arguments of RFC 4254 §8. While it is raw, those from before.
    pub fn modes(&self) -> Vec<(u8, u32)> {
        if let Some((_, before)) = &*raw() {
            return modes::encode(before);
        }
        tcgetattr(&self.0).map_or(Vec::new(), |modes| modes::encode(&modes))
    }

    /// Hands every key to the session, without echo and without the terminal's own meaning of `^C` and the like.
    ///
    /// # Errors
    /// The terminal's, which may be gone.
    pub fn enter_raw_mode(&self) -> io::Result<RawMode> {
        let mut raw = raw();
        if raw.is_none() {
            let before = tcgetattr(&self.0)?;
            tcsetattr(&self.0, OptionalActions::Drain, &made_raw(before.clone()))?;
            *raw = Some((self.0.try_clone()?, before));
        }
        Ok(RawMode(()))
    }

    /// Does something with the terminal in the modes that it had before it was raw; it is raw again afterwards.
    ///
    /// # Errors
    /// The terminal's, or what was done gives.
    pub fn while_cooked<T>(&self, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        restore();
        let done = act();
        // The guard of before ends this one, too.
        std::mem::forget(self.enter_raw_mode()?);
        done
    }
}

/// The time in which the terminal is raw; it is as before when this is dropped.
#[derive(Debug)]
#[must_use = "the terminal is raw only as long as this lives"]
pub struct RawMode(());

impl Drop for RawMode {
    fn drop(&mut self) {
        restore();
    }
}

/// Puts the terminal that is raw back into the modes it had. For ways out of the process that drop nothing.
pub fn restore() {
    if let Some((terminal, before)) = raw().take() {
        // A terminal that is gone needs no modes.
        let _ = tcsetattr(terminal.as_fd(), OptionalActions::Drain, &before);
    }
}

/// The terminal that is raw, and its modes before. A process has one terminal.
fn raw() -> MutexGuard<'static, Option<(OwnedFd, Termios)>> {
    static RAW: Mutex<Option<(OwnedFd, Termios)>> = Mutex::new(None);
    RAW.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The modes of OpenSSH's raw terminal: eight bits in and out, parity errors passed over, nothing interpreted.
fn made_raw(mut modes: Termios) -> Termios {
    modes.input_modes.insert(InputModes::IGNPAR);
    modes.input_modes.remove(
        InputModes::ISTRIP
            | InputModes::INLCR
            | InputModes::IGNCR
            | InputModes::ICRNL
            | InputModes::IXON
            | InputModes::IXANY
            | InputModes::IXOFF
            | InputModes::IUCLC,
    );
    modes.local_modes.remove(
        LocalModes::ISIG
            | LocalModes::ICANON
            | LocalModes::ECHO
            | LocalModes::ECHOE
            | LocalModes::ECHOK
            | LocalModes::ECHONL
            | LocalModes::IEXTEN,
    );
    modes.output_modes.remove(OutputModes::OPOST);
    modes.special_codes[SpecialCodeIndex::VMIN] = 1;
    modes.special_codes[SpecialCodeIndex::VTIME] = 0;
    modes
}

#[cfg(test)]
mod tests {
    use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
    use rustix::termios::{Winsize, tcsetwinsize};

    use super::*;

    /// Both ends of a pseudo-terminal: the one that a terminal emulator holds, and the program's.
    fn pty() -> (OwnedFd, OwnedFd) {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let emulator = openpt(flags).unwrap();
        unlockpt(&emulator).unwrap();
        let program = ioctl_tiocgptpeer(&emulator, flags).unwrap();
        (emulator, program)
    }

    fn echoes(terminal: &OwnedFd) -> bool {
        let modes = tcgetattr(terminal).unwrap();
        modes
            .local_modes
            .contains(LocalModes::ECHO | LocalModes::ICANON)
    }

    /// One test, because a process has one raw terminal.
    #[test]
    fn raw_mode_ends_with_its_guard_in_a_panic_and_by_request() {
        let (_emulator, program) = pty();
        let terminal = Terminal::of(program.as_fd()).unwrap();
        let modes = terminal.modes();
        assert!(echoes(&program));

        let guard = terminal.enter_raw_mode().unwrap();
        assert!(!echoes(&program));
        assert_eq!(
            terminal.modes(),
            modes,
            "the server hears of the user's modes"
        );
        drop(guard);
        assert!(echoes(&program));

        let panicked = std::panic::catch_unwind(|| {
            let _guard = terminal.enter_raw_mode().unwrap();
            panic!("on purpose");
        });
        assert!(panicked.is_err() && echoes(&program));

        let guard = terminal.enter_raw_mode().unwrap();
        restore();
        assert!(echoes(&program));
        drop(guard);
    }

    #[test]
    fn size_is_the_terminals() {
        let (emulator, program) = pty();
        let size = Winsize {
            ws_row: 40,
            ws_col: 132,
            ws_xpixel: 800,
            ws_ypixel: 600,
        };
        tcsetwinsize(&emulator, size).unwrap();
        let terminal = Terminal::of(program.as_fd()).unwrap();
        let expected = TerminalSize {
            columns: 132,
            rows: 40,
            width: 800,
            height: 600,
        };
        assert_eq!(terminal.size(), expected);
    }

    #[test]
    fn file_is_no_terminal() {
        let file = tempfile::tempfile().unwrap();
        assert!(Terminal::of(file.as_fd()).is_none());
    }
}

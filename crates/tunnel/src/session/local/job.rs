//! Job control: this process stops when the user says `~^Z`, or somebody sends SIGTSTP.

use std::io;

use nix::sys::signal::{Signal, raise};
use nix::unistd::{getppid, getsid};

/// Number of the signal that asks to stop.
pub const STOP: i32 = Signal::SIGTSTP as i32;

/// Stops this process until somebody continues it. Without a shell to do that, as in a terminal window that runs nothing
/// else, it goes on.
///
/// # Errors
/// The system's.
pub fn stop() -> io::Result<()> {
    if is_orphaned() {
        return Ok(());
    }
    // SIGTSTP itself is caught, so that the terminal is as it was before we stop.
    Ok(raise(Signal::SIGSTOP)?)
}

/// True where no shell of this session would see us stop. The kernel ignores SIGTSTP then, but not SIGSTOP.
fn is_orphaned() -> bool {
    let ours = getsid(None);
    getsid(Some(getppid())).ok() != ours.ok()
}

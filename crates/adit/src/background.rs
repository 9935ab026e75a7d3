//! Going to the background without `fork`: the program starts itself anew, and the first one waits until the
//! second says that it is ready, or ends with its exit code.
//!
//! A fork of a process that has threads is safe for almost nothing that comes after it; a fresh process is safe for
//! everything. Until it is ready the second one keeps the terminal, so that it can ask for passphrases.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitCode, ExitStatus};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::signal::unix::SignalKind;

use crate::command_line::FAILURE;
use crate::limits;
use crate::signals::Signals;

/// Set in the environment of the process that stays: number of the descriptor that it says it is ready on.
const MARK: &str = "ADIT_BACKGROUND";
/// Line that it writes once it is ready.
const READY: &[u8] = b"ready\n";

/// Closes descriptors beyond the standard three, as ssh does: in the background, a lock file or a pipe of whoever
/// started this would stay open for as long as the tunnel. Those that an argument names (`-F <(…)`) stay, and the one to
/// say on that we are ready.
///
/// To be called before anything else, while every descriptor is an inherited one.
pub fn close_inherited() {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else {
        return;
    };
    let number = |name: std::ffi::OsString| name.to_str()?.parse::<RawFd>().ok();
    let open: Vec<RawFd> = entries
        .filter_map(|entry| number(entry.ok()?.file_name()))
        .collect();
    let mark = marked();
    let named = |fd: RawFd| {
        if Some(fd) == mark {
            return true;
        }
        let path = format!("/fd/{fd}");
        std::env::args_os().any(|word| word.to_string_lossy().ends_with(&path))
    };
    for fd in open.into_iter().filter(|&fd| fd > 2 && !named(fd)) {
        // The listing's own descriptor is among them, and gone by now.
        let _ = nix::unistd::close(fd);
    }
}

/// True in the process that stays.
pub fn is_background() -> bool {
    std::env::var_os(MARK).is_some()
}

fn marked() -> Option<RawFd> {
    let number = std::env::var(MARK).ok()?.parse().ok()?;
    (number > 2).then_some(number)
}

/// Keeps what this program knows of itself from one that it starts, which may well be an adit.
pub(crate) fn unmark(command: &mut std::process::Command) -> &mut std::process::Command {
    command.env_remove(MARK)
}

/// Starts this program again with the same arguments, waits until it is ready, and gives the exit code. Signals that
/// would end this process go to the other one, which is to end in good order, its terminal as it was.
///
/// # Errors
/// The program could not be started.
pub fn spawn_and_wait() -> io::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        // Before the program starts: a signal in between would leave it alone.
        let mut signals = Signals::with_quit()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(std::env::args_os().skip(1));
        // Not standard output, which a command at the server may write to.
        let (ready, writer) = io::pipe()?;
        fcntl(&writer, FcntlArg::F_SETFD(FdFlag::empty()))?;
        command.env(MARK, writer.as_raw_fd().to_string());
        let mut child = limits::as_it_came(|| command.spawn())?;
        drop(writer);
        let ready = pipe::Receiver::from_owned_fd(ready.into())?;
        // It is not another's as long as nobody has waited for the end.
        let pid = child.id().and_then(|pid| pid.try_into().ok());
        let pid = pid.map(Pid::from_raw);
        let mut came = None;
        let outcome = outcome(&mut child, ready);
        tokio::pin!(outcome);
        loop {
            tokio::select! {
                outcome = &mut outcome => return Ok(ExitCode::from(code(outcome?, came))),
                signal = signals.any() => {
                    came = Some(signal);
                    pass_on(signal, pid);
                }
            }
        }
    })
}

fn pass_on(signal: SignalKind, to: Option<Pid>) {
    if let (Ok(signal), Some(pid)) = (Signal::try_from(signal.as_raw_value()), to) {
        // It may have ended by itself.
        let _ = kill(pid, signal);
    }
}

/// Fate of the process that is to stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Ready,
    Ended(ExitStatus),
}

async fn outcome(child: &mut Child, mut ready: pipe::Receiver) -> io::Result<Outcome> {
    let mut word = [0; READY.len()];
    match ready.read_exact(&mut word).await {
        Ok(_) if word == READY => return Ok(Outcome::Ready),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
        Err(error) => return Err(error),
    }
    child.wait().await.map(Outcome::Ended)
}

/// The exit code of the process that waits, to which a signal may have come: success is nothing but a process that
/// stays.
fn code(outcome: Outcome, came: Option<SignalKind>) -> u8 {
    let by = |signal: i32| u8::try_from(128 + signal).ok();
    let code = match (outcome, came) {
        (Outcome::Ready, None) => return 0,
        // The signal was on its way to it.
        (Outcome::Ready, Some(signal)) => by(signal.as_raw_value()),
        (Outcome::Ended(status), _) => match status.code() {
            Some(code) => u8::try_from(code).ok().filter(|&code| code != 0),
            None => status.signal().and_then(by),
        },
    };
    code.unwrap_or(FAILURE)
}

/// Leaves the terminal and tells the waiting process that all is well.
///
/// # Errors
/// The system refused one of the steps.
pub fn detach(keep: StandardError) -> io::Result<()> {
    nix::unistd::setsid()?;
    if let Some(mark) = marked() {
        // Opened anew, for the descriptor itself is only a number to safe code.
        let path = format!("/proc/self/fd/{mark}");
        OpenOptions::new()
            .write(true)
            .open(path)?
            .write_all(READY)?;
        nix::unistd::close(mark)?;
    }
    leave_stdin_and_stdout()?;
    if keep == StandardError::Close {
        nix::unistd::dup2_stderr(&null()?)?;
    }
    Ok(())
}

/// Puts `/dev/null` in the place of standard input and output: whoever has their other ends sees that we are gone.
///
/// # Errors
/// The system's.
pub(crate) fn leave_stdin_and_stdout() -> io::Result<()> {
    let null = null()?;
    nix::unistd::dup2_stdin(&null)?;
    nix::unistd::dup2_stdout(&null)?;
    Ok(())
}

fn null() -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).open("/dev/null")
}

/// Destination of standard error in the background.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StandardError {
    /// It stays where it is: messages were asked for there.
    Keep,
    /// It goes to `/dev/null`.
    Close,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn success_is_a_process_that_stays() {
        let exited = |code: i32| Outcome::Ended(ExitStatus::from_raw(code << 8));
        let term = Some(SignalKind::terminate());
        let table = [
            (Outcome::Ready, None, 0),
            (Outcome::Ready, term, 143),
            (exited(0), None, 255),
            (exited(0), term, 255),
            (exited(143), term, 143),
            (exited(1), None, 1),
            (Outcome::Ended(ExitStatus::from_raw(9)), None, 137),
        ];
        for (outcome, came, expected) in table {
            assert_eq!(code(outcome, came), expected, "{outcome:?} {came:?}");
        }
    }
}

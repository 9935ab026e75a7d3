//! Going to the background without `fork`: the program starts itself anew, and the first one waits until the
//! second says that it is ready, or ends with its exit code.
//!
//! A fork of a process that has threads is safe for almost nothing that comes after it; a fresh process is safe for
//! everything. Until it is ready the second one keeps the terminal, so that it can ask for passphrases.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::RawFd;
use std::process::{Command, ExitCode, Stdio};

/// Set in the environment of the process that stays.
const MARK: &str = "ADIT_BACKGROUND";
/// What it writes once it is ready.
const READY: &[u8] = b"ready\n";

/// Closes descriptors beyond the standard three, as ssh does: in the background, a lock file or a pipe of whoever
/// started this would stay open for as long as the tunnel. Those that an argument names (`-F <(…)`) stay.
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
    let named = |fd: RawFd| {
        let path = format!("/fd/{fd}");
        std::env::args_os().any(|word| word.to_string_lossy().ends_with(&path))
    };
    for fd in open.into_iter().filter(|&fd| fd > 2 && !named(fd)) {
        // The listing's own descriptor is among them, and gone by now.
        let _ = nix::unistd::close(fd);
    }
}

/// Whether this is the process that stays.
pub fn is_background() -> bool {
    std::env::var_os(MARK).is_some()
}

/// Starts this program again with the same arguments, waits until it is ready, and gives the exit code.
///
/// # Errors
/// The program could not be started.
pub fn spawn_and_wait() -> io::Result<ExitCode> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(MARK, "1")
        .stdout(Stdio::piped())
        .spawn()?;
    let mut said = Vec::new();
    if let Some(mut output) = child.stdout.take() {
        let mut word = [0; READY.len()];
        match output.read_exact(&mut word) {
            Ok(()) => said.extend_from_slice(&word),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
            Err(error) => return Err(error),
        }
    }
    if said == READY {
        return Ok(ExitCode::SUCCESS);
    }
    let status = child.wait()?;
    Ok(ExitCode::from(
        status
            .code()
            .and_then(|c| u8::try_from(c).ok())
            .unwrap_or(255),
    ))
}

/// Leaves the terminal and tells the waiting process that all is well.
///
/// # Errors
/// The system refused one of the steps.
pub fn detach(keep: StandardError) -> io::Result<()> {
    nix::unistd::setsid()?;
    io::stdout().write_all(READY)?;
    io::stdout().flush()?;
    let null = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")?;
    nix::unistd::dup2_stdin(&null)?;
    nix::unistd::dup2_stdout(&null)?;
    if keep == StandardError::Close {
        nix::unistd::dup2_stderr(&null)?;
    }
    Ok(())
}

/// What becomes of standard error in the background.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StandardError {
    /// It stays where it is: messages were asked for there.
    Keep,
    /// It goes to `/dev/null`.
    Close,
}

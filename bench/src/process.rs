//! Child processes that end with the guard that holds them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::failure::{Attempt, Failure, Result};
use crate::measure::Processes;

/// Bytes of a process' last output that an error repeats.
const LAST_WORDS: usize = 600;

/// A running child. Dropping it ends it and all its descendants, each by its process id.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Running {
    /// Starts `command` with nothing to read; what it prints goes to the file `log`.
    pub(crate) fn start(mut command: Command, log: &Path) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let file = File::create(log).attempt(|| format!("create {}", log.display()))?;
        let other = file
            .try_clone()
            .attempt(|| "duplicate the log".to_owned())?;
        let child = command
            .env_remove("SSH_AUTH_SOCK")
            .stdin(Stdio::null())
            .stdout(other)
            .stderr(file)
            .spawn()
            .attempt(|| format!("start {name}"))?;
        Ok(Self {
            child,
            name,
            log: log.to_owned(),
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// An error with the last words of the process if it has ended.
    pub(crate) fn must_run(&mut self) -> Result<()> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(Failure::new(format!(
                "{} ended early ({status}): {}",
                self.name,
                self.last_words()
            ))),
            Err(error) => Err(Failure::new(format!("cannot watch {}: {error}", self.name))),
        }
    }

    /// The end of what the process printed, on one line.
    pub(crate) fn last_words(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(LAST_WORDS)..]);
        text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A child that has been waited for may have lent its id to a stranger.
        if matches!(self.child.try_wait(), Ok(None)) {
            for pid in Processes::new(vec![self.pid()]).pids() {
                if let Ok(pid) = i32::try_from(pid) {
                    // Those that ended by themselves meanwhile are no failure.
                    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
                }
            }
        }
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropping_ends_grandchildren_too() {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "sleep 600 & wait"]);
        let running = Running::start(command, &dir.path().join("log")).unwrap();
        let processes = Processes::new(vec![running.pid()]);
        let pids = std::iter::repeat_with(|| processes.pids())
            .find(|pids| pids.len() == 2)
            .unwrap();
        drop(running);
        // The grandchild stays a zombie until init reaps it, so its state is asked, not its pid.
        for pid in pids {
            let ended = || match fs::read_to_string(format!("/proc/{pid}/stat")) {
                Ok(stat) => stat.contains(") Z ") || stat.contains(") X "),
                Err(_) => true,
            };
            while !ended() {
                std::thread::yield_now();
            }
        }
    }

    #[test]
    fn an_early_end_is_told_with_its_last_words() {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo port taken >&2; exit 3"]);
        let mut running = Running::start(command, &dir.path().join("log")).unwrap();
        let error = std::iter::repeat_with(|| running.must_run())
            .find_map(std::result::Result::err)
            .unwrap();
        assert!(error.to_string().contains("port taken"), "{error}");
    }
}

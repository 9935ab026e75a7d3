//! The signals that end a tunnel, with ssh's exit codes.

use std::cell::Cell;
use std::future::pending;
use std::io;
use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::command_line::FAILURE;

/// Exit code of a program that SIGTERM ends by itself, as a shell shows it: ssh's, before it is logged in.
const TERMINATED: u8 = 128 + nix::libc::SIGTERM as u8;

/// Says how far the work that a signal may end has come.
#[derive(Debug, Default)]
pub(crate) struct LoginProgress(Cell<LoginStage>);

#[derive(Debug, Default, Clone, Copy)]
enum LoginStage {
    #[default]
    Connecting,
    LoggedIn,
}

impl LoginProgress {
    /// Notes that the login is over: from here on, who ends the tunnel has had it.
    pub(crate) fn logged_in(&self) {
        self.0.set(LoginStage::LoggedIn);
    }

    /// The exit code of SIGTERM at this moment.
    fn terminated(&self) -> ExitCode {
        match self.0.get() {
            LoginStage::Connecting => ExitCode::from(TERMINATED),
            LoginStage::LoggedIn => ExitCode::SUCCESS,
        }
    }
}

/// The signals, less those that whoever started this had ignored: `nohup` means it, and so does a shell's `&`.
pub(crate) struct Signals {
    terminate: Option<Signal>,
    interrupt: Option<Signal>,
    hangup: Option<Signal>,
    quit: Option<Signal>,
}

impl Signals {
    /// The signals that end a tunnel.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: heeded(SignalKind::terminate())?,
            interrupt: heeded(SignalKind::interrupt())?,
            hangup: heeded(SignalKind::hangup())?,
            quit: None,
        })
    }

    /// Those, and Ctrl-\\: for who has something to take away before the end.
    pub(crate) fn with_quit() -> io::Result<Self> {
        Ok(Self {
            quit: heeded(SignalKind::quit())?,
            ..Self::new()?
        })
    }

    /// Waits for any of them; gives its number.
    pub(crate) async fn any(&mut self) -> SignalKind {
        tokio::select! {
            () = coming(&mut self.terminate) => SignalKind::terminate(),
            () = coming(&mut self.interrupt) => SignalKind::interrupt(),
            () = coming(&mut self.hangup) => SignalKind::hangup(),
            () = coming(&mut self.quit) => SignalKind::quit(),
        }
    }

    /// The outcome of `work`, or of the signal that came first; then everything `work` held is dropped in order.
    pub(crate) async fn or(
        mut self,
        progress: &LoginProgress,
        work: impl Future<Output = Result<ExitCode, String>>,
    ) -> Result<ExitCode, String> {
        tokio::select! {
            // In this order: an interrupted prompt makes the work fail, and that is not what happened.
            biased;
            () = coming(&mut self.terminate) => Ok(progress.terminated()),
            () = coming(&mut self.interrupt) => Ok(ExitCode::from(FAILURE)),
            () = coming(&mut self.hangup) => Ok(ExitCode::from(FAILURE)),
            result = work => result,
        }
    }
}

/// Listens for the signal unless it is ignored.
///
/// Once listened for, it never again does by itself what it does to other programs.
pub(crate) fn heeded(kind: SignalKind) -> io::Result<Option<Signal>> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    match is_ignored(&status, kind) {
        true => Ok(None),
        false => signal(kind).map(Some),
    }
}

pub(crate) async fn coming(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => pending().await,
    }
}

/// True if `/proc/self/status` says that the process ignores the signal.
fn is_ignored(status: &str, kind: SignalKind) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // The lowest bit is signal 1.
    mask.is_some_and(|mask| mask >> (kind.as_raw_value() - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_those_of_the_mask() {
        let status = "Name:\tadit\nSigBlk:\tffffffffffffffff\nSigIgn:\t0000000000001003\n";
        assert!(is_ignored(status, SignalKind::hangup()));
        assert!(is_ignored(status, SignalKind::interrupt()));
        assert!(!is_ignored(status, SignalKind::terminate()));
        assert!(!is_ignored("", SignalKind::hangup()));
    }
}

//! A session's program as a process: started on a pseudo-terminal or on three streams, signalled, waited for.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use adit_proto::message::session::SignalName;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use super::environment::Environment;
use super::pty::Pty;
use super::start::{Limits, Recipe};

/// The binary that becomes a session's program: the server's own, executed again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Starter {
    binary: PathBuf,
    limits: Limits,
}

impl Starter {
    /// The running binary, also after another has taken its place on disk. Its programs get these limits.
    pub fn own(limits: Limits) -> Self {
        Self {
            binary: "/proc/self/exe".into(),
            limits,
        }
    }

    /// Limits for its programs.
    pub fn limits(&self) -> Limits {
        self.limits
    }
}

/// Our ends of the program's standard streams.
#[derive(Debug)]
pub enum Ends {
    /// One pseudo-terminal is all three.
    Terminal(Pty),
    /// Input and errors are pipes, which programs may open anew as `/dev/stdin` and `/dev/stderr`. Output is a socket: we
    /// stop reading it while our end stays open.
    Streams {
        /// Its input.
        input: OwnedFd,
        /// Its output.
        output: UnixStream,
        /// Its errors.
        errors: OwnedFd,
    },
}

/// A program that runs.
#[derive(Debug)]
pub struct Process {
    child: Child,
    group: Pid,
}

impl Process {
    /// Starts a program on a pseudo-terminal, whose other end is `theirs`.
    ///
    /// # Errors
    /// The system's.
    pub fn on_terminal(
        starter: &Starter,
        recipe: &Recipe,
        environment: &Environment,
        theirs: OwnedFd,
    ) -> io::Result<Self> {
        let streams = [theirs.try_clone()?, theirs.try_clone()?, theirs];
        Self::spawn(starter, recipe, environment, streams)
    }

    /// Starts a program on three streams.
    ///
    /// # Errors
    /// The system's.
    pub fn on_streams(
        starter: &Starter,
        recipe: &Recipe,
        environment: &Environment,
    ) -> io::Result<(Self, Ends)> {
        let (output, theirs) = UnixStream::pair()?;
        let (their_input, input) = io::pipe()?;
        let (errors, their_errors) = io::pipe()?;
        let streams = [their_input.into(), theirs.into(), their_errors.into()];
        let process = Self::spawn(starter, recipe, environment, streams)?;
        output.set_nonblocking(true)?;
        let (input, errors) = (input.into(), errors.into());
        let ends = Ends::Streams {
            input,
            output,
            errors,
        };
        Ok((process, ends))
    }

    fn spawn(
        starter: &Starter,
        recipe: &Recipe,
        environment: &Environment,
        streams: [OwnedFd; 3],
    ) -> io::Result<Self> {
        let [input, output, errors] = streams;
        let mut command = Command::new(&starter.binary);
        command
            .args(recipe.arguments())
            .env_clear()
            .envs(environment.iter())
            .stdin(Stdio::from(input))
            .stdout(Stdio::from(output))
            .stderr(Stdio::from(errors));
        let child = command.spawn()?;
        // Our copies of its ends are closed with the command: its EOF is seen once its own are.
        drop(command);
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        let id = id.ok_or_else(|| io::Error::other("the process has no number"))?;
        Ok(Self {
            child,
            group: Pid::from_raw(id),
        })
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// The system's.
    pub async fn wait(&mut self) -> io::Result<Exit> {
        Ok(Exit::of(self.child.wait().await?))
    }

    /// Its number, which is its process group's.
    pub fn id(&self) -> i32 {
        self.group.as_raw()
    }

    /// Sends a signal to the program and those that it has started in its process group. One that has ended needs none.
    pub fn signal(&self, signal: Signal) {
        // Once it was waited for, its number may be another's.
        if self.child.id().is_some() && killpg(self.group, signal).is_err() {
            // It has not made itself a session yet.
            let _ = kill(self.group, signal);
        }
    }
}

/// End of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this status.
    Status(u32),
    /// By a signal.
    Signal {
        /// Its number.
        number: i32,
        /// True where a core file was written.
        core_dumped: bool,
    },
}

impl Exit {
    fn of(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Exit::Status(u32::try_from(code).unwrap_or(255)),
            (None, signal) => Exit::Signal {
                number: signal.unwrap_or_default(),
                core_dumped: status.core_dumped(),
            },
        }
    }
}

/// The signals of this machine that RFC 4254 §6.10 names.
const SIGNALS: [(SignalName, Signal); 13] = [
    (SignalName::Abrt, Signal::SIGABRT),
    (SignalName::Alrm, Signal::SIGALRM),
    (SignalName::Fpe, Signal::SIGFPE),
    (SignalName::Hup, Signal::SIGHUP),
    (SignalName::Ill, Signal::SIGILL),
    (SignalName::Int, Signal::SIGINT),
    (SignalName::Kill, Signal::SIGKILL),
    (SignalName::Pipe, Signal::SIGPIPE),
    (SignalName::Quit, Signal::SIGQUIT),
    (SignalName::Segv, Signal::SIGSEGV),
    (SignalName::Term, Signal::SIGTERM),
    (SignalName::Usr1, Signal::SIGUSR1),
    (SignalName::Usr2, Signal::SIGUSR2),
];

/// The signal of this machine with this name.
pub fn signal_named(name: &SignalName) -> Option<Signal> {
    let found = SIGNALS.iter().find(|(known, _)| known == name);
    found.map(|(_, signal)| *signal)
}

/// The name of a signal's number; one that the RFC does not know is called as OpenSSH calls it.
pub fn name_of_signal(number: i32) -> SignalName {
    let known = SIGNALS.iter().find(|(_, signal)| *signal as i32 == number);
    match known {
        Some((name, _)) => name.clone(),
        None => SignalName::Other("SIG@openssh.com".into()),
    }
}

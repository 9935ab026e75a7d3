//! The start of a session's program, seen from inside: what a re-executed copy of the server's binary does before it becomes
//! that program.
//!
//! A process with threads must not run code of its own between fork and exec, and the standard library has no way to make
//! a new session there without `unsafe`. So the server executes its own binary again, with [`MARK`] as its first argument;
//! that copy has one thread, makes itself a session leader, takes the terminal, does what comes before the program, and
//! executes it.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal as Signo;
use rustix::process::{ioctl_tiocsctty, setsid};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::net::listener::describe;
use crate::small_file;

/// First argument of the copy that starts a program.
pub const MARK: &str = "--start-session-program";

/// Directory of a program whose home cannot be entered.
const ROOT: &str = "/";
/// File in a home that keeps the message of the day away.
const HUSH: &str = ".hushlogin";
/// The longest message of the day, in bytes.
const MAX_MESSAGE: u64 = 1 << 20;
/// The shell of startup files.
const SHELL: &str = "/bin/sh";
/// File of a home that is run before the program.
const USER_RC: &str = ".ssh/rc";
/// The same of the machine, where there is none of the user's.
const SYSTEM_RC: &str = "/etc/ssh/sshrc";

/// Descriptors that the program gets as its terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Terminal {
    /// Standard input is its controlling terminal.
    Controlling,
    /// It has none.
    Nothing,
}

/// The message of the day (`PrintMotd`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Greeting {
    /// Shown from this file, unless the user has a `.hushlogin`.
    From(PathBuf),
    /// Not shown.
    Silent,
}

/// Startup file that runs before the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Startup {
    /// The user's `~/.ssh/rc`; where there is none, the machine's.
    OfUser,
    /// `/etc/ssh/sshrc`, where there is one.
    OfSystem,
}

/// Limits that the server came with and gives its programs back, soft ones; none leaves what there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Number of descriptors.
    pub descriptors: Option<u64>,
    /// Size of core files, in bytes.
    pub core: Option<u64>,
}

/// A program as its process shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Path of the file to execute.
    pub path: OsString,
    /// Name that it sees itself called by: `-bash` for a login shell.
    pub name: OsString,
    /// Arguments behind its name.
    pub arguments: Vec<OsString>,
}

/// A program and all that comes before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// Its terminal.
    pub terminal: Terminal,
    /// Limits to give it.
    pub limits: Limits,
    /// The user's home, which it starts in.
    pub home: PathBuf,
    /// The user's shell, which runs the user's startup file.
    pub shell: PathBuf,
    /// The message of the day.
    pub greeting: Greeting,
    /// The startup file.
    pub startup: Startup,
    /// The program.
    pub program: Program,
}

const CONTROLLING: &str = "controlling";
const OF_USER: &str = "user";
const NOTHING: &str = "-";

impl Recipe {
    /// The arguments of the copy that follows it.
    pub fn arguments(&self) -> Vec<OsString> {
        let limit = |limit: Option<u64>| match limit {
            Some(limit) => limit.to_string().into(),
            None => OsString::from(NOTHING),
        };
        let greeting = match &self.greeting {
            Greeting::From(path) => path.as_os_str(),
            Greeting::Silent => NOTHING.as_ref(),
        };
        let terminal = match self.terminal {
            Terminal::Controlling => CONTROLLING,
            Terminal::Nothing => NOTHING,
        };
        let startup = match self.startup {
            Startup::OfUser => OF_USER,
            Startup::OfSystem => NOTHING,
        };
        let mut arguments = vec![
            MARK.into(),
            terminal.into(),
            limit(self.limits.descriptors),
            limit(self.limits.core),
            self.home.clone().into(),
            self.shell.clone().into(),
            greeting.to_owned(),
            startup.into(),
            self.program.path.clone(),
            self.program.name.clone(),
        ];
        arguments.extend(self.program.arguments.iter().cloned());
        arguments
    }

    /// Reads the arguments behind [`MARK`]; none where the server has not written them.
    fn read(mut arguments: impl Iterator<Item = OsString>) -> Option<Self> {
        let limit = |word: OsString| word.to_str().and_then(|word| word.parse().ok());
        Some(Self {
            terminal: match arguments.next()? == CONTROLLING {
                true => Terminal::Controlling,
                false => Terminal::Nothing,
            },
            limits: Limits {
                descriptors: limit(arguments.next()?),
                core: limit(arguments.next()?),
            },
            home: arguments.next()?.into(),
            shell: arguments.next()?.into(),
            greeting: match arguments.next()? {
                word if word == NOTHING => Greeting::Silent,
                path => Greeting::From(path.into()),
            },
            startup: match arguments.next()? == OF_USER {
                true => Startup::OfUser,
                false => Startup::OfSystem,
            },
            program: Program {
                path: arguments.next()?,
                name: arguments.next()?,
                arguments: arguments.collect(),
            },
        })
    }

    fn follow(&self) -> Result<Infallible, String> {
        setsid().map_err(|e| format!("cannot make a session: {e}"))?;
        if self.terminal == Terminal::Controlling {
            ioctl_tiocsctty(io::stdin()).map_err(|e| format!("cannot take the terminal: {e}"))?;
        }
        self.limits.set();
        self.greet();
        if let Err(error) = std::env::set_current_dir(&self.home) {
            let (home, why) = (self.home.display(), describe(&error));
            eprintln!("Could not chdir to home directory {home}: {why}");
            // It is there, or nothing is.
            let _ = std::env::set_current_dir(ROOT);
        }
        self.start_up();
        let error = self.program.execute();
        let path = self.program.path.to_string_lossy();
        Err(format!("{path}: {}", describe(&error)))
    }

    /// Shows the message of the day. A terminal that takes it no more is the program's to find.
    fn greet(&self) {
        let Greeting::From(file) = &self.greeting else {
            return;
        };
        if self.home.join(HUSH).exists() {
            return;
        }
        if let Ok(message) = small_file::read(file, MAX_MESSAGE) {
            let _ = io::Write::write_all(&mut io::stdout(), &message);
            let _ = io::Write::flush(&mut io::stdout());
        }
    }

    /// Runs the startup file, with nothing to read; its failure is its own affair.
    fn start_up(&self) {
        let of_user = self.home.join(USER_RC);
        let mut command = match self.startup {
            Startup::OfUser if of_user.exists() => {
                let mut command = Command::new(&self.shell);
                let line = [OsStr::new(SHELL), of_user.as_os_str()].join(OsStr::new(" "));
                command.arg("-c").arg(line);
                command
            }
            _ if Path::new(SYSTEM_RC).exists() => {
                let mut command = Command::new(SHELL);
                command.arg(SYSTEM_RC);
                command
            }
            _ => return,
        };
        if let Err(error) = command.stdin(Stdio::null()).status() {
            eprintln!("Could not run the startup file: {}", describe(&error));
        }
    }
}

impl Limits {
    /// Sets them. A program without them runs all the same.
    fn set(self) {
        let table = [
            (Resource::RLIMIT_NOFILE, self.descriptors),
            (Resource::RLIMIT_CORE, self.core),
        ];
        for (resource, soft) in table {
            if let (Some(soft), Ok((_, hard))) = (soft, getrlimit(resource)) {
                let _ = setrlimit(resource, soft.min(hard), hard);
            }
        }
    }
}

impl Program {
    /// Becomes it, with every signal as it is by default.
    fn execute(&self) -> io::Error {
        let defaults = default_signals();
        let error = Command::new(&self.path)
            .arg0(&self.name)
            .args(&self.arguments)
            .exec();
        drop(defaults);
        error
    }
}

/// Signals that whoever started the server has it ignore, as `nohup` does, handled instead: what is handled is default again
/// once a program is executed, and what is ignored stays so.
fn default_signals() -> Option<(Runtime, Vec<Signal>)> {
    let ignored = ignored_signals();
    if ignored.is_empty() {
        return None;
    }
    let runtime = Builder::new_current_thread().enable_io().build().ok()?;
    let entered = runtime.enter();
    let handled = ignored.into_iter().map(SignalKind::from_raw).map(signal);
    // Those that may not be handled stay as they are.
    let handled = handled.filter_map(Result::ok).collect();
    drop(entered);
    Some((runtime, handled))
}

/// Numbers of the signals that this process ignores, but for SIGPIPE, which the standard library sees to.
fn ignored_signals() -> Vec<i32> {
    let status = small_file::read_text(Path::new("/proc/self/status"), MAX_MESSAGE);
    let status = status.unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let mask = mask.unwrap_or_default();
    let is_ignored = |n: &i32| mask & (1 << (n - 1)) != 0 && *n != Signo::SIGPIPE as i32;
    (1..=31).filter(is_ignored).collect()
}

/// True where the arguments behind a binary's name say that it is such a copy.
pub fn is_asked_for(first: Option<&OsStr>) -> bool {
    first.is_some_and(|first| first == MARK)
}

/// Becomes the program that `arguments` (those behind [`MARK`]) name. Comes back only with an error.
///
/// # Errors
/// Arguments that the server does not write, or the system's refusal, as a sentence.
pub fn become_program(arguments: impl IntoIterator<Item = OsString>) -> Result<Infallible, String> {
    let recipe = Recipe::read(arguments.into_iter());
    let recipe = recipe.ok_or_else(|| format!("{MARK} is for the server's own use"))?;
    recipe.follow()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipe_survives_its_way_through_arguments() {
        let mut recipe = Recipe {
            terminal: Terminal::Controlling,
            limits: Limits {
                descriptors: Some(1024),
                core: None,
            },
            home: "/home/ada".into(),
            shell: "/bin/bash".into(),
            greeting: Greeting::From("/etc/motd".into()),
            startup: Startup::OfUser,
            program: Program {
                path: "/bin/bash".into(),
                name: "-bash".into(),
                arguments: vec!["-c".into(), "".into(), "echo a b".into()],
            },
        };
        let read = |recipe: &Recipe| Recipe::read(recipe.arguments().into_iter().skip(1));
        assert_eq!(read(&recipe), Some(recipe.clone()));
        recipe.terminal = Terminal::Nothing;
        recipe.greeting = Greeting::Silent;
        recipe.startup = Startup::OfSystem;
        recipe.limits = Limits::default();
        recipe.program.arguments.clear();
        assert_eq!(read(&recipe), Some(recipe.clone()));
        for len in 0..9 {
            let words = recipe.arguments().into_iter().skip(1).take(len);
            assert_eq!(Recipe::read(words), None, "{len}");
        }
        let error = become_program([OsString::from("x")]).unwrap_err();
        assert!(error.contains(MARK), "{error}");
    }
}

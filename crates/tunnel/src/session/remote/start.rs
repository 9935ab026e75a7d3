//! The start of a session's program, seen from inside: what a re-executed copy of the server's binary does before it becomes
//! that program.
//!
//! A process with threads must not run code of its own between fork and exec, and the standard library has no way to make
//! a new session there without `unsafe`. So the server executes its own binary again, with [`MARK`] as its first argument;
//! that copy has one thread, makes itself a session leader, takes the terminal, and executes the program.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{ioctl_tiocsctty, setsid};

/// First argument of the copy that starts a program.
pub const MARK: &str = "--start-session-program";

/// Descriptors that the program gets as its terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Terminal {
    /// Standard input is its controlling terminal.
    Controlling,
    /// It has none.
    Nothing,
}

impl Terminal {
    const CONTROLLING: &str = "controlling";
    const NOTHING: &str = "nothing";

    fn word(self) -> &'static str {
        match self {
            Terminal::Controlling => Self::CONTROLLING,
            Terminal::Nothing => Self::NOTHING,
        }
    }
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

/// The arguments of the copy that becomes `program`.
pub fn arguments(terminal: Terminal, program: &Program) -> Vec<OsString> {
    let fixed = [
        OsString::from(MARK),
        terminal.word().into(),
        program.path.clone(),
        program.name.clone(),
    ];
    let mut arguments = fixed.to_vec();
    arguments.extend(program.arguments.iter().cloned());
    arguments
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
    let mut arguments = arguments.into_iter();
    let (Some(terminal), Some(path), Some(name)) =
        (arguments.next(), arguments.next(), arguments.next())
    else {
        return Err(format!("{MARK} is for the server's own use"));
    };
    setsid().map_err(|e| format!("cannot make a session: {e}"))?;
    if terminal == Terminal::CONTROLLING {
        ioctl_tiocsctty(io::stdin()).map_err(|e| format!("cannot take the terminal: {e}"))?;
    }
    let error = Command::new(&path).arg0(name).args(arguments).exec();
    Err(format!(
        "cannot execute {}: {}",
        path.to_string_lossy(),
        crate::net::listener::describe(&error)
    ))
}

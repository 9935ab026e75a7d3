//! The client's standard streams, as a session uses them.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use super::plan::{Ends, Input, Plan};
use super::terminal::Terminal;
use crate::net::Stream;

/// Streams that a session reads from and writes to, and the terminal among them.
#[derive(Debug)]
pub struct Stdio {
    /// Source of the program's input; if there is none, it reads EOF at once.
    pub input: Option<Stream>,
    /// Sink of its output.
    pub output: Arc<Stream>,
    /// Sink of its errors.
    pub errors: Arc<Stream>,
    /// The user's terminal, where the program gets one.
    pub terminal: Option<Terminal>,
}

impl Stdio {
    /// This process's own streams, as `plan` uses them. They stay usable when the process closes its descriptors 0 to 2.
    ///
    /// # Errors
    /// The system's: a descriptor is closed, most often.
    pub fn of_process(plan: &Plan) -> io::Result<Self> {
        let stdin = io::stdin();
        let terminal = match plan.ends {
            Ends::Terminal => Terminal::of(stdin.as_fd()),
            Ends::Streams => None,
        };
        let input = match plan.input {
            Input::Inherited => Some(Stream::source(stdin.as_fd())?),
            Input::Nothing => None,
        };
        Ok(Self {
            input,
            output: Arc::new(Stream::sink(io::stdout().as_fd())?),
            errors: Arc::new(Stream::sink(io::stderr().as_fd())?),
            terminal,
        })
    }
}

//! Sessions as a person or a script has them: a client's command with input, output, errors and an exit code, or on a
//! terminal.

use crate::process::{end_family, through_env};
use crate::wait::{self, Pending};
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;

/// All that became of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Exit code of the client; none where a signal ended it.
    pub code: Option<i32>,
    /// Bytes of its standard output.
    pub output: Vec<u8>,
    /// Text of its standard error.
    pub errors: String,
}

/// Input of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input<'a> {
    /// These bytes, then EOF.
    Bytes(&'a [u8]),
    /// Nothing and no EOF, for as long as the session lasts.
    Open,
}

/// Runs a client's command to its end.
///
/// # Panics
///
/// When it cannot be started or does not end in time.
pub fn run(command: &Command, input: Input<'_>) -> Outcome {
    let mut child = through_env("--default-signal=HUP,INT,PIPE", command)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let mut stdin = child.stdin.take().expect("it is a pipe");
    let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
    thread::scope(|scope| {
        let output = scope.spawn(move || all_of(stdout.as_mut()));
        let errors = scope.spawn(move || all_of(stderr.as_mut()));
        let kept = match input {
            Input::Bytes(bytes) => {
                // A program that reads nothing more is no fault of the test.
                scope.spawn(move || drop(stdin.write_all(bytes)));
                None
            }
            Input::Open => Some(stdin),
        };
        let code = end_of(&mut child);
        drop(kept);
        Outcome {
            code,
            output: output.join().expect("the reader does not panic"),
            errors: String::from_utf8_lossy(&errors.join().expect("nor this one")).into_owned(),
        }
    })
}

fn all_of(stream: Option<&mut impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        // What came before an error is what the test wants to see.
        let _ = stream.read_to_end(&mut bytes);
    }
    bytes
}

fn end_of(child: &mut Child) -> Option<i32> {
    let ended = wait::until("the session ends", || match child.try_wait() {
        Ok(Some(status)) => Ok(status.code()),
        Ok(None) => Err(Pending::NotYet("it goes on".into())),
        Err(error) => Err(Pending::Never(error.to_string())),
    });
    ended.unwrap_or_else(|late| {
        end_family(child.id());
        panic!("{late}")
    })
}

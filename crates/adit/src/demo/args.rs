//! The command line of the demo.

use std::ffi::OsString;

use lexopt::prelude::*;

use crate::command_line::sentence;

/// Time that the demo lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stay {
    /// Until a signal ends it.
    UntilInterrupted,
    /// Until everything was tried.
    Once,
}

/// Arguments as the user typed them.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Args {
    /// Run it.
    Run(Stay),
    /// `--help`.
    Help,
}

/// The text of `adit demo --help`.
pub(super) const HELP: &str = "\
adit demo: see tunnels work, on this machine alone

usage: adit demo [--once]

  --once    try everything, print the throughput, and end
  --help    print this

It starts an aditd with fresh keys, a small web site and an echo, all in one process and on loopback,
opens -L, -R, -D and a unix-socket forward through a real SSH connection, and visits each. Ports are
free ones that the system chooses. Then it stays up for you to try until Ctrl-C, and takes its folder
in the temporary directory away.
";

impl Args {
    /// Reads the arguments behind `demo`.
    ///
    /// # Errors
    /// An option or a word that the demo does not know, as a sentence.
    pub(super) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, String> {
        let mut parser = lexopt::Parser::from_args(arguments);
        let mut args = Self::Run(Stay::UntilInterrupted);
        while let Some(argument) = parser.next().map_err(sentence)? {
            match argument {
                Long("once") if args != Self::Help => args = Self::Run(Stay::Once),
                Long("once") => {}
                Long("help") | Short('h') => args = Self::Help,
                other => return Err(sentence(other.unexpected())),
            }
        }
        Ok(args)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args, String> {
        Args::parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn unknown_options_are_errors_wherever_they_stand() {
        assert_eq!(parse(""), Ok(Args::Run(Stay::UntilInterrupted)));
        assert_eq!(parse("--once"), Ok(Args::Run(Stay::Once)));
        assert_eq!(parse("--help --once"), Ok(Args::Help));
        for line in [
            "--port 8080",
            "--once --port 8080",
            "--once 8080",
            "-x",
            "--once=1",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}

//! Common parts of both command lines: reading values, printing, failing.

use std::path::PathBuf;
use std::process::ExitCode;

use adit_tunnel::config::values::LogLevel;
use lexopt::ValueExt as _;

/// Exit code of every failure, as OpenSSH has it.
pub(crate) const FAILURE: u8 = 255;

/// Text to print instead of doing anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Print {
    /// `--help`.
    Help,
    /// `-V`.
    Version,
}

impl Print {
    /// Prints it for `program`: help is a result, and the version goes where ssh puts its own.
    pub(crate) fn for_program(self, program: &str, help: &str) -> ExitCode {
        match self {
            Print::Help => print!("{help}"),
            Print::Version => eprintln!("{program} {}", env!("CARGO_PKG_VERSION")),
        }
        ExitCode::SUCCESS
    }
}

/// Reports what ended `program`; the exit code.
pub(crate) fn fail(program: &str, message: &str) -> ExitCode {
    eprintln!("{program}: {message}");
    ExitCode::from(FAILURE)
}

/// The value of an option, which must be text.
pub(crate) fn text(parser: &mut lexopt::Parser) -> Result<String, String> {
    let value = parser.value().and_then(|value| value.string());
    value.map_err(sentence)
}

/// The value of an option that names a file.
pub(crate) fn path(parser: &mut lexopt::Parser) -> Result<PathBuf, String> {
    parser.value().map(PathBuf::from).map_err(sentence)
}

/// Sentence for the user about wrong arguments.
pub(crate) fn sentence(error: lexopt::Error) -> String {
    error.to_string()
}

/// The level that `LogLevel` and a flag given `times` times make together.
pub(crate) fn level(configured: Option<LogLevel>, times: u8) -> LogLevel {
    match times {
        0 => configured.unwrap_or(LogLevel::Info),
        1 => LogLevel::Debug1,
        _ => LogLevel::Debug3,
    }
}

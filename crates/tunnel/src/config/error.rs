//! Errors of a configuration: every message names file and line.

use std::fmt;
use std::path::{Path, PathBuf};

use super::algorithms::AlgorithmError;
use super::expand::ExpandError;
use super::spec::SpecError;

/// The most bad lines that are kept for printing; the rest are only counted.
const MAX_KEPT: usize = 100;

/// The place of a line: a file and the number of the line, from 1.
///
/// An option of the command line stands in the file `command-line`, line 0, as OpenSSH has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileLine {
    /// The file as it was opened.
    pub file: PathBuf,
    /// The line, from 1; 0 on the command line.
    pub line: usize,
}

impl fmt::Display for FileLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: line {}", self.file.display(), self.line)
    }
}

/// Something that was passed over and that the user should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// File and line.
    pub place: FileLine,
    /// Message: what was passed over.
    pub text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

/// Fault of one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineError {
    /// No program of this family knows the keyword.
    UnknownKeyword(String),
    /// A keyword without its argument.
    MissingArgument(String),
    /// More arguments than the keyword takes.
    ExtraArguments {
        /// The keyword.
        keyword: String,
        /// The first argument too many.
        first: String,
    },
    /// An argument that is not what the keyword takes.
    BadValue {
        /// The keyword.
        keyword: String,
        /// The argument as written.
        value: String,
        /// The form that would have been right.
        expected: &'static str,
    },
    /// A forwarding specification that cannot be read.
    Forward(SpecError),
    /// A list of algorithms that cannot be used.
    Algorithms(AlgorithmError),
    /// A token, variable or home directory that cannot be filled in.
    Expand(ExpandError),
    /// A keyword that restricts, which this version cannot enforce.
    Restricts(String),
    /// A keyword that this version cannot do, where going on without it would be wrong.
    NotSupported {
        /// The keyword.
        keyword: String,
        /// Advice to the user.
        hint: &'static str,
    },
    /// A `Match` line that cannot be read or not be honoured.
    Match(String),
    /// A keyword that may stand in a file only.
    NotOnCommandLine(String),
    /// A quotation mark without its partner.
    Quotes,
    /// A line longer than 64 KiB.
    TooLong,
    /// A line that is not UTF-8 text, or holds a NUL byte.
    NotText,
    /// More entries of this keyword than are kept.
    TooMany(String),
    /// An `Include` pattern that cannot be used.
    BadInclude {
        /// The pattern as written.
        pattern: String,
        /// The reason.
        reason: String,
    },
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKeyword(word) => {
                write!(f, "Bad configuration option: {}", word.to_ascii_lowercase())
            }
            Self::MissingArgument(word) => write!(f, "no argument after keyword \"{word}\""),
            Self::ExtraArguments { keyword, first } => {
                write!(
                    f,
                    "keyword {keyword} extra arguments at end of line: \"{first}\""
                )
            }
            Self::BadValue {
                keyword,
                value,
                expected,
            } => {
                write!(
                    f,
                    "bad value \"{value}\" for {keyword}: expected {expected}"
                )
            }
            Self::Forward(error) => write!(f, "{error}"),
            Self::Algorithms(error) => write!(f, "{error}"),
            Self::Expand(error) => write!(f, "{error}"),
            Self::Restricts(word) => write!(
                f,
                "{word} is not supported yet, and ignoring it would allow more than the file says"
            ),
            Self::NotSupported { keyword, hint } => {
                write!(f, "{keyword} is not supported yet: {hint}")
            }
            Self::Match(reason) => write!(f, "Bad Match condition: {reason}"),
            Self::NotOnCommandLine(word) => {
                write!(f, "{word} directive not supported as a command-line option")
            }
            Self::Quotes => f.write_str("invalid quotes"),
            Self::TooLong => f.write_str("line is too long"),
            Self::NotText => f.write_str("line is not UTF-8 text"),
            Self::TooMany(word) => write!(f, "too many entries of {word}"),
            Self::BadInclude { pattern, reason } => {
                write!(f, "bad include path {pattern}: {reason}")
            }
        }
    }
}

impl From<SpecError> for LineError {
    fn from(error: SpecError) -> Self {
        Self::Forward(error)
    }
}

impl From<AlgorithmError> for LineError {
    fn from(error: AlgorithmError) -> Self {
        Self::Algorithms(error)
    }
}

impl From<ExpandError> for LineError {
    fn from(error: ExpandError) -> Self {
        Self::Expand(error)
    }
}

/// One bad line and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// File and line.
    pub place: FileLine,
    /// The fault.
    pub error: LineError,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.error)
    }
}

/// Reason why a configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigError {
    /// Lines that are wrong; all were looked at.
    BadLines {
        /// The file that reading began with.
        file: PathBuf,
        /// The first hundred of them, in the order of reading.
        lines: Vec<BadLine>,
        /// Number of them.
        count: usize,
    },
    /// The file belongs to another user, or group or others may write to it.
    BadOwner(PathBuf),
    /// The file exists, or has to, and cannot be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        reason: String,
    },
    /// A host that resolves under none of `CanonicalDomains`, with `CanonicalizeFallbackLocal no`.
    Unresolved(String),
    /// `Include` within `Include`, more than sixteen deep.
    TooDeep(FileLine),
    /// `Include` lines that bring in more files, or more bytes, than a configuration can need.
    TooMuch(PathBuf),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadLines { file, lines, count } => {
                for line in lines {
                    writeln!(f, "{line}")?;
                }
                write!(
                    f,
                    "{}: terminating, {count} bad configuration options",
                    file.display()
                )
            }
            Self::BadOwner(path) => write!(
                f,
                "Bad owner or permissions on {path}: it must be yours or root's, and nobody else may write to it\n\
                 hint: chmod go-w {path}, or chown it",
                path = path.display()
            ),
            Self::Unreadable { path, reason } => {
                write!(
                    f,
                    "cannot read configuration file {}: {reason}",
                    path.display()
                )
            }
            Self::Unresolved(host) => write!(
                f,
                "cannot resolve host \"{host}\" in any of CanonicalDomains\n\
                 hint: CanonicalizeFallbackLocal yes takes the name as it is"
            ),
            Self::TooDeep(place) => {
                write!(f, "{place}: too many recursive configuration includes")
            }
            Self::TooMuch(path) => {
                write!(
                    f,
                    "cannot read configuration file {}: too much is included",
                    path.display()
                )
            }
        }
    }
}

impl std::error::Error for ConfigError {}

/// Findings of the reading of one configuration so far. Bounded: what exceeds it is counted.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    warnings: Vec<Warning>,
    bad: Vec<BadLine>,
    count: usize,
}

impl Findings {
    /// Notes something that was passed over. Past a hundred, warnings are dropped: nobody reads more.
    pub(crate) fn warn(&mut self, place: &FileLine, text: String) {
        if self.warnings.len() < MAX_KEPT {
            self.warnings.push(Warning {
                place: place.clone(),
                text,
            });
        }
    }

    /// Notes the outcome of a line: nothing, a warning, or a fault.
    pub(crate) fn note(&mut self, place: &FileLine, outcome: Result<Option<String>, LineError>) {
        match outcome {
            Ok(None) => {}
            Ok(Some(text)) => self.warn(place, text),
            Err(error) => self.bad(place, error),
        }
    }

    /// Notes a line that is wrong.
    pub(crate) fn bad(&mut self, place: &FileLine, error: LineError) {
        self.count += 1;
        if self.bad.len() < MAX_KEPT {
            self.bad.push(BadLine {
                place: place.clone(),
                error,
            });
        }
    }

    /// The warnings, unless a line was wrong.
    pub(crate) fn finish(self, file: &Path) -> Result<Vec<Warning>, ConfigError> {
        if self.count == 0 {
            return Ok(self.warnings);
        }
        Err(ConfigError::BadLines {
            file: file.to_path_buf(),
            lines: self.bad,
            count: self.count,
        })
    }
}

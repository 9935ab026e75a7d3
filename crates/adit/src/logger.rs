//! Destination of messages: standard error, a file or the system's log, at the level of `LogLevel`.
//!
//! Messages of a program that runs in the foreground go to standard error, results to standard output.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use adit_proto::peer_text;
use adit_tunnel::VERBOSE;
use adit_tunnel::config::values::LogLevel;
use adit_tunnel::small_file::open_log;
use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::syslog::Syslog;

/// True at `LogLevel VERBOSE` and above, which the `log` crate has no level for.
static IS_VERBOSE: AtomicBool = AtomicBool::new(false);

/// Opening of lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// As a client: `adit: ` before errors and warnings only.
    Client,
    /// As a server: the level before every line.
    Server,
}

/// Writes messages of adit's own crates.
struct Logger {
    sink: Sink,
    style: Style,
}

/// Open destination of messages.
#[derive(Debug)]
enum Sink {
    StandardError,
    File(LogFile),
    Syslog(Syslog),
}

/// Destination of messages that the user wants.
#[derive(Debug)]
pub(crate) enum LogDestination<'a> {
    /// Standard error.
    StandardError,
    /// The end of a file (`-E`).
    File(&'a Path),
    /// The system's log. A server's messages go to standard error as well: before it leaves the terminal somebody may be
    /// reading them there, afterwards nobody can.
    Syslog(Syslog),
}

/// The file of `-E`.
#[derive(Debug, Clone)]
pub struct LogFile {
    path: PathBuf,
    file: Arc<Mutex<File>>,
}

impl LogFile {
    fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            file: Arc::new(Mutex::new(open_log(path)?)),
        })
    }

    /// Opens the file of that name anew: logrotate has given the one that is open another.
    ///
    /// # Errors
    /// It cannot be opened; messages go where they went.
    pub fn reopen(&self) -> io::Result<()> {
        *self.lock() = open_log(&self.path)?;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, File> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends messages there; gives the file back, if it is one.
///
/// # Errors
/// The file cannot be opened.
pub(crate) fn install(
    level: LogLevel,
    destination: LogDestination<'_>,
    style: Style,
) -> io::Result<Option<LogFile>> {
    let (sink, file) = match destination {
        LogDestination::StandardError => (Sink::StandardError, None),
        LogDestination::Syslog(syslog) => (Sink::Syslog(syslog), None),
        LogDestination::File(path) => {
            let file = LogFile::open(path)?;
            (Sink::File(file.clone()), Some(file))
        }
    };
    let logger = Logger { sink, style };
    set_level(level);
    log::set_boxed_logger(Box::new(logger)).map_err(io::Error::other)?;
    Ok(file)
}

/// Writes an error whatever the level: what even a quiet program has to say.
pub(crate) fn insist(message: &str) {
    let mut record = Record::builder();
    let record = record.level(Level::Error).target("adit");
    log::logger().log(&record.args(format_args!("{message}")).build());
}

/// Another level, after a reload.
pub fn set_level(level: LogLevel) {
    IS_VERBOSE.store(level >= LogLevel::Verbose, Ordering::Relaxed);
    log::set_max_level(filter(level));
}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Quiet => LevelFilter::Off,
        LogLevel::Fatal | LogLevel::Error => LevelFilter::Error,
        LogLevel::Info | LogLevel::Verbose => LevelFilter::Info,
        LogLevel::Debug1 => LevelFilter::Debug,
        LogLevel::Debug2 | LogLevel::Debug3 => LevelFilter::Trace,
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        match metadata.target() {
            VERBOSE => IS_VERBOSE.load(Ordering::Relaxed),
            target => target.starts_with("adit"),
        }
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let prefix = match (self.style, record.level()) {
            (_, Level::Debug) => "debug1: ",
            (_, Level::Trace) => "debug2: ",
            (Style::Server, Level::Error) => "error: ",
            (Style::Server, Level::Warn) => "warning: ",
            (Style::Client, Level::Error | Level::Warn) => "adit: ",
            (_, Level::Info) => "",
        };
        let message = record.args().to_string();
        let line = format!("{prefix}{}\n", peer_text::message(&message));
        let to_standard_error = || io::stderr().lock().write_all(line.as_bytes());
        // There is nowhere left to report that a message could not be written.
        let _ = match &self.sink {
            Sink::StandardError => to_standard_error(),
            Sink::File(file) => file.lock().write_all(line.as_bytes()),
            Sink::Syslog(syslog) => {
                syslog.write(record.level(), line.trim_end());
                match self.style {
                    Style::Server => to_standard_error(),
                    Style::Client => Ok(()),
                }
            }
        };
    }

    fn flush(&self) {}
}

//! `authorized_keys`: which key may log in, from where, until when, and what it may forward.
//!
//! The lookup is pure; [`read`] reads the file with the `StrictModes` checks. A line that adit
//! does not fully understand lets nobody in: an unknown or malformed option makes the line unusable,
//! the reason goes to the log, and the next line with the same key is tried.

mod expiry;
mod file;
mod key;
mod options;
mod zone;

use std::fmt;
use std::net::IpAddr;

use crate::pattern::PeerList;
use crate::policy::{KeyRules, Permission};

pub use expiry::{Clock, UnixTime};
pub use file::{ReadError, StrictModes, read};
pub use options::{BadOptions, Unsupported};
pub use zone::{BadZone, LocalZone};

/// At most so many unusable lines are reported by one lookup.
const MAX_SKIPPED: usize = 32;

/// Options of a usable line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyOptions {
    /// Rules about what the key may forward.
    pub rules: KeyRules,
    /// `command=`: the only command that a session may run; it does not limit forwarding.
    pub command: Option<String>,
    /// `environment=` in the order of the line; the first of a name counts.
    pub environment: Vec<(String, String)>,
    /// `pty`, `no-pty`, `restrict`: a terminal for a session.
    pub terminal: Permission,
    /// `user-rc`, `no-user-rc`, `restrict`: `~/.ssh/rc` at the start of a session.
    pub user_rc: Permission,
}

impl KeyOptions {
    /// The options of a line that has none.
    pub fn none() -> Self {
        Self {
            rules: KeyRules::unrestricted(),
            command: None,
            environment: Vec::new(),
            terminal: Permission::Granted,
            user_rc: Permission::Granted,
        }
    }
}

/// A line that lets the key in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorized {
    /// The line in the file, from 1.
    pub line: usize,
    /// Its options.
    pub options: KeyOptions,
}

/// A line that holds the key and does not let it in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The line in the file, from 1.
    pub line: usize,
    /// Reason why it does not count, for the log.
    pub reason: Unusable,
}

/// Reason why a line that holds the key does not let it in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unusable {
    /// The options are malformed, unknown, or not supported.
    BadOptions(BadOptions),
    /// `expiry-time=` has passed.
    Expired,
    /// `from=` does not match the peer.
    NotFrom(Option<IpAddr>),
}

/// The answer about one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    /// The first usable line with the key; without one, the key is refused.
    pub authorized: Option<Authorized>,
    /// Lines with the same key that were passed over, for the log; at most 32.
    pub skipped: Vec<Skipped>,
}

/// Looks for the key `blob` in the contents of an `authorized_keys` file.
///
/// `peer` is the address the connection comes from; without one (a server on pipes) no `from=`
/// matches. Host names in `from=` are not resolved, as with OpenSSH's `UseDNS no`.
pub fn lookup(text: &[u8], blob: &[u8], clock: Clock<'_>, peer: Option<IpAddr>) -> Lookup {
    let mut skipped = Vec::new();
    for (index, line) in text.split(|&b| b == b'\n').enumerate() {
        let line_number = index + 1;
        let Some(options) = options_if_holds(line, blob) else {
            continue;
        };
        match judge(options, clock, peer) {
            Ok(options) => {
                let line = line_number;
                let authorized = Some(Authorized { line, options });
                return Lookup {
                    authorized,
                    skipped,
                };
            }
            Err(reason) if skipped.len() < MAX_SKIPPED => {
                let line = line_number;
                skipped.push(Skipped { line, reason });
            }
            Err(_) => {}
        }
    }
    let authorized = None;
    Lookup {
        authorized,
        skipped,
    }
}

/// The options of `line`, perhaps empty, if the line is about the key `blob`.
fn options_if_holds<'a>(line: &'a [u8], blob: &[u8]) -> Option<&'a [u8]> {
    let line = line.trim_ascii();
    if line.is_empty() || line[0] == b'#' {
        return None;
    }
    if let Some(found) = key_at_start(line) {
        return (found == blob).then_some(&[]);
    }
    let (options, rest) = line.split_at(options::length(line)?);
    (key_at_start(rest.trim_ascii_start())? == blob).then_some(options)
}

fn key_at_start(line: &[u8]) -> Option<Vec<u8>> {
    key::blob(line.utf8_chunks().next()?.valid())
}

fn judge(options: &[u8], clock: Clock<'_>, peer: Option<IpAddr>) -> Result<KeyOptions, Unusable> {
    let line = options::parse(options).map_err(Unusable::BadOptions)?;
    let expired = |time: &expiry::Expiry| time.has_passed(clock);
    if line.expiry.iter().any(expired) {
        return Err(Unusable::Expired);
    }
    let comes_from = |from: &PeerList| peer.is_some_and(|peer| from.matches(peer));
    if line.from.is_some_and(|from| !comes_from(&from)) {
        return Err(Unusable::NotFrom(peer));
    }
    Ok(line.options)
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unusable::BadOptions(why) => why.fmt(f),
            Unusable::Expired => write!(f, "the key has expired (expiry-time=)"),
            Unusable::NotFrom(Some(peer)) => {
                write!(f, "the key may not be used from {peer} (from=)")
            }
            Unusable::NotFrom(None) => {
                write!(f, "the key may not be used from an unknown address (from=)")
            }
        }
    }
}

#[cfg(test)]
mod tests;

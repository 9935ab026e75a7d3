//! The search for one key in the files of an account. It reads the disk and has no other effect; its remarks for the
//! log are part of its result.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::unistd::Uid;

use crate::authorized_keys::{self, Clock, KeyOptions, ReadError, Skipped, UnixTime};
use crate::config::expand::ExpandError;
use crate::server::account::LocalAccount;
use crate::server::settings::LoginRules;

/// A key to look for.
#[derive(Debug)]
pub(super) struct KeySearch {
    pub(super) account: Arc<LocalAccount>,
    pub(super) rules: Arc<LoginRules>,
    /// Address of the client, if it is known.
    pub(super) address: Option<IpAddr>,
    pub(super) blob: Vec<u8>,
}

/// Result of a search.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Options of the line with the key; none if no line lets it in.
    pub(super) options: Option<KeyOptions>,
    /// Remarks for the log.
    pub(super) remarks: Vec<Remark>,
}

/// Reason why a file or a line does not count.
#[derive(Debug)]
pub(super) enum Remark {
    /// A name in `AuthorizedKeysFile` cannot be expanded.
    BadName(ExpandError),
    /// The file could not be read.
    Unread(ReadError),
    /// The line has the key, but does not let it in.
    Passed(PathBuf, Skipped),
    /// The search did not end.
    Failed(io::Error),
}

impl KeySearch {
    /// Searches the files in order, until a line lets the key in.
    pub(super) fn run(&self) -> Found {
        let mut found = Found::default();
        let LocalAccount {
            name, uid, home, ..
        } = &*self.account;
        match self.rules.key_files.paths(name, *uid, home) {
            Ok(paths) => {
                let mut paths = paths.iter();
                found.options = paths.find_map(|path| self.look_into(path, &mut found.remarks));
            }
            Err(error) => found.remarks.push(Remark::BadName(error)),
        }
        found
    }

    fn look_into(&self, path: &Path, remarks: &mut Vec<Remark>) -> Option<KeyOptions> {
        let (home, owner) = (&self.account.home, Uid::from_raw(self.account.uid));
        let text = match authorized_keys::read(path, home, owner, self.rules.strict_modes) {
            Ok(text) => text,
            Err(error) => {
                if !is_missing(&error) {
                    remarks.push(Remark::Unread(error));
                }
                return None;
            }
        };
        let clock = Clock {
            now: now(),
            zone: &self.rules.zone,
        };
        let lookup = authorized_keys::lookup(&text, &self.blob, clock, self.address);
        let passed = |skipped| Remark::Passed(path.to_owned(), skipped);
        remarks.extend(lookup.skipped.into_iter().map(passed));
        lookup.authorized.map(|authorized| authorized.options)
    }
}

fn is_missing(error: &ReadError) -> bool {
    matches!(error, ReadError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
}

fn now() -> UnixTime {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    UnixTime(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

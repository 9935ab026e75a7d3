//! The client's configuration: `~/.ssh/config`, `/etc/ssh/ssh_config`, and `-o`.
//!
//! The first value of an option wins. So the command line is put into [`ClientOptions`] first, the
//! user's file read second, the system's third; at the end, [`ClientOptions::expanded`] fills in tokens.
//! `Match final` and `CanonicalizeHostname` have the files read once more, with the host's final name.
//!
//! A keyword that restricts the connection, or leads it another way, and that is not supported is an error.

mod canonical;
mod keywords;
mod matching;
mod options;
mod parse;
mod session;

use std::path::{Path, PathBuf};

#[doc(no_inline)]
pub use crate::known_hosts::StrictHostKeyChecking;
pub use options::{Canonicalize, ClientOptions, IdentityAgent, ProxyJump, PubkeyAuthentication};
pub use session::{EscapeChar, RequestTty, SessionOptions, SessionType};

use super::expand::Lookups;
use super::source::FileSource;

/// Facts that the reading of a client's configuration depends on, apart from the files.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The host as the user typed it.
    pub host: &'a str,
    /// The user who runs the client.
    pub local_user: &'a str,
    /// Number of that user.
    pub local_uid: u32,
    /// The full name of this machine.
    pub local_host: &'a str,
    /// Home directory of that user.
    pub home: &'a Path,
    /// Source of the files.
    pub files: &'a FileSource,
    /// Variables, services and other users' homes.
    pub lookups: Lookups<'a>,
}

/// Files that are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigFiles {
    /// `~/.ssh/config`, then `/etc/ssh/ssh_config`; either may be missing.
    Standard,
    /// This file alone, which must exist: `-F file`.
    Only(PathBuf),
    /// None: `-F none`.
    Nothing,
}

#[cfg(test)]
mod tests;

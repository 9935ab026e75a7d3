//! `AuthorizedKeysFile`: the files that hold a user's keys.

use std::path::{Path, PathBuf};

use crate::config::expand::{ExpandError, expand_tokens};

/// Names of the files when none are set.
const DEFAULT: [&str; 2] = [".ssh/authorized_keys", ".ssh/authorized_keys2"];

/// Names of files as they are written, with the tokens `%%`, `%h`, `%u` and `%U`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFiles(Vec<String>);

impl KeyFiles {
    /// The files of the configuration, none after `none`; OpenSSH's where it names nothing.
    pub(super) fn new(written: Option<&[String]>) -> Self {
        Self(match written {
            Some(written) => written.to_vec(),
            None => DEFAULT.map(str::to_owned).to_vec(),
        })
    }

    /// The files of one user. A relative path starts from the user's home directory.
    ///
    /// # Errors
    /// Another token, or a path that becomes too long.
    pub fn paths(&self, user: &str, uid: u32, home: &Path) -> Result<Vec<PathBuf>, ExpandError> {
        let value = |token| match token {
            'h' => Some(home.to_string_lossy().into_owned()),
            'u' => Some(user.to_owned()),
            'U' => Some(uid.to_string()),
            _ => None,
        };
        // Joining an absolute path replaces the home directory.
        let path = |written: &String| Ok(home.join(expand_tokens(written, value)?));
        self.0.iter().map(path).collect()
    }
}

//! The account that the server runs as: the only one it admits, until connections are served under the rights of
//! the user who logged in.

use std::path::PathBuf;

use nix::unistd::{Uid, User};

/// An account of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalAccount {
    /// The name.
    pub name: String,
    /// The number.
    pub uid: u32,
    /// The home directory.
    pub home: PathBuf,
}

impl LocalAccount {
    /// The account of this process.
    ///
    /// # Errors
    /// A sentence, where the user database has no entry for it.
    pub fn own() -> Result<Self, String> {
        let uid = Uid::effective();
        match User::from_uid(uid) {
            Ok(Some(user)) => Ok(Self {
                name: user.name,
                uid: uid.as_raw(),
                home: user.dir,
            }),
            Ok(None) => Err(format!(
                "no account has the user number {uid} of this process"
            )),
            Err(error) => Err(format!(
                "cannot look up the account of this process: {error}"
            )),
        }
    }

    /// Whether it is the superuser.
    pub fn is_root(&self) -> bool {
        self.uid == 0
    }
}

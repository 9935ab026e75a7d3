//! The account that the server runs as: the only one it admits, until connections are served under the rights of
//! the user who logged in.

use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User};

use crate::policy::Account;
use crate::small_file;

/// The longest file with a port in it, in bytes.
const MAX_NUMBER: u64 = 64;

/// An account of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalAccount {
    /// The name.
    pub name: String,
    /// The number.
    pub uid: u32,
    /// The home directory.
    pub home: PathBuf,
    /// The lowest port that it may listen on without being root.
    pub first_unprivileged_port: u16,
}

/// Where Linux says which ports need privilege.
const PORT_START: &str = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
/// The customary limit, for where there is no such file.
const CUSTOMARY_PORT_START: u16 = 1024;

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
                first_unprivileged_port: first_unprivileged_port(Path::new(PORT_START)),
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

    /// The account as the policy sees it.
    pub fn privileges(&self) -> Account {
        match self.is_root() {
            true => Account::Root,
            false => Account::Ordinary {
                first_unprivileged_port: self.first_unprivileged_port,
            },
        }
    }
}

fn first_unprivileged_port(file: &Path) -> u16 {
    let text = small_file::read_text(file, MAX_NUMBER);
    let number = text.ok().and_then(|text| text.trim().parse().ok());
    number.unwrap_or(CUSTOMARY_PORT_START)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Ask, Grant, KeyRules, ServerRules};

    #[test]
    fn the_system_says_which_ports_need_privilege() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("start");
        assert_eq!(first_unprivileged_port(&file), 1024);
        for (text, port) in [("80\n", 80), ("0\n", 0), ("nonsense", 1024), ("", 1024)] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(first_unprivileged_port(&file), port, "{text:?}");
        }
    }

    #[test]
    fn an_ordinary_account_listens_from_the_systems_limit_on() {
        let mut account = LocalAccount {
            name: "eve".into(),
            uid: 1000,
            home: "/home/eve".into(),
            first_unprivileged_port: 80,
        };
        let permits = |account: &LocalAccount, port| {
            let (server, key) = (ServerRules::openssh_defaults(), KeyRules::unrestricted());
            let grant = Grant::new(server, key, account.privileges());
            let host = "localhost";
            grant.permit(&Ask::Listen { host, port }).is_ok()
        };
        assert!(permits(&account, 80) && !permits(&account, 79));
        account.uid = 0;
        assert!(permits(&account, 79));
    }
}

//! The account that the server runs as. It admits no other, as long as connections are not served with the rights of
//! the user who logged in.

use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User};

use crate::policy::Account;
use crate::small_file;

/// Longest file with a port number, in bytes.
const MAX_NUMBER: u64 = 64;

/// The shell of an account that names none.
const DEFAULT_SHELL: &str = "/bin/sh";

/// An account of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalAccount {
    /// Name.
    pub name: String,
    /// User number.
    pub uid: u32,
    /// Home directory.
    pub home: PathBuf,
    /// Login shell.
    pub shell: PathBuf,
    /// Lowest port on which it may listen without being root.
    pub first_unprivileged_port: u16,
}

/// File of Linux with the first port that needs no privilege.
const PORT_START: &str = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
/// Usual limit, for systems without that file.
const CUSTOMARY_PORT_START: u16 = 1024;

impl LocalAccount {
    /// The account of this process.
    ///
    /// # Errors
    /// A sentence, if the user database has no entry for it.
    pub fn own() -> Result<Self, String> {
        let uid = Uid::effective();
        match User::from_uid(uid) {
            Ok(Some(user)) => Ok(Self {
                name: user.name,
                uid: uid.as_raw(),
                home: user.dir,
                shell: match user.shell.as_os_str().is_empty() {
                    true => PathBuf::from(DEFAULT_SHELL),
                    false => user.shell,
                },
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

    /// True for the superuser.
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
    fn first_unprivileged_port_is_read_from_the_system() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("start");
        assert_eq!(first_unprivileged_port(&file), 1024);
        for (text, port) in [("80\n", 80), ("0\n", 0), ("nonsense", 1024), ("", 1024)] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(first_unprivileged_port(&file), port, "{text:?}");
        }
    }

    #[test]
    fn ordinary_account_listens_on_unprivileged_ports_only() {
        let mut account = LocalAccount {
            name: "eve".into(),
            uid: 1000,
            home: "/home/eve".into(),
            shell: "/bin/sh".into(),
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

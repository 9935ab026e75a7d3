//! The server's host keys: those of the configuration, those of this machine, or one of its own that is made at the first
//! start.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use adit_proto::key::SigningKey;
use adit_tunnel::identity::file;
use adit_tunnel::net::listener::describe;
use adit_tunnel::server::LocalAccount;

/// Keys that the server proves itself with.
#[derive(Debug)]
pub(super) struct HostKeys {
    /// The keys; none only where nothing is to be made.
    pub keys: Vec<SigningKey>,
    /// Reasons why others did not load, each a sentence.
    pub refused: Vec<String>,
}

impl HostKeys {
    fn from_one(key: SigningKey) -> Self {
        Self {
            keys: vec![key],
            refused: Vec::new(),
        }
    }
}

/// Folder of the machine's keys, which sshd takes without a configuration.
pub(super) const SYSTEM: &str = "/etc/ssh";
/// Their names, in sshd's order.
const SYSTEM_KEYS: [&str; 3] = [
    "ssh_host_rsa_key",
    "ssh_host_ecdsa_key",
    "ssh_host_ed25519_key",
];

/// Choice of a server without a key of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Absent {
    /// Make one and keep it.
    Make,
    /// Go without: a check of the configuration changes nothing.
    Leave,
}

/// Loads the keys. Without any configured, those in `system` where root runs the server: clients know the machine by
/// them. Without these, the one in the state directory.
pub(super) fn load(
    configured: &[PathBuf],
    system: &Path,
    account: &LocalAccount,
    absent: Absent,
) -> Result<HostKeys, String> {
    if !configured.is_empty() {
        return usable(configured);
    }
    match of_machine(system, account).as_slice() {
        [] => own(&state_directory(account), absent),
        keys => usable(keys),
    }
}

/// The machine's keys that there are.
fn of_machine(system: &Path, account: &LocalAccount) -> Vec<PathBuf> {
    // The files are root's; another user could only fail to read them.
    if !account.is_root() {
        return Vec::new();
    }
    let paths = SYSTEM_KEYS.iter().map(|name| system.join(name));
    paths.filter(|path| path.exists()).collect()
}

/// One bad key among several is no reason to be gone: whoever could mend it may come in by this server.
fn usable(paths: &[PathBuf]) -> Result<HostKeys, String> {
    let (mut keys, mut refused) = (Vec::new(), Vec::new());
    for path in paths {
        match file::load(path, None) {
            Ok(key) => keys.push(key),
            Err(error) => refused.push(format!("host key: {error}")),
        }
    }
    match keys.is_empty() {
        true => Err(refused.join("\n")),
        false => Ok(HostKeys { keys, refused }),
    }
}

/// `$XDG_STATE_HOME/adit`, by default `~/.local/state/adit`.
fn state_directory(account: &LocalAccount) -> PathBuf {
    let base = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    base.filter(|p| p.is_absolute())
        .unwrap_or_else(|| account.home.join(".local/state"))
        .join("adit")
}

fn own(directory: &Path, absent: Absent) -> Result<HostKeys, String> {
    let path = directory.join("ssh_host_ed25519_key");
    if path.exists() {
        let key = file::load(&path, None).map_err(|e| format!("host key: {e}"))?;
        return Ok(HostKeys::from_one(key));
    }
    if absent == Absent::Leave {
        return Ok(HostKeys {
            keys: Vec::new(),
            refused: Vec::new(),
        });
    }
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|e| {
            format!(
                "cannot make {} for a host key: {}\nhint: name a host key with -h, or a place for one with XDG_STATE_HOME",
                directory.display(),
                describe(&e)
            )
        })?;
    let key = SigningKey::generate_ed25519().map_err(|e| format!("cannot make a host key: {e}"))?;
    file::write_new_host_key(&path, &key)
        .map_err(|e| format!("cannot keep the new host key: {e}"))?;
    eprintln!(
        "aditd: made a host key: {} ({})",
        path.display(),
        key.public_key().fingerprint_sha256()
    );
    Ok(HostKeys::from_one(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use adit_proto::key::KeyType;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;
    use tempfile::TempDir;

    const ECDSA: &str = "ssh_host_ecdsa_key";
    const ED25519: &str = "ssh_host_ed25519_key";

    /// Makes a folder of the machine with these keys.
    fn machine(names: &[&str]) -> TempDir {
        let folder = TempDir::new().unwrap();
        for name in names {
            let key = SigningKey::generate_ed25519().unwrap();
            file::write_new_host_key(&folder.path().join(name), &key).unwrap();
        }
        folder
    }

    fn account(uid: u32, home: &Path) -> LocalAccount {
        LocalAccount {
            name: "eve".into(),
            uid,
            home: home.to_owned(),
            shell: "/bin/sh".into(),
            first_unprivileged_port: 1024,
        }
    }

    fn blobs(keys: &[SigningKey]) -> Vec<Vec<u8>> {
        let blob = |key: &SigningKey| key.public_key().blob().to_vec();
        keys.iter().map(blob).collect()
    }

    fn on_disk(folder: &TempDir, names: &[&str]) -> Vec<Vec<u8>> {
        let key = |name: &&str| file::load(&folder.path().join(name), None).unwrap();
        blobs(&names.iter().map(key).collect::<Vec<_>>())
    }

    #[test]
    fn root_takes_the_machines_keys_that_there_are() {
        let (folder, home) = (machine(&[ED25519, ECDSA]), TempDir::new().unwrap());
        let root = account(0, home.path());
        let keys = load(&[], folder.path(), &root, Absent::Make).unwrap().keys;
        assert_eq!(blobs(&keys), on_disk(&folder, &[ECDSA, ED25519]));
        assert_eq!(home.path().read_dir().unwrap().count(), 0, "no key is made");
    }

    #[test]
    fn key_of_its_own_is_made_where_there_is_none_and_for_other_users() {
        let home = TempDir::new().unwrap();
        let (bare, full) = (machine(&[]), machine(&[ED25519]));
        for (folder, uid) in [(&bare, 0), (&full, 1000)] {
            assert_eq!(
                of_machine(folder.path(), &account(uid, home.path())),
                [] as [PathBuf; 0]
            );
        }
        let state = home.path().join("adit");
        let made = own(&state, Absent::Make).unwrap().keys;
        assert_eq!(made[0].public_key().key_type(), KeyType::Ed25519);
        let again = own(&state, Absent::Make).unwrap().keys;
        assert_eq!(blobs(&again), blobs(&made));
    }

    #[test]
    fn configured_keys_come_before_the_machines() {
        let folder = machine(&[ED25519, "other"]);
        let other = folder.path().join("other");
        let root = account(0, folder.path());
        let keys = load(&[other], folder.path(), &root, Absent::Leave)
            .unwrap()
            .keys;
        assert_eq!(blobs(&keys), on_disk(&folder, &["other"]));
    }

    #[test]
    fn keys_that_do_not_load_are_named_and_the_others_serve() {
        let folder = machine(&[ED25519, "open"]);
        let path = |name| folder.path().join(name);
        std::fs::set_permissions(path("open"), Permissions::from_mode(0o644)).unwrap();
        let bad = [path("open"), path("missing")];
        let paths = [&bad[..], &[path(ED25519)]].concat();
        let loaded = usable(&paths).unwrap();
        assert_eq!(blobs(&loaded.keys), on_disk(&folder, &[ED25519]));
        let said = usable(&bad).unwrap_err();
        assert_eq!(loaded.refused.join("\n"), said);
        assert!(
            said.contains("too open") && said.contains("missing"),
            "{said}"
        );
    }
}

//! The server's host keys: those of the configuration, or one of its own that is made at the first start.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use adit_proto::key::SigningKey;
use adit_tunnel::identity::file;
use adit_tunnel::net::listener::describe;
use adit_tunnel::server::LocalAccount;

/// What to do without a key of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Absent {
    /// Make one and keep it.
    Make,
    /// Go without: a check of the configuration changes nothing.
    Leave,
}

/// Loads the keys. Without any configured, the one in the state directory.
pub(super) fn load(
    configured: &[PathBuf],
    account: &LocalAccount,
    absent: Absent,
) -> Result<Vec<SigningKey>, String> {
    if configured.is_empty() {
        return own(&state_directory(account), absent);
    }
    configured
        .iter()
        .map(|path| file::load(path, None).map_err(|e| format!("host key: {e}")))
        .collect()
}

/// `$XDG_STATE_HOME/adit`, by default `~/.local/state/adit`.
fn state_directory(account: &LocalAccount) -> PathBuf {
    let base = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    base.filter(|p| p.is_absolute())
        .unwrap_or_else(|| account.home.join(".local/state"))
        .join("adit")
}

fn own(directory: &Path, absent: Absent) -> Result<Vec<SigningKey>, String> {
    let path = directory.join("ssh_host_ed25519_key");
    if path.exists() {
        let key = file::load(&path, None).map_err(|e| format!("host key: {e}"))?;
        return Ok(vec![key]);
    }
    if absent == Absent::Leave {
        return Ok(Vec::new());
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
    Ok(vec![key])
}

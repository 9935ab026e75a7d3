//! Is this the right server? known_hosts, `StrictHostKeyChecking`, and the user.

use std::path::PathBuf;

use adit_proto::key::PublicKey;
use log::{info, warn};
use tokio::sync::mpsc::Receiver;

use super::error::ConnectError;
use super::settings::ClientSettings;
use super::{Echo, Prompts, Trust};
use crate::known_hosts::file::{Hashing, append};
use crate::known_hosts::{Decision, HostKeyStatus, check, decide, message};
use crate::net::{Handle, Incoming};

/// Waits for the host key.
pub(super) async fn receive(
    handle: &Handle,
    incoming: &mut Receiver<Incoming>,
    host: &str,
) -> Result<PublicKey, ConnectError> {
    while let Some(event) = incoming.recv().await {
        if let Incoming::HostKey(key) = event {
            return Ok(key);
        }
    }
    Err(ConnectError::Ended {
        host: host.to_owned(),
        ended: handle.why_ended(),
    })
}

/// Decides about it.
pub(super) async fn judge(
    settings: &ClientSettings,
    known: &[(PathBuf, String)],
    key: &PublicKey,
    prompts: &Prompts,
) -> Result<Trust, ConnectError> {
    let (host, port) = (settings.known_host_name(), settings.known_host_port());
    let is_loopback =
        settings.host == "localhost" || settings.host.starts_with("127.") || settings.host == "::1";
    if is_loopback && settings.options.no_host_authentication_for_localhost == Some(true) {
        return Ok(Trust::Full);
    }
    let status = check(known, host, port, key);
    let text = message(&status, host, port, key);
    let refuse = || ConnectError::HostKey {
        message: text.clone().unwrap_or_default(),
        hint: hint(&status),
    };
    let mode = settings
        .options
        .strict_host_key_checking
        .unwrap_or_default();
    match decide(&status, mode) {
        Decision::Accept => Ok(Trust::Full),
        Decision::AcceptAndAdd => {
            add(settings, key);
            Ok(Trust::Full)
        }
        Decision::AcceptWithoutForwarding => {
            warn!("{}", text.unwrap_or_default());
            warn!(
                "going on without passwords and without any forwarding, to avoid a man in the middle"
            );
            Ok(Trust::NoForwarding)
        }
        Decision::Refuse => Err(refuse()),
        Decision::AskUser => {
            let question = format!(
                "{}\nAre you sure you want to continue connecting (yes/no/[fingerprint])? ",
                text.as_deref().unwrap_or_default()
            );
            if consents(prompts, question, key).await {
                add(settings, key);
                return Ok(Trust::Full);
            }
            Err(refuse())
        }
    }
}

/// What to do about a key that was refused; the message about a changed one says it already.
fn hint(status: &HostKeyStatus) -> Option<&'static str> {
    match status {
        HostKeyStatus::Unknown { other_types } if other_types.is_empty() => Some(
            "compare the fingerprint with the host's, then answer yes at a terminal, or use -o StrictHostKeyChecking=accept-new",
        ),
        _ => None,
    }
}

/// Asks until the answer is yes, no or the fingerprint; at most a few times.
async fn consents(prompts: &Prompts, question: String, key: &PublicKey) -> bool {
    let mut question = question;
    for _ in 0..5 {
        let Some(answer) = prompts.ask(question, Echo::Visible).await else {
            return false;
        };
        match answer.trim() {
            "no" => return false,
            "yes" => return true,
            fingerprint if fingerprint == key.fingerprint_sha256() => return true,
            _ => question = "Please type 'yes', 'no' or the fingerprint: ".into(),
        }
    }
    false
}

/// A key that cannot be kept is no reason to end a connection that is right. The system's files are not added to.
fn add(settings: &ClientSettings, key: &PublicKey) {
    let (host, port) = (settings.known_host_name(), settings.known_host_port());
    let Some(file) = settings.known_hosts.user.first() else {
        return info!("The key of '{host}' was not added: UserKnownHostsFile names no file.");
    };
    let hashing = match settings.options.hash_known_hosts {
        Some(true) => Hashing::Hashed,
        _ => Hashing::Plain,
    };
    match append(file, host, port, key, hashing) {
        Ok(()) => warn!(
            "Permanently added '{host}' ({}) to the list of known hosts.",
            key.key_type()
        ),
        Err(error) => warn!("Failed to add the host to the list of known hosts: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use adit_proto::key::SigningKey;

    use super::*;
    use crate::config::ssh_config::ClientOptions;
    use crate::known_hosts::StrictHostKeyChecking;

    /// Accepts a new key, with that many files of the user and two of the system; which of them were written.
    async fn written(user_files: usize) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let paths = |names: &[&str]| -> Vec<PathBuf> {
            names.iter().map(|name| folder.path().join(name)).collect()
        };
        let options = ClientOptions {
            user_known_hosts_files: Some(paths(&["user1", "user2"][..user_files])),
            global_known_hosts_files: Some(paths(&["system1", "system2"])),
            strict_host_key_checking: Some(StrictHostKeyChecking::AcceptNew),
            ..ClientOptions::default()
        };
        let settings = ClientSettings::new("host", "user", "/nonexistent".into(), options);
        let key = SigningKey::generate_ed25519().unwrap();
        let trust = judge(&settings, &[], key.public_key(), &Prompts::none()).await;
        assert_eq!(trust.unwrap(), Trust::Full);
        let entries = fs::read_dir(folder.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    #[tokio::test]
    async fn new_keys_are_added_to_the_users_first_file_only() {
        assert_eq!(written(2).await, ["user1"]);
    }

    #[tokio::test]
    async fn new_keys_are_not_added_to_files_of_the_system() {
        assert!(written(0).await.is_empty());
    }
}

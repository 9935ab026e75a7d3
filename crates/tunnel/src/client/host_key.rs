//! Trust in the server's host key: known_hosts, `StrictHostKeyChecking`, and the user.

use std::net::IpAddr;
use std::path::PathBuf;

use adit_proto::key::PublicKey;
use log::{info, warn};

use super::error::ConnectError;
use super::settings::{ClientSettings, HostKeyRules, OnForwardFailure, ThisMachine};
use super::{Prompts, Trust};
use crate::known_hosts::file::append;
use crate::known_hosts::{Decision, HostKeyStatus, check, decide, message, name, short_type};
use crate::net::ClientLogin;
use crate::net::login::ClientLoginEvent;

/// Waits for the host key.
pub(super) async fn receive(
    login: &mut ClientLogin,
    host: &str,
) -> Result<PublicKey, ConnectError> {
    while let Some(event) = login.next().await {
        if let ClientLoginEvent::HostKey(key) = event {
            return Ok(key);
        }
    }
    Err(ConnectError::Ended {
        host: host.to_owned(),
        ended: login.why_ended(),
    })
}

/// Role of a host on the route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Other hosts are reached through it.
    Hop,
    /// The forwards belong to it.
    Target,
}

/// Host key of a server, and the facts that the decision needs.
#[derive(Debug)]
pub(super) struct Presented {
    pub(super) key: PublicKey,
    /// Address of the server; none behind a hop.
    pub(super) address: Option<IpAddr>,
    pub(super) role: Role,
}

impl Presented {
    /// True for this machine. The name `localhost` alone does not decide: behind a hop it is another machine.
    fn is_this_machine(&self) -> bool {
        self.address
            .is_some_and(|ip| ip.to_canonical().is_loopback())
    }
}

/// Decides if the key is trusted.
pub(super) async fn judge(
    settings: &ClientSettings,
    known: &[(PathBuf, String)],
    presented: &Presented,
    prompts: &Prompts,
) -> Result<Trust, ConnectError> {
    let key = &presented.key;
    let rules = &settings.host_key;
    let (host, port) = (&*rules.name, rules.port);
    if rules.this_machine == ThisMachine::Trusted && presented.is_this_machine() {
        return Ok(Trust::Full);
    }
    let status = check(known, host, port, key);
    let text = message(&status, host, port, key);
    let refuse = |hint: Option<&'static str>| ConnectError::HostKey {
        message: text.clone().unwrap_or_default(),
        // The message about a changed key has a hint already.
        hint: hint.filter(|_| is_new(&status)),
    };
    match decide(&status, rules.checking) {
        Decision::Accept => Ok(Trust::Full),
        Decision::AcceptAndAdd => {
            add(settings, key);
            Ok(Trust::Full)
        }
        Decision::AcceptWithoutForwarding if ends_without_forwarding(settings, presented.role) => {
            Err(ConnectError::NotTrusted {
                message: text.unwrap_or_default(),
            })
        }
        Decision::AcceptWithoutForwarding => {
            warn!("{}", text.unwrap_or_default());
            warn!(
                "going on without passwords and without any forwarding, to avoid a man in the middle"
            );
            Ok(Trust::NoForwarding)
        }
        Decision::Refuse => Err(refuse(Some(NOT_LISTED))),
        Decision::AskUser => {
            let question = format!(
                "{}\nAre you sure you want to continue connecting (yes/no/[fingerprint])? ",
                text.as_deref().unwrap_or_default()
            );
            match consents(prompts, question, key).await {
                Some(true) => {
                    add(settings, key);
                    Ok(Trust::Full)
                }
                Some(false) => Err(refuse(None)),
                None => Err(refuse(Some(NOBODY_TO_ASK))),
            }
        }
    }
}

/// True if a connection without forwards has no use: always for a hop, and for the target with `ExitOnForwardFailure`.
fn ends_without_forwarding(settings: &ClientSettings, role: Role) -> bool {
    match role {
        Role::Hop => true,
        Role::Target => settings.on_forward_failure == OnForwardFailure::End,
    }
}

/// Hint about a new key if `StrictHostKeyChecking` forbids a question.
const NOT_LISTED: &str = "compare the fingerprint with the host's own, then add the line that ssh-keyscan prints to known_hosts, or use -o StrictHostKeyChecking=accept-new";
/// Hint about a new key if the question has no answer.
const NOBODY_TO_ASK: &str = "there is no terminal to ask at, or BatchMode is on; compare the fingerprint with the host's own, then accept the key: say yes at a terminal once, or add the line that ssh-keyscan prints to known_hosts, or use -o StrictHostKeyChecking=accept-new";

/// True if no key of the host is known.
fn is_new(status: &HostKeyStatus) -> bool {
    matches!(status, HostKeyStatus::Unknown { other_types } if other_types.is_empty())
}

/// Asks until the answer is yes, no or the fingerprint, at most a few times. None without an answer.
async fn consents(prompts: &Prompts, question: String, key: &PublicKey) -> Option<bool> {
    let mut question = question;
    for _ in 0..5 {
        let answer = prompts.ask_about_host_key(question).await?;
        match answer.trim() {
            "no" => return Some(false),
            "yes" => return Some(true),
            fingerprint if fingerprint == key.fingerprint_sha256() => return Some(true),
            _ => question = "Please type 'yes', 'no' or the fingerprint: ".into(),
        }
    }
    Some(false)
}

/// Adds the key to the user's first file. An error does not end the connection, as the key is trusted.
fn add(settings: &ClientSettings, key: &PublicKey) {
    let HostKeyRules {
        name: host,
        port,
        hashing,
        ..
    } = &settings.host_key;
    let Some(file) = settings.known_hosts.user.first() else {
        return info!("The key of '{host}' was not added: UserKnownHostsFile names no file.");
    };
    match append(file, host, *port, key, *hashing) {
        Ok(()) => warn!(
            "Permanently added '{}' ({}) to the list of known hosts.",
            name(host, *port),
            short_type(key.key_type())
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
    use crate::known_hosts::file::{Hashing, entry};

    /// Accepts a new key with `user_files` files of the user and two of the system. Returns the files that were
    /// written.
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
        let presented = Presented {
            key: key.public_key().clone(),
            address: None,
            role: Role::Target,
        };
        let trust = judge(&settings, &[], &presented, &Prompts::none()).await;
        assert_eq!(trust.unwrap(), Trust::Full);
        let entries = fs::read_dir(folder.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    #[tokio::test]
    async fn new_keys_are_added_to_the_users_first_file_only() {
        assert_eq!(written(2).await, ["user1"]);
    }

    /// Result for a key that is not the known one, with StrictHostKeyChecking off.
    async fn changed(presented: &Presented, also: ClientOptions) -> Result<Trust, ConnectError> {
        let options = ClientOptions {
            strict_host_key_checking: Some(StrictHostKeyChecking::No),
            ..also
        };
        let other = SigningKey::generate_ed25519().unwrap();
        let known = entry("127.example", 22, other.public_key(), Hashing::Plain).unwrap();
        let known = [("/k".into(), known)];
        let settings = ClientSettings::new("127.example", "u", "/nonexistent".into(), options);
        judge(&settings, &known, presented, &Prompts::none()).await
    }

    fn presented(address: Option<&str>, role: Role) -> Presented {
        Presented {
            key: SigningKey::generate_ed25519().unwrap().public_key().clone(),
            address: address.map(|ip| ip.parse().unwrap()),
            role,
        }
    }

    #[tokio::test]
    async fn changed_key_of_a_hop_ends_the_connection_before_the_login() {
        let hop = presented(Some("192.0.2.1"), Role::Hop);
        let error = changed(&hop, ClientOptions::default())
            .await
            .unwrap_err()
            .to_string();
        let end = "\nError: forwarding disabled due to host key check failure";
        assert!(error.starts_with("WARNING: REMOTE HOST"), "{error}");
        assert!(error.ends_with(end), "{error}");
        let target = presented(Some("192.0.2.1"), Role::Target);
        let trust = changed(&target, ClientOptions::default()).await.unwrap();
        assert_eq!(trust, Trust::NoForwarding);
        let strictly = ClientOptions {
            exit_on_forward_failure: Some(true),
            ..ClientOptions::default()
        };
        let ended = changed(&target, strictly).await;
        assert!(matches!(ended, Err(ConnectError::NotTrusted { .. })));
    }

    #[tokio::test]
    async fn localhost_is_recognized_by_its_address_only() {
        let alias = Some("127.example");
        let table = [
            (Some("192.0.2.1"), None, Trust::NoForwarding),
            (None, None, Trust::NoForwarding),
            (Some("127.0.0.9"), None, Trust::Full),
            (Some("::ffff:127.0.0.1"), None, Trust::Full),
            (Some("::1"), None, Trust::Full),
            (Some("127.0.0.1"), alias, Trust::NoForwarding),
            (Some("::1"), alias, Trust::NoForwarding),
        ];
        for (address, alias, trust) in table {
            let target = presented(address, Role::Target);
            let exempt = ClientOptions {
                no_host_authentication_for_localhost: Some(true),
                host_key_alias: alias.map(Into::into),
                ..ClientOptions::default()
            };
            let got = changed(&target, exempt).await.unwrap();
            assert_eq!(got, trust, "{address:?} {alias:?}");
        }
    }

    #[tokio::test]
    async fn new_keys_are_not_added_to_files_of_the_system() {
        assert!(written(0).await.is_empty());
    }
}

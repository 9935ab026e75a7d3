//! Consequences of the status of a host key: go on, ask, or refuse; and the words for the user.

use adit_proto::key::{KeyType, PublicKey};

use super::{HostKeyStatus, name};

/// The `StrictHostKeyChecking` setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StrictHostKeyChecking {
    /// Known keys only.
    Yes,
    /// Add new keys without asking; go on after a change, but without forwarding.
    No,
    /// Ask the user about new keys.
    #[default]
    Ask,
    /// Add new keys without asking; refuse changed ones.
    AcceptNew,
}

impl StrictHostKeyChecking {
    /// The setting of that name, as in `ssh_config`; `off` is `no`.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(name: &str) -> Result<Self, &'static str> {
        match name.to_ascii_lowercase().as_str() {
            "yes" | "true" => Ok(Self::Yes),
            "no" | "false" | "off" => Ok(Self::No),
            "ask" => Ok(Self::Ask),
            "accept-new" => Ok(Self::AcceptNew),
            _ => Err("yes, no, ask or accept-new"),
        }
    }
}

/// Decision of the client about a host key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Go on.
    Accept,
    /// Add the key to the user's file, then go on.
    AcceptAndAdd,
    /// Ask the user; on consent as [`Decision::AcceptAndAdd`].
    AskUser,
    /// Go on, but send no password and forward nothing: the other end may be an impostor.
    AcceptWithoutForwarding,
    /// End the connection.
    Refuse,
}

/// Decides about a host key.
///
/// A new key of a host that has keys of other types counts as a changed one, or an impostor would only
/// have to present a key of another type. A revoked key is refused in every mode, which is stricter
/// than OpenSSH: there, `no` goes on without forwarding.
pub fn decide(status: &HostKeyStatus, mode: StrictHostKeyChecking) -> Decision {
    use StrictHostKeyChecking as Mode;
    let changed = match status {
        HostKeyStatus::Known => return Decision::Accept,
        HostKeyStatus::Revoked { .. } => return Decision::Refuse,
        HostKeyStatus::Changed { .. } => true,
        HostKeyStatus::Unknown { other_types } => !other_types.is_empty(),
    };
    match (mode, changed) {
        (Mode::No, true) => Decision::AcceptWithoutForwarding,
        (_, true) | (Mode::Yes, false) => Decision::Refuse,
        (Mode::Ask, false) => Decision::AskUser,
        (Mode::No | Mode::AcceptNew, false) => Decision::AcceptAndAdd,
    }
}

/// Message to the user about the key that a host presents; none if the key is known.
///
/// Several lines, the last without a line end; what offends, where it stands, and what can be done.
pub fn message(status: &HostKeyStatus, host: &str, port: u16, key: &PublicKey) -> Option<String> {
    let name = name(host, port);
    let kind = short_type(key.key_type());
    let presented = key.fingerprint_sha256();
    let text = match status {
        HostKeyStatus::Known => return None,
        HostKeyStatus::Unknown { other_types } if other_types.is_empty() => format!(
            "the authenticity of host '{name}' can't be established: its key is not known\n\
             {kind} key fingerprint is {presented}"
        ),
        HostKeyStatus::Unknown { other_types } => format!(
            "WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!\n\
             {name} sent a key of a type that is not known for it; someone could be \
             eavesdropping (man in the middle)\n\
             {kind} key fingerprint is {presented}\n\
             known types: {types}\n\
             hint: see the known keys with: ssh-keygen -l -F '{name}'\n\
             hint: if the host really has new keys, remove the old ones with: ssh-keygen -R '{name}'",
            types = other_types.join(", ")
        ),
        HostKeyStatus::Changed {
            file,
            line,
            key_type,
            fingerprint,
        } => format!(
            "WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!\n\
             {name} sent another key than before; someone could be eavesdropping \
             (man in the middle), or the key was changed by its owner\n\
             {kind} key fingerprint is {presented}\n\
             offending {key_type} key {fingerprint} in {file}:{line}\n\
             hint: if the owner confirms the new key, remove the old one with: \
             ssh-keygen -f '{file}' -R '{name}'",
            file = file.display()
        ),
        HostKeyStatus::Revoked { file, line } => format!(
            "WARNING: REVOKED HOST KEY DETECTED!\n\
             the {kind} key {presented} of {name} is marked as revoked in {file}:{line}; \
             it could be a stolen key\n\
             hint: ask the owner of the host for its new key",
            file = file.display()
        ),
    };
    Some(text)
}

/// The type as OpenSSH shows it to users.
pub(crate) fn short_type(key_type: KeyType) -> &'static str {
    match key_type {
        KeyType::Ed25519 => "ED25519",
        KeyType::Ecdsa(_) => "ECDSA",
        KeyType::Rsa => "RSA",
    }
}

#[cfg(test)]
mod tests {
    use adit_proto::key::SigningKey;

    use super::StrictHostKeyChecking::{AcceptNew, Ask, No, Yes};
    use super::*;

    fn changed() -> HostKeyStatus {
        HostKeyStatus::Changed {
            file: "/k".into(),
            line: 7,
            key_type: "ssh-ed25519".into(),
            fingerprint: "SHA256:old".into(),
        }
    }

    fn revoked() -> HostKeyStatus {
        HostKeyStatus::Revoked {
            file: "/k".into(),
            line: 9,
        }
    }

    fn unknown(other_types: &[&str]) -> HostKeyStatus {
        HostKeyStatus::Unknown {
            other_types: other_types.iter().map(|&ty| ty.to_owned()).collect(),
        }
    }

    fn row(status: &HostKeyStatus) -> [Decision; 4] {
        [Yes, No, Ask, AcceptNew].map(|mode| decide(status, mode))
    }

    #[test]
    fn decisions_are_those_of_the_table() {
        use Decision::{Accept, AcceptAndAdd, AcceptWithoutForwarding as Without, AskUser, Refuse};
        // In the order yes, no, ask, accept-new.
        assert_eq!(row(&HostKeyStatus::Known), [Accept; 4]);
        assert_eq!(row(&revoked()), [Refuse; 4]);
        assert_eq!(row(&changed()), [Refuse, Without, Refuse, Refuse]);
        assert_eq!(
            row(&unknown(&[])),
            [Refuse, AcceptAndAdd, AskUser, AcceptAndAdd]
        );
    }

    #[test]
    fn new_type_of_key_does_not_slip_past_accept_new() {
        assert_eq!(row(&unknown(&["ssh-rsa"])), row(&changed()));
    }

    #[test]
    fn modes_have_the_names_of_ssh_config() {
        for (name, mode) in [
            ("yes", Yes),
            ("true", Yes),
            ("No", No),
            ("false", No),
            ("off", No),
            ("ask", Ask),
            ("accept-new", AcceptNew),
        ] {
            assert_eq!(StrictHostKeyChecking::parse(name), Ok(mode));
        }
        assert!(StrictHostKeyChecking::parse("maybe").is_err());
    }

    #[test]
    fn messages_name_the_offending_line_and_the_way_out() {
        let key = SigningKey::generate_ed25519().unwrap();
        let key = key.public_key();
        let say = |status| message(&status, "a", 2222, key).unwrap();
        let text = say(changed());
        for part in [
            "HAS CHANGED",
            "/k:7",
            "SHA256:old",
            "ssh-keygen -f '/k' -R '[a]:2222'",
        ] {
            assert!(text.contains(part), "{text}");
        }
        assert!(text.contains(&key.fingerprint_sha256()), "{text}");
        assert!(say(revoked()).contains("REVOKED") && say(revoked()).contains("/k:9"));
        assert!(say(unknown(&["ssh-rsa"])).contains("known types: ssh-rsa"));
        assert!(say(unknown(&[])).contains("can't be established"));
        assert_eq!(message(&HostKeyStatus::Known, "a", 22, key), None);
    }
}

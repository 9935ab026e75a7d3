//! `known_hosts`: whether a host's key is the one it had before.
//!
//! [`check`] and [`known_types`] look into the text of files, [`decide`] says what follows; neither
//! touches a disk. [`mod@file`] reads the files and adds lines to them.

mod decide;
pub mod file;
mod line;

use std::path::{Path, PathBuf};

use adit_proto::key::PublicKey;
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

pub(crate) use decide::short_type;
pub use decide::{Decision, StrictHostKeyChecking, decide, message};
use line::{KnownHostsLine, Marker};

/// The port that is left out of a host's name (RFC 4253 §4.1).
const SSH_PORT: u16 = 22;

/// Status of a host and the key it presents, by the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostKeyStatus {
    /// The key is the host's.
    Known,
    /// The host has another key of the same type.
    Changed {
        /// The file with the other key.
        file: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// The type of both keys.
        key_type: String,
        /// The other key's fingerprint: `SHA256:` and base64.
        fingerprint: String,
    },
    /// A `@revoked` line names this key.
    Revoked {
        /// The file with the line.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// No line has a key of this type for the host.
    Unknown {
        /// The types of the keys that the host does have. If there are any, the host may be an impostor
        /// who avoids the comparison; [`decide`] treats it as a changed key, as OpenSSH does.
        other_types: Vec<String>,
    },
}

/// Looks up `key` for a host in the text of files, which come with their paths.
///
/// A host on another port than 22 is looked up as `[host]:port`; if nothing is known of that, a line
/// for the host without a port can make its key known too. For a `HostKeyAlias`, give port 22.
pub fn check(files: &[(PathBuf, String)], host: &str, port: u16, key: &PublicKey) -> HostKeyStatus {
    let status = check_name(files, &name(host, port), key);
    let nothing_known = HostKeyStatus::Unknown {
        other_types: Vec::new(),
    };
    if port == SSH_PORT || status != nothing_known {
        return status;
    }
    match check_name(files, &name(host, SSH_PORT), key) {
        found @ (HostKeyStatus::Known | HostKeyStatus::Revoked { .. }) => found,
        HostKeyStatus::Changed { .. } | HostKeyStatus::Unknown { .. } => status,
    }
}

/// The types of the keys known for a host, each once, in the order of the files.
///
/// A client asks for these first: a host that presents another type cannot be compared.
pub fn known_types(files: &[(PathBuf, String)], host: &str, port: u16) -> Vec<String> {
    let mut types = Vec::new();
    for found in lines_of(files, &name(host, port)) {
        let key_type = found.line.key_type;
        if found.line.marker == Marker::None && !types.iter().any(|known| known == key_type) {
            types.push(key_type.to_owned());
        }
    }
    types
}

/// A host as it stands in a file: in lower case, with the port unless it is 22.
pub(crate) fn name(host: &str, port: u16) -> String {
    let host = host.to_ascii_lowercase();
    match port {
        SSH_PORT => host,
        _ => format!("[{host}]:{port}"),
    }
}

/// A line about the host in question.
struct HostLine<'a> {
    file: &'a Path,
    number: usize,
    line: KnownHostsLine<'a>,
    blob: Vec<u8>,
}

fn check_name(files: &[(PathBuf, String)], name: &str, key: &PublicKey) -> HostKeyStatus {
    let key_type = key.key_type().as_str();
    let mut known = false;
    let mut changed = None;
    let mut other_types: Vec<String> = Vec::new();
    for found in lines_of(files, name) {
        let same = found.blob == key.blob();
        match found.line.marker {
            // A revocation counts wherever it stands.
            Marker::Revoked if same => {
                return HostKeyStatus::Revoked {
                    file: found.file.to_owned(),
                    line: found.number,
                };
            }
            Marker::Revoked => {}
            Marker::CertAuthority => log::warn!(
                "{}:{}: @cert-authority line skipped: host certificates are not supported",
                found.file.display(),
                found.number
            ),
            Marker::None if same => known = true,
            Marker::None if found.line.key_type == key_type => {
                changed.get_or_insert_with(|| found.as_changed());
            }
            Marker::None => {
                if !other_types.iter().any(|ty| ty == found.line.key_type) {
                    other_types.push(found.line.key_type.to_owned());
                }
            }
        }
    }
    match (known, changed) {
        (true, _) => HostKeyStatus::Known,
        (false, Some(changed)) => changed,
        (false, None) => HostKeyStatus::Unknown { other_types },
    }
}

impl HostLine<'_> {
    fn as_changed(&self) -> HostKeyStatus {
        let hash = digest::digest(&digest::SHA256, &self.blob);
        HostKeyStatus::Changed {
            file: self.file.to_owned(),
            line: self.number,
            key_type: self.line.key_type.to_owned(),
            fingerprint: format!("SHA256:{}", STANDARD_NO_PAD.encode(hash)),
        }
    }
}

/// Every line about `name`; lines that cannot be read are skipped with a message.
fn lines_of<'a>(files: &'a [(PathBuf, String)], name: &str) -> impl Iterator<Item = HostLine<'a>> {
    let numbered = files.iter().flat_map(|(file, text)| {
        let lines = text.lines().enumerate();
        lines.map(move |(i, line)| (file.as_path(), i + 1, line))
    });
    numbered.filter_map(move |(file, number, text)| {
        let skip = |why| {
            log::debug!("{}:{number}: line skipped: {why}", file.display());
            None
        };
        let line = match KnownHostsLine::parse(text) {
            Ok(line) => line.filter(|line| line.matches(name))?,
            Err(why) => return skip(why),
        };
        let Some(blob) = line.blob() else {
            return skip("its key is not well formed");
        };
        Some(HostLine {
            file,
            number,
            line,
            blob,
        })
    })
}

#[cfg(test)]
mod tests {
    use adit_proto::key::SigningKey;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn key() -> PublicKey {
        SigningKey::generate_ed25519().unwrap().public_key().clone()
    }

    fn entry(prefix: &str, key: &PublicKey) -> String {
        format!("{prefix} ssh-ed25519 {}\n", STANDARD.encode(key.blob()))
    }

    fn one_file(text: String) -> [(PathBuf, String); 1] {
        [(PathBuf::from("/k"), text)]
    }

    fn nothing_known() -> HostKeyStatus {
        HostKeyStatus::Unknown {
            other_types: Vec::new(),
        }
    }

    const RSA: &str = "a ssh-rsa AAAAB3NzaC1yc2E=\n";

    #[test]
    fn key_is_known_for_its_host_only() {
        let key = key();
        let files = one_file(entry("a,b.example", &key));
        assert_eq!(check(&files, "a", 22, &key), HostKeyStatus::Known);
        assert_eq!(check(&files, "B.Example", 22, &key), HostKeyStatus::Known);
        assert_eq!(check(&files, "c", 22, &key), nothing_known());
    }

    #[test]
    fn another_key_of_the_type_is_a_change_named_by_file_and_line() {
        let (old, new) = (key(), key());
        let files = [
            (PathBuf::from("/first"), "# nothing\n".to_owned()),
            (
                PathBuf::from("/second"),
                format!("\n{RSA}{}", entry("a", &old)),
            ),
        ];
        let changed = HostKeyStatus::Changed {
            file: "/second".into(),
            line: 3,
            key_type: "ssh-ed25519".into(),
            fingerprint: old.fingerprint_sha256(),
        };
        assert_eq!(check(&files, "a", 22, &new), changed);
    }

    #[test]
    fn key_in_a_later_line_or_file_is_known_in_spite_of_an_older_one() {
        let (old, new) = (key(), key());
        let files = [
            (PathBuf::from("/1"), entry("a", &old)),
            (PathBuf::from("/2"), entry("a", &new)),
        ];
        assert_eq!(check(&files, "a", 22, &new), HostKeyStatus::Known);
    }

    #[test]
    fn revocation_wins_wherever_it_stands() {
        let key = key();
        let files = one_file(entry("a", &key) + &entry("@revoked *", &key));
        let revoked = HostKeyStatus::Revoked {
            file: "/k".into(),
            line: 2,
        };
        assert_eq!(check(&files, "a", 22, &key), revoked);
        assert_eq!(check(&files, "a", 2222, &key), revoked);
    }

    #[test]
    fn revoked_line_of_another_key_is_no_statement_about_this_one() {
        let files = one_file(entry("@revoked *", &key()));
        assert_eq!(check(&files, "a", 22, &key()), nothing_known());
    }

    #[test]
    fn types_of_other_keys_are_listed() {
        let files = one_file(RSA.repeat(2));
        let other_types = vec!["ssh-rsa".to_owned()];
        assert_eq!(
            check(&files, "a", 22, &key()),
            HostKeyStatus::Unknown { other_types }
        );
    }

    #[test]
    fn certificate_authorities_and_broken_lines_are_skipped() {
        let key = key();
        let broken = "a ssh-ed25519 !!!\na\na ssh-ed25519 AAAAB3NzaC1yc2E=\n";
        let files = one_file(entry("@cert-authority a", &key) + broken);
        assert_eq!(check(&files, "a", 22, &key), nothing_known());
        assert!(known_types(&files, "a", 22).is_empty());
    }

    #[test]
    fn other_port_has_keys_of_its_own_but_may_share_the_hosts() {
        let (at_22, at_2222) = (key(), key());
        let files = one_file(entry("a", &at_22) + &entry("[b]:2222", &at_2222));
        assert_eq!(check(&files, "b", 2222, &at_2222), HostKeyStatus::Known);
        assert_eq!(check(&files, "b", 22, &at_2222), nothing_known());
        assert_eq!(check(&files, "a", 2222, &at_22), HostKeyStatus::Known);
        // Another key on another port is another server, not a change.
        assert_eq!(check(&files, "a", 2222, &at_2222), nothing_known());
        let both = one_file(entry("a", &at_22) + &entry("[a]:2222", &at_2222));
        assert!(matches!(
            check(&both, "a", 2222, &at_22),
            HostKeyStatus::Changed { line: 2, .. }
        ));
    }

    #[test]
    fn known_types_come_once_each_in_order() {
        let key = key();
        let files = one_file(RSA.to_owned() + &entry("a", &key) + RSA + &entry("@revoked a", &key));
        assert_eq!(known_types(&files, "a", 22), ["ssh-rsa", "ssh-ed25519"]);
        assert!(known_types(&files, "b", 22).is_empty());
    }
}

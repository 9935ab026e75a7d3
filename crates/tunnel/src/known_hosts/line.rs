//! One line of a `known_hosts` file: its fields, and the hosts that it is about.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use adit_proto::wire::Reader;

use crate::pattern::{Case, ListMatch, match_written_list, wildcard};

/// Opening of a hashed host field; 1 is the only scheme: HMAC-SHA1 keyed with the salt.
pub(super) const HASH_MAGIC: &str = "|1|";
/// Bytes of the salt and of the HMAC in a hashed host field.
pub(super) const HASH_LEN: usize = 20;

/// The word that may stand before the host field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marker {
    /// None: the key is the host's.
    None,
    /// `@revoked`: the key must not be accepted.
    Revoked,
    /// `@cert-authority`: the key signs certificates of hosts.
    CertAuthority,
}

/// The fields of a line; the key is not decoded until it is needed.
#[derive(Debug, Clone, Copy)]
pub(super) struct KnownHostsLine<'a> {
    pub(super) marker: Marker,
    pub(super) hosts: &'a str,
    pub(super) key_type: &'a str,
    key: &'a str,
}

impl<'a> KnownHostsLine<'a> {
    /// Splits a line; nothing for empty lines and comments, an error in words for what is no entry.
    pub(super) fn parse(text: &'a str) -> Result<Option<Self>, &'static str> {
        let text = text.trim_ascii();
        if text.is_empty() || text.starts_with('#') {
            return Ok(None);
        }
        let mut fields = text.split_ascii_whitespace();
        let mut next = || fields.next().ok_or("it ends too early");
        let first = next()?;
        let (marker, hosts) = match first {
            "@revoked" => (Marker::Revoked, next()?),
            "@cert-authority" => (Marker::CertAuthority, next()?),
            _ if first.starts_with('@') => return Err("its marker is unknown"),
            _ => (Marker::None, first),
        };
        Ok(Some(Self {
            marker,
            hosts,
            key_type: next()?,
            key: next()?,
        }))
    }

    /// True if the line is about `name`: a lower-case host, or `[host]:port`.
    pub(super) fn matches(&self, name: &str) -> bool {
        if self.hosts.starts_with('|') {
            return hashed_matches(self.hosts, name);
        }
        let listed = match_written_list(self.hosts, |pattern| {
            wildcard(pattern, name, Case::Insensitive)
        });
        listed == ListMatch::Matches
    }

    /// The key blob, if it is base64 and of the type that the line names.
    ///
    /// The rest of the blob is not looked into, so that keys we could not use are still told apart.
    pub(super) fn blob(&self) -> Option<Vec<u8>> {
        let blob = STANDARD.decode(self.key).ok()?;
        let named = Reader::new(&blob).text("key type").ok()? == self.key_type;
        named.then_some(blob)
    }
}

/// The HMAC in a hashed host field.
pub(super) fn host_hash(salt: &[u8], name: &str) -> hmac::Tag {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, salt);
    hmac::sign(&key, name.as_bytes())
}

fn hashed_matches(field: &str, name: &str) -> bool {
    let decoded = field
        .strip_prefix(HASH_MAGIC)
        .and_then(|rest| rest.split_once('|'))
        .and_then(|(salt, hash)| Some((STANDARD.decode(salt).ok()?, STANDARD.decode(hash).ok()?)));
    match decoded {
        Some((salt, hash)) if salt.len() == HASH_LEN => host_hash(&salt, name).as_ref() == hash,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts_match(hosts: &str, name: &str) -> bool {
        let text = format!("{hosts} ssh-ed25519 AAAA");
        KnownHostsLine::parse(&text).unwrap().unwrap().matches(name)
    }

    #[test]
    fn patterns_match_as_in_the_manual() {
        for (hosts, name, expected) in [
            ("a.example", "a.example", true),
            ("A.Example", "a.example", true),
            ("a.example", "b.example", false),
            ("a.example", "a.example.org", false),
            ("x,a.example", "a.example", true),
            ("*.example", "a.example", true),
            ("*.example", "example", false),
            ("*.example,!a.example", "a.example", false),
            ("!a.example,*.example", "a.example", false),
            ("!a.example,*.example", "b.example", true),
            ("!a.example", "b.example", false),
            ("[a.example]:2222", "[a.example]:2222", true),
            ("[a.example]:2222", "a.example", false),
            ("[*]:2222", "[a.example]:2222", true),
        ] {
            assert_eq!(hosts_match(hosts, name), expected, "{hosts} {name}");
        }
    }

    #[test]
    fn many_stars_do_not_blow_up() {
        let hosts = format!("{}b", "*a".repeat(2000));
        assert!(!hosts_match(&hosts, &"a".repeat(4000)));
    }

    #[test]
    fn broken_hashes_match_nothing() {
        for hosts in ["|1|", "|1|AAAA|AAAA", "|2|x|y", "|", "|1|!|!"] {
            assert!(!hosts_match(hosts, "a"), "{hosts}");
        }
    }

    #[test]
    fn comments_are_no_lines_and_fragments_are_errors() {
        for none in ["", "  \t", "# a ssh-ed25519 AAAA", "  # b"] {
            assert!(KnownHostsLine::parse(none).unwrap().is_none());
        }
        for bad in [
            "host",
            "host ssh-rsa",
            "@revoked host ssh-rsa",
            "@other h ssh-rsa AAAA",
        ] {
            assert!(KnownHostsLine::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn key_of_another_type_than_the_line_names_is_not_taken() {
        // "\0\0\0\x07ssh-rsa"
        let line = |ty: &str| format!("h {ty} AAAAB3NzaC1yc2E=");
        assert!(
            KnownHostsLine::parse(&line("ssh-rsa"))
                .unwrap()
                .unwrap()
                .blob()
                .is_some()
        );
        assert!(
            KnownHostsLine::parse(&line("ssh-dss"))
                .unwrap()
                .unwrap()
                .blob()
                .is_none()
        );
    }
}

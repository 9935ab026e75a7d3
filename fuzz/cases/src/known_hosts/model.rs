//! Lines of `known_hosts` made from parts, and what they have to mean.

use std::path::PathBuf;

use adit_proto::wire::Writer;
use adit_tunnel::known_hosts::{HostKeyStatus, check, known_types};
use arbitrary::{Result, Unstructured};
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use super::KEYS;

const HOSTS: [&str; 4] = ["a.example", "b.example", "h", "::1"];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Marker {
    None,
    Revoked,
    CertAuthority,
}

/// A line, and where it stands.
struct Entry {
    file: usize,
    number: usize,
    marker: Marker,
    hosts: Hosts,
    key_type: &'static str,
    blob: Vec<u8>,
}

enum Hosts {
    /// Patterns, some of them against a host.
    Patterns(Vec<(bool, String)>),
    /// The HMAC of one name, with its salt.
    Hashed([u8; 20], String),
}

/// Two files of lines, and a host that presents one of three keys.
pub(super) fn known_lines(u: &mut Unstructured<'_>) -> Result<()> {
    let host = *u.choose(&HOSTS)?;
    let port = *u.choose(&[22, 2222])?;
    let presented = u.choose(&*KEYS)?;
    let mut files = vec![
        (PathBuf::from("/1"), String::new()),
        (PathBuf::from("/2"), String::new()),
    ];
    let mut entries = Vec::new();
    for _ in 0..u.int_in_range(0..=6)? {
        let file = usize::from(u.ratio(1, 3)?);
        let text = &mut files[file].1;
        let number = text.lines().count() + 1;
        let entry = Entry::arbitrary(file, number, u)?;
        text.push_str(&entry.line(u)?);
        text.push_str(u.choose(&["\n", "\r\n", "\n# comment\n", "\n\n \t\n"])?);
        entries.push(entry);
    }
    // As they are read: one file after the other.
    entries.sort_by_key(|entry| (entry.file, entry.number));
    let name = |port| match port {
        22 => host.to_owned(),
        _ => format!("[{host}]:{port}"),
    };
    let about =
        |name: &str| -> Vec<&Entry> { entries.iter().filter(|e| e.hosts.cover(name)).collect() };
    let here = about(&name(port));
    let mut expected = status(&here, presented.blob(), &files);
    let nothing = HostKeyStatus::Unknown {
        other_types: vec![],
    };
    if port != 22 && expected == nothing {
        let anywhere = status(&about(&name(22)), presented.blob(), &files);
        if matches!(
            anywhere,
            HostKeyStatus::Known | HostKeyStatus::Revoked { .. }
        ) {
            expected = anywhere;
        }
    }
    // Names are asked for as the user types them.
    let typed = if u.arbitrary()? {
        host.to_ascii_uppercase()
    } else {
        host.to_owned()
    };
    assert_eq!(
        check(&files, &typed, port, presented),
        expected,
        "{typed} {port} {files:?}"
    );
    let known = known_types(&files, &typed, port);
    assert_eq!(known, types(&here), "{typed} {port} {files:?}");
    Ok(())
}

/// The types of a host's keys, each once.
fn types(about: &[&Entry]) -> Vec<&'static str> {
    let mut types = Vec::new();
    for entry in about.iter().filter(|entry| entry.marker == Marker::None) {
        if !types.contains(&entry.key_type) {
            types.push(entry.key_type);
        }
    }
    types
}

/// Status that these lines, which are about one name, come to.
fn status(about: &[&Entry], blob: &[u8], files: &[(PathBuf, String)]) -> HostKeyStatus {
    let with = |marker: Marker| about.iter().filter(move |entry| entry.marker == marker);
    let file_of = |entry: &Entry| files[entry.file].0.clone();
    if let Some(entry) = with(Marker::Revoked).find(|entry| entry.blob == blob) {
        return HostKeyStatus::Revoked {
            file: file_of(entry),
            line: entry.number,
        };
    }
    if with(Marker::None).any(|entry| entry.blob == blob) {
        return HostKeyStatus::Known;
    }
    match with(Marker::None).find(|entry| entry.key_type == "ssh-ed25519") {
        None => HostKeyStatus::Unknown {
            other_types: types(about).into_iter().map(str::to_owned).collect(),
        },
        Some(entry) => HostKeyStatus::Changed {
            file: file_of(entry),
            line: entry.number,
            key_type: entry.key_type.to_owned(),
            fingerprint: format!(
                "SHA256:{}",
                STANDARD_NO_PAD.encode(digest::digest(&digest::SHA256, &entry.blob))
            ),
        },
    }
}

impl Entry {
    fn arbitrary(file: usize, number: usize, u: &mut Unstructured<'_>) -> Result<Self> {
        let marker = *u.choose(&[
            Marker::None,
            Marker::None,
            Marker::None,
            Marker::Revoked,
            Marker::CertAuthority,
        ])?;
        let hosts = Hosts::arbitrary(u)?;
        let (key_type, blob) = match u.int_in_range(0..=3)? {
            0 => ("ssh-rsa", other_key("ssh-rsa")),
            1 => ("ssh-new@example", other_key("ssh-new@example")),
            n => ("ssh-ed25519", KEYS[n - 2].blob().to_vec()),
        };
        Ok(Self {
            file,
            number,
            marker,
            hosts,
            key_type,
            blob,
        })
    }

    /// The line without its end.
    fn line(&self, u: &mut Unstructured<'_>) -> Result<String> {
        let marker = match self.marker {
            Marker::None => "",
            Marker::Revoked => "@revoked ",
            Marker::CertAuthority => "@cert-authority\t",
        };
        let hosts = self.hosts.written();
        let (key_type, key) = (self.key_type, STANDARD.encode(&self.blob));
        let blank = u.choose(&[" ", "\t", "  "])?;
        let comment = u.choose(&["", " me@there", " @revoked # x"])?;
        Ok(format!("{marker}{hosts}{blank}{key_type} {key}{comment}"))
    }
}

/// A key of a type that this program need not understand.
fn other_key(key_type: &str) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.string(key_type).string([7; 9]);
    writer.into_vec()
}

impl Hosts {
    fn arbitrary(u: &mut Unstructured<'_>) -> Result<Self> {
        if u.ratio(1, 4)? {
            let salt = u.arbitrary()?;
            let host = u.choose(&HOSTS)?;
            return Ok(Self::Hashed(
                salt,
                match u.arbitrary()? {
                    true => (*host).to_owned(),
                    false => format!("[{host}]:2222"),
                },
            ));
        }
        const PATTERNS: [&str; 14] = [
            "a.example",
            "A.Example",
            "b.example",
            "h",
            "?",
            "*",
            "*.example",
            "?.ex*le",
            "[a.example]:2222",
            "[*]:2222",
            "[h]:22",
            "::1",
            "[::1]:*",
            "*a*e*",
        ];
        let len = u.int_in_range(1..=3)?;
        let pattern = |_| Ok((u.ratio(1, 4)?, (*u.choose(&PATTERNS)?).to_owned()));
        (0..len)
            .map(pattern)
            .collect::<Result<_>>()
            .map(Self::Patterns)
    }

    fn written(&self) -> String {
        match self {
            Self::Patterns(patterns) => {
                let written = patterns.iter().map(|(against, pattern)| match against {
                    true => format!("!{pattern}"),
                    false => pattern.clone(),
                });
                written.collect::<Vec<_>>().join(",")
            }
            Self::Hashed(salt, name) => {
                let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, salt);
                let hash = STANDARD.encode(hmac::sign(&key, name.as_bytes()));
                format!("|1|{}|{hash}", STANDARD.encode(salt))
            }
        }
    }

    fn cover(&self, name: &str) -> bool {
        match self {
            Self::Hashed(_, hashed) => hashed == name,
            Self::Patterns(patterns) => {
                let says = |wanted: bool| {
                    patterns.iter().any(|(against, pattern)| {
                        *against == wanted
                            && glob(pattern.to_ascii_lowercase().as_bytes(), name.as_bytes())
                    })
                };
                says(false) && !says(true)
            }
        }
    }
}

/// True if a pattern matches, by trying everything: the patterns here are short.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, _) => text.is_empty(),
        (Some((b'*', rest)), _) => (0..=text.len()).any(|n| glob(rest, &text[n..])),
        (Some((b'?', rest)), Some((_, after))) => glob(rest, after),
        (Some((c, rest)), Some((first, after))) => c == first && glob(rest, after),
        (Some(_), None) => false,
    }
}

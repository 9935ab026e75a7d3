//! Lists of algorithms: `Ciphers a,b`, `+a`, `-a*`, `^a`.
//!
//! A name that OpenSSH does not know is a mistake and an error. A name that OpenSSH knows and adit
//! does not have is passed over, so that one configuration serves both; only when nothing is left is
//! it an error.

use std::fmt;

use crate::pattern::{Case, has_wildcard, wildcard};

/// Kind of algorithm that a list names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlgorithmKind {
    /// `KexAlgorithms`.
    Kex,
    /// `Ciphers`.
    Cipher,
    /// `MACs`.
    Mac,
    /// `HostKeyAlgorithms` and `PubkeyAcceptedAlgorithms`.
    Signature,
}

impl AlgorithmKind {
    /// Every name that OpenSSH knows of this kind.
    pub fn known(self) -> &'static [&'static str] {
        match self {
            Self::Kex => KNOWN_KEX,
            Self::Cipher => KNOWN_CIPHERS,
            Self::Mac => KNOWN_MACS,
            Self::Signature => KNOWN_SIGNATURES,
        }
    }

    fn noun(self) -> &'static str {
        match self {
            Self::Kex => "key exchange",
            Self::Cipher => "cipher",
            Self::Mac => "MAC",
            Self::Signature => "signature",
        }
    }
}

const KNOWN_KEX: &[&str] = &[
    "mlkem768x25519-sha256",
    "mlkem768nistp256-sha256",
    "sntrup761x25519-sha512",
    "sntrup761x25519-sha512@openssh.com",
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
    "diffie-hellman-group-exchange-sha256",
    "diffie-hellman-group-exchange-sha1",
    "diffie-hellman-group18-sha512",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group14-sha256",
    "diffie-hellman-group14-sha1",
    "diffie-hellman-group1-sha1",
];

const KNOWN_CIPHERS: &[&str] = &[
    "chacha20-poly1305@openssh.com",
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
    "aes128-cbc",
    "aes192-cbc",
    "aes256-cbc",
    "rijndael-cbc@lysator.liu.se",
    "3des-cbc",
];

const KNOWN_MACS: &[&str] = &[
    "umac-64-etm@openssh.com",
    "umac-128-etm@openssh.com",
    "hmac-sha2-256-etm@openssh.com",
    "hmac-sha2-512-etm@openssh.com",
    "hmac-sha1-etm@openssh.com",
    "hmac-sha1-96-etm@openssh.com",
    "hmac-md5-etm@openssh.com",
    "hmac-md5-96-etm@openssh.com",
    "umac-64@openssh.com",
    "umac-128@openssh.com",
    "hmac-sha2-256",
    "hmac-sha2-512",
    "hmac-sha1",
    "hmac-sha1-96",
    "hmac-md5",
    "hmac-md5-96",
];

const KNOWN_SIGNATURES: &[&str] = &[
    "ssh-ed25519",
    "ssh-ed25519-cert-v01@openssh.com",
    "sk-ssh-ed25519@openssh.com",
    "sk-ssh-ed25519-cert-v01@openssh.com",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp384-cert-v01@openssh.com",
    "ecdsa-sha2-nistp521",
    "ecdsa-sha2-nistp521-cert-v01@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "webauthn-sk-ecdsa-sha2-nistp256@openssh.com",
    "webauthn-sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "rsa-sha2-512",
    "rsa-sha2-512-cert-v01@openssh.com",
    "rsa-sha2-256",
    "rsa-sha2-256-cert-v01@openssh.com",
    "ssh-rsa",
    "ssh-rsa-cert-v01@openssh.com",
    "ssh-dss",
    "ssh-dss-cert-v01@openssh.com",
    "ssh-mldsa44-ed25519@openssh.com",
    "ssh-mldsa44-ed25519-cert-v01@openssh.com",
];

/// Reason why a list of algorithms cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlgorithmError {
    /// A name that is not an algorithm of this kind.
    Unknown {
        /// The kind.
        kind: AlgorithmKind,
        /// The name.
        name: String,
    },
    /// Nothing that adit has is left.
    NothingLeft {
        /// The kind.
        kind: AlgorithmKind,
        /// The list as written.
        list: String,
    },
}

impl fmt::Display for AlgorithmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { kind, name } => {
                write!(f, "unknown {} algorithm '{name}'", kind.noun())
            }
            Self::NothingLeft { kind, list } => {
                write!(
                    f,
                    "'{list}' leaves no {} algorithm that is supported",
                    kind.noun()
                )
            }
        }
    }
}

impl std::error::Error for AlgorithmError {}

/// Change that a list makes to the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edit {
    Replace,
    Append,
    Prepend,
    Remove,
}

/// A list as written, its names checked; [`resolve`](Self::resolve) says what it comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlgorithmList {
    kind: AlgorithmKind,
    edit: Edit,
    names: Vec<String>,
}

/// Algorithms that a list resolves to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedAlgorithms {
    /// The algorithms, the preferred first; never empty, each once.
    pub names: Vec<String>,
    /// Names in the list that OpenSSH has and adit has not; worth a warning.
    pub passed_over: Vec<String>,
}

impl AlgorithmList {
    /// Reads a list.
    ///
    /// # Errors
    /// A name that is no algorithm of this kind. After `-`, any pattern will do.
    pub fn parse(kind: AlgorithmKind, text: &str) -> Result<Self, AlgorithmError> {
        let (edit, names) = match text.split_at_checked(1) {
            Some(("+", rest)) => (Edit::Append, rest),
            Some(("^", rest)) => (Edit::Prepend, rest),
            Some(("-", rest)) => (Edit::Remove, rest),
            _ => (Edit::Replace, text),
        };
        let names: Vec<String> = names.split(',').map(str::to_owned).collect();
        let unknown = |name: &&String| edit != Edit::Remove && !is_known(kind, name);
        match names.iter().find(unknown) {
            Some(name) => Err(AlgorithmError::Unknown {
                kind,
                name: name.clone(),
            }),
            None => Ok(Self { kind, edit, names }),
        }
    }

    /// True if the list says what comes first: `+` and `-` only add to the default or take from it.
    pub fn says_the_order(&self) -> bool {
        matches!(self.edit, Edit::Replace | Edit::Prepend)
    }

    /// Applies the list to a default, given what this program supports.
    ///
    /// # Errors
    /// Nothing is left.
    pub fn resolve(
        &self,
        default: &[&str],
        supported: &[&str],
    ) -> Result<ResolvedAlgorithms, AlgorithmError> {
        let mut passed_over = Vec::new();
        let mut chosen = Vec::new();
        if self.edit != Edit::Remove {
            for name in &self.names {
                let before = chosen.len();
                chosen.extend(supported.iter().filter(|have| covers(name, have)));
                if chosen.len() == before {
                    passed_over.push(name.clone());
                }
            }
        }
        let ordered: Vec<&str> = match self.edit {
            Edit::Replace => chosen,
            Edit::Append => default.iter().copied().chain(chosen).collect(),
            Edit::Prepend => chosen.into_iter().chain(default.iter().copied()).collect(),
            Edit::Remove => {
                let kept = |have: &&str| !self.names.iter().any(|name| covers(name, have));
                default.iter().copied().filter(kept).collect()
            }
        };
        let mut names: Vec<String> = Vec::new();
        for name in ordered {
            if !names.iter().any(|have| have == name) {
                names.push(name.to_owned());
            }
        }
        if names.is_empty() {
            return Err(AlgorithmError::NothingLeft {
                kind: self.kind,
                list: self.to_string(),
            });
        }
        Ok(ResolvedAlgorithms { names, passed_over })
    }
}

impl fmt::Display for AlgorithmList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.edit {
            Edit::Replace => "",
            Edit::Append => "+",
            Edit::Prepend => "^",
            Edit::Remove => "-",
        })?;
        f.write_str(&self.names.join(","))
    }
}

/// True if a name of a list, perhaps with wildcards, stands for this algorithm.
fn covers(name: &str, algorithm: &str) -> bool {
    wildcard(name, algorithm, Case::Sensitive)
}

/// Only signature algorithms may be named by a pattern, and only by one that matches something.
fn is_known(kind: AlgorithmKind, name: &str) -> bool {
    match kind {
        AlgorithmKind::Signature if has_wildcard(name) => {
            kind.known().iter().any(|known| covers(name, known))
        }
        _ => kind.known().contains(&name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: &[&str] = &["aes128-gcm@openssh.com", "aes128-ctr", "aes256-ctr"];
    const SUPPORTED: &[&str] = &[
        "aes128-gcm@openssh.com",
        "aes128-ctr",
        "aes256-ctr",
        "aes256-gcm@openssh.com",
    ];

    fn resolve(text: &str) -> Result<(String, String), String> {
        let list = AlgorithmList::parse(AlgorithmKind::Cipher, text).map_err(|e| e.to_string())?;
        assert_eq!(list.to_string(), text);
        let done = list
            .resolve(DEFAULT, SUPPORTED)
            .map_err(|e| e.to_string())?;
        Ok((done.names.join(","), done.passed_over.join(",")))
    }

    #[test]
    fn prefixes_edit_the_default() {
        let table = [
            ("aes256-ctr", "aes256-ctr", ""),
            (
                "aes256-ctr,aes128-ctr,aes256-ctr",
                "aes256-ctr,aes128-ctr",
                "",
            ),
            (
                "+aes256-gcm@openssh.com",
                "aes128-gcm@openssh.com,aes128-ctr,aes256-ctr,aes256-gcm@openssh.com",
                "",
            ),
            (
                "+aes128-ctr",
                "aes128-gcm@openssh.com,aes128-ctr,aes256-ctr",
                "",
            ),
            (
                "^aes256-ctr",
                "aes256-ctr,aes128-gcm@openssh.com,aes128-ctr",
                "",
            ),
            ("-aes128*", "aes256-ctr", ""),
            ("-aes128-ctr,aes256-ctr", "aes128-gcm@openssh.com", ""),
            (
                "-nothing*",
                "aes128-gcm@openssh.com,aes128-ctr,aes256-ctr",
                "",
            ),
            ("3des-cbc,aes256-ctr", "aes256-ctr", "3des-cbc"),
            (
                "+3des-cbc",
                "aes128-gcm@openssh.com,aes128-ctr,aes256-ctr",
                "3des-cbc",
            ),
        ];
        for (text, names, passed_over) in table {
            let expected = Ok((names.to_owned(), passed_over.to_owned()));
            assert_eq!(resolve(text), expected, "{text}");
        }
    }

    #[test]
    fn unknown_names_are_named() {
        for text in ["nope", "aes128-ctr,nope", "+nope", "^nope", "nope,nope"] {
            assert_eq!(
                resolve(text),
                Err("unknown cipher algorithm 'nope'".into()),
                "{text}"
            );
        }
        for text in ["", "aes128-ctr,", "aes128*", "+", "!aes128-ctr"] {
            assert!(
                resolve(text).unwrap_err().starts_with("unknown cipher"),
                "{text}"
            );
        }
    }

    #[test]
    fn nothing_left_is_an_error_that_shows_the_list() {
        assert_eq!(
            resolve("3des-cbc,aes128-cbc").unwrap_err(),
            "'3des-cbc,aes128-cbc' leaves no cipher algorithm that is supported"
        );
        assert!(resolve("-*").unwrap_err().contains("'-*'"));
    }

    #[test]
    fn signature_algorithms_may_be_patterns() {
        let parse = |text| AlgorithmList::parse(AlgorithmKind::Signature, text);
        let done = parse("*ed25519*,rsa-*").unwrap();
        let done = done
            .resolve(&[], &["rsa-sha2-512", "ssh-ed25519", "rsa-sha2-256"])
            .unwrap();
        assert_eq!(done.names, ["ssh-ed25519", "rsa-sha2-512", "rsa-sha2-256"]);
        assert!(parse("nope*").is_err());
    }
}

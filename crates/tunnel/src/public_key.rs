//! Public keys as SSH carries them: a blob (RFC 4253 §6.6), and one line of text in files.
//!
//! A key is its bytes: two keys are the same if their blobs are, and nothing here needs to understand
//! an algorithm. So every type works, also those that adit cannot sign or verify with.

use std::fmt;

use adit_proto::wire::{Reader, WireError};
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

/// A public key blob that begins with a plausible type name.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PublicKey {
    blob: Vec<u8>,
    type_len: usize,
}

/// Why bytes or text are no public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAPublicKey {
    /// A field is missing: the line needs a type and base64.
    Incomplete,
    /// The second field is not base64.
    NotBase64,
    /// The bytes do not begin with a type name.
    BadBlob(WireError),
    /// The type before the base64 is not the type inside.
    TypeMismatch,
}

impl PublicKey {
    /// A key from its blob.
    ///
    /// # Errors
    /// If it does not begin with a string of printable ASCII, or ends there.
    pub fn from_blob(blob: impl Into<Vec<u8>>) -> Result<Self, NotAPublicKey> {
        let blob = blob.into();
        let mut reader = Reader::new(&blob);
        let name = reader.text("key type").map_err(NotAPublicKey::BadBlob)?;
        let printable = name.bytes().all(|b| b.is_ascii_graphic() && b != b',');
        if name.is_empty() || !printable || reader.rest().is_empty() {
            return Err(NotAPublicKey::BadBlob(WireError::BadValue("key type")));
        }
        let type_len = name.len();
        Ok(Self { blob, type_len })
    }

    /// A key from the two fields that files hold: its type and its blob in base64.
    ///
    /// # Errors
    /// If the base64 is wrong, or the type is not the one inside.
    pub fn from_fields(key_type: &str, base64: &str) -> Result<Self, NotAPublicKey> {
        let blob = STANDARD
            .decode(base64)
            .map_err(|_| NotAPublicKey::NotBase64)?;
        let key = Self::from_blob(blob)?;
        match key.key_type() == key_type {
            true => Ok(key),
            false => Err(NotAPublicKey::TypeMismatch),
        }
    }

    /// A key and its comment from a line `type base64 comment`.
    ///
    /// # Errors
    /// If a field is missing or wrong.
    pub fn from_line(line: &str) -> Result<(Self, &str), NotAPublicKey> {
        let (key_type, rest) = split_field(line).ok_or(NotAPublicKey::Incomplete)?;
        let (base64, comment) = split_field(rest).ok_or(NotAPublicKey::Incomplete)?;
        Ok((Self::from_fields(key_type, base64)?, comment))
    }

    /// The blob, as it stands on the wire.
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// The type name inside the blob, like `ssh-ed25519`.
    pub fn key_type(&self) -> &str {
        // `from_blob` saw ASCII in this place.
        std::str::from_utf8(&self.blob[4..4 + self.type_len]).unwrap_or_default()
    }

    /// The family as OpenSSH shows it to people: `ED25519`, `RSA`, or the type's own name.
    pub fn family(&self) -> &str {
        match self.key_type() {
            "ssh-ed25519" => "ED25519",
            "ssh-rsa" => "RSA",
            "sk-ssh-ed25519@openssh.com" => "ED25519-SK",
            "sk-ecdsa-sha2-nistp256@openssh.com" => "ECDSA-SK",
            name if name.starts_with("ecdsa-sha2-") => "ECDSA",
            name => name,
        }
    }

    /// The fingerprint as OpenSSH shows it: `SHA256:` and unpadded base64.
    pub fn fingerprint(&self) -> String {
        let hash = digest::digest(&digest::SHA256, &self.blob);
        format!("SHA256:{}", STANDARD_NO_PAD.encode(hash))
    }

    /// The two fields for a file: type and base64.
    pub fn to_fields(&self) -> String {
        format!("{} {}", self.key_type(), STANDARD.encode(&self.blob))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({} {})", self.key_type(), self.fingerprint())
    }
}

impl fmt::Display for NotAPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotAPublicKey::Incomplete => write!(f, "no key type and base64"),
            NotAPublicKey::NotBase64 => write!(f, "the key is not base64"),
            NotAPublicKey::BadBlob(why) => write!(f, "the key is malformed: {why}"),
            NotAPublicKey::TypeMismatch => {
                write!(f, "the key is of another type than its line says")
            }
        }
    }
}

impl std::error::Error for NotAPublicKey {}

/// Splits off the first field; fields are separated by blanks and tabs. `None` if there is none.
pub(crate) fn split_field(line: &str) -> Option<(&str, &str)> {
    let blank = |c: char| c == ' ' || c == '\t';
    let line = line.trim_matches(|c: char| blank(c) || c == '\r' || c == '\n');
    if line.is_empty() {
        return None;
    }
    let (field, rest) = line.split_once(blank).unwrap_or((line, ""));
    Some((field, rest.trim_start_matches(blank)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ me@there now";

    #[test]
    fn line_gives_key_and_comment() {
        let (key, comment) = PublicKey::from_line(LINE).unwrap();
        assert_eq!(comment, "me@there now");
        assert_eq!(key.key_type(), "ssh-ed25519");
        assert_eq!(key.family(), "ED25519");
        assert_eq!(key.blob().len(), 51);
        assert!(LINE.starts_with(&key.to_fields()));
    }

    #[test]
    fn lines_that_are_no_keys_are_refused() {
        let error = |line: &str| PublicKey::from_line(line).unwrap_err();
        assert_eq!(error(""), NotAPublicKey::Incomplete);
        assert_eq!(error("ssh-ed25519"), NotAPublicKey::Incomplete);
        assert_eq!(error("ssh-ed25519 A*"), NotAPublicKey::NotBase64);
        let renamed = LINE.replacen("ssh-ed25519", "ssh-rsa", 1);
        assert_eq!(error(&renamed), NotAPublicKey::TypeMismatch);
        assert!(matches!(error("x AAAA"), NotAPublicKey::BadBlob(_)));
    }

    #[test]
    fn blobs_with_odd_type_names_are_refused() {
        for blob in [
            &b"\0\0\0\x01a"[..],
            b"\0\0\0\0x",
            b"\0\0\0\x01\nx",
            b"\0\0\0\xffa",
        ] {
            assert!(PublicKey::from_blob(blob).is_err(), "{blob:?}");
        }
    }
}

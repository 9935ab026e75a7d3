//! Errors of key files.

use std::path::{Path, PathBuf};
use std::{fmt, io};

use adit_proto::key::KeyError;
use adit_proto::wire::WireError;

use crate::net::listener::describe;

/// The longest key file that is read, in bytes.
pub(super) const MAX_FILE_LEN: u64 = 1 << 20;

/// Reason why a key file was not loaded or written.
#[derive(Debug)]
pub enum IdentityError {
    /// The operating system failed.
    Io {
        /// The attempt: `read`, `write`.
        act: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's error.
        why: io::Error,
    },
    /// Others than its owner can use the file.
    Unprotected {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The key is encrypted, and no passphrase was given.
    NeedsPassphrase(PathBuf),
    /// The key is encrypted, with another passphrase than was given.
    WrongPassphrase(PathBuf),
    /// The file cannot be used.
    Unusable {
        /// The file.
        path: PathBuf,
        /// The fault in it.
        why: KeyFileFault,
    },
}

/// Fault inside a key file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyFileFault {
    /// It is longer than 1 MiB.
    TooLong,
    /// It is in none of the formats that we read.
    UnknownFormat,
    /// It is a public key.
    PublicKey,
    /// Its base64 text is broken or does not end.
    BadPem,
    /// The fields of an OpenSSH key are not laid out as they must be.
    Malformed(WireError),
    /// It is encrypted by an unknown method, or one that takes minutes.
    Encryption(String),
    /// The numbers in it are no key that we can use.
    Key(KeyError),
    /// The private key does not belong to the public key beside it.
    PublicMismatch,
    /// A host key can only be written if it is an Ed25519 key.
    NotEd25519,
}

impl IdentityError {
    pub(super) fn unusable(path: &Path, why: KeyFileFault) -> Self {
        Self::Unusable {
            path: path.to_owned(),
            why,
        }
    }
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { act, path, why } => {
                write!(
                    f,
                    "cannot {act} key file {}: {}",
                    path.display(),
                    describe(why)
                )
            }
            Self::Unprotected { path, mode } => {
                let path = path.display();
                write!(
                    f,
                    "WARNING: UNPROTECTED PRIVATE KEY FILE!\n\
                     permissions {mode:04o} for '{path}' are too open: others can use the key, \
                     so it is ignored\n\
                     hint: chmod 600 '{path}'"
                )
            }
            Self::NeedsPassphrase(path) => {
                write!(
                    f,
                    "cannot load key {}: it needs a passphrase",
                    path.display()
                )
            }
            Self::WrongPassphrase(path) => {
                write!(f, "cannot load key {}: wrong passphrase", path.display())
            }
            Self::Unusable { path, why } => {
                let shown = path.display();
                write!(f, "cannot use key file {shown}: {why}")?;
                match why {
                    KeyFileFault::Encryption(_) => {
                        write!(f, "\nhint: convert it with: ssh-keygen -p -f '{shown}'")
                    }
                    KeyFileFault::PublicKey => {
                        let private = path_of_private(path);
                        write!(
                            f,
                            "\nhint: name the private key, {private}, or have an agent hold it"
                        )
                    }
                    _ => Ok(()),
                }
            }
        }
    }
}

/// The customary name of the private key beside a public one.
fn path_of_private(path: &Path) -> String {
    let private = path.with_extension("");
    match path.extension().is_some_and(|e| e == "pub") {
        true => format!("most often {}", private.display()),
        false => "which begins with -----BEGIN".into(),
    }
}

impl std::error::Error for IdentityError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { why, .. } => Some(why),
            _ => None,
        }
    }
}

impl fmt::Display for KeyFileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "it is longer than {MAX_FILE_LEN} bytes"),
            Self::UnknownFormat => write!(
                f,
                "it is no OpenSSH, PKCS#8, PKCS#1 (RSA) or SEC 1 (EC) private key"
            ),
            Self::PublicKey => write!(
                f,
                "it is the public key, and only the private one can log in"
            ),
            Self::BadPem => write!(f, "its base64 text is broken or does not end"),
            Self::Malformed(why) => write!(f, "{why}"),
            Self::Encryption(method) => write!(f, "unsupported encryption {method:?}"),
            Self::Key(why) => write!(f, "{why}"),
            Self::PublicMismatch => {
                write!(f, "its private key does not belong to its public key")
            }
            Self::NotEd25519 => write!(f, "only Ed25519 keys can be written"),
        }
    }
}

impl From<WireError> for KeyFileFault {
    fn from(why: WireError) -> Self {
        Self::Malformed(why)
    }
}

impl From<KeyError> for KeyFileFault {
    fn from(why: KeyError) -> Self {
        Self::Key(why)
    }
}

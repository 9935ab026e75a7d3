//! Errors of keys and signatures.

use std::fmt;

use super::{KeyType, SignatureAlgorithm};
use crate::peer_text;
use crate::wire::WireError;

/// Reason why a key was not read, or a signature not made or not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyError {
    /// A blob is not laid out as its type says.
    Malformed {
        /// The item that was read: a public key or a signature.
        what: &'static str,
        /// Place where the layout broke.
        why: WireError,
    },
    /// A public key of a type that is none of ours.
    UnknownKeyType(String),
    /// A public key whose numbers cannot be used.
    BadPublicKey {
        /// The type it claims.
        key_type: KeyType,
        /// The fault.
        why: &'static str,
    },
    /// An RSA key under 2048 or over 8192 bits.
    RsaSize {
        /// Bits of its modulus.
        bits: usize,
    },
    /// A key was asked for a signature algorithm of another type of key.
    AlgorithmMismatch {
        /// The key's type.
        key_type: KeyType,
        /// The algorithm that was asked for.
        algorithm: SignatureAlgorithm,
    },
    /// A signature blob names another algorithm than the one agreed on.
    SignatureNames {
        /// The algorithm agreed on.
        expected: SignatureAlgorithm,
        /// The name in the blob, shortened.
        found: String,
    },
    /// A signature that this key did not make over this message.
    BadSignature(SignatureAlgorithm),
    /// A private key that cannot be used.
    BadPrivateKey {
        /// Its type or format.
        what: &'static str,
        /// The fault.
        why: &'static str,
    },
    /// Our own cryptographic library failed.
    Library(&'static str),
}

impl KeyError {
    /// Keeps only so much of a peer's name as an error message should show.
    pub(super) fn shown(name: &str) -> String {
        peer_text::name(name).to_string()
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyError::Malformed { what, why } => write!(f, "cannot read {what}: {why}"),
            KeyError::UnknownKeyType(name) => {
                write!(f, "unsupported type of public key \"{name}\"")
            }
            KeyError::BadPublicKey { key_type, why } => {
                write!(f, "cannot use {key_type} public key: {why}")
            }
            KeyError::RsaSize { bits } => write!(
                f,
                "cannot use RSA key of {bits} bits: \
                 RSA keys under 2048 bits and over 8192 bits are refused"
            ),
            KeyError::AlgorithmMismatch {
                key_type,
                algorithm,
            } => write!(f, "a {key_type} key has no {algorithm} signatures"),
            KeyError::SignatureNames { expected, found } => write!(
                f,
                "cannot accept signature: it is of algorithm \"{found}\" instead of {expected}"
            ),
            KeyError::BadSignature(algorithm) => {
                write!(f, "{algorithm} signature does not fit key and message")
            }
            KeyError::BadPrivateKey { what, why } => {
                write!(f, "cannot use {what} private key: {why}")
            }
            KeyError::Library(act) => write!(f, "cannot {act}: cryptographic library failed"),
        }
    }
}

impl std::error::Error for KeyError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_a_peer_are_shown_short_and_escaped() {
        let name = KeyError::shown(&"\u{1b}[2J".repeat(100));
        let shown = KeyError::UnknownKeyType(name).to_string();
        assert!(!shown.contains('\u{1b}'), "{shown}");
        assert!(shown.len() < 400, "{}", shown.len());
    }

    #[test]
    fn small_rsa_key_is_refused_in_words() {
        assert_eq!(
            KeyError::RsaSize { bits: 1024 }.to_string(),
            "cannot use RSA key of 1024 bits: \
             RSA keys under 2048 bits and over 8192 bits are refused"
        );
    }
}

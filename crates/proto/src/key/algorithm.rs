//! The names: types of keys, curves, and signature algorithms.

use std::fmt;

use aws_lc_rs::signature::{self, EcdsaSigningAlgorithm, RsaParameters, VerificationAlgorithm};

/// The type of a key, the first string of its blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyType {
    /// Ed25519 (RFC 8709).
    Ed25519,
    /// ECDSA on a NIST curve (RFC 5656 §3.1).
    Ecdsa(EcdsaCurve),
    /// RSA (RFC 4253 §6.6), for signatures with SHA-2 only.
    Rsa,
}

impl KeyType {
    /// Every type.
    pub const ALL: [KeyType; 5] = [
        KeyType::Ed25519,
        KeyType::Ecdsa(EcdsaCurve::Nistp256),
        KeyType::Ecdsa(EcdsaCurve::Nistp384),
        KeyType::Ecdsa(EcdsaCurve::Nistp521),
        KeyType::Rsa,
    ];

    /// The name in a key blob: `ssh-ed25519`, `ecdsa-sha2-nistp256`, `ssh-rsa`.
    pub fn as_str(self) -> &'static str {
        match self {
            KeyType::Ed25519 => "ssh-ed25519",
            KeyType::Ecdsa(EcdsaCurve::Nistp256) => "ecdsa-sha2-nistp256",
            KeyType::Ecdsa(EcdsaCurve::Nistp384) => "ecdsa-sha2-nistp384",
            KeyType::Ecdsa(EcdsaCurve::Nistp521) => "ecdsa-sha2-nistp521",
            KeyType::Rsa => "ssh-rsa",
        }
    }

    /// The type of that name, if it is one of ours.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|ty| ty.as_str() == name)
    }

    /// The signature algorithms that a key of this type can use, most preferred first.
    pub fn algorithms(self) -> &'static [SignatureAlgorithm] {
        match self {
            KeyType::Ed25519 => &[SignatureAlgorithm::Ed25519],
            KeyType::Ecdsa(EcdsaCurve::Nistp256) => &[SignatureAlgorithm::EcdsaNistp256],
            KeyType::Ecdsa(EcdsaCurve::Nistp384) => &[SignatureAlgorithm::EcdsaNistp384],
            KeyType::Ecdsa(EcdsaCurve::Nistp521) => &[SignatureAlgorithm::EcdsaNistp521],
            KeyType::Rsa => &[SignatureAlgorithm::RsaSha512, SignatureAlgorithm::RsaSha256],
        }
    }
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A curve of ECDSA (RFC 5656 §10.1, the required ones).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EcdsaCurve {
    /// NIST P-256.
    Nistp256,
    /// NIST P-384.
    Nistp384,
    /// NIST P-521.
    Nistp521,
}

impl EcdsaCurve {
    /// Every curve.
    pub const ALL: [EcdsaCurve; 3] = [
        EcdsaCurve::Nistp256,
        EcdsaCurve::Nistp384,
        EcdsaCurve::Nistp521,
    ];

    /// The curve's identifier in a key blob: `nistp256`.
    pub fn as_str(self) -> &'static str {
        match self {
            EcdsaCurve::Nistp256 => "nistp256",
            EcdsaCurve::Nistp384 => "nistp384",
            EcdsaCurve::Nistp521 => "nistp521",
        }
    }

    /// Bytes of a coordinate, of a private scalar, and of each half of a signature.
    pub(super) fn scalar_len(self) -> usize {
        match self {
            EcdsaCurve::Nistp256 => 32,
            EcdsaCurve::Nistp384 => 48,
            EcdsaCurve::Nistp521 => 66,
        }
    }

    /// The verification algorithm; the hash goes with the size of the curve (RFC 5656 §6.2.1).
    pub(super) fn verification(self) -> &'static dyn VerificationAlgorithm {
        match self {
            EcdsaCurve::Nistp256 => &signature::ECDSA_P256_SHA256_FIXED,
            EcdsaCurve::Nistp384 => &signature::ECDSA_P384_SHA384_FIXED,
            EcdsaCurve::Nistp521 => &signature::ECDSA_P521_SHA512_FIXED,
        }
    }

    /// The signing algorithm to [`Self::verification`].
    pub(super) fn signing(self) -> &'static EcdsaSigningAlgorithm {
        match self {
            EcdsaCurve::Nistp256 => &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
            EcdsaCurve::Nistp384 => &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
            EcdsaCurve::Nistp521 => &signature::ECDSA_P521_SHA512_FIXED_SIGNING,
        }
    }
}

/// A signature algorithm, named as in `server_host_key_algorithms`, in `publickey` requests and in
/// signature blobs.
///
/// `ssh-rsa`, RSA with SHA-1, is none of them: it is a type of key only (RFC 8332).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignatureAlgorithm {
    /// Ed25519 (RFC 8709).
    Ed25519,
    /// ECDSA on P-256 with SHA-256 (RFC 5656).
    EcdsaNistp256,
    /// ECDSA on P-384 with SHA-384 (RFC 5656).
    EcdsaNistp384,
    /// ECDSA on P-521 with SHA-512 (RFC 5656).
    EcdsaNistp521,
    /// RSA PKCS#1 v1.5 with SHA-512 (RFC 8332).
    RsaSha512,
    /// RSA PKCS#1 v1.5 with SHA-256 (RFC 8332).
    RsaSha256,
}

impl SignatureAlgorithm {
    /// Every algorithm, most preferred first.
    pub const ALL: [SignatureAlgorithm; 6] = [
        SignatureAlgorithm::Ed25519,
        SignatureAlgorithm::EcdsaNistp256,
        SignatureAlgorithm::EcdsaNistp384,
        SignatureAlgorithm::EcdsaNistp521,
        SignatureAlgorithm::RsaSha512,
        SignatureAlgorithm::RsaSha256,
    ];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            SignatureAlgorithm::RsaSha512 => "rsa-sha2-512",
            SignatureAlgorithm::RsaSha256 => "rsa-sha2-256",
            // The other types of keys have one algorithm each, of the same name.
            _ => self.key_type().as_str(),
        }
    }

    /// The algorithm of that name, if it is one of ours.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|alg| alg.as_str() == name)
    }

    /// The type of the keys that make such signatures.
    pub fn key_type(self) -> KeyType {
        match self {
            SignatureAlgorithm::Ed25519 => KeyType::Ed25519,
            SignatureAlgorithm::EcdsaNistp256 => KeyType::Ecdsa(EcdsaCurve::Nistp256),
            SignatureAlgorithm::EcdsaNistp384 => KeyType::Ecdsa(EcdsaCurve::Nistp384),
            SignatureAlgorithm::EcdsaNistp521 => KeyType::Ecdsa(EcdsaCurve::Nistp521),
            SignatureAlgorithm::RsaSha512 | SignatureAlgorithm::RsaSha256 => KeyType::Rsa,
        }
    }

    /// Parameters with which RSA verifies for this algorithm; none for the algorithms of other keys.
    pub(super) fn rsa_verification(self) -> Option<&'static RsaParameters> {
        match self {
            SignatureAlgorithm::RsaSha512 => Some(&signature::RSA_PKCS1_2048_8192_SHA512),
            SignatureAlgorithm::RsaSha256 => Some(&signature::RSA_PKCS1_2048_8192_SHA256),
            _ => None,
        }
    }

    /// Encoding with which RSA signs for this algorithm; none for the algorithms of other keys.
    pub(super) fn rsa_signing(self) -> Option<&'static dyn signature::RsaEncoding> {
        match self {
            SignatureAlgorithm::RsaSha512 => Some(&signature::RSA_PKCS1_SHA512),
            SignatureAlgorithm::RsaSha256 => Some(&signature::RSA_PKCS1_SHA256),
            _ => None,
        }
    }
}

impl fmt::Display for SignatureAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_their_algorithms() {
        for alg in SignatureAlgorithm::ALL {
            assert_eq!(SignatureAlgorithm::from_name(alg.as_str()), Some(alg));
            assert!(alg.key_type().algorithms().contains(&alg));
        }
        for ty in KeyType::ALL {
            assert_eq!(KeyType::from_name(ty.as_str()), Some(ty));
            assert!(ty.algorithms().iter().all(|alg| alg.key_type() == ty));
        }
    }

    #[test]
    fn rsa_with_sha1_is_a_key_type_but_no_signature_algorithm() {
        assert_eq!(KeyType::from_name("ssh-rsa"), Some(KeyType::Rsa));
        assert_eq!(SignatureAlgorithm::from_name("ssh-rsa"), None);
        assert_eq!(KeyType::from_name("rsa-sha2-256"), None);
    }
}

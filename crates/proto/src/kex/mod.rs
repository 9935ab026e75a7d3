//! Key exchange algorithms: the two public values, the shared secret, the exchange hash and the keys.
//!
//! ```text
//!     client                                            server
//!     ClientKex::start ──── Q_C / C_INIT ────▶  respond ─┐
//!     ClientKex::finish ◀─── Q_S / S_REPLY ──────────────┤
//!            │                                           │
//!       SharedSecret ── ExchangeInput::exchange_hash ── SharedSecret
//!            └────────────── KeyDerivation::derive ──────┘
//! ```
//!
//! Everything here is arithmetic on byte strings. Who sends which message when is not known here.

mod derive;
mod dh;
mod dh_groups;
mod ecdh;
mod hash;
mod mlkem;
mod secret;
#[cfg(test)]
pub(crate) mod vectors;

pub use derive::KeyDerivation;
pub use hash::{ExchangeInput, HashAlgorithm};
pub use secret::SharedSecret;

use std::fmt;

use dh::{DhKey, Group, NamedGroup};
use ecdh::{Curve, EcdhKey};
use mlkem::HybridClient;

/// A key exchange algorithm, named as in KEXINIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KexAlgorithm {
    /// ML-KEM-768 and X25519 together (draft-ietf-sshm-mlkem-hybrid-kex): safe while either holds.
    MlKem768X25519Sha256,
    /// X25519 (RFC 8731).
    Curve25519Sha256,
    /// X25519 under the name it had before RFC 8731.
    Curve25519Sha256LibSsh,
    /// ECDH on NIST P-256 (RFC 5656 §4).
    EcdhNistp256,
    /// ECDH on NIST P-384 (RFC 5656 §4).
    EcdhNistp384,
    /// ECDH on NIST P-521 (RFC 5656 §4).
    EcdhNistp521,
    /// Diffie-Hellman in a group that the server chooses (RFC 4419); clients only.
    DhGroupExchangeSha256,
    /// Diffie-Hellman in group 16, 4096 bits (RFC 8268).
    DhGroup16Sha512,
    /// Diffie-Hellman in group 18, 8192 bits (RFC 8268).
    DhGroup18Sha512,
    /// Diffie-Hellman in group 14, 2048 bits (RFC 8268).
    DhGroup14Sha256,
}

/// Computation that a key exchange algorithm does with its public values.
enum KexMethod {
    Ecdh(Curve),
    Hybrid,
    Dh(NamedGroup),
    GroupExchange,
}

impl KexAlgorithm {
    /// Offer of a server unless it is told otherwise: old servers have to be reached, old clients can be renewed, and
    /// Diffie-Hellman is work that a stranger can ask for.
    pub const SERVER: &'static [KexAlgorithm] = Self::ALL.split_at(6).0;

    /// Every algorithm, most preferred first.
    pub const ALL: [KexAlgorithm; 10] = [
        KexAlgorithm::MlKem768X25519Sha256,
        KexAlgorithm::Curve25519Sha256,
        KexAlgorithm::Curve25519Sha256LibSsh,
        KexAlgorithm::EcdhNistp256,
        KexAlgorithm::EcdhNistp384,
        KexAlgorithm::EcdhNistp521,
        KexAlgorithm::DhGroupExchangeSha256,
        KexAlgorithm::DhGroup16Sha512,
        KexAlgorithm::DhGroup18Sha512,
        KexAlgorithm::DhGroup14Sha256,
    ];

    /// The name in KEXINIT.
    pub fn as_str(self) -> &'static str {
        match self {
            KexAlgorithm::MlKem768X25519Sha256 => "mlkem768x25519-sha256",
            KexAlgorithm::Curve25519Sha256 => "curve25519-sha256",
            KexAlgorithm::Curve25519Sha256LibSsh => "curve25519-sha256@libssh.org",
            KexAlgorithm::EcdhNistp256 => "ecdh-sha2-nistp256",
            KexAlgorithm::EcdhNistp384 => "ecdh-sha2-nistp384",
            KexAlgorithm::EcdhNistp521 => "ecdh-sha2-nistp521",
            KexAlgorithm::DhGroupExchangeSha256 => "diffie-hellman-group-exchange-sha256",
            KexAlgorithm::DhGroup16Sha512 => "diffie-hellman-group16-sha512",
            KexAlgorithm::DhGroup18Sha512 => "diffie-hellman-group18-sha512",
            KexAlgorithm::DhGroup14Sha256 => "diffie-hellman-group14-sha256",
        }
    }

    /// The algorithm of that name, if it is one of ours.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|alg| alg.as_str() == name)
    }

    /// The hash of the exchange hash and of the key derivation (RFC 5656 §6.2.1 for the NIST curves).
    pub fn hash(self) -> HashAlgorithm {
        match self {
            KexAlgorithm::EcdhNistp384 => HashAlgorithm::Sha384,
            KexAlgorithm::EcdhNistp521
            | KexAlgorithm::DhGroup16Sha512
            | KexAlgorithm::DhGroup18Sha512 => HashAlgorithm::Sha512,
            KexAlgorithm::MlKem768X25519Sha256
            | KexAlgorithm::Curve25519Sha256
            | KexAlgorithm::Curve25519Sha256LibSsh
            | KexAlgorithm::EcdhNistp256
            | KexAlgorithm::DhGroupExchangeSha256
            | KexAlgorithm::DhGroup14Sha256 => HashAlgorithm::Sha256,
        }
    }

    /// True where the server is asked for a group first, and [`ClientKex::in_group`] stands for [`ClientKex::start`].
    pub fn is_group_exchange(self) -> bool {
        matches!(self.method(), KexMethod::GroupExchange)
    }

    /// Answers a client's public value: gives the server's (`Q_S` or `S_REPLY`, the content of the
    /// string) and the shared secret.
    pub fn respond(self, client_init: &[u8]) -> Result<(Vec<u8>, SharedSecret), KexError> {
        match self.method() {
            KexMethod::Hybrid => mlkem::respond(client_init),
            KexMethod::Ecdh(curve) => {
                let key = EcdhKey::generate(curve)?;
                let secret = key.agree(client_init, "Q_C")?;
                Ok((key.into_public(), SharedSecret::mpint(secret)))
            }
            KexMethod::Dh(group) => {
                let key = DhKey::generate(group.group()?)?;
                let secret = key.agree(client_init, "e")?;
                Ok((key.public().to_vec(), SharedSecret::mpint(secret)))
            }
            KexMethod::GroupExchange => Err(KexError::Library("choose a group for a client")),
        }
    }

    fn method(self) -> KexMethod {
        match self {
            KexAlgorithm::MlKem768X25519Sha256 => KexMethod::Hybrid,
            KexAlgorithm::Curve25519Sha256 | KexAlgorithm::Curve25519Sha256LibSsh => {
                KexMethod::Ecdh(Curve::X25519)
            }
            KexAlgorithm::EcdhNistp256 => KexMethod::Ecdh(Curve::Nistp256),
            KexAlgorithm::EcdhNistp384 => KexMethod::Ecdh(Curve::Nistp384),
            KexAlgorithm::EcdhNistp521 => KexMethod::Ecdh(Curve::Nistp521),
            KexAlgorithm::DhGroupExchangeSha256 => KexMethod::GroupExchange,
            KexAlgorithm::DhGroup16Sha512 => KexMethod::Dh(NamedGroup::Group16),
            KexAlgorithm::DhGroup18Sha512 => KexMethod::Dh(NamedGroup::Group18),
            KexAlgorithm::DhGroup14Sha256 => KexMethod::Dh(NamedGroup::Group14),
        }
    }
}

impl fmt::Display for KexAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The client's secret of one key exchange, between its public value and the server's reply.
///
/// It is good for one exchange only; the library wipes the private keys when it is dropped.
pub struct ClientKex {
    secret: ClientSecret,
}

enum ClientSecret {
    Ecdh(EcdhKey),
    Hybrid(HybridClient),
    Dh(DhKey),
}

impl ClientKex {
    /// Makes a fresh secret and gives the public value to send: the content of the string `Q_C`
    /// (RFC 5656 §4) or `C_INIT` (the hybrid).
    pub fn start(algorithm: KexAlgorithm) -> Result<(Self, Vec<u8>), KexError> {
        let (secret, public) = match algorithm.method() {
            KexMethod::Hybrid => {
                let (client, init) = HybridClient::start()?;
                (ClientSecret::Hybrid(client), init)
            }
            KexMethod::Ecdh(curve) => {
                let key = EcdhKey::generate(curve)?;
                let public = key.public().to_vec();
                (ClientSecret::Ecdh(key), public)
            }
            KexMethod::Dh(group) => return Self::in_dh_group(group.group()?),
            KexMethod::GroupExchange => {
                return Err(KexError::Library("use a group that is not chosen"));
            }
        };
        Ok((Self { secret }, public))
    }

    /// Does so in the group that a server chose: prime and generator, as unsigned numbers (RFC 4419 §3).
    pub fn in_group(prime: &[u8], generator: &[u8]) -> Result<(Self, Vec<u8>), KexError> {
        Self::in_dh_group(Group::chosen(prime, generator)?)
    }

    fn in_dh_group(group: Group) -> Result<(Self, Vec<u8>), KexError> {
        let key = DhKey::generate(group)?;
        let public = key.public().to_vec();
        let secret = ClientSecret::Dh(key);
        Ok((Self { secret }, public))
    }

    /// Takes the server's public value, the content of the string `Q_S` or `S_REPLY`.
    pub fn finish(self, server_reply: &[u8]) -> Result<SharedSecret, KexError> {
        match self.secret {
            ClientSecret::Hybrid(client) => client.finish(server_reply),
            ClientSecret::Ecdh(key) => Ok(SharedSecret::mpint(key.agree(server_reply, "Q_S")?)),
            ClientSecret::Dh(key) => Ok(SharedSecret::mpint(key.agree(server_reply, "f")?)),
        }
    }
}

impl fmt::Debug for ClientKex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientKex(secret)")
    }
}

/// Reason why a key exchange gave no shared secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KexError {
    /// The peer's public value has a length that the algorithm does not allow.
    WrongLength {
        /// The peer's value, named as in the RFC.
        value: &'static str,
        /// Bytes that the algorithm wants.
        expected: usize,
        /// Bytes that came.
        actual: usize,
    },
    /// The peer's public value is no valid key, point or ciphertext, or has a trivial shared secret.
    Refused {
        /// The peer's value, named as in the RFC.
        value: &'static str,
        /// The algorithm that refuses it.
        by: &'static str,
    },
    /// Our own cryptographic library failed; the peer is not to blame.
    Library(&'static str),
}

impl fmt::Display for KexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KexError::WrongLength {
                value,
                expected,
                actual,
            } => write!(
                f,
                "key exchange: the peer's {value} is {actual} bytes long instead of {expected}"
            ),
            KexError::Refused { value, by } => {
                write!(
                    f,
                    "key exchange: the peer's {value} is not a valid {by} value"
                )
            }
            KexError::Library(act) => {
                write!(
                    f,
                    "key exchange: cannot {act}: cryptographic library failed"
                )
            }
        }
    }
}

impl std::error::Error for KexError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Those that begin with the client's public value.
    fn direct() -> impl Iterator<Item = KexAlgorithm> {
        let all = KexAlgorithm::ALL.into_iter();
        all.filter(|alg| !alg.is_group_exchange())
    }

    /// Those whose public values have one length.
    fn fixed() -> impl Iterator<Item = KexAlgorithm> {
        direct().filter(|alg| !matches!(alg.method(), KexMethod::Dh(_)))
    }

    /// The bytes as they enter the hash, to compare two secrets.
    fn encoded(secret: &SharedSecret) -> Vec<u8> {
        secret.to_wire().to_vec()
    }

    #[test]
    fn both_sides_of_every_algorithm_agree() {
        for alg in direct() {
            let (client, init) = ClientKex::start(alg).unwrap();
            let (reply, server_secret) = alg.respond(&init).unwrap();
            let client_secret = client.finish(&reply).unwrap();
            assert_eq!(encoded(&client_secret), encoded(&server_secret), "{alg}");
        }
    }

    #[test]
    fn two_exchanges_share_nothing() {
        for alg in direct() {
            let (_, first) = ClientKex::start(alg).unwrap();
            let (_, second) = ClientKex::start(alg).unwrap();
            assert_ne!(first, second, "{alg}");
            let (one, a) = alg.respond(&first).unwrap();
            let (two, b) = alg.respond(&first).unwrap();
            assert_ne!(one, two, "{alg}");
            assert_ne!(encoded(&a), encoded(&b), "{alg}");
        }
    }

    #[test]
    fn names_lead_back_to_their_algorithms() {
        for alg in KexAlgorithm::ALL {
            assert_eq!(KexAlgorithm::from_name(alg.as_str()), Some(alg));
        }
        for unknown in [
            "",
            "curve25519-sha256@",
            "diffie-hellman-group1-sha1",
            "ext-info-c",
        ] {
            assert_eq!(KexAlgorithm::from_name(unknown), None);
        }
    }

    #[test]
    fn value_of_wrong_length_is_refused_by_both_sides() {
        for alg in fixed() {
            let (_, init) = ClientKex::start(alg).unwrap();
            let (reply, _) = alg.respond(&init).unwrap();
            for (good, side) in [(&init, "client"), (&reply, "server")] {
                let mut long = good.clone();
                long.push(0);
                for bad in [&[][..], &good[..1], &good[..good.len() - 1], &long] {
                    let error = match side {
                        "client" => alg.respond(bad).unwrap_err(),
                        _ => {
                            let (client, _) = ClientKex::start(alg).unwrap();
                            client.finish(bad).unwrap_err()
                        }
                    };
                    let KexError::WrongLength {
                        expected, actual, ..
                    } = error
                    else {
                        panic!("{alg}: {} bytes from the {side}: {error}", bad.len());
                    };
                    assert_eq!((expected, actual), (good.len(), bad.len()), "{alg}");
                }
            }
        }
    }

    #[test]
    fn zeros_of_the_right_length_are_refused_by_both_sides() {
        for alg in direct() {
            let (_, init) = ClientKex::start(alg).unwrap();
            let (reply, _) = alg.respond(&init).unwrap();
            let error = alg.respond(&vec![0; init.len()]).unwrap_err();
            assert!(matches!(error, KexError::Refused { .. }), "{alg}: {error}");
            let (client, _) = ClientKex::start(alg).unwrap();
            let error = client.finish(&vec![0; reply.len()]).unwrap_err();
            assert!(matches!(error, KexError::Refused { .. }), "{alg}: {error}");
        }
    }

    #[test]
    fn errors_name_the_value() {
        let error = KexAlgorithm::EcdhNistp256.respond(&[4; 65]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "key exchange: the peer's Q_C is not a valid ECDH P-256 value"
        );
        let (client, _) = ClientKex::start(KexAlgorithm::Curve25519Sha256).unwrap();
        assert_eq!(
            client.finish(&[1; 31]).unwrap_err().to_string(),
            "key exchange: the peer's Q_S is 31 bytes long instead of 32"
        );
    }
}

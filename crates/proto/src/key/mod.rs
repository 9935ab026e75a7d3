//! Public and private keys as SSH uses them: to prove who a host or a user is.
//!
//! A [`PublicKey`] is what stands in a blob on the wire (RFC 4253 §6.6); it verifies signatures.
//! A [`SigningKey`] makes them. Key *files* are not read here.

mod algorithm;
mod error;
#[cfg(test)]
mod fixtures;
mod public;
mod rsa_crt;
mod signature;
mod signing;

pub use algorithm::{EcdsaCurve, KeyType, SignatureAlgorithm};
pub use error::KeyError;
pub use public::PublicKey;
pub use signing::{RsaComponents, SigningKey};

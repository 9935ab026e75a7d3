//! The post-quantum hybrid `mlkem768x25519-sha256` (draft-ietf-sshm-mlkem-hybrid-kex).
//!
//! ```text
//!     C_INIT  = ML-KEM-768 encapsulation key (1184 bytes) || X25519 public key (32)
//!     S_REPLY = ML-KEM-768 ciphertext        (1088 bytes) || X25519 public key (32)
//!     K       = SHA-256(ML-KEM secret || X25519 secret), hashed as a string
//! ```

use aws_lc_rs::digest;
use aws_lc_rs::kem::{Ciphertext, DecapsulationKey, EncapsulationKey, ML_KEM_768};
use zeroize::Zeroizing;

use super::ecdh::{Curve, EcdhKey};
use super::hash::finish_secret;
use super::{KexError, SharedSecret};

/// Bytes of an ML-KEM-768 encapsulation key (FIPS 203, table 3).
const ENCAPSULATION_KEY_LEN: usize = 1184;
/// Bytes of an ML-KEM-768 ciphertext (FIPS 203, table 3).
const CIPHERTEXT_LEN: usize = 1088;
/// Bytes of an X25519 public key.
const X25519_LEN: usize = 32;

/// The client's two secrets.
pub(super) struct HybridClient {
    pq: DecapsulationKey,
    classic: EcdhKey,
}

impl HybridClient {
    /// Fresh secrets, and `C_INIT`.
    pub(super) fn start() -> Result<(Self, Vec<u8>), KexError> {
        let failed = |_| KexError::Library("make an ML-KEM key");
        let pq = DecapsulationKey::generate(&ML_KEM_768).map_err(failed)?;
        let public = pq.encapsulation_key().map_err(failed)?;
        let public = public.key_bytes().map_err(failed)?;
        let classic = EcdhKey::generate(Curve::X25519)?;
        let init = [public.as_ref(), classic.public()].concat();
        Ok((Self { pq, classic }, init))
    }

    /// The secret shared with the server that sent `reply`, its `S_REPLY`.
    pub(super) fn finish(self, reply: &[u8]) -> Result<SharedSecret, KexError> {
        let (ciphertext, peer) = split(reply, CIPHERTEXT_LEN, "S_REPLY")?;
        // A ciphertext that was tampered with decapsulates to a secret that the server does not have
        // (FIPS 203 §6.3); the server's signature over the exchange hash then fails.
        let pq = self
            .pq
            .decapsulate(Ciphertext::from(ciphertext))
            .map_err(|_| KexError::Refused {
                value: "S_REPLY",
                by: "ML-KEM-768",
            })?;
        let classic = self.classic.agree(peer, "S_REPLY")?;
        Ok(combine(pq.as_ref(), &classic))
    }
}

/// Answers the client that sent `init`, its `C_INIT`: gives `S_REPLY` and the shared secret.
pub(super) fn respond(init: &[u8]) -> Result<(Vec<u8>, SharedSecret), KexError> {
    let (public, peer) = split(init, ENCAPSULATION_KEY_LEN, "C_INIT")?;
    let refused = KexError::Refused {
        value: "C_INIT",
        by: "ML-KEM-768",
    };
    // Encapsulating fails for a key whose coefficients are not reduced (FIPS 203 §7.2), which a
    // server must not answer.
    let public = EncapsulationKey::new(&ML_KEM_768, public).map_err(|_| refused.clone())?;
    let (ciphertext, pq) = public.encapsulate().map_err(|_| refused)?;
    let key = EcdhKey::generate(Curve::X25519)?;
    let classic = key.agree(peer, "C_INIT")?;
    let reply = [ciphertext.as_ref(), key.public()].concat();
    Ok((reply, combine(pq.as_ref(), &classic)))
}

/// Parts the ML-KEM value, `pq_len` bytes, from the X25519 key behind it.
fn split<'a>(
    bytes: &'a [u8],
    pq_len: usize,
    value: &'static str,
) -> Result<(&'a [u8], &'a [u8]), KexError> {
    let expected = pq_len + X25519_LEN;
    match bytes.split_at_checked(pq_len) {
        Some(parts) if bytes.len() == expected => Ok(parts),
        _ => Err(KexError::WrongLength {
            value,
            expected,
            actual: bytes.len(),
        }),
    }
}

fn combine(pq: &[u8], classic: &[u8]) -> SharedSecret {
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(pq);
    hash.update(classic);
    let mut secret = Zeroizing::new(Vec::with_capacity(digest::SHA256_OUTPUT_LEN));
    finish_secret(hash, &mut secret);
    SharedSecret::string(secret)
}

#[cfg(test)]
mod tests {
    use super::super::vectors::{ALICE_BOB_SHARED, hex};
    use super::*;

    /// K made with Python: `hashlib.sha256(b"\x11" * 32 + shared)`.
    #[test]
    fn secret_is_a_string_of_the_hash_of_both_secrets() {
        let secret = combine(&[0x11; 32], &hex(ALICE_BOB_SHARED));
        let k = hex("184e1a66dc878c918acaf58add91eeab4937ec89281c2b9d574e062ab105e9f7");
        assert_eq!(
            secret.to_wire().as_slice(),
            [&[0, 0, 0, 32], &k[..]].concat()
        );
    }

    #[test]
    fn secret_with_high_or_zero_first_byte_stays_32_bytes() {
        for first in [0x00, 0x80] {
            let mut k = vec![7; 32];
            k[0] = first;
            let wire = SharedSecret::string(Zeroizing::new(k.clone())).to_wire();
            assert_eq!(wire.as_slice(), [&[0, 0, 0, 32], &k[..]].concat());
        }
    }

    #[test]
    fn public_values_have_the_lengths_of_the_draft() {
        let (_, init) = HybridClient::start().unwrap();
        assert_eq!(init.len(), 1216);
        let (reply, _) = respond(&init).unwrap();
        assert_eq!(reply.len(), 1120);
    }

    #[test]
    fn encapsulation_key_with_unreduced_coefficients_is_refused() {
        let (_, mut init) = HybridClient::start().unwrap();
        init[..3].fill(0xff);
        assert_eq!(
            respond(&init).unwrap_err(),
            KexError::Refused {
                value: "C_INIT",
                by: "ML-KEM-768"
            }
        );
    }

    #[test]
    fn x25519_half_of_small_order_is_refused() {
        let (client, mut init) = HybridClient::start().unwrap();
        let (mut reply, _) = respond(&init).unwrap();
        init[ENCAPSULATION_KEY_LEN..].fill(0);
        reply[CIPHERTEXT_LEN..].fill(0);
        for (error, value) in [
            (respond(&init).unwrap_err(), "C_INIT"),
            (client.finish(&reply).unwrap_err(), "S_REPLY"),
        ] {
            assert_eq!(
                error,
                KexError::Refused {
                    value,
                    by: "X25519"
                }
            );
        }
    }

    #[test]
    fn tampered_ciphertext_gives_another_secret() {
        let (client, init) = HybridClient::start().unwrap();
        let (mut reply, theirs) = respond(&init).unwrap();
        reply[0] ^= 1;
        let ours = client.finish(&reply).unwrap();
        assert_ne!(ours.to_wire().as_slice(), theirs.to_wire().as_slice());
    }
}

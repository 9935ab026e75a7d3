//! From the shared secret to initialisation vectors, cipher keys and MAC keys (RFC 4253 §7.2).

use aws_lc_rs::digest;
use zeroize::Zeroizing;

use super::hash::finish_secret;
use super::{HashAlgorithm, SharedSecret};

/// Values that the keys of one key exchange are derived from.
#[derive(Debug, Clone, Copy)]
pub struct KeyDerivation<'a> {
    /// The hash of the key exchange algorithm.
    pub hash: HashAlgorithm,
    /// `K`.
    pub secret: &'a SharedSecret,
    /// `H` of this exchange.
    pub exchange_hash: &'a [u8],
    /// `H` of the first exchange of the connection.
    pub session_id: &'a [u8],
}

impl KeyDerivation<'_> {
    /// The first `len` bytes of the key that `letter` stands for:
    ///
    /// | | client to server | server to client |
    /// |---|---|---|
    /// | initialisation vector | `A` | `B` |
    /// | encryption key | `C` | `D` |
    /// | integrity key | `E` | `F` |
    pub fn derive(&self, letter: u8, len: usize) -> Zeroizing<Vec<u8>> {
        // Room for whole blocks: growing would leave a copy of the key in freed memory.
        let room = len.next_multiple_of(self.hash.output_len());
        let mut key = Zeroizing::new(Vec::with_capacity(room));
        while key.len() < len {
            let block = if key.is_empty() {
                self.block(&[&[letter], self.session_id])
            } else {
                self.block(&[&key])
            };
            finish_secret(block, &mut key);
        }
        key.truncate(len);
        key
    }

    /// HASH(K || H || rest), yet to be finished.
    fn block(&self, rest: &[&[u8]]) -> digest::Context {
        let mut context = self.hash.context();
        self.secret.feed(&mut context);
        context.update(self.exchange_hash);
        for part in rest {
            context.update(part);
        }
        context
    }
}

#[cfg(test)]
mod tests {
    use super::super::vectors::{EXCHANGES, SESSION_ID, hex};
    use super::*;

    #[test]
    fn keys_match_an_independent_computation() {
        for case in EXCHANGES {
            let derivation = KeyDerivation {
                hash: case.algorithm.hash(),
                secret: &case.secret(),
                exchange_hash: &hex(case.exchange_hash),
                session_id: SESSION_ID,
            };
            for (letter, key) in case.keys {
                let key = hex(key);
                let derived = derivation.derive(letter, key.len());
                let letter = char::from(letter);
                assert_eq!(*derived, key, "{} {letter}", case.algorithm);
            }
        }
    }

    #[test]
    fn longer_key_begins_with_the_shorter_one() {
        let case = &EXCHANGES[0];
        let derivation = KeyDerivation {
            hash: HashAlgorithm::Sha256,
            secret: &case.secret(),
            exchange_hash: b"H",
            session_id: SESSION_ID,
        };
        let long = derivation.derive(b'E', 129);
        for len in [0, 1, 31, 32, 33, 64, 128] {
            assert_eq!(*derivation.derive(b'E', len), long[..len]);
        }
        assert_eq!(long.len(), 129);
    }
}

//! HMAC over a packet (RFC 4253 §6.4, RFC 6668): `mac(key, sequence_number || bytes)`.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;

use super::{CipherError, MacName};

/// The MAC of one direction.
pub(crate) struct Mac {
    key: hmac::Key,
}

impl Mac {
    /// A MAC under `key`.
    pub(crate) fn new(name: MacName, key: &[u8]) -> Mac {
        let algorithm = match name {
            MacName::HmacSha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            MacName::HmacSha256 | MacName::HmacSha256Etm => hmac::HMAC_SHA256,
            MacName::HmacSha512 | MacName::HmacSha512Etm => hmac::HMAC_SHA512,
        };
        Mac {
            key: hmac::Key::new(algorithm, key),
        }
    }

    /// Length of the tag, in bytes.
    pub(crate) fn tag_len(&self) -> usize {
        self.key.algorithm().digest_algorithm().output_len()
    }

    /// The tag of the packet `bytes` with that number.
    pub(crate) fn sign(&self, sequence_number: u32, bytes: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&sequence_number.to_be_bytes());
        context.update(bytes);
        context.sign()
    }

    /// Compares the tag in constant time.
    pub(crate) fn verify(
        &self,
        sequence_number: u32,
        bytes: &[u8],
        tag: &[u8],
    ) -> Result<(), CipherError> {
        let expected = self.sign(sequence_number, bytes);
        verify_slices_are_equal(expected.as_ref(), tag).map_err(|_| CipherError::BadMac)
    }
}

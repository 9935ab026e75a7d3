//! AES-GCM as SSH uses it (RFC 5647, under the names `aes*-gcm@openssh.com`).
//!
//! ```text
//!   packet_length  │ padding_length  payload  padding │ tag (16)
//!   in clear, AAD  │ encrypted, a multiple of 16      │
//! ```

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use super::{CipherError, CipherName, DirectionKeys, KeyMaterialError, LENGTH_LEN, Verified};

/// Length of the tag, in bytes.
pub(crate) const TAG_LEN: usize = 16;

/// One direction under AES-GCM.
pub(crate) struct AesGcm {
    key: LessSafeKey,
    nonces: Nonces,
}

impl AesGcm {
    /// Takes the key and the initial nonce out of `keys`, whose lengths have been checked.
    pub(crate) fn new(keys: &DirectionKeys) -> Result<AesGcm, KeyMaterialError> {
        let algorithm = match keys.cipher {
            CipherName::Aes128Gcm => &AES_128_GCM,
            CipherName::Aes256Gcm => &AES_256_GCM,
            other => return Err(KeyMaterialError::Refused(other)),
        };
        let refused = KeyMaterialError::Refused(keys.cipher);
        Ok(AesGcm {
            key: LessSafeKey::new(UnboundKey::new(algorithm, &keys.key).map_err(|_| refused)?),
            nonces: Nonces::new(&keys.iv).ok_or(refused)?,
        })
    }

    /// Encrypts a packet in place and writes the tag into its last [`TAG_LEN`] bytes.
    pub(crate) fn seal(&mut self, packet: &mut [u8]) -> Result<(), CipherError> {
        let Parts { length, body, tag } = Parts::of(packet)?;
        self.key
            .seal_in_place_scatter(self.nonces.take(), Aad::from(length), body, &[], tag)
            .map_err(|_| CipherError::Failed)
    }

    /// Authenticates and decrypts a packet in place.
    pub(crate) fn open<'a>(&mut self, packet: &'a mut [u8]) -> Result<Verified<'a>, CipherError> {
        let Parts { length, body, tag } = Parts::of(packet)?;
        // The tag apart: the variant that takes them together moves the plaintext afterwards.
        self.key
            .open_in_place_separate_tag(self.nonces.take(), Aad::from(length), tag, body)
            .map_err(|_| CipherError::BadMac)?;
        Ok(Verified(&packet[..packet.len() - TAG_LEN]))
    }
}

/// Parts of a packet as this cipher sees it.
struct Parts<'a> {
    length: &'a [u8; LENGTH_LEN],
    body: &'a mut [u8],
    tag: &'a mut [u8; TAG_LEN],
}

impl<'a> Parts<'a> {
    fn of(packet: &'a mut [u8]) -> Result<Parts<'a>, CipherError> {
        let (length, rest) = packet.split_first_chunk_mut().ok_or(CipherError::Failed)?;
        let (body, tag) = rest.split_last_chunk_mut().ok_or(CipherError::Failed)?;
        Ok(Parts { length, body, tag })
    }
}

/// The nonces of RFC 5647 §7.1: four fixed bytes and a counter of eight that the packets step.
///
/// The counter starts anywhere and may wrap; it cannot repeat, because the packet layer ends a key
/// after 2^32 packets.
struct Nonces {
    fixed: [u8; 4],
    counter: u64,
}

impl Nonces {
    fn new(iv: &[u8]) -> Option<Nonces> {
        let (fixed, counter) = iv.split_first_chunk()?;
        Some(Nonces {
            fixed: *fixed,
            counter: u64::from_be_bytes(counter.try_into().ok()?),
        })
    }

    fn take(&mut self) -> Nonce {
        let mut nonce = [0; 12];
        nonce[..4].copy_from_slice(&self.fixed);
        nonce[4..].copy_from_slice(&self.counter.to_be_bytes());
        self.counter = self.counter.wrapping_add(1);
        Nonce::assume_unique_for_key(nonce)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_wraps_without_touching_the_fixed_field() {
        let mut iv = [0xff; 12];
        iv[..4].copy_from_slice(&[1, 2, 3, 4]);
        let mut nonces = Nonces::new(&iv).unwrap();
        assert_eq!(nonces.take().as_ref(), &iv);
        assert_eq!(
            nonces.take().as_ref(),
            &[1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0]
        );
    }
}

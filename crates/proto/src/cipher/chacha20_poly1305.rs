//! `chacha20-poly1305@openssh.com` (OpenSSH, `PROTOCOL.chacha20poly1305`).
//!
//! ```text
//!   packet_length      │ padding_length  payload  padding │ tag (16)
//!   encrypted with K_1 │ encrypted with K_2, × 8 bytes    │ Poly1305 over both ciphertexts
//! ```
//!
//! The nonce is the packet's sequence number, so the cipher itself has no state.

use aws_lc_rs::aead::chacha20_poly1305_openssh as primitive;

use super::{CipherError, DirectionKeys, KeyMaterialError, LENGTH_LEN, Verified};

/// Length of the tag, in bytes.
pub(crate) const TAG_LEN: usize = primitive::TAG_LEN;

/// The outbound half.
pub(crate) struct ChaChaSealer(primitive::SealingKey);

impl ChaChaSealer {
    /// Takes the two keys out of `keys`.
    pub(crate) fn new(keys: &DirectionKeys) -> Result<ChaChaSealer, KeyMaterialError> {
        Ok(ChaChaSealer(primitive::SealingKey::new(both_keys(keys)?)))
    }

    /// Encrypts a packet in place and writes the tag into its last [`TAG_LEN`] bytes.
    pub(crate) fn seal(&self, sequence_number: u32, packet: &mut [u8]) -> Result<(), CipherError> {
        let (packet, tag) = packet
            .split_last_chunk_mut::<TAG_LEN>()
            .filter(|(packet, _)| packet.len() > LENGTH_LEN)
            .ok_or(CipherError::Failed)?;
        self.0.seal_in_place(sequence_number, packet, tag);
        Ok(())
    }
}

/// The inbound half.
pub(crate) struct ChaChaOpener(primitive::OpeningKey);

impl ChaChaOpener {
    /// Takes the two keys out of `keys`.
    pub(crate) fn new(keys: &DirectionKeys) -> Result<ChaChaOpener, KeyMaterialError> {
        Ok(ChaChaOpener(primitive::OpeningKey::new(both_keys(keys)?)))
    }

    /// The `packet_length`, not yet authenticated.
    pub(crate) fn length(&self, sequence_number: u32, encrypted: [u8; LENGTH_LEN]) -> u32 {
        u32::from_be_bytes(self.0.decrypt_packet_length(sequence_number, encrypted))
    }

    /// Authenticates and decrypts a packet in place; its length field stays encrypted.
    pub(crate) fn open<'a>(
        &self,
        sequence_number: u32,
        packet: &'a mut [u8],
    ) -> Result<Verified<'a>, CipherError> {
        let (packet, tag) = packet
            .split_last_chunk_mut::<TAG_LEN>()
            .filter(|(packet, _)| packet.len() > LENGTH_LEN)
            .ok_or(CipherError::Failed)?;
        self.0
            .open_in_place(sequence_number, packet, tag)
            .map_err(|_| CipherError::BadMac)?;
        Ok(Verified(packet))
    }
}

fn both_keys(keys: &DirectionKeys) -> Result<&[u8; primitive::KEY_LEN], KeyMaterialError> {
    <&[u8; primitive::KEY_LEN]>::try_from(keys.key.as_slice())
        .map_err(|_| KeyMaterialError::Refused(keys.cipher))
}

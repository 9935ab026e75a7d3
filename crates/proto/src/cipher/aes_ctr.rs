//! AES in counter mode with HMAC beside it (RFC 4344 §4, RFC 4253 §6.4).
//!
//! ```text
//!   encrypt-and-MAC    packet_length  padding_length  payload  padding │ MAC over the plaintext
//!                      encrypted, a multiple of 16                     │
//!   encrypt-then-MAC   packet_length  │ padding_length payload padding │ MAC over the ciphertext
//!                      in clear       │ encrypted, a multiple of 16    │ and the length
//! ```
//!
//! Packets always end on a block, so the key stream is a counter that steps by whole blocks.

use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;

use super::mac::Mac;
use super::{CipherError, CipherName, DirectionKeys, KeyMaterialError, LENGTH_LEN, Verified};

/// Size of an AES block, in bytes.
pub(crate) const BLOCK_LEN: usize = 16;

/// One direction under AES-CTR and HMAC.
pub(crate) struct CtrHmac {
    stream: KeyStream,
    mac: Mac,
    order: Order,
}

/// Input of the MAC.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    /// The plaintext (RFC 4253 §6.4).
    EncryptAndMac,
    /// The ciphertext (`*-etm@openssh.com`).
    EncryptThenMac,
}

impl CtrHmac {
    /// Takes both keys and the initial counter out of `keys`, whose lengths have been checked.
    pub(crate) fn new(keys: &DirectionKeys) -> Result<CtrHmac, KeyMaterialError> {
        let name = keys.mac.ok_or(KeyMaterialError::MacMissing(keys.cipher))?;
        let order = match name.is_etm() {
            true => Order::EncryptThenMac,
            false => Order::EncryptAndMac,
        };
        Ok(CtrHmac {
            stream: KeyStream::new(keys)?,
            mac: Mac::new(name, &keys.mac_key),
            order,
        })
    }

    /// Length of the tag, in bytes.
    pub(crate) fn tag_len(&self) -> usize {
        self.mac.tag_len()
    }

    /// Number of bytes at the packet's front that stay in clear.
    pub(crate) fn clear_len(&self) -> usize {
        match self.order {
            Order::EncryptAndMac => 0,
            Order::EncryptThenMac => LENGTH_LEN,
        }
    }

    /// Encrypts a packet in place and writes the tag into its last bytes.
    pub(crate) fn seal(
        &mut self,
        sequence_number: u32,
        packet: &mut [u8],
    ) -> Result<(), CipherError> {
        let clear_len = self.clear_len();
        let (packet, tag) = self.split(packet)?;
        let signed = match self.order {
            Order::EncryptAndMac => {
                let signed = self.mac.sign(sequence_number, packet);
                self.stream.apply(&mut packet[clear_len..])?;
                signed
            }
            Order::EncryptThenMac => {
                self.stream.apply(&mut packet[clear_len..])?;
                self.mac.sign(sequence_number, packet)
            }
        };
        tag.copy_from_slice(signed.as_ref());
        Ok(())
    }

    /// The `packet_length` out of the packet's first block, not yet authenticated.
    ///
    /// Neither the input nor the key stream moves: [`CtrHmac::open`] decrypts the block again.
    pub(crate) fn length(&self, mut first: [u8; BLOCK_LEN]) -> Result<u32, CipherError> {
        if self.order == Order::EncryptAndMac {
            self.stream.peek(&mut first)?;
        }
        let [a, b, c, d, ..] = first;
        Ok(u32::from_be_bytes([a, b, c, d]))
    }

    /// Authenticates and decrypts a packet in place.
    pub(crate) fn open<'a>(
        &mut self,
        sequence_number: u32,
        packet: &'a mut [u8],
    ) -> Result<Verified<'a>, CipherError> {
        let clear_len = self.clear_len();
        let (packet, tag) = self.split(packet)?;
        match self.order {
            Order::EncryptThenMac => {
                self.mac.verify(sequence_number, packet, tag)?;
                self.stream.apply(&mut packet[clear_len..])?;
            }
            Order::EncryptAndMac => {
                self.stream.apply(&mut packet[clear_len..])?;
                if let Err(error) = self.mac.verify(sequence_number, packet, tag) {
                    // Here the plaintext is written before the MAC is checked: take it back.
                    packet.fill(0);
                    return Err(error);
                }
            }
        }
        Ok(Verified(packet))
    }

    /// A packet without its tag, and the tag.
    fn split<'a>(&self, packet: &'a mut [u8]) -> Result<(&'a mut [u8], &'a mut [u8]), CipherError> {
        packet
            .len()
            .checked_sub(self.tag_len())
            .filter(|&len| len > LENGTH_LEN)
            .map(|len| packet.split_at_mut(len))
            .ok_or(CipherError::Failed)
    }
}

/// The key stream: AES over a counter of 128 bits.
struct KeyStream {
    key: EncryptingKey,
    counter: u128,
}

impl KeyStream {
    fn new(keys: &DirectionKeys) -> Result<KeyStream, KeyMaterialError> {
        let refused = KeyMaterialError::Refused(keys.cipher);
        let algorithm = match keys.cipher {
            CipherName::Aes128Ctr => &AES_128,
            CipherName::Aes192Ctr => &AES_192,
            CipherName::Aes256Ctr => &AES_256,
            _ => return Err(refused),
        };
        let iv = keys.iv.as_slice().try_into().map_err(|_| refused)?;
        let key = UnboundCipherKey::new(algorithm, &keys.key).and_then(EncryptingKey::ctr);
        Ok(KeyStream {
            key: key.map_err(|_| refused)?,
            counter: u128::from_be_bytes(iv),
        })
    }

    /// Combines `blocks` with the stream and steps past it.
    fn apply(&mut self, blocks: &mut [u8]) -> Result<(), CipherError> {
        debug_assert_eq!(blocks.len() % BLOCK_LEN, 0, "packets end on a block");
        self.peek(blocks)?;
        let steps = blocks.len() / BLOCK_LEN;
        self.counter = self.counter.wrapping_add(steps as u128);
        Ok(())
    }

    /// Combines `blocks` with the stream and stays.
    fn peek(&self, blocks: &mut [u8]) -> Result<(), CipherError> {
        let counter = FixedLength::from(self.counter.to_be_bytes());
        self.key
            .less_safe_encrypt(blocks, EncryptionContext::Iv128(counter))
            .map(drop)
            .map_err(|_| CipherError::Failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cipher::MacName;
    use zeroize::Zeroizing;

    fn stream(iv: u128) -> KeyStream {
        KeyStream::new(&DirectionKeys {
            cipher: CipherName::Aes192Ctr,
            mac: Some(MacName::HmacSha256),
            key: Zeroizing::new(vec![7; 24]),
            iv: Zeroizing::new(iv.to_be_bytes().to_vec()),
            mac_key: Zeroizing::new(vec![0; 32]),
        })
        .unwrap()
    }

    #[test]
    fn the_counter_carries_through_all_of_its_128_bits() {
        for start in [
            u128::MAX - 1,
            u128::from(u32::MAX) - 1,
            u128::from(u64::MAX) - 1,
        ] {
            let mut whole = [0; 64];
            stream(start).apply(&mut whole).unwrap();
            let mut stepwise = [0; 64];
            let mut by_block = stream(start);
            for block in stepwise.chunks_mut(BLOCK_LEN) {
                by_block.apply(block).unwrap();
            }
            assert_eq!(whole, stepwise);
        }
    }
}

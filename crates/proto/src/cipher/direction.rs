//! One direction's cipher, whichever family it is of: what the packet layer works with.

use super::aes_ctr::{BLOCK_LEN, CtrHmac};
use super::aes_gcm::{self, AesGcm};
use super::chacha20_poly1305::{self, ChaChaOpener, ChaChaSealer};
use super::{
    CipherError, CipherName, DirectionKeys, KeyMaterialError, LENGTH_LEN, MIN_PADDING, Verified,
};
use crate::residue::without_residue;

/// Layout of a cipher's packets; all lengths in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Framing {
    /// The encrypted part is a multiple of this.
    block_size: usize,
    /// Bytes of the front outside the encrypted part: those of the length field, or 0.
    apart: usize,
    /// Bytes that follow the packet.
    tag_len: usize,
    /// Bytes of the front that tell the packet's length.
    front_len: usize,
}

impl Framing {
    /// Before the first `SSH_MSG_NEWKEYS` (RFC 4253 §6).
    const NONE: Framing = Framing {
        block_size: 8,
        apart: 0,
        tag_len: 0,
        front_len: LENGTH_LEN,
    };

    /// AES-GCM: the length in clear and apart.
    const AES_GCM: Framing = Framing {
        block_size: BLOCK_LEN,
        apart: LENGTH_LEN,
        tag_len: aes_gcm::TAG_LEN,
        front_len: LENGTH_LEN,
    };

    /// ChaCha20-Poly1305: the length encrypted by itself.
    const CHACHA: Framing = Framing {
        block_size: 8,
        apart: LENGTH_LEN,
        tag_len: chacha20_poly1305::TAG_LEN,
        front_len: LENGTH_LEN,
    };

    fn ctr(cipher: &CtrHmac) -> Framing {
        Framing {
            block_size: BLOCK_LEN,
            apart: cipher.clear_len(),
            tag_len: cipher.tag_len(),
            front_len: BLOCK_LEN,
        }
    }

    /// The padding for a payload of that length: as little as is allowed.
    pub(crate) fn padding_len(&self, payload_len: usize) -> usize {
        let aligned = LENGTH_LEN + 1 + payload_len + MIN_PADDING - self.apart;
        let missing = aligned.next_multiple_of(self.block_size) - aligned;
        MIN_PADDING + missing
    }

    /// Length of the tag or MAC that follows the packet, in bytes.
    pub(crate) fn tag_len(&self) -> usize {
        self.tag_len
    }

    /// Length of the front that tells the packet's length, in bytes.
    pub(crate) fn front_len(&self) -> usize {
        self.front_len
    }

    /// True if a packet of that `packet_length` ends on a block.
    pub(crate) fn is_aligned(&self, packet_length: usize) -> bool {
        (LENGTH_LEN + packet_length - self.apart).is_multiple_of(self.block_size)
    }
}

/// The outbound cipher.
pub(crate) enum SealingCipher {
    /// None yet.
    None,
    /// AES-GCM.
    AesGcm(AesGcm),
    /// ChaCha20-Poly1305.
    ChaCha(Box<ChaChaSealer>),
    /// AES-CTR with HMAC.
    Ctr(Box<CtrHmac>),
}

impl SealingCipher {
    /// The cipher that `keys` are for.
    pub(crate) fn new(keys: &DirectionKeys) -> Result<SealingCipher, KeyMaterialError> {
        keys.check()?;
        without_residue(|| Self::of(keys))
    }

    /// The keys come to rest on the heap: the cipher itself is moved on.
    fn of(keys: &DirectionKeys) -> Result<SealingCipher, KeyMaterialError> {
        Ok(match keys.cipher {
            CipherName::Aes128Gcm | CipherName::Aes256Gcm => {
                SealingCipher::AesGcm(AesGcm::new(keys)?)
            }
            CipherName::ChaCha20Poly1305 => {
                SealingCipher::ChaCha(Box::new(ChaChaSealer::new(keys)?))
            }
            CipherName::Aes128Ctr | CipherName::Aes192Ctr | CipherName::Aes256Ctr => {
                SealingCipher::Ctr(Box::new(CtrHmac::new(keys)?))
            }
        })
    }

    /// Layout of its packets.
    pub(crate) fn framing(&self) -> Framing {
        match self {
            SealingCipher::None => Framing::NONE,
            SealingCipher::AesGcm(_) => Framing::AES_GCM,
            SealingCipher::ChaCha(_) => Framing::CHACHA,
            SealingCipher::Ctr(cipher) => Framing::ctr(cipher),
        }
    }

    /// Encrypts a framed packet in place and writes its tag behind it.
    pub(crate) fn seal(
        &mut self,
        sequence_number: u32,
        packet: &mut [u8],
    ) -> Result<(), CipherError> {
        match self {
            SealingCipher::None => Ok(()),
            SealingCipher::AesGcm(cipher) => cipher.seal(packet),
            SealingCipher::ChaCha(cipher) => cipher.seal(sequence_number, packet),
            SealingCipher::Ctr(cipher) => cipher.seal(sequence_number, packet),
        }
    }
}

/// The inbound cipher.
pub(crate) enum OpeningCipher {
    /// None yet.
    None,
    /// AES-GCM.
    AesGcm(AesGcm),
    /// ChaCha20-Poly1305.
    ChaCha(Box<ChaChaOpener>),
    /// AES-CTR with HMAC.
    Ctr(Box<CtrHmac>),
}

impl OpeningCipher {
    /// The cipher that `keys` are for.
    pub(crate) fn new(keys: &DirectionKeys) -> Result<OpeningCipher, KeyMaterialError> {
        keys.check()?;
        without_residue(|| Self::of(keys))
    }

    /// The keys come to rest on the heap: the cipher itself is moved on.
    fn of(keys: &DirectionKeys) -> Result<OpeningCipher, KeyMaterialError> {
        Ok(match keys.cipher {
            CipherName::Aes128Gcm | CipherName::Aes256Gcm => {
                OpeningCipher::AesGcm(AesGcm::new(keys)?)
            }
            CipherName::ChaCha20Poly1305 => {
                OpeningCipher::ChaCha(Box::new(ChaChaOpener::new(keys)?))
            }
            CipherName::Aes128Ctr | CipherName::Aes192Ctr | CipherName::Aes256Ctr => {
                OpeningCipher::Ctr(Box::new(CtrHmac::new(keys)?))
            }
        })
    }

    /// Layout of its packets.
    pub(crate) fn framing(&self) -> Framing {
        match self {
            OpeningCipher::None => Framing::NONE,
            OpeningCipher::AesGcm(_) => Framing::AES_GCM,
            OpeningCipher::ChaCha(_) => Framing::CHACHA,
            OpeningCipher::Ctr(cipher) => Framing::ctr(cipher),
        }
    }

    /// The `packet_length`, not yet authenticated; changes nothing.
    ///
    /// `front` is the packet's first [`Framing::front_len`] bytes.
    pub(crate) fn length(&self, sequence_number: u32, front: &[u8]) -> Result<u32, CipherError> {
        let field = *front.first_chunk().ok_or(CipherError::Failed)?;
        match self {
            OpeningCipher::None | OpeningCipher::AesGcm(_) => Ok(u32::from_be_bytes(field)),
            OpeningCipher::ChaCha(cipher) => Ok(cipher.length(sequence_number, field)),
            OpeningCipher::Ctr(cipher) => {
                cipher.length(*front.first_chunk().ok_or(CipherError::Failed)?)
            }
        }
    }

    /// Authenticates and decrypts a whole packet in place; `packet` ends with its tag.
    pub(crate) fn open<'a>(
        &mut self,
        sequence_number: u32,
        packet: &'a mut [u8],
    ) -> Result<Verified<'a>, CipherError> {
        match self {
            OpeningCipher::None => Ok(Verified(packet)),
            OpeningCipher::AesGcm(cipher) => cipher.open(packet),
            OpeningCipher::ChaCha(cipher) => cipher.open(sequence_number, packet),
            OpeningCipher::Ctr(cipher) => cipher.open(sequence_number, packet),
        }
    }
}

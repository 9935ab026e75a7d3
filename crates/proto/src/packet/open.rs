//! The inbound half: a packet at the front of the bytes received is checked, decrypted and unframed.

use std::fmt;
use std::ops::Range;

use super::{MAX_PACKET_LEN, MAX_PAYLOAD_LEN, SequenceReset, Usage};
use crate::cipher::direction::{Framing, OpeningCipher};
use crate::cipher::{CipherError, DirectionKeys, KeyMaterialError, LENGTH_LEN, MIN_PADDING};
use crate::compression::{CompressionError, Decompressor};

/// Opens the packets of one direction.
///
/// - getters: [`usage`](Opener::usage), [`next_sequence_number`](Opener::next_sequence_number),
///   [`is_decompressing`](Opener::is_decompressing)
/// - commands: [`install`](Opener::install), [`start_decompression`](Opener::start_decompression)
/// - work: [`open`](Opener::open)
pub struct Opener {
    cipher: OpeningCipher,
    framing: Framing,
    decompressor: Option<Decompressor>,
    sequence_number: u32,
    usage: Usage,
    /// The length of the packet that is still arriving, once it could be read and was legal.
    packet_length: Option<usize>,
    /// The error that ended this direction: a peer gets no second try at a tag.
    failed: Option<PacketOpenError>,
}

/// Result of [`Opener::open`] at the front of the input.
#[derive(Debug, PartialEq, Eq)]
pub enum Opened {
    /// Not a whole packet yet; nothing was changed.
    Incomplete {
        /// Length of the whole input, in bytes, that another try needs to get further.
        at_least: usize,
    },
    /// A packet, authenticated and decrypted.
    Packet {
        /// Its payload.
        body: Body,
        /// Number of bytes that it took at the front of the input.
        consumed: usize,
        /// Its number, for `SSH_MSG_UNIMPLEMENTED`.
        sequence_number: u32,
    },
}

/// A payload: where it lies in the input, or on its own if it had to be inflated.
#[derive(Debug, PartialEq, Eq)]
pub enum Body {
    /// The bytes of the input in that range, which lies within the packet.
    InPlace(Range<usize>),
    /// Bytes that were compressed in the packet.
    Inflated(Vec<u8>),
}

impl Body {
    /// The payload; `input` is what [`Opener::open`] was given.
    ///
    /// # Panics
    /// If `input` is shorter than what `open` was given.
    pub fn as_slice<'a>(&'a self, input: &'a [u8]) -> &'a [u8] {
        match self {
            Body::InPlace(range) => &input[range.clone()],
            Body::Inflated(bytes) => bytes,
        }
    }
}

impl Opener {
    /// A direction before its first `SSH_MSG_NEWKEYS`: no cipher, no MAC, sequence number 0.
    pub fn new() -> Opener {
        let cipher = OpeningCipher::None;
        Opener {
            framing: cipher.framing(),
            cipher,
            decompressor: None,
            sequence_number: 0,
            usage: Usage::default(),
            packet_length: None,
            failed: None,
        }
    }

    /// Opens with `keys` from now on: to be called right after the peer's `SSH_MSG_NEWKEYS`, before
    /// the bytes that follow it are looked at.
    ///
    /// Decompression ends: RFC 4253 §6.2 has it begin anew after each key exchange, so call
    /// [`start_decompression`](Opener::start_decompression) again if it is still agreed on.
    ///
    /// # Errors
    /// If `keys` are not what their names ask for; then nothing has changed.
    pub fn install(
        &mut self,
        keys: DirectionKeys,
        seq: SequenceReset,
    ) -> Result<(), KeyMaterialError> {
        self.cipher = OpeningCipher::new(&keys)?;
        self.framing = self.cipher.framing();
        self.decompressor = None;
        self.usage = Usage::default();
        // A length read with the old keys means nothing under the new ones.
        self.packet_length = None;
        if seq == SequenceReset::Restart {
            self.sequence_number = 0;
        }
        Ok(())
    }

    /// Inflates payloads from now on, as a new stream (RFC 4253 §6.2).
    pub fn start_decompression(&mut self) {
        self.decompressor = Some(Decompressor::new());
    }

    /// True if payloads are inflated.
    pub fn is_decompressing(&self) -> bool {
        self.decompressor.is_some()
    }

    /// Looks at the front of `input`, and opens the packet there if all of it has arrived.
    ///
    /// After [`Opened::Incomplete`] call again with the same bytes and more behind them. After
    /// [`Opened::Packet`] the next packet begins at `consumed`.
    ///
    /// # Errors
    /// Every error is final: the connection must end, and further calls give the same error. The
    /// packet's bytes in `input` are then meaningless.
    pub fn open(&mut self, input: &mut [u8]) -> Result<Opened, PacketOpenError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let result = self.try_open(input);
        self.failed = result.as_ref().err().copied();
        result
    }

    /// Traffic opened since the last [`install`](Opener::install).
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// The number of the next packet.
    pub fn next_sequence_number(&self) -> u32 {
        self.sequence_number
    }

    fn try_open(&mut self, input: &mut [u8]) -> Result<Opened, PacketOpenError> {
        let Some(packet_length) = self.read_length(input)? else {
            let at_least = self.framing.front_len();
            return Ok(Opened::Incomplete { at_least });
        };
        let consumed = LENGTH_LEN + packet_length + self.framing.tag_len();
        let Some(packet) = input.get_mut(..consumed) else {
            return Ok(Opened::Incomplete { at_least: consumed });
        };
        let verified = self.cipher.open(self.sequence_number, packet)?;
        let payload = verified.payload().ok_or(PacketOpenError::BadPadding)?;
        let body = match &mut self.decompressor {
            None => Body::InPlace(payload),
            Some(stream) => Body::Inflated(stream.inflate(&input[payload], MAX_PAYLOAD_LEN)?),
        };
        let sequence_number = self.sequence_number;
        self.sequence_number = sequence_number.wrapping_add(1);
        self.usage.add(consumed);
        self.packet_length = None;
        Ok(Opened::Packet {
            body,
            consumed,
            sequence_number,
        })
    }

    /// The length of the packet at the front, in bounds; `None` if too little of it is there.
    fn read_length(&mut self, input: &[u8]) -> Result<Option<usize>, PacketOpenError> {
        if self.packet_length.is_none() {
            let Some(front) = input.get(..self.framing.front_len()) else {
                return Ok(None);
            };
            if self.usage.is_exhausted() {
                return Err(PacketOpenError::SequenceExhausted);
            }
            let claimed = self.cipher.length(self.sequence_number, front)?;
            self.packet_length = Some(self.check_length(claimed)?);
        }
        Ok(self.packet_length)
    }

    /// Refuses a length before anybody waits for that many bytes.
    fn check_length(&self, claimed: u32) -> Result<usize, PacketOpenError> {
        usize::try_from(claimed)
            .ok()
            .filter(|n| (1 + MIN_PADDING..=MAX_PACKET_LEN).contains(n))
            .filter(|&n| self.framing.is_aligned(n))
            .ok_or(PacketOpenError::BadLength(claimed))
    }
}

impl Default for Opener {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener")
            .field("sequence_number", &self.sequence_number)
            .field("usage", &self.usage)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

/// Reason why a packet was not opened; each ends the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PacketOpenError {
    /// `packet_length` is too small, above [`MAX_PACKET_LEN`], or no multiple of the block size.
    BadLength(u32),
    /// `padding_length` is below four or beyond the packet.
    BadPadding,
    /// The packet was changed on its way, or sealed with other keys.
    BadMac,
    /// The payload is not the continuation of the `zlib` stream.
    Decompress,
    /// The payload inflates to more than [`MAX_PAYLOAD_LEN`].
    TooLarge,
    /// The key has carried 2^32 packets.
    SequenceExhausted,
    /// The cryptographic library failed where it cannot.
    CipherFailed,
}

impl From<CipherError> for PacketOpenError {
    fn from(error: CipherError) -> Self {
        match error {
            CipherError::BadMac => PacketOpenError::BadMac,
            CipherError::Failed => PacketOpenError::CipherFailed,
        }
    }
}

impl From<CompressionError> for PacketOpenError {
    fn from(error: CompressionError) -> Self {
        match error {
            CompressionError::Corrupt => PacketOpenError::Decompress,
            CompressionError::TooLarge => PacketOpenError::TooLarge,
        }
    }
}

impl fmt::Display for PacketOpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PacketOpenError::BadLength(n) => write!(f, "bad packet length {n}"),
            PacketOpenError::BadPadding => write!(f, "bad padding length in packet"),
            PacketOpenError::BadMac => write!(f, "message authentication code incorrect"),
            PacketOpenError::Decompress => write!(f, "packet payload is no valid compressed data"),
            PacketOpenError::TooLarge => write!(
                f,
                "packet payload inflates to more than {MAX_PAYLOAD_LEN} bytes"
            ),
            PacketOpenError::SequenceExhausted => {
                write!(f, "no sequence number is left under the inbound key")
            }
            PacketOpenError::CipherFailed => write!(f, "packet could not be decrypted"),
        }
    }
}

impl std::error::Error for PacketOpenError {}

#[cfg(test)]
impl Opener {
    /// Pretends that the key has carried `packets` packets.
    pub(super) fn pretend_packets(&mut self, packets: u64) {
        self.usage.packets = packets;
    }

    /// Pretends that `number` is next.
    pub(super) fn pretend_next(&mut self, number: u32) {
        self.sequence_number = number;
    }
}

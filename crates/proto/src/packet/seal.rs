//! The outbound half: a payload gets its header, padding and tag, and is encrypted.

use std::fmt;

use super::{HEADER_LEN, MAX_PAYLOAD_LEN, SequenceReset, Usage};
use crate::cipher::direction::{Framing, SealingCipher};
use crate::cipher::{DirectionKeys, KeyMaterialError, LENGTH_LEN};
use crate::compression::Compressor;

/// Seals the packets of one direction.
///
/// - getters: [`sealed_len`](Sealer::sealed_len), [`usage`](Sealer::usage),
///   [`next_sequence_number`](Sealer::next_sequence_number), [`is_compressing`](Sealer::is_compressing)
/// - commands: [`install`](Sealer::install), [`start_compression`](Sealer::start_compression)
/// - work: [`seal`](Sealer::seal) in place, [`seal_message`](Sealer::seal_message) with a copy
pub struct Sealer {
    cipher: SealingCipher,
    framing: Framing,
    padding: PaddingPool,
    compressor: Option<Compressor>,
    sequence_number: u32,
    usage: Usage,
}

impl Sealer {
    /// A direction before its first `SSH_MSG_NEWKEYS`: no cipher, no MAC, sequence number 0.
    pub fn new() -> Sealer {
        let cipher = SealingCipher::None;
        Sealer {
            framing: cipher.framing(),
            cipher,
            padding: PaddingPool::new([0; 256]),
            compressor: None,
            sequence_number: 0,
            usage: Usage::default(),
        }
    }

    /// Seals with `keys` from now on: to be called right after our `SSH_MSG_NEWKEYS` was sealed.
    ///
    /// `padding` is 256 random bytes, from which padding is drawn round and round. Compression
    /// ends: RFC 4253 §6.2 has it begin anew after each key exchange, so call
    /// [`start_compression`](Sealer::start_compression) again if it is still agreed on.
    ///
    /// # Errors
    /// If `keys` are not what their names ask for; then nothing has changed.
    pub fn install(
        &mut self,
        keys: DirectionKeys,
        padding: [u8; 256],
        seq: SequenceReset,
    ) -> Result<(), KeyMaterialError> {
        self.cipher = SealingCipher::new(&keys)?;
        self.framing = self.cipher.framing();
        self.padding = PaddingPool::new(padding);
        self.compressor = None;
        self.usage = Usage::default();
        if seq == SequenceReset::Restart {
            self.sequence_number = 0;
        }
        Ok(())
    }

    /// Compresses payloads from now on, as a new stream (RFC 4253 §6.2).
    pub fn start_compression(&mut self) {
        self.compressor = Some(Compressor::new());
    }

    /// True if payloads are compressed, so that only [`seal_message`](Sealer::seal_message) may be used.
    pub fn is_compressing(&self) -> bool {
        self.compressor.is_some()
    }

    /// The bytes on the wire of a payload of that length: header, padding and tag included.
    pub fn sealed_len(&self, payload_len: usize) -> usize {
        HEADER_LEN + payload_len + self.framing.padding_len(payload_len) + self.framing.tag_len()
    }

    /// Makes `packet` ready for the wire, in place.
    ///
    /// `packet` is [`sealed_len`](Sealer::sealed_len)`(payload_len)` bytes long and has the payload
    /// at [`HEADER_LEN`]; everything around it is written here.
    ///
    /// # Errors
    /// None of them has used up a sequence number, and the packet must not be sent.
    pub fn seal(&mut self, packet: &mut [u8], payload_len: usize) -> Result<(), SealError> {
        if self.is_compressing() {
            return Err(SealError::Compressing);
        }
        self.seal_payload(packet, payload_len)
    }

    /// Appends the packet with that payload to `out`, compressed if compression is on.
    ///
    /// # Errors
    /// `out` is then as it was. [`SealError::CompressFailed`] is final: the peer could inflate nothing
    /// that came after.
    pub fn seal_message(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), SealError> {
        let start = out.len();
        let result = self.append(payload, out);
        if result.is_err() {
            out.truncate(start);
        }
        result
    }

    /// Traffic sealed since the last [`install`](Sealer::install).
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// The number of the next packet.
    pub fn next_sequence_number(&self) -> u32 {
        self.sequence_number
    }

    fn append(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), SealError> {
        if self.usage.is_exhausted() {
            return Err(SealError::SequenceExhausted);
        }
        if payload.len() > MAX_PAYLOAD_LEN {
            return Err(SealError::TooLarge(payload.len()));
        }
        let start = out.len();
        out.reserve(self.sealed_len(payload.len()));
        out.extend_from_slice(&[0; HEADER_LEN]);
        match &mut self.compressor {
            Some(compressor) => compressor
                .compress(payload, out, MAX_PAYLOAD_LEN)
                .map_err(|_| SealError::CompressFailed)?,
            None => out.extend_from_slice(payload),
        }
        let payload_len = out.len() - start - HEADER_LEN;
        out.resize(start + self.sealed_len(payload_len), 0);
        self.seal_payload(&mut out[start..], payload_len)
    }

    /// Writes header and padding, encrypts, and counts.
    fn seal_payload(&mut self, packet: &mut [u8], payload_len: usize) -> Result<(), SealError> {
        if payload_len > MAX_PAYLOAD_LEN {
            return Err(SealError::TooLarge(payload_len));
        }
        if self.usage.is_exhausted() {
            return Err(SealError::SequenceExhausted);
        }
        let padding_len = self.framing.padding_len(payload_len);
        let packet_length = 1 + payload_len + padding_len;
        let needed = LENGTH_LEN + packet_length + self.framing.tag_len();
        if packet.len() != needed {
            return Err(SealError::BufferLength {
                needed,
                given: packet.len(),
            });
        }
        // Both casts are exact: MAX_PAYLOAD_LEN bounds the one, the block size the other.
        packet[..LENGTH_LEN].copy_from_slice(&(packet_length as u32).to_be_bytes());
        packet[LENGTH_LEN] = padding_len as u8;
        let padding_at = HEADER_LEN + payload_len;
        packet[padding_at..padding_at + padding_len]
            .copy_from_slice(self.padding.take(padding_len));
        self.cipher
            .seal(self.sequence_number, packet)
            .map_err(|_| SealError::CipherFailed)?;
        self.sequence_number = self.sequence_number.wrapping_add(1);
        self.usage.add(packet.len());
        Ok(())
    }
}

impl Default for Sealer {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer")
            .field("sequence_number", &self.sequence_number)
            .field("usage", &self.usage)
            .finish_non_exhaustive()
    }
}

/// Random bytes that serve as padding, round and round.
///
/// Padding only has to be unpredictable before it is encrypted with a fresh key stream; that it
/// repeats tells nobody anything.
struct PaddingPool {
    bytes: [u8; 256],
    next: usize,
}

impl PaddingPool {
    fn new(bytes: [u8; 256]) -> PaddingPool {
        PaddingPool { bytes, next: 0 }
    }

    /// The next `n` bytes in one piece, `n` being far below 256: what is left of a round is skipped.
    fn take(&mut self, n: usize) -> &[u8] {
        if self.next + n > self.bytes.len() {
            self.next = 0;
        }
        let start = self.next;
        self.next += n;
        &self.bytes[start..start + n]
    }
}

/// Reason why a packet was not sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealError {
    /// The payload has that many bytes, more than [`MAX_PAYLOAD_LEN`].
    TooLarge(usize),
    /// The buffer is not as long as [`Sealer::sealed_len`] says.
    BufferLength {
        /// Room that `sealed_len` asks for, in bytes.
        needed: usize,
        /// Room that was given, in bytes.
        given: usize,
    },
    /// [`Sealer::seal`] was called while compression is on.
    Compressing,
    /// The payload could not be compressed, or is noise and grew beyond [`MAX_PAYLOAD_LEN`].
    CompressFailed,
    /// The key has carried 2^32 packets and must be replaced first.
    SequenceExhausted,
    /// The cryptographic library failed where it cannot.
    CipherFailed,
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SealError::TooLarge(n) => write!(
                f,
                "payload of {n} bytes is longer than the {MAX_PAYLOAD_LEN} that a packet takes"
            ),
            SealError::BufferLength { needed, given } => write!(
                f,
                "packet buffer has {given} bytes where {needed} are needed"
            ),
            SealError::Compressing => {
                write!(
                    f,
                    "packet cannot be sealed in place while compression is on"
                )
            }
            SealError::CompressFailed => write!(f, "payload could not be compressed"),
            SealError::SequenceExhausted => {
                write!(f, "no sequence number is left under the outbound key")
            }
            SealError::CipherFailed => write!(f, "packet could not be encrypted"),
        }
    }
}

impl std::error::Error for SealError {}

#[cfg(test)]
impl Sealer {
    /// Pretends that the key has carried `packets` packets.
    pub(super) fn pretend_packets(&mut self, packets: u64) {
        self.usage.packets = packets;
    }

    /// Pretends that `number` is next.
    pub(super) fn pretend_next(&mut self, number: u32) {
        self.sequence_number = number;
    }
}

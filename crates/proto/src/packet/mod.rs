//! The binary packet layer (RFC 4253 §6): payloads become packets on the wire, and back.
//!
//! ```text
//!    0            4               5                                           sealed_len
//!    ┌────────────┬───────────────┬───────────────┬────────────────┬──────────────┐
//!    │packet_len. │padding_length │ payload       │ padding (4..)  │ tag          │
//!    └────────────┴───────────────┴───────────────┴────────────────┴──────────────┘
//!    ╰───────── HEADER_LEN ───────╯
//! ```
//!
//! A [`Sealer`] is the outbound half and an [`Opener`] the inbound half; they share nothing, so
//! each may live on a processor of its own. Both work in place: the caller leaves room around the
//! payload, and gets back where a payload lies in its own buffer. Without compression nothing is
//! copied, and nothing allocated.

mod open;
mod seal;

pub use open::{Body, Opened, Opener, PacketOpenError};
pub use seal::{SealError, Sealer};

use crate::cipher::LENGTH_LEN;

/// `packet_length` and `padding_length`, in bytes: the payload begins here.
pub const HEADER_LEN: usize = LENGTH_LEN + 1;

/// The largest `packet_length` sealed or opened, in bytes.
///
/// RFC 4253 §6.1 asks for 35,000 and OpenSSH takes 256 KiB; the slack lets 256 KiB of channel data
/// travel in one packet between two ends that have agreed on it.
pub const MAX_PACKET_LEN: usize = 256 * 1024 + 1024;

/// The largest payload sealed, and the most that a compressed one may inflate to, in bytes.
pub const MAX_PAYLOAD_LEN: usize = MAX_PACKET_LEN - 32;

/// Number of packets that one key may carry, so that no sequence number serves it twice.
const PACKETS_PER_KEY: u64 = 1 << 32;

/// Treatment of the sequence number when keys are installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SequenceReset {
    /// It starts again at zero (strict key exchange, `kex-strict-*-v00@openssh.com`).
    Restart,
    /// It goes on (RFC 4253 §6.4).
    Continue,
}

/// Traffic of one direction since its keys were installed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Number of packets.
    pub packets: u64,
    /// Their bytes on the wire, tags included.
    pub bytes: u64,
}

impl Usage {
    fn add(&mut self, wire_len: usize) {
        self.packets += 1;
        self.bytes = self.bytes.saturating_add(wire_len as u64);
    }

    fn is_exhausted(&self) -> bool {
        self.packets >= PACKETS_PER_KEY
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;

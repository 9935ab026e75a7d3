//! Counters per connection and per forward, as plain data that anybody may read at any time.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

/// A number that one task counts up and others read.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Takes `n` back, for numbers that go up and down.
    pub fn sub(&self, n: u64) {
        self.0.fetch_sub(n, Ordering::Relaxed);
    }

    /// The value.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Bytes of one SSH connection, as they stand on the wire.
#[derive(Debug, Default)]
pub struct ConnectionCounters {
    /// Bytes received.
    pub received: Counter,
    /// Packets received.
    pub packets_received: Counter,
    /// Key exchanges completed.
    pub key_exchanges: Counter,
}

/// Counters of what one forward has carried.
#[derive(Debug, Default)]
pub struct ForwardCounters {
    /// Connections that are open now.
    pub open: Counter,
    /// Connections ever opened.
    pub opened: Counter,
    /// Connections that could not be opened.
    pub failed: Counter,
    /// Application bytes towards the peer.
    pub sent: Counter,
    /// Application bytes from the peer.
    pub received: Counter,
}

/// Values of `ForwardCounters` at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ForwardStatus {
    /// Connections that are open now.
    pub open: u64,
    /// Connections ever opened.
    pub opened: u64,
    /// Connections that could not be opened.
    pub failed: u64,
    /// Application bytes towards the peer.
    pub sent_bytes: u64,
    /// Application bytes from the peer.
    pub received_bytes: u64,
}

impl ForwardCounters {
    /// The values now.
    pub fn status(&self) -> ForwardStatus {
        ForwardStatus {
            open: self.open.value(),
            opened: self.opened.value(),
            failed: self.failed.value(),
            sent_bytes: self.sent.value(),
            received_bytes: self.received.value(),
        }
    }
}

//! State of a tunnel, of a connection and of each forward, with counters: plain data that anybody may read at any time.

use std::fmt;
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

impl ConnectionCounters {
    /// The values now.
    pub fn status(&self) -> WireStatus {
        WireStatus {
            received_bytes: self.received.value(),
            packets_received: self.packets_received.value(),
            key_exchanges: self.key_exchanges.value(),
        }
    }
}

impl ForwardCounters {
    /// The values now.
    pub fn status(&self) -> Carried {
        Carried {
            open: self.open.value(),
            opened: self.opened.value(),
            failed: self.failed.value(),
            sent_bytes: self.sent.value(),
            received_bytes: self.received.value(),
        }
    }
}

/// Values of [`ConnectionCounters`] at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct WireStatus {
    /// Bytes received.
    pub received_bytes: u64,
    /// Packets received.
    pub packets_received: u64,
    /// Key exchanges completed.
    pub key_exchanges: u64,
}

/// Values of [`ForwardCounters`] at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Carried {
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

/// Number of a forward in its tunnel. None is given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct ForwardId(pub u64);

impl fmt::Display for ForwardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One SSH connection at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConnectionStatus {
    /// The host that it goes to.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The account that is logged in.
    pub user: String,
    /// Counts of what came over the wire.
    #[serde(flatten)]
    pub wire: WireStatus,
}

/// One tunnel at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TunnelStatus {
    /// Its way to the server.
    pub uplink: UplinkStatus,
    /// Its forwards, in the order in which they were asked for.
    pub forwards: Vec<ForwardStatus>,
}

/// The way of a tunnel to its server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum UplinkStatus {
    /// There is a connection.
    Up(ConnectionStatus),
    /// There is none at present.
    Down {
        /// Reason.
        why: String,
        /// Applications that wait for the next.
        waiting: usize,
    },
    /// There will be none any more.
    Over {
        /// Reason.
        why: String,
    },
}

/// One forward at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ForwardStatus {
    /// Its number, by which it is cancelled.
    pub id: ForwardId,
    /// Its name in messages.
    pub label: String,
    /// Its progress.
    #[serde(flatten)]
    pub state: ForwardState,
    /// Traffic that it has carried, over all connections.
    pub carried: Carried,
}

/// Progress of a forward.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum ForwardState {
    /// It listens: here, or at the server.
    Up {
        /// The port that the server chose, where it was asked to.
        allocated_port: Option<u16>,
    },
    /// The server was asked, and has not answered.
    Asked,
    /// The next connection is asked for it.
    Waiting,
    /// The server refuses it on this connection.
    Refused {
        /// Reason that the server gave.
        why: String,
    },
}

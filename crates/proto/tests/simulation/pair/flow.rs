//! What the application at one end of a channel sends and reads: a pattern that shows every lost or swapped byte.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use adit_proto::channels::PeerClose;

/// The pattern repeats after so many bytes; a prime, so that no packet size divides it.
const PERIOD: usize = 65_521;
/// The longest piece the pattern is asked for.
const LONGEST: usize = 256 << 10;
/// How often a paced reader comes by.
const TICK: Duration = Duration::from_millis(10);

static PATTERN: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut state = 0x2545_f491_u32;
    let mut bytes: Vec<u8> = (0..PERIOD)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state >> 11) as u8
        })
        .collect();
    while bytes.len() < PERIOD + LONGEST {
        bytes.extend_from_within(..PERIOD);
    }
    bytes
});

/// The bytes of a stream from `position` on.
pub(crate) fn pattern(position: u64, len: usize) -> &'static [u8] {
    let start = (position % PERIOD as u64) as usize;
    &PATTERN[start..start + len]
}

/// How fast an application reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    AtOnce,
    /// Bytes per second.
    Rate(u64),
    Stalled,
}

/// One channel, seen from the application at one of its ends.
#[derive(Debug)]
pub(crate) struct Flow {
    /// Bytes that the application has ready.
    pub(crate) to_send: u64,
    pub(crate) sent: u64,
    /// A writer that found no window waits for `Writable`.
    pub(crate) blocked: bool,
    pub(crate) pace: Pace,
    pub(crate) received: u64,
    pub(crate) taken: u64,
    next_take: Instant,
    pub(crate) eof: bool,
    pub(crate) closed: Option<PeerClose>,
}

impl Flow {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            to_send: 0,
            sent: 0,
            blocked: false,
            pace: Pace::AtOnce,
            received: 0,
            taken: 0,
            next_take: now,
            eof: false,
            closed: None,
        }
    }

    /// Bytes came; they must be the next ones of the pattern.
    pub(crate) fn receive(&mut self, data: &[u8]) {
        assert!(!self.eof, "data after EOF");
        assert!(
            data == pattern(self.received, data.len()),
            "bytes from {} on are not what was sent",
            self.received
        );
        self.received += data.len() as u64;
    }

    /// Bytes that arrived and wait for the reader.
    pub(crate) fn held(&self) -> u64 {
        self.received - self.taken
    }

    /// What the reader takes now.
    pub(crate) fn take(&mut self, now: Instant) -> u32 {
        let len = match self.pace {
            Pace::AtOnce => self.held(),
            Pace::Stalled => 0,
            Pace::Rate(_) if now < self.next_take => 0,
            Pace::Rate(rate) => {
                self.next_take = now + TICK;
                self.held().min(rate * TICK.as_millis() as u64 / 1000)
            }
        };
        self.taken += len;
        u32::try_from(len).expect("a window is smaller")
    }

    /// When a paced reader comes by again.
    pub(crate) fn next_wake(&self) -> Option<Instant> {
        let waits = matches!(self.pace, Pace::Rate(_)) && self.held() > 0;
        waits.then_some(self.next_take)
    }
}

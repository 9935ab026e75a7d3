//! Application at one end of a channel: it sends and expects a pattern that shows every lost or swapped byte.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use adit_proto::channels::{ChannelReplyToken, ChannelStream, PeerClose, RequestOutcome};

/// The pattern repeats after so many bytes; a prime, so that no packet size divides it.
const PERIOD: usize = 65_521;
/// The longest piece the pattern is asked for.
const LONGEST: usize = 256 << 10;
/// Pause between two reads of a paced reader.
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

/// Place of a stream's byte in the pattern: the two of a channel are never alike.
fn position(stream: ChannelStream, at: u64) -> u64 {
    match stream {
        ChannelStream::Data => at,
        ChannelStream::Stderr => at + 12_345,
    }
}

/// Speed at which an application reads.
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
    /// The same for stderr.
    pub(crate) stderr_to_send: u64,
    pub(crate) stderr_sent: u64,
    /// A writer that found no window waits for `Writable`.
    pub(crate) blocked: bool,
    pub(crate) pace: Pace,
    pub(crate) received: u64,
    pub(crate) stderr_received: u64,
    /// Of both streams.
    pub(crate) taken: u64,
    /// The types of the peer's requests, with what to answer them by.
    pub(crate) requests: Vec<(String, Option<ChannelReplyToken>)>,
    /// Answers to our requests.
    pub(crate) replies: Vec<RequestOutcome>,
    next_take: Instant,
    pub(crate) eof: bool,
    pub(crate) closed: Option<PeerClose>,
}

impl Flow {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            to_send: 0,
            sent: 0,
            stderr_to_send: 0,
            stderr_sent: 0,
            blocked: false,
            pace: Pace::AtOnce,
            received: 0,
            stderr_received: 0,
            taken: 0,
            requests: Vec::new(),
            replies: Vec::new(),
            next_take: now,
            eof: false,
            closed: None,
        }
    }

    /// Bytes came; they must be the next ones of the pattern of their stream.
    pub(crate) fn receive(&mut self, stream: ChannelStream, data: &[u8]) {
        assert!(!self.eof, "data after EOF");
        let received = match stream {
            ChannelStream::Data => &mut self.received,
            ChannelStream::Stderr => &mut self.stderr_received,
        };
        assert!(
            data == pattern(position(stream, *received), data.len()),
            "bytes of {stream:?} from {received} on are not what was sent",
        );
        *received += data.len() as u64;
    }

    /// The next packet of a stream: its position in the pattern, and how many bytes the application has for it.
    pub(crate) fn ready(&self, stream: ChannelStream) -> (u64, u64) {
        let (sent, to_send) = match stream {
            ChannelStream::Data => (self.sent, self.to_send),
            ChannelStream::Stderr => (self.stderr_sent, self.stderr_to_send),
        };
        (position(stream, sent), to_send)
    }

    /// So many bytes of a stream went out.
    pub(crate) fn note_sent(&mut self, stream: ChannelStream, len: u32) {
        let (sent, to_send) = match stream {
            ChannelStream::Data => (&mut self.sent, &mut self.to_send),
            ChannelStream::Stderr => (&mut self.stderr_sent, &mut self.stderr_to_send),
        };
        *sent += u64::from(len);
        *to_send -= u64::from(len);
    }

    /// Bytes that arrived and wait for the reader.
    pub(crate) fn held(&self) -> u64 {
        self.received + self.stderr_received - self.taken
    }

    /// Takes as many bytes as the reader reads now.
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

    /// Time at which a paced reader reads next.
    pub(crate) fn next_wake(&self) -> Option<Instant> {
        let waits = matches!(self.pace, Pace::Rate(_)) && self.held() > 0;
        waits.then_some(self.next_take)
    }
}

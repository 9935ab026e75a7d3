//! One direction of a simulated connection: bytes in order, with latency, a rate, and a bounded send buffer.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Properties of a link; the same in both directions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LinkConfig {
    /// One way.
    pub(crate) latency: Duration,
    /// Bytes per second.
    pub(crate) rate: u64,
    /// Bytes that wait for the link before a writer has to wait: the socket's send buffer.
    pub(crate) send_buffer: usize,
    /// Bytes become visible only every so often, many packets at once: a busy reader. Zero for at once.
    pub(crate) batch: Duration,
}

impl LinkConfig {
    /// A short, fast link.
    pub(crate) const LAN: Self = Self {
        latency: Duration::from_micros(100),
        rate: 1_250_000_000,
        send_buffer: 256 << 10,
        batch: Duration::ZERO,
    };

    /// 100 ms there and back, 1 Gbit/s.
    pub(crate) const WAN: Self = Self {
        latency: Duration::from_millis(50),
        rate: 125_000_000,
        send_buffer: 256 << 10,
        batch: Duration::ZERO,
    };

    /// Bytes in flight when the link is just full.
    pub(crate) fn bandwidth_delay_product(&self) -> u64 {
        let round_trip = (self.latency * 2).as_micros() as u64;
        self.rate * round_trip / 1_000_000
    }

    fn time_for(&self, bytes: usize) -> Duration {
        Duration::from_nanos(bytes as u64 * 1_000_000_000 / self.rate)
    }
}

/// Fate of bytes that are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    Working,
    /// They vanish, as when a cable is pulled.
    Cut,
    /// The other end reads nothing: the send buffer stays full.
    Blocked,
}

#[derive(Debug)]
pub(crate) struct Link {
    config: LinkConfig,
    pub(crate) condition: Condition,
    start: Instant,
    busy_until: Instant,
    in_flight: VecDeque<(Instant, Vec<u8>)>,
}

impl Link {
    pub(crate) fn new(config: LinkConfig, now: Instant) -> Self {
        Self {
            config,
            condition: Condition::Working,
            start: now,
            busy_until: now,
            in_flight: VecDeque::new(),
        }
    }

    pub(crate) fn send(&mut self, bytes: Vec<u8>, now: Instant) {
        self.busy_until = self.busy_until.max(now) + self.config.time_for(bytes.len());
        if self.condition != Condition::Cut {
            let arrival = self.visible(self.busy_until + self.config.latency);
            self.in_flight.push_back((arrival, bytes));
        }
    }

    fn visible(&self, arrival: Instant) -> Instant {
        let batch = self.config.batch.as_nanos();
        if batch == 0 {
            return arrival;
        }
        let batches = (arrival - self.start).as_nanos().div_ceil(batch);
        self.start + Duration::from_nanos((batches * batch) as u64)
    }

    pub(crate) fn has_room(&self, now: Instant) -> bool {
        self.condition != Condition::Blocked && self.room_at() <= now
    }

    /// Time at which the send buffer has, or had, room.
    fn room_at(&self) -> Instant {
        self.busy_until
            .checked_sub(self.config.time_for(self.config.send_buffer))
            .expect("the clock is far from its beginning")
    }

    /// Time of the next event here that needs no call, after `now`.
    pub(crate) fn next_wake(&self, now: Instant) -> Option<Instant> {
        let arrival = self.in_flight.front().map(|(at, _)| *at);
        let room = Some(self.room_at()).filter(|at| *at > now);
        arrival.into_iter().chain(room).min()
    }

    /// Gives what has arrived.
    pub(crate) fn deliver(&mut self, into: &mut Vec<u8>, now: Instant) {
        while self.in_flight.front().is_some_and(|(at, _)| *at <= now) {
            let (_, bytes) = self.in_flight.pop_front().expect("just seen");
            into.extend_from_slice(&bytes);
        }
    }
}

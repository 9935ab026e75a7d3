//! Flow-control arithmetic (RFC 4254 §5.2): the only code that adds to or subtracts from a window.
//!
//! `SendWindow` is what the peer permits us to send. `RecvWindow` is what we permit the peer to send. It grows only by
//! bytes that the reader has taken, and its size depends on the measured bandwidth-delay product and the reader's
//! speed.

use std::time::{Duration, Instant};

use super::budget::WindowBudget;

/// Time for which a reader may lag before its window shrinks. Readers run in bursts: with less time, a pause between
/// two bursts would count as slowness.
const PATIENCE: Duration = Duration::from_secs(1);
/// Shortest time over which a speed is measured, because readers run in bursts. A channel that takes half of a small
/// window within it is busy.
const EPOCH: Duration = Duration::from_millis(10);
/// Round trip time below which a window becomes large again at once when that is needed.
const SHORT: Duration = Duration::from_millis(5);
/// Least window beside interactive channels on a short path; the same is added for each short-lived channel at a time.
const SHARED: u32 = 128 << 10;

/// Inputs to the size of a window, beside its own reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path {
    /// Least round trip time, if it is known.
    pub round_trip: Option<Duration>,
    /// Other use of the connection.
    pub sharing: Sharing,
}

/// Use of a connection beside one channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// None, or bulk channels only.
    None,
    /// An interactive channel, whose packets wait behind the data in flight on this one.
    Interactive {
        /// Average number of short-lived channels at a time, which together could take nearly all of the connection.
        churn: u32,
    },
}

/// Bytes that the peer permits us to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendWindow {
    available: u32,
}

/// Error of a WINDOW_ADJUST that would enlarge a window beyond 2^32 - 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowOverflow;

/// Error of a peer that sent more than its window permits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowExceeded;

impl SendWindow {
    /// A window of the size that the peer granted when the channel was opened.
    pub fn new(initial: u32) -> Self {
        Self { available: initial }
    }

    /// Number of bytes that may be sent now.
    pub fn available(&self) -> u32 {
        self.available
    }

    /// Takes up to `want` bytes from the window. Returns their number.
    pub fn reserve(&mut self, want: u32) -> u32 {
        let taken = want.min(self.available);
        self.available -= taken;
        taken
    }

    /// Gives back reserved bytes that were not sent.
    pub fn refund(&mut self, unused: u32) {
        self.available = self.available.saturating_add(unused);
    }

    /// Handles a WINDOW_ADJUST of the peer.
    pub fn adjust(&mut self, bytes_to_add: u32) -> Result<(), WindowOverflow> {
        self.available = self
            .available
            .checked_add(bytes_to_add)
            .ok_or(WindowOverflow)?;
        Ok(())
    }
}

/// Bytes that we permit the peer to send on one channel.
///
/// ```text
///   size   = granted + held + credit
///   granted  may still be sent by the peer
///   held     has arrived, and is not taken by the reader yet
///   credit   is taken by the reader, and not sent to the peer yet
/// ```
#[derive(Debug, Clone, Copy)]
pub struct RecvWindow {
    size: u32,
    granted: u32,
    held: u32,
    /// Start of the present epoch, in which `taken_in_epoch` counts: a round trip, or `EPOCH` if that is longer.
    epoch_start: Instant,
    taken_in_epoch: u64,
    /// Start of the time since which the reader lags, with data held all the time.
    lagging_since: Instant,
    taken_lagging: u64,
}

impl RecvWindow {
    /// A window of `size` bytes, all of them granted.
    pub(super) fn new(size: u32, now: Instant) -> Self {
        Self {
            size,
            granted: size,
            held: 0,
            epoch_start: now,
            taken_in_epoch: 0,
            lagging_since: now,
            taken_lagging: 0,
        }
    }

    /// Size that the window aims at.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// Number of bytes that the peer may still send.
    pub fn granted(&self) -> u32 {
        self.granted
    }

    /// Number of bytes that have arrived and are not taken yet.
    pub fn held(&self) -> u32 {
        self.held
    }

    /// Counts `len` bytes that the peer sent.
    pub fn receive(&mut self, len: u32, now: Instant) -> Result<(), WindowExceeded> {
        self.granted = self.granted.checked_sub(len).ok_or(WindowExceeded)?;
        if self.held == 0 {
            (self.lagging_since, self.taken_lagging) = (now, 0);
        }
        self.held += len;
        Ok(())
    }

    /// Turns `len` bytes that the reader took into credit, and adapts the size.
    pub fn take(&mut self, len: u32, now: Instant, path: Path, budget: &mut WindowBudget) {
        debug_assert!(len <= self.held, "a reader cannot take what did not arrive");
        self.held = self.held.saturating_sub(len);
        self.taken_in_epoch += u64::from(len);
        self.taken_lagging += u64::from(len);
        self.follow_path(now, path, budget);
        self.shrink_if_reader_is_slow(now, budget);
    }

    /// Adapts the size once per round trip, but not more often than every `EPOCH`. If more than half of a window was
    /// taken within a round trip, it is the window that limits the speed, not the reader or the sender.
    ///
    /// A small window of a busy channel grows to the working size whatever the round trip time is, because a tiny
    /// window costs a message and a wake-up for every few packets. Beside interactive channels, a short path gets no
    /// larger window than it needs: the rest would be a queue that small packets wait behind.
    fn follow_path(&mut self, now: Instant, path: Path, budget: &mut WindowBudget) {
        let epoch = path.round_trip.unwrap_or(EPOCH).max(EPOCH);
        let elapsed = now.saturating_duration_since(self.epoch_start);
        if elapsed < epoch {
            return;
        }
        // Scaled, because an epoch may have been longer, and the round trip is often shorter.
        let twice = |unit: Option<Duration>| {
            unit.map_or(0, |unit| 2 * scaled(self.taken_in_epoch, elapsed, unit))
        };
        let needed = u32::try_from(twice(path.round_trip)).unwrap_or(u32::MAX);
        let (shared, least) = self.least(path, budget);
        let is_small = self.size < least && twice(Some(epoch)) > u128::from(self.size);
        let doubled = self.size.saturating_mul(2);
        if needed > self.size || (is_small && !shared) {
            self.size = budget.resize(self.size, doubled);
        } else if is_small {
            self.size = budget.resize(self.size, doubled.min(least));
        } else if shared && self.size > needed.max(least) {
            self.size = budget.resize(self.size, needed.max(least));
        }
        (self.epoch_start, self.taken_in_epoch) = (now, 0);
    }

    /// Least size of a busy window, and true if a larger one would delay small packets of others.
    fn least(&self, path: Path, budget: &WindowBudget) -> (bool, u32) {
        let is_short = path.round_trip.is_some_and(|round_trip| round_trip < SHORT);
        match path.sharing {
            Sharing::Interactive { churn } if is_short => {
                let least = SHARED.saturating_mul(churn.saturating_add(1));
                (true, least.min(budget.working_size().max(SHARED)))
            }
            _ => (false, budget.working_size()),
        }
    }

    /// Shrinks the window of a reader that takes less than half of it while data waits all the time. The data in it
    /// only uses memory, and is old when it is read.
    fn shrink_if_reader_is_slow(&mut self, now: Instant, budget: &mut WindowBudget) {
        let elapsed = now.saturating_duration_since(self.lagging_since);
        if elapsed < PATIENCE {
            return;
        }
        if scaled(self.taken_lagging, elapsed, PATIENCE) * 2 < u128::from(self.size)
            && self.held > 0
        {
            self.size = budget.resize(self.size, self.size / 2);
        }
        (self.lagging_since, self.taken_lagging) = (now, 0);
    }

    /// True if there is enough credit for a message: a quarter of the window, or less by its limits.
    pub fn credit_due(&self, budget: &WindowBudget) -> bool {
        let credit = self.credit();
        credit > 0 && credit >= (self.size / 4).min(budget.most_credit())
    }

    /// Takes all credit, which the caller sends to the peer.
    pub fn take_credit(&mut self) -> u32 {
        let credit = self.credit();
        self.granted += credit;
        credit
    }

    fn credit(&self) -> u32 {
        self.size.saturating_sub(self.granted + self.held)
    }
}

/// Speed of `taken` bytes in `elapsed`, converted to bytes per `unit`.
fn scaled(taken: u64, elapsed: Duration, unit: Duration) -> u128 {
    u128::from(taken) * unit.as_micros() / elapsed.as_micros().max(1)
}

#[cfg(test)]
mod tests {
    use super::super::budget::{WindowLimits, WindowPool};
    use super::*;

    const LIMITS: WindowLimits = WindowLimits {
        initial: 1000,
        min: 100,
        max: 8000,
        credit: 300,
        budget: 1_000_000,
    };

    const ALONE: Path = Path {
        round_trip: None,
        sharing: Sharing::None,
    };

    fn path(round_trip: Duration, sharing: Sharing) -> Path {
        Path {
            round_trip: Some(round_trip),
            sharing,
        }
    }

    fn window() -> (RecvWindow, WindowBudget, Instant) {
        let now = Instant::now();
        let mut budget = WindowBudget::new(LIMITS, WindowPool::new(u64::MAX));
        (budget.open_window(now), budget, now)
    }

    #[test]
    fn credit_returns_only_after_take() {
        let (mut w, mut budget, now) = window();
        w.receive(600, now).unwrap();
        assert!(!w.credit_due(&budget));
        assert_eq!(w.take_credit(), 0);
        w.take(600, now, ALONE, &mut budget);
        assert!(w.credit_due(&budget));
        assert_eq!(w.take_credit(), 600);
        assert_eq!(w.granted(), 1000);
    }

    #[test]
    fn data_beyond_the_window_is_misbehaviour() {
        let (mut w, _, now) = window();
        w.receive(1000, now).unwrap();
        assert_eq!(w.receive(1, now), Err(WindowExceeded));
    }

    #[test]
    fn window_grows_while_the_reader_keeps_up_and_stops_at_its_limit() {
        let (mut w, mut budget, mut now) = window();
        let rtt = Duration::from_millis(100);
        let far = path(rtt, Sharing::None);
        for _ in 0..10 {
            let n = w.granted();
            w.receive(n, now).unwrap();
            now += rtt;
            w.take(n, now, far, &mut budget);
            w.take_credit();
        }
        assert_eq!(w.size(), 8000);
        assert_eq!(budget.allotted(), 7900);
    }

    #[test]
    fn credit_of_a_large_window_is_sent_in_parts_of_the_limit() {
        let (mut w, mut budget, now) = window();
        w.size = 8000;
        w.granted = 8000;
        w.receive(2000, now).unwrap();
        w.take(299, now, ALONE, &mut budget);
        assert!(!w.credit_due(&budget));
        w.take(1, now, ALONE, &mut budget);
        assert!(w.credit_due(&budget));
    }

    #[test]
    fn window_does_not_grow_if_the_sender_needs_less() {
        let (mut w, mut budget, mut now) = window();
        let rtt = Duration::from_millis(100);
        let far = path(rtt, Sharing::None);
        for _ in 0..10 {
            w.receive(300, now).unwrap();
            now += rtt;
            w.take(300, now, far, &mut budget);
            w.take_credit();
        }
        assert_eq!(w.size(), 1000);
    }

    #[test]
    fn shrunk_window_gives_no_credit_before_the_surplus_is_taken() {
        let (mut w, mut budget, now) = window();
        w.receive(1000, now).unwrap();
        w.take(100, now + PATIENCE, ALONE, &mut budget);
        assert_eq!(w.size(), 500, "100 bytes a second do not need 1000");
        w.take(400, now + PATIENCE, ALONE, &mut budget);
        assert_eq!(w.take_credit(), 0);
        w.take(500, now + PATIENCE, ALONE, &mut budget);
        assert_eq!(w.take_credit(), 500);
    }

    #[test]
    fn window_shrinks_to_what_a_slow_reader_needs_and_no_further() {
        let (mut w, mut budget, mut now) = window();
        for _ in 0..20 {
            let granted = w.granted();
            w.receive(granted, now).unwrap();
            now += PATIENCE;
            w.take(60, now, ALONE, &mut budget);
            w.take_credit();
        }
        assert_eq!((w.size(), budget.allotted()), (100, 0));
    }

    #[test]
    fn reader_that_runs_in_bursts_keeps_its_window() {
        let (mut w, mut budget, mut now) = window();
        for _ in 0..100 {
            let granted = w.granted();
            w.receive(granted, now).unwrap();
            now += Duration::from_millis(300);
            w.take(900, now, ALONE, &mut budget);
            w.take_credit();
        }
        assert_eq!(w.size(), 1000);
    }

    #[test]
    fn pause_of_the_sender_does_not_count_against_the_reader() {
        let (mut w, mut budget, mut now) = window();
        for _ in 0..10 {
            now += Duration::from_secs(60);
            w.receive(1000, now).unwrap();
            w.take(10, now, ALONE, &mut budget);
            w.take(990, now, ALONE, &mut budget);
            w.take_credit();
        }
        assert_eq!(w.size(), 1000);
    }

    #[test]
    fn small_window_of_a_busy_channel_grows_to_the_working_size() {
        let now = Instant::now();
        let mut w = RecvWindow::new(100, now);
        let mut budget = WindowBudget::new(LIMITS, WindowPool::new(u64::MAX));
        for millis in 1..1000 {
            let (now, granted) = (now + Duration::from_millis(millis), w.granted());
            w.receive(granted, now).unwrap();
            w.take(granted, now, ALONE, &mut budget);
            w.take_credit();
        }
        assert_eq!(w.size(), 1600, "no more than one doubling beyond 1000");
    }

    /// Window of a stream of 1 GB/s after a second on such a path.
    fn size_after_a_second(path: Path) -> u32 {
        let mut budget = WindowBudget::new(WindowLimits::GENEROUS, WindowPool::new(u64::MAX));
        let start = Instant::now();
        let mut w = budget.open_window(start);
        for step in 1..10_000 {
            let (now, arrives) = (
                start + Duration::from_micros(100) * step,
                w.granted().min(100_000),
            );
            w.receive(arrives, now).unwrap();
            w.take(arrives, now, path, &mut budget);
            w.take_credit();
        }
        w.size()
    }

    #[test]
    fn short_path_gets_a_small_window_only_beside_interactive_channels() {
        let (near, far) = (Duration::from_micros(50), Duration::from_millis(20));
        assert_eq!(size_after_a_second(path(near, Sharing::None)), 2 << 20);
        assert_eq!(
            size_after_a_second(path(near, Sharing::Interactive { churn: 0 })),
            SHARED
        );
        assert!(size_after_a_second(path(far, Sharing::Interactive { churn: 0 })) > 20_000_000);
    }

    #[test]
    fn window_beside_short_lived_channels_grows_with_their_number_up_to_the_working_size() {
        let beside = |churn| {
            let near = Duration::from_micros(50);
            size_after_a_second(path(near, Sharing::Interactive { churn }))
        };
        assert_eq!(beside(2), 3 * SHARED);
        assert_eq!(beside(8), 9 * SHARED);
        assert_eq!(beside(1000), 2 << 20);
    }

    #[test]
    fn window_beside_interactive_channels_still_covers_the_path() {
        let path = path(Duration::from_millis(1), Sharing::Interactive { churn: 0 });
        let size = size_after_a_second(path);
        assert!((1_900_000..=4_100_000).contains(&size), "{size}");
    }

    #[test]
    fn send_window_never_wraps() {
        let mut w = SendWindow::new(u32::MAX - 1);
        assert_eq!(w.adjust(2), Err(WindowOverflow));
        assert_eq!(w.reserve(10), 10);
        w.refund(4);
        assert_eq!(w.available(), u32::MAX - 7);
    }
}

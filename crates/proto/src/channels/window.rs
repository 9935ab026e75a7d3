//! Flow-control arithmetic (RFC 4254 §5.2): the one place that adds to and takes from a window.
//!
//! `SendWindow` is what the peer lets us send. `RecvWindow` is what we let the peer send; it grows only by
//! bytes that the reader has taken, and its size follows the measured bandwidth-delay product and the reader's speed.

use std::time::{Duration, Instant};

use super::budget::WindowBudget;

/// How long a reader may lag behind before its window shrinks. Readers come by in bursts: less than this would
/// mistake the pause between two of them for slowness.
const PATIENCE: Duration = Duration::from_secs(1);
/// A channel that takes half a small window within this time is busy.
const BUSY: Duration = Duration::from_millis(10);

/// Bytes that the peer lets us send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendWindow {
    available: u32,
}

/// A WINDOW_ADJUST would take a window beyond 2^32 - 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowOverflow;

/// The peer sent more than its window allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowExceeded;

impl SendWindow {
    /// A window of the size that the peer granted at open.
    pub fn new(initial: u32) -> Self {
        Self { available: initial }
    }

    /// Bytes that may be sent now.
    pub fn available(&self) -> u32 {
        self.available
    }

    /// Takes up to `want` bytes from the window; gives how many it took.
    pub fn reserve(&mut self, want: u32) -> u32 {
        let taken = want.min(self.available);
        self.available -= taken;
        taken
    }

    /// Gives back what was reserved and then not sent.
    pub fn refund(&mut self, unused: u32) {
        self.available = self.available.saturating_add(unused);
    }

    /// The peer grants more.
    pub fn adjust(&mut self, bytes_to_add: u32) -> Result<(), WindowOverflow> {
        self.available = self
            .available
            .checked_add(bytes_to_add)
            .ok_or(WindowOverflow)?;
        Ok(())
    }
}

/// Bytes that we let the peer send on one channel.
///
/// ```text
///   size   = granted + held + credit
///   granted  the peer may still send so many
///   held     arrived, and not yet taken by the reader
///   credit   taken by the reader, and not yet told to the peer
/// ```
#[derive(Debug, Clone, Copy)]
pub struct RecvWindow {
    size: u32,
    granted: u32,
    held: u32,
    /// Since when `taken_in_epoch` counts: at most one round trip.
    epoch_start: Instant,
    taken_in_epoch: u64,
    /// Since when the reader has lagged behind, with something held all the time.
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

    /// The size that the window aims at.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// What the peer may still send.
    pub fn granted(&self) -> u32 {
        self.granted
    }

    /// Bytes that arrived and were not taken yet.
    pub fn held(&self) -> u32 {
        self.held
    }

    /// The peer sent `len` bytes.
    pub fn receive(&mut self, len: u32, now: Instant) -> Result<(), WindowExceeded> {
        self.granted = self.granted.checked_sub(len).ok_or(WindowExceeded)?;
        if self.held == 0 {
            (self.lagging_since, self.taken_lagging) = (now, 0);
        }
        self.held += len;
        Ok(())
    }

    /// The reader took `len` bytes: they are credit, and the window follows the reader.
    pub fn take(
        &mut self,
        len: u32,
        now: Instant,
        round_trip: Option<Duration>,
        budget: &mut WindowBudget,
    ) {
        debug_assert!(len <= self.held, "a reader cannot take what did not arrive");
        self.held = self.held.saturating_sub(len);
        self.taken_in_epoch += u64::from(len);
        self.taken_lagging += u64::from(len);
        self.grow_if_it_limits(now, round_trip, budget);
        self.shrink_if_reader_is_slow(now, budget);
    }

    /// Once per round trip. More than half a window taken within one means that the window limits, and neither the
    /// reader nor the sender.
    ///
    /// A window that began small because many were open grows to the working size whatever the round trip is: a
    /// busy channel with a tiny window costs a message and a wake-up for every few packets.
    fn grow_if_it_limits(
        &mut self,
        now: Instant,
        round_trip: Option<Duration>,
        budget: &mut WindowBudget,
    ) {
        let is_small = self.size < budget.working_size();
        let epoch = match (round_trip, is_small) {
            (Some(round_trip), false) => round_trip,
            (Some(round_trip), true) => round_trip.max(BUSY),
            (None, true) => BUSY,
            (None, false) => return,
        };
        let elapsed = now.saturating_duration_since(self.epoch_start);
        if elapsed < epoch {
            return;
        }
        // Scaled: an epoch may have been longer.
        if scaled(self.taken_in_epoch, elapsed, epoch) * 2 > u128::from(self.size) {
            self.size = budget.resize(self.size, self.size.saturating_mul(2));
        }
        self.epoch_start = now;
        self.taken_in_epoch = 0;
    }

    /// A reader that takes less than half a window while data waits for it all the time needs no such window: what
    /// lies there only costs memory, and is old when it is read.
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

    /// Whether enough credit has gathered to be worth a message: a quarter of the window.
    pub fn credit_due(&self) -> bool {
        let credit = self.credit();
        credit > 0 && credit >= self.size / 4
    }

    /// All credit, which the caller now tells the peer.
    pub fn take_credit(&mut self) -> u32 {
        let credit = self.credit();
        self.granted += credit;
        credit
    }

    fn credit(&self) -> u32 {
        self.size.saturating_sub(self.granted + self.held)
    }
}

/// `taken` bytes in `elapsed`, as so many in `unit`.
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
        budget: 1_000_000,
    };

    fn window() -> (RecvWindow, WindowBudget, Instant) {
        let now = Instant::now();
        let mut budget = WindowBudget::new(LIMITS, WindowPool::new(u64::MAX));
        (budget.open_window(now), budget, now)
    }

    #[test]
    fn credit_returns_only_after_take() {
        let (mut w, mut budget, now) = window();
        w.receive(600, now).unwrap();
        assert!(!w.credit_due());
        assert_eq!(w.take_credit(), 0);
        w.take(600, now, None, &mut budget);
        assert!(w.credit_due());
        assert_eq!(w.take_credit(), 600);
        assert_eq!(w.granted(), 1000);
    }

    #[test]
    fn more_than_the_window_is_refused() {
        let (mut w, _, now) = window();
        w.receive(1000, now).unwrap();
        assert_eq!(w.receive(1, now), Err(WindowExceeded));
    }

    #[test]
    fn window_grows_while_the_reader_keeps_up_and_stops_at_its_limit() {
        let (mut w, mut budget, mut now) = window();
        let rtt = Duration::from_millis(100);
        for _ in 0..10 {
            let n = w.granted();
            w.receive(n, now).unwrap();
            now += rtt;
            w.take(n, now, Some(rtt), &mut budget);
            w.take_credit();
        }
        assert_eq!(w.size(), 8000);
        assert_eq!(budget.allotted(), 7900);
    }

    #[test]
    fn window_stays_where_the_sender_needs_less() {
        let (mut w, mut budget, mut now) = window();
        let rtt = Duration::from_millis(100);
        for _ in 0..10 {
            w.receive(300, now).unwrap();
            now += rtt;
            w.take(300, now, Some(rtt), &mut budget);
            w.take_credit();
        }
        assert_eq!(w.size(), 1000);
    }

    #[test]
    fn slow_reader_gets_no_credit_until_the_surplus_is_taken() {
        let (mut w, mut budget, now) = window();
        w.receive(1000, now).unwrap();
        w.take(100, now + PATIENCE, None, &mut budget);
        assert_eq!(w.size(), 500, "100 bytes a second do not need 1000");
        w.take(400, now + PATIENCE, None, &mut budget);
        assert_eq!(w.take_credit(), 0);
        w.take(500, now + PATIENCE, None, &mut budget);
        assert_eq!(w.take_credit(), 500);
    }

    #[test]
    fn window_shrinks_to_what_a_slow_reader_needs_and_no_further() {
        let (mut w, mut budget, mut now) = window();
        for _ in 0..20 {
            let granted = w.granted();
            w.receive(granted, now).unwrap();
            now += PATIENCE;
            w.take(60, now, None, &mut budget);
            w.take_credit();
        }
        assert_eq!((w.size(), budget.allotted()), (100, 0));
    }

    #[test]
    fn reader_that_comes_by_in_bursts_keeps_its_window() {
        let (mut w, mut budget, mut now) = window();
        for _ in 0..100 {
            let granted = w.granted();
            w.receive(granted, now).unwrap();
            now += Duration::from_millis(300);
            w.take(900, now, None, &mut budget);
            w.take_credit();
        }
        assert_eq!(w.size(), 1000);
    }

    #[test]
    fn pause_of_the_sender_is_not_laid_to_the_readers_charge() {
        let (mut w, mut budget, mut now) = window();
        for _ in 0..10 {
            now += Duration::from_secs(60);
            w.receive(1000, now).unwrap();
            w.take(10, now, None, &mut budget);
            w.take(990, now, None, &mut budget);
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
            w.take(granted, now, None, &mut budget);
            w.take_credit();
        }
        assert_eq!(w.size(), 1600, "no more than one doubling beyond 1000");
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

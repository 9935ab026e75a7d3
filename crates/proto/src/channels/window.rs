//! Flow-control arithmetic (RFC 4254 §5.2): the one place that adds to and takes from a window.
//!
//! `SendWindow` is what the peer lets us send. `RecvWindow` is what we let the peer send; it grows only by
//! bytes that the reader has taken, and its size follows the measured bandwidth-delay product.

use std::time::{Duration, Instant};

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

/// Limits between which a receive window moves, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowLimits {
    /// What a channel begins with where the budget allows.
    pub initial: u32,
    /// The least, for a reader that stands still and where the budget is spent.
    pub min: u32,
    /// The most one channel may have.
    pub max: u32,
    /// The most all channels of one connection may have together.
    pub budget: u64,
}

impl WindowLimits {
    /// Towards a peer that is adit: as much as a 300 ms, 10 Gbit/s link needs.
    pub const GENEROUS: Self = Self {
        initial: 2 << 20,
        min: 128 << 10,
        max: 1 << 30,
        budget: 1 << 30,
    };

    /// Towards OpenSSH, whose channel input buffer is 16 MiB and which misbehaves beyond.
    pub const OPENSSH: Self = Self {
        max: 15 << 20,
        ..Self::GENEROUS
    };
}

/// The sum of the window sizes of one connection, against its budget.
#[derive(Debug, Clone, Copy)]
pub struct WindowBudget {
    limits: WindowLimits,
    allotted: u64,
}

impl WindowBudget {
    /// An unspent budget.
    pub fn new(limits: WindowLimits) -> Self {
        Self {
            limits,
            allotted: 0,
        }
    }

    /// The sum of all window sizes, in bytes.
    pub fn allotted(&self) -> u64 {
        self.allotted
    }

    /// Other limits, for windows that are sized from now on.
    pub fn set_limits(&mut self, limits: WindowLimits) {
        self.limits = limits;
    }

    /// A window for a new channel: the initial size, or less as the budget runs out, never below the minimum.
    pub fn open_window(&mut self, now: Instant) -> RecvWindow {
        let left = self.limits.budget.saturating_sub(self.allotted) / 8;
        let size = u32::try_from(left)
            .unwrap_or(u32::MAX)
            .clamp(self.limits.min, self.limits.initial);
        self.allotted += u64::from(size);
        RecvWindow {
            size,
            granted: size,
            held: 0,
            epoch_start: now,
            epoch_taken: 0,
        }
    }

    /// Takes a closed channel's share back.
    pub fn close_window(&mut self, window: &RecvWindow) {
        self.allotted -= u64::from(window.size);
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
    epoch_start: Instant,
    epoch_taken: u64,
}

impl RecvWindow {
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
    pub fn receive(&mut self, len: u32) -> Result<(), WindowExceeded> {
        self.granted = self.granted.checked_sub(len).ok_or(WindowExceeded)?;
        self.held += len;
        Ok(())
    }

    /// The reader took `len` bytes: sizes the window anew where a round trip has passed since the last time.
    ///
    /// Growth needs a reader that keeps up: more than half a window taken within one round trip means that the
    /// window, not the reader or the sender, is what limits.
    pub fn take(
        &mut self,
        len: u32,
        now: Instant,
        round_trip: Option<Duration>,
        budget: &mut WindowBudget,
    ) {
        debug_assert!(len <= self.held, "a reader cannot take what did not arrive");
        self.held = self.held.saturating_sub(len);
        self.epoch_taken += u64::from(len);
        let Some(round_trip) = round_trip else { return };
        let elapsed = now.saturating_duration_since(self.epoch_start);
        if elapsed < round_trip {
            return;
        }
        // Scaled to one round trip: an epoch may have been longer.
        let epoch = elapsed.as_micros().max(1);
        let per_round_trip = u128::from(self.epoch_taken) * round_trip.as_micros() / epoch;
        if per_round_trip * 2 > u128::from(self.size) {
            self.resize(self.size.saturating_mul(2), budget);
        }
        self.epoch_start = now;
        self.epoch_taken = 0;
    }

    /// The reader has stood still while data waits: asks for less from now on.
    pub fn shrink(&mut self, budget: &mut WindowBudget) {
        self.resize(self.size / 2, budget);
    }

    fn resize(&mut self, wanted: u32, budget: &mut WindowBudget) {
        let room = budget.limits.budget.saturating_sub(budget.allotted);
        let most = u64::from(self.size).saturating_add(room);
        let size = wanted
            .min(u32::try_from(most).unwrap_or(u32::MAX))
            .clamp(budget.limits.min, budget.limits.max);
        budget.allotted = budget.allotted - u64::from(self.size) + u64::from(size);
        self.size = size;
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

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: WindowLimits = WindowLimits {
        initial: 1000,
        min: 100,
        max: 8000,
        budget: 10_000,
    };

    fn window() -> (RecvWindow, WindowBudget, Instant) {
        let now = Instant::now();
        let mut budget = WindowBudget::new(LIMITS);
        (budget.open_window(now), budget, now)
    }

    #[test]
    fn credit_returns_only_after_take() {
        let (mut w, mut budget, now) = window();
        w.receive(600).unwrap();
        assert!(!w.credit_due());
        assert_eq!(w.take_credit(), 0);
        w.take(600, now, None, &mut budget);
        assert!(w.credit_due());
        assert_eq!(w.take_credit(), 600);
        assert_eq!(w.granted(), 1000);
    }

    #[test]
    fn more_than_the_window_is_refused() {
        let (mut w, _, _) = window();
        w.receive(1000).unwrap();
        assert_eq!(w.receive(1), Err(WindowExceeded));
    }

    #[test]
    fn window_grows_while_the_reader_keeps_up_and_stops_at_its_limit() {
        let (mut w, mut budget, mut now) = window();
        let rtt = Duration::from_millis(100);
        for _ in 0..10 {
            let n = w.granted();
            w.receive(n).unwrap();
            now += rtt;
            w.take(n, now, Some(rtt), &mut budget);
            w.take_credit();
        }
        assert_eq!(w.size(), 8000);
        assert_eq!(budget.allotted(), 8000);
    }

    #[test]
    fn window_stays_where_the_sender_needs_less() {
        let (mut w, mut budget, mut now) = window();
        let rtt = Duration::from_millis(100);
        for _ in 0..10 {
            w.receive(300).unwrap();
            now += rtt;
            w.take(300, now, Some(rtt), &mut budget);
            w.take_credit();
        }
        assert_eq!(w.size(), 1000);
    }

    #[test]
    fn shrinking_gives_no_credit_until_the_surplus_is_taken() {
        let (mut w, mut budget, now) = window();
        w.receive(1000).unwrap();
        w.shrink(&mut budget);
        assert_eq!(w.size(), 500);
        w.take(400, now, None, &mut budget);
        assert_eq!(w.take_credit(), 0);
        w.take(600, now, None, &mut budget);
        assert_eq!(w.take_credit(), 500);
    }

    #[test]
    fn budget_bounds_the_sum_and_new_channels_still_get_the_minimum() {
        let mut budget = WindowBudget::new(LIMITS);
        let now = Instant::now();
        let windows: Vec<_> = (0..200).map(|_| budget.open_window(now)).collect();
        assert_eq!(windows[199].size(), 100);
        assert!(budget.allotted() <= LIMITS.budget + 200 * u64::from(LIMITS.min));
        windows.iter().for_each(|w| budget.close_window(w));
        assert_eq!(budget.allotted(), 0);
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

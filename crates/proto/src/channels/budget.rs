//! Limits on the sizes of all windows together: one window, the budget of a connection, the pool of a process.
//!
//! ```text
//!   WindowPool (a process) ──▶ WindowBudget (a connection) ──▶ RecvWindow::size (a channel)
//! ```
//!
//! A peer can send all that its windows grant, and unread data lies in memory, so the sizes are counted. Every channel
//! gets the minimum whatever is left; the rest of its window is taken from the budget and the pool.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::window::RecvWindow;

/// A new channel gets at most this part of what is left: thousands of idle channels then leave some for busy ones.
const SHARES: u64 = 256;

/// Limits of receive windows, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowLimits {
    /// Size of a new window while the budget permits, and least size of a busy one while there is room.
    pub initial: u32,
    /// Least size, for a slow reader or when the budget is used up.
    pub min: u32,
    /// Largest size.
    pub max: u32,
    /// Credit is sent when it reaches this, or a quarter of the window if that is less.
    pub credit: u32,
    /// Limit of the sizes of one connection's windows together, without the least size of each.
    pub budget: u64,
}

impl WindowLimits {
    /// For a peer that is adit: as large as a link with 300 ms and 10 Gbit/s needs.
    pub const GENEROUS: Self = Self {
        initial: 2 << 20,
        min: 64 << 10,
        max: 1 << 30,
        credit: u32::MAX,
        budget: 1 << 30,
    };

    /// For OpenSSH, whose input buffer of a channel is 16 MiB, and which misbehaves above that.
    ///
    /// Large parts of credit make it send in bursts. While its socket is full it reads ahead into that buffer, up to
    /// the window; the buffer grows by 32 KiB at a time, and is copied each time. Measured over 100 ms at 1 Gbit/s:
    /// seconds of 5 MB/s, and 62 MB/s over the first eight seconds; with small parts 115 MB/s.
    pub const OPENSSH: Self = Self {
        max: 15 << 20,
        credit: 64 << 10,
        ..Self::GENEROUS
    };
}

/// Limit of all windows of a process together, without the least size of each.
#[derive(Debug)]
pub struct WindowPool {
    limit: u64,
    allotted: AtomicU64,
}

impl WindowPool {
    /// Enough for two connections with a full budget, or for a thousand channels with the initial size.
    pub const DEFAULT_LIMIT: u64 = 2 << 30;

    /// A pool of `limit` bytes.
    pub fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self {
            limit,
            allotted: AtomicU64::new(0),
        })
    }

    /// Sum of the sizes above the least size, in bytes.
    pub fn allotted(&self) -> u64 {
        self.allotted.load(Ordering::Relaxed)
    }

    fn left(&self) -> u64 {
        self.limit.saturating_sub(self.allotted())
    }

    /// Takes `wanted` bytes, or as many as are left. No other memory depends on the counter, so relaxed order is
    /// enough.
    fn take_up_to(&self, wanted: u64) -> u64 {
        let mut taken = 0;
        let take = |allotted: u64| {
            taken = wanted.min(self.limit.saturating_sub(allotted));
            allotted.checked_add(taken)
        };
        let _ = self
            .allotted
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken
    }

    fn give_back(&self, bytes: u64) {
        self.allotted.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Limit of the windows of one connection together, within the pool of the process.
#[derive(Debug)]
pub struct WindowBudget {
    limits: WindowLimits,
    pool: Arc<WindowPool>,
    allotted: u64,
}

impl WindowBudget {
    /// A budget of which nothing is used.
    pub fn new(limits: WindowLimits, pool: Arc<WindowPool>) -> Self {
        Self {
            limits,
            pool,
            allotted: 0,
        }
    }

    /// Sum of the sizes above the least size, in bytes.
    pub fn allotted(&self) -> u64 {
        self.allotted
    }

    fn left(&self) -> u64 {
        self.limits.budget.saturating_sub(self.allotted)
    }

    /// A window for a new channel: the initial size, or less if little is left, but at least the minimum.
    pub fn open_window(&mut self, now: Instant) -> RecvWindow {
        let share = self.left().min(self.pool.left()) / SHARES;
        let share = u32::try_from(share).unwrap_or(u32::MAX);
        let size = self.resize(self.limits.min, share.min(self.limits.initial));
        RecvWindow::new(size, now)
    }

    /// Takes back the part of a closed channel.
    pub fn close_window(&mut self, window: &RecvWindow) {
        self.resize(window.size(), self.limits.min);
    }

    /// Limit of the credit that is not sent yet, in bytes.
    pub(super) fn most_credit(&self) -> u32 {
        self.limits.credit
    }

    /// Least size of a busy window, in bytes.
    pub(super) fn working_size(&self) -> u32 {
        self.limits.initial
    }

    /// New size of a window of `size` bytes that should have `wanted` bytes.
    pub(super) fn resize(&mut self, size: u32, wanted: u32) -> u32 {
        let wanted = wanted.clamp(self.limits.min, self.limits.max);
        if wanted <= size {
            let surplus = u64::from(size - wanted);
            self.allotted -= surplus;
            self.pool.give_back(surplus);
            return wanted;
        }
        let more = u64::from(wanted - size).min(self.left());
        let more = self.pool.take_up_to(more);
        self.allotted += more;
        // No more than `wanted`, which is a u32.
        size + u32::try_from(more).unwrap_or(0)
    }
}

impl Drop for WindowBudget {
    fn drop(&mut self) {
        self.pool.give_back(self.allotted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: WindowLimits = WindowLimits {
        initial: 1000,
        min: 100,
        max: 8000,
        credit: 300,
        budget: 512_000,
    };

    fn budget(pool: &Arc<WindowPool>) -> WindowBudget {
        WindowBudget::new(LIMITS, pool.clone())
    }

    fn open(budget: &mut WindowBudget, count: usize) -> Vec<RecvWindow> {
        let now = Instant::now();
        (0..count).map(|_| budget.open_window(now)).collect()
    }

    #[test]
    fn budget_bounds_the_sum_and_new_channels_still_get_the_minimum() {
        let mut budget = budget(&WindowPool::new(u64::MAX));
        let windows = open(&mut budget, 9000);
        assert_eq!((windows[0].size(), windows[8999].size()), (1000, 100));
        assert!(budget.allotted() < LIMITS.budget, "some is left to grow");
        windows.iter().for_each(|w| budget.close_window(w));
        assert_eq!(budget.allotted(), 0);
    }

    #[test]
    fn pool_bounds_the_sum_of_many_connections() {
        let pool = WindowPool::new(600_000);
        let mut budgets: Vec<_> = (0..100).map(|_| budget(&pool)).collect();
        budgets.iter_mut().for_each(|b| {
            open(b, 200);
        });
        assert!(pool.allotted() <= 600_000);
        assert_eq!(open(&mut budgets[0], 1)[0].size(), LIMITS.min);
        drop(budgets);
        assert_eq!(pool.allotted(), 0, "a connection that ends gives all back");
    }

    #[test]
    fn growth_takes_what_budget_and_pool_have_left() {
        let pool = WindowPool::new(5000);
        let mut budget = WindowBudget::new(LIMITS, pool.clone());
        let size = open(&mut budget, 1)[0].size();
        assert_eq!(budget.resize(size, 4000), 4000);
        assert_eq!(budget.resize(4000, 8000), 5100, "the pool is spent");
        assert_eq!(budget.resize(5100, 50), 100, "the least size");
        assert_eq!((pool.allotted(), budget.allotted()), (0, 0));
    }
}

//! How large windows may be together: limits for one, a budget for a connection, a pool for a process.
//!
//! ```text
//!   WindowPool (a process) ──▶ WindowBudget (a connection) ──▶ RecvWindow::size (a channel)
//! ```
//!
//! What is granted can all arrive and lie in memory, whoever reads it, so what is counted are the sizes. Every channel
//! gets the least size whatever is left; what it has above that is taken from the budget and from the pool.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::window::RecvWindow;

/// A new channel gets no more than one such part of what is left: thousands of idle ones leave some for those that work.
const SHARES: u64 = 256;

/// Limits between which a receive window moves, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowLimits {
    /// What a channel begins with where the budget allows, and what every busy one gets where there is room.
    pub initial: u32,
    /// The least, for a slow reader and where the budget is spent.
    pub min: u32,
    /// The most one channel may have.
    pub max: u32,
    /// The peer is told of credit when so much has gathered, or a quarter of the window where that is less.
    pub credit: u32,
    /// The most all channels of one connection may have together, beside the least size of each.
    pub budget: u64,
}

impl WindowLimits {
    /// Towards a peer that is adit: as much as a 300 ms, 10 Gbit/s link needs.
    pub const GENEROUS: Self = Self {
        initial: 2 << 20,
        min: 64 << 10,
        max: 1 << 30,
        credit: u32::MAX,
        budget: 1 << 30,
    };

    /// Towards OpenSSH, whose channel input buffer is 16 MiB and which misbehaves beyond.
    ///
    /// Credit in large parts makes it send in bursts. While its socket is full it reads ahead, as far as the window
    /// reaches, into that buffer, which it makes longer by 32 KiB a time and copies each time. Measured over 100 ms at
    /// 1 Gbit/s: seconds of 5 MB/s, and 62 MB/s over the first eight; with small parts 115.
    pub const OPENSSH: Self = Self {
        max: 15 << 20,
        credit: 64 << 10,
        ..Self::GENEROUS
    };
}

/// What the windows of all connections of one process may have together, beside the least size of each.
#[derive(Debug)]
pub struct WindowPool {
    limit: u64,
    allotted: AtomicU64,
}

impl WindowPool {
    /// Enough for two connections that need all of theirs, or for a thousand channels at their initial size.
    pub const DEFAULT_LIMIT: u64 = 2 << 30;

    /// A pool of `limit` bytes.
    pub fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self {
            limit,
            allotted: AtomicU64::new(0),
        })
    }

    /// The sum of what the windows have above the least size, in bytes.
    pub fn allotted(&self) -> u64 {
        self.allotted.load(Ordering::Relaxed)
    }

    fn left(&self) -> u64 {
        self.limit.saturating_sub(self.allotted())
    }

    /// Takes `wanted` bytes, or what is left of them. No other memory hangs on the count, so its order is free.
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

/// What the windows of one connection have together, against its budget and the pool of the process.
#[derive(Debug)]
pub struct WindowBudget {
    limits: WindowLimits,
    pool: Arc<WindowPool>,
    allotted: u64,
}

impl WindowBudget {
    /// An unspent budget.
    pub fn new(limits: WindowLimits, pool: Arc<WindowPool>) -> Self {
        Self {
            limits,
            pool,
            allotted: 0,
        }
    }

    /// The sum of what the windows have above the least size, in bytes.
    pub fn allotted(&self) -> u64 {
        self.allotted
    }

    fn left(&self) -> u64 {
        self.limits.budget.saturating_sub(self.allotted)
    }

    /// A window for a new channel: the initial size, or less as the budget runs out, never below the minimum.
    pub fn open_window(&mut self, now: Instant) -> RecvWindow {
        let share = self.left().min(self.pool.left()) / SHARES;
        let share = u32::try_from(share).unwrap_or(u32::MAX);
        let size = self.resize(self.limits.min, share.min(self.limits.initial));
        RecvWindow::new(size, now)
    }

    /// Takes a closed channel's share back.
    pub fn close_window(&mut self, window: &RecvWindow) {
        self.resize(window.size(), self.limits.min);
    }

    /// The most credit that may gather untold, in bytes.
    pub(super) fn most_credit(&self) -> u32 {
        self.limits.credit
    }

    /// What a window that works should have at least, in bytes.
    pub(super) fn working_size(&self) -> u32 {
        self.limits.initial
    }

    /// The size that a window of `size` gets when it wants to be of `wanted` bytes.
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
        // It is a part of `wanted`, which is a u32.
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

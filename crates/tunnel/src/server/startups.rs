//! `MaxStartups`: how many connections may be on their way to a login at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use aws_lc_rs::rand;

use crate::config::sshd_config::MaxStartups;

/// Counts connections that have not logged in yet.
#[derive(Debug, Default)]
pub(super) struct Startups(Arc<AtomicU32>);

/// One of them; dropped once it has logged in, or ended.
#[derive(Debug)]
pub(super) struct Startup(Arc<AtomicU32>);

impl Startups {
    /// Lets a connection in, or not: between `start` and `full` a growing share is dropped at random.
    pub(super) fn enter(&self, limits: MaxStartups) -> Option<Startup> {
        let now = self.0.load(Ordering::Relaxed);
        let mut random = [0; 4];
        // Without random bytes the limit is the lower one.
        let dice = rand::fill(&mut random).map_or(0, |()| u32::from_be_bytes(random) % 100);
        if dice < drop_percentage(now, limits) {
            return None;
        }
        self.0.fetch_add(1, Ordering::Relaxed);
        Some(Startup(self.0.clone()))
    }
}

impl Drop for Startup {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Rises from `rate` at `start` to 100 at `full`.
fn drop_percentage(now: u32, limits: MaxStartups) -> u32 {
    if now < limits.start {
        return 0;
    }
    if now >= limits.full || limits.rate >= 100 {
        return 100;
    }
    let span = (limits.full - limits.start).max(1);
    limits.rate + (100 - limits.rate) * (now - limits.start) / span
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: MaxStartups = MaxStartups {
        start: 10,
        rate: 30,
        full: 100,
    };

    #[test]
    fn share_of_dropped_connections_rises_from_rate_to_all() {
        assert_eq!(drop_percentage(9, LIMITS), 0);
        assert_eq!(drop_percentage(10, LIMITS), 30);
        assert_eq!(drop_percentage(55, LIMITS), 65);
        assert_eq!(drop_percentage(100, LIMITS), 100);
    }

    #[test]
    fn place_is_free_again_after_login() {
        let startups = Startups::default();
        let one = MaxStartups {
            start: 1,
            rate: 100,
            full: 1,
        };
        let first = startups.enter(one);
        assert!(first.is_some() && startups.enter(one).is_none());
        drop(first);
        assert!(startups.enter(one).is_some());
    }
}

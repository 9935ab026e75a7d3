//! `MaxStartups` and `PerSourceMaxStartups`: how many connections may be on their way to a login at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::rand;

use super::penalties::NetBlock;
use crate::config::sshd_config::MaxStartups;

/// Counts connections that have not logged in yet.
#[derive(Debug, Clone, Default)]
pub(super) struct Startups(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    all: u32,
    /// Those of each source that has one.
    of_source: HashMap<NetBlock, u32>,
}

/// One of them; dropped once it has logged in, or ended.
#[derive(Debug)]
pub(super) struct Startup {
    startups: Startups,
    source: Option<NetBlock>,
}

/// The limit that a connection would be beyond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exceeded {
    /// `MaxStartups`.
    All,
    /// `PerSourceMaxStartups`.
    OfSource,
}

impl Startups {
    /// Lets a connection in, or not: between `start` and `full` a growing share is dropped at random.
    pub(super) fn enter(
        &self,
        source: Option<NetBlock>,
        limits: MaxStartups,
        of_source: u32,
    ) -> Result<Startup, Exceeded> {
        let mut random = [0; 4];
        // Without random bytes the limit is the lower one.
        let dice = rand::fill(&mut random).map_or(0, |()| u32::from_be_bytes(random) % 100);
        let mut counts = self.lock();
        if dice < drop_percentage(counts.all, limits) {
            return Err(Exceeded::All);
        }
        if let Some(source) = source {
            let there = counts.of_source.get(&source).copied().unwrap_or(0);
            if there >= of_source {
                return Err(Exceeded::OfSource);
            }
            counts.of_source.insert(source, there + 1);
        }
        counts.all += 1;
        Ok(Startup {
            startups: self.clone(),
            source,
        })
    }

    /// How many there are.
    pub(super) fn count(&self) -> u32 {
        self.lock().all
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Startup {
    fn drop(&mut self) {
        let mut counts = self.startups.lock();
        counts.all -= 1;
        let Some(source) = self.source else { return };
        match counts.of_source.get_mut(&source) {
            Some(there) if *there > 1 => *there -= 1,
            _ => drop(counts.of_source.remove(&source)),
        }
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
        let enter = || startups.enter(Some(NetBlock::V4(1)), one, u32::MAX);
        let first = enter();
        assert!(first.is_ok());
        assert_eq!(enter().unwrap_err(), Exceeded::All);
        drop(first);
        assert!(enter().is_ok());
        let counts = startups.lock();
        assert_eq!((counts.all, counts.of_source.len()), (0, 0));
    }
}

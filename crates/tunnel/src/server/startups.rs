//! `MaxStartups` and `PerSourceMaxStartups`: limits on connections that have not logged in yet.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::rand;

use super::penalties::NetBlock;
use crate::config::sshd_config::MaxStartups;

/// Numbers of connections that have not logged in yet.
#[derive(Debug, Clone, Default)]
pub(super) struct Startups(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    all: u32,
    /// Number for each source that has any.
    of_source: HashMap<NetBlock, u32>,
}

/// One such connection; dropped after its login, or at its end.
#[derive(Debug)]
pub(super) struct Startup {
    startups: Startups,
    source: Option<NetBlock>,
}

/// Limit that a connection would exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exceeded {
    /// `MaxStartups`.
    All,
    /// `PerSourceMaxStartups`.
    OfSource,
}

impl Startups {
    /// Admits a connection or not: between `start` and `full` a growing share is refused at random.
    pub(super) fn enter(
        &self,
        source: Option<NetBlock>,
        limits: MaxStartups,
        of_source: u32,
    ) -> Result<Startup, Exceeded> {
        let mut random = [0; 4];
        // Without random bytes, all above `start` are refused.
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

    /// Number of connections that have not logged in yet.
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

/// Percentage of refused connections: rises from `rate` at `start` to 100 at `full`.
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
    fn share_of_refused_connections_rises_from_rate_to_all() {
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

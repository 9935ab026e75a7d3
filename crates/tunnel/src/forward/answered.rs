//! Targets that answered a moment ago: an application in SOCKS need not wait to be told that they do so again.
//!
//! What it is told of others is what became of them.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long an answer counts.
const LATELY: Duration = Duration::from_secs(60);
/// Targets that are remembered; a new one takes the place of all that have not answered lately, or of none.
const MAX_TARGETS: usize = 1024;

/// Which targets of one forward answered, and when.
#[derive(Debug, Default)]
pub struct Answered(Mutex<HashMap<String, Instant>>);

impl Answered {
    /// The target gave a connection.
    pub(super) fn note(&self, target: &str, now: Instant) {
        let mut targets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = targets.get_mut(target) {
            *at = now;
            return;
        }
        if targets.len() >= MAX_TARGETS {
            targets.retain(|_, at| is_lately(*at, now));
        }
        if targets.len() < MAX_TARGETS {
            targets.insert(target.to_owned(), now);
        }
    }

    /// The target gave none.
    pub(super) fn forget(&self, target: &str) {
        let mut targets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        targets.remove(target);
    }

    pub(super) fn lately(&self, target: &str, now: Instant) -> bool {
        let targets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        targets.get(target).is_some_and(|at| is_lately(*at, now))
    }
}

fn is_lately(at: Instant, now: Instant) -> bool {
    now.saturating_duration_since(at) < LATELY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answer_counts_for_a_minute_or_until_a_refusal() {
        let (answered, start) = (Answered::default(), Instant::now());
        assert!(!answered.lately("a:1", start));
        answered.note("a:1", start);
        assert!(answered.lately("a:1", start + LATELY / 2));
        assert!(!answered.lately("a:1", start + LATELY));
        assert!(!answered.lately("a:2", start), "another port");
        answered.forget("a:1");
        assert!(!answered.lately("a:1", start));
    }

    #[test]
    fn no_more_targets_are_remembered_than_have_room() {
        let (answered, start) = (Answered::default(), Instant::now());
        for port in 0..MAX_TARGETS {
            answered.note(&format!("a:{port}"), start);
        }
        answered.note("b:1", start);
        assert!(!answered.lately("b:1", start));
        assert!(answered.lately("a:1", start), "nobody had to go");
        answered.note("b:1", start + LATELY);
        assert!(answered.lately("b:1", start + LATELY));
        assert_eq!(answered.0.lock().unwrap().len(), 1);
    }
}

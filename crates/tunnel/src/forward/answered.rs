//! Targets that answered a moment ago: an application in SOCKS need not wait to be told that they do so again.
//!
//! What it is told of others is what became of them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long an answer counts.
const LATELY: Duration = Duration::from_secs(60);
/// Targets that are remembered; a new one takes the place of all that count no more, or of none.
const MAX_TARGETS: usize = 1024;

/// How long nobody else relies on a target while it leaves one waiting who does.
const IMPATIENCE: Duration = Duration::from_secs(1);

/// Which targets of one forward answered, and when.
#[derive(Debug, Default)]
pub struct Answered(Mutex<HashMap<String, Target>>);

#[derive(Debug)]
struct Target {
    answered: Instant,
    /// Since when somebody has relied on it, and it has not answered.
    relied_on: Option<Instant>,
}

impl Answered {
    /// The target gave a connection.
    pub(super) fn note(&self, target: &str, now: Instant) {
        let mut targets = self.targets();
        let news = Target {
            answered: now,
            relied_on: None,
        };
        if let Some(known) = targets.get_mut(target) {
            *known = news;
            return;
        }
        if targets.len() >= MAX_TARGETS {
            targets.retain(|_, known| known.is_fresh(now));
        }
        if targets.len() < MAX_TARGETS {
            targets.insert(target.to_owned(), news);
        }
    }

    /// An application was told that the target has answered.
    pub(super) fn rely_on(&self, target: &str, now: Instant) {
        if let Some(known) = self.targets().get_mut(target) {
            known.relied_on.get_or_insert(now);
        }
    }

    /// The target gave none.
    pub(super) fn forget(&self, target: &str) {
        self.targets().remove(target);
    }

    /// Whether an application may be told that the target has answered.
    pub(super) fn lately(&self, target: &str, now: Instant) -> bool {
        let targets = self.targets();
        targets.get(target).is_some_and(|known| known.is_fresh(now))
    }

    fn targets(&self) -> MutexGuard<'_, HashMap<String, Target>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Target {
    fn is_fresh(&self, now: Instant) -> bool {
        let since = |at| now.saturating_duration_since(at);
        since(self.answered) < LATELY && self.relied_on.is_none_or(|at| since(at) < IMPATIENCE)
    }
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
    fn target_that_leaves_somebody_waiting_is_not_relied_on() {
        let (answered, start) = (Answered::default(), Instant::now());
        answered.note("a:1", start);
        answered.rely_on("a:1", start);
        answered.rely_on("a:1", start + IMPATIENCE / 2);
        assert!(answered.lately("a:1", start + IMPATIENCE / 2));
        assert!(!answered.lately("a:1", start + IMPATIENCE));
        answered.note("a:1", start + IMPATIENCE);
        assert!(answered.lately("a:1", start + IMPATIENCE));
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

//! Recent targets: those that a forward's applications were connected to a moment ago.
//!
//! An application in SOCKS gets an immediate reply for such a target, before it has answered again. The reply for any
//! other target waits for its answer.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Time for which an answer counts.
const RECENT: Duration = Duration::from_secs(60);
/// Limit of remembered targets. If it is reached, all outdated ones are removed; if there are none, the new target is
/// not remembered.
const MAX_TARGETS: usize = 1024;

/// Time that an application waits for a recent target before others no longer rely on it.
const IMPATIENCE: Duration = Duration::from_secs(1);

/// Targets of one forward that answered, with the time.
#[derive(Debug, Default)]
pub struct RecentTargets(Mutex<HashMap<String, Target>>);

#[derive(Debug)]
struct Target {
    answered: Instant,
    /// Time since which some application has relied on the target without an answer.
    relied_on: Option<Instant>,
}

impl RecentTargets {
    /// Notes that the target accepted a connection.
    pub(super) fn note_answer(&self, target: &str, now: Instant) {
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

    /// Notes that an application got a reply before the target answered.
    pub(super) fn rely_on(&self, target: &str, now: Instant) {
        if let Some(known) = self.targets().get_mut(target) {
            known.relied_on.get_or_insert(now);
        }
    }

    /// Forgets a target that refused a connection.
    pub(super) fn forget(&self, target: &str) {
        self.targets().remove(target);
    }

    /// True if an application may get its reply before the target answers.
    pub(super) fn answers(&self, target: &str, now: Instant) -> bool {
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
        since(self.answered) < RECENT && self.relied_on.is_none_or(|at| since(at) < IMPATIENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answer_counts_for_a_minute_or_until_a_refusal() {
        let (recent, start) = (RecentTargets::default(), Instant::now());
        assert!(!recent.answers("a:1", start));
        recent.note_answer("a:1", start);
        assert!(recent.answers("a:1", start + RECENT / 2));
        assert!(!recent.answers("a:1", start + RECENT));
        assert!(!recent.answers("a:2", start), "another port");
        recent.forget("a:1");
        assert!(!recent.answers("a:1", start));
    }

    #[test]
    fn target_that_does_not_answer_is_not_relied_on() {
        let (recent, start) = (RecentTargets::default(), Instant::now());
        recent.note_answer("a:1", start);
        recent.rely_on("a:1", start);
        recent.rely_on("a:1", start + IMPATIENCE / 2);
        assert!(recent.answers("a:1", start + IMPATIENCE / 2));
        assert!(!recent.answers("a:1", start + IMPATIENCE));
        recent.note_answer("a:1", start + IMPATIENCE);
        assert!(recent.answers("a:1", start + IMPATIENCE));
    }

    #[test]
    fn number_of_remembered_targets_is_bounded() {
        let (recent, start) = (RecentTargets::default(), Instant::now());
        for port in 0..MAX_TARGETS {
            recent.note_answer(&format!("a:{port}"), start);
        }
        recent.note_answer("b:1", start);
        assert!(!recent.answers("b:1", start));
        assert!(recent.answers("a:1", start), "nobody had to go");
        recent.note_answer("b:1", start + RECENT);
        assert!(recent.answers("b:1", start + RECENT));
        assert_eq!(recent.0.lock().unwrap().len(), 1);
    }
}

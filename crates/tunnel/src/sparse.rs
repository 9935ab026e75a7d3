//! Messages that come at a stranger's rate, written at ours: one in a span of time, with the number of those between.

use std::time::{Duration, Instant};

/// A limit on how often something is said.
#[derive(Debug)]
pub(crate) struct Sparse {
    every: Duration,
    next: Option<Instant>,
    passed_over: u64,
}

impl Sparse {
    /// Says at most one in `every`.
    pub(crate) fn new(every: Duration) -> Self {
        Self {
            every,
            next: None,
            passed_over: 0,
        }
    }

    /// Whether to say the one that comes `now`: if so, how many were passed over since the last.
    pub(crate) fn admit(&mut self, now: Instant) -> Option<u64> {
        if self.next.is_some_and(|next| now < next) {
            self.passed_over += 1;
            return None;
        }
        self.next = Some(now + self.every);
        Some(std::mem::take(&mut self.passed_over))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_said_in_a_span_and_the_others_are_counted() {
        let (start, span) = (Instant::now(), Duration::from_secs(10));
        let mut sparse = Sparse::new(span);
        assert_eq!(sparse.admit(start), Some(0));
        assert_eq!(sparse.admit(start), None);
        assert_eq!(sparse.admit(start + span / 2), None);
        assert_eq!(sparse.admit(start + span), Some(2));
        assert_eq!(sparse.admit(start + span * 3), Some(0));
    }
}

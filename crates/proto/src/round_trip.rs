//! The measured round trip: the time from a `keepalive@openssh.com` to its answer, the least of the last minute.
//!
//! The least, because an answer that queued behind bulk data tells of our own backlog, not of the path; sizing
//! windows by it would make the backlog grow. Of a minute, because a busy connection may show nothing but its backlog
//! for a long time, and a path seldom becomes longer.

use std::time::{Duration, Instant};

/// Time that a minimum is kept at least; it is forgotten after twice that.
const KEPT: Duration = Duration::from_secs(30);
/// The pause between probes once there are enough samples.
const PAUSE: Duration = Duration::from_millis(500);
/// The pause until then: one unlucky sample, of a moment in which another program had the processor, would size the
/// windows of the first half minute.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// Number of samples that are enough.
const ENOUGH: u32 = 25;

/// Measures the round trip while data flows in.
#[derive(Debug, Default)]
pub(crate) struct RoundTrip {
    sent: Option<Instant>,
    next: Option<Instant>,
    /// Number of samples so far, up to `ENOUGH`.
    samples: u32,
    /// The least of the time since `since`, and of the stretch before that.
    least: Option<Duration>,
    least_before: Option<Duration>,
    since: Option<Instant>,
}

impl RoundTrip {
    /// True if a probe is due; the caller sends it.
    pub(crate) fn probe_due(&mut self, now: Instant) -> bool {
        if self.sent.is_some() || self.next.is_some_and(|next| now < next) {
            return false;
        }
        self.sent = Some(now);
        true
    }

    /// The answer came; gives the least of the recent samples.
    pub(crate) fn answered(&mut self, now: Instant) -> Option<Duration> {
        let sample = now.saturating_duration_since(self.sent.take()?);
        self.samples = ENOUGH.min(self.samples + 1);
        self.next = Some(now + self.pause());
        if now.saturating_duration_since(*self.since.get_or_insert(now)) >= KEPT {
            self.least_before = self.least.take();
            self.since = Some(now);
        }
        self.least = Some(self.least.map_or(sample, |least| least.min(sample)));
        self.least.into_iter().chain(self.least_before).min()
    }

    fn pause(&self) -> Duration {
        match self.samples < ENOUGH {
            true => FIRST_PAUSE,
            false => PAUSE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn least_of_the_recent_samples_counts() {
        let mut r = RoundTrip::default();
        let mut now = Instant::now();
        let mut measured = None;
        for millis in [30, 10, 90] {
            assert!(r.probe_due(now));
            assert!(!r.probe_due(now), "one at a time");
            now += Duration::from_millis(millis);
            measured = r.answered(now);
            assert!(!r.probe_due(now), "not again at once");
            now += PAUSE;
        }
        assert_eq!(measured, Some(Duration::from_millis(10)));
    }

    #[test]
    fn first_samples_follow_each_other_quickly() {
        let mut r = RoundTrip::default();
        let mut now = Instant::now();
        for _ in 0..ENOUGH {
            assert!(r.probe_due(now));
            r.answered(now);
            assert!(!r.probe_due(now));
            now += FIRST_PAUSE;
        }
        assert!(!r.probe_due(now));
        assert!(r.probe_due(now + PAUSE));
    }

    #[test]
    fn path_that_became_longer_is_known_after_a_minute() {
        let mut r = RoundTrip::default();
        let mut now = Instant::now();
        let mut measure = |millis, now: &mut Instant| {
            *now += PAUSE;
            assert!(r.probe_due(*now));
            *now += Duration::from_millis(millis);
            r.answered(*now)
        };
        measure(10, &mut now);
        let start = now;
        while now - start < KEPT {
            let got = measure(90, &mut now);
            assert_eq!(got, Some(Duration::from_millis(10)));
        }
        while now - start < KEPT * 3 {
            measure(90, &mut now);
        }
        assert_eq!(measure(90, &mut now), Some(Duration::from_millis(90)));
    }

    #[test]
    fn answer_to_nothing_measures_nothing() {
        assert_eq!(RoundTrip::default().answered(Instant::now()), None);
    }
}

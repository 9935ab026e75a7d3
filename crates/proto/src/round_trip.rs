//! The measured round trip: the time from a `keepalive@openssh.com` to its answer, the least of the last few.
//!
//! The least, because an answer that queued behind bulk data tells of our own backlog, not of the path; sizing
//! windows by it would make the backlog grow.

use std::time::{Duration, Instant};

/// How many samples the minimum is taken over.
const SAMPLES: usize = 8;
/// The pause between probes once there is a first sample.
const PAUSE: Duration = Duration::from_millis(500);

/// Measures the round trip while data flows in.
#[derive(Debug, Default)]
pub(crate) struct RoundTrip {
    sent: Option<Instant>,
    next: Option<Instant>,
    samples: [Option<Duration>; SAMPLES],
    cursor: usize,
}

impl RoundTrip {
    /// Whether a probe is due; the caller sends it.
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
        self.samples[self.cursor % SAMPLES] = Some(sample);
        self.cursor += 1;
        self.next = Some(now + PAUSE);
        self.samples.iter().flatten().min().copied()
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
    fn answer_to_nothing_measures_nothing() {
        assert_eq!(RoundTrip::default().answered(Instant::now()), None);
    }
}

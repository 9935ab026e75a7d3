//! Churn: the number of short-lived channels at a time.
//!
//! Each of them is interactive, but together they keep a connection busy. A bulk channel that left room for them as for
//! a single interactive channel would get only a fraction of the bandwidth.

use std::time::{Duration, Instant};

/// Time of one count, and for which it is valid.
const EPOCH: Duration = Duration::from_millis(100);
/// Longest life of a channel that counts.
const SHORT_LIFE: Duration = Duration::from_secs(1);

/// The count of one epoch, while the next is counted.
#[derive(Debug, Default)]
pub(super) struct Churn {
    /// Start of the present count.
    since: Option<Instant>,
    /// Sum of the lives of channels that ended since then.
    lived: Duration,
    /// Average number of channels at a time in the last epoch, and the time of that count.
    last: Option<(u32, Instant)>,
}

impl Churn {
    /// Notes the end of a channel that was opened at `opened`.
    pub(super) fn ended(&mut self, opened: Instant, now: Instant) {
        let life = now.saturating_duration_since(opened);
        if life > SHORT_LIFE {
            return;
        }
        let since = *self.since.get_or_insert(now);
        self.lived += life;
        let elapsed = now.saturating_duration_since(since);
        if elapsed >= EPOCH {
            // Little's law: the sum of the lives in a time, divided by that time, is the average number.
            let at_a_time = self.lived.as_micros().div_ceil(elapsed.as_micros().max(1));
            let at_a_time = u32::try_from(at_a_time).unwrap_or(u32::MAX);
            *self = Self {
                since: Some(now),
                lived: Duration::ZERO,
                // Few channels that ended over a long time do not count.
                last: (elapsed < 2 * EPOCH).then_some((at_a_time, now)),
            };
        }
    }

    /// Number of short-lived channels at a time.
    pub(super) fn at_a_time(&self, now: Instant) -> u32 {
        match self.last {
            Some((at_a_time, counted)) if now.saturating_duration_since(counted) < 2 * EPOCH => {
                at_a_time
            }
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Channels that live for a millisecond each, `at_a_time` of them in parallel.
    fn churn(at_a_time: u32, time: Duration) -> (Churn, Instant) {
        let (mut churn, start) = (Churn::default(), Instant::now());
        let life = Duration::from_millis(1);
        let mut now = start;
        while now < start + time {
            now += life;
            (0..at_a_time).for_each(|_| churn.ended(now - life, now));
        }
        (churn, now)
    }

    #[test]
    fn channels_at_a_time_are_counted() {
        for at_a_time in [1, 2, 32] {
            let (churn, now) = churn(at_a_time, Duration::from_secs(1));
            let counted = churn.at_a_time(now);
            assert!((at_a_time..=at_a_time + 1).contains(&counted), "{counted}");
        }
    }

    #[test]
    fn count_is_valid_for_a_moment_only() {
        let (churn, now) = churn(32, Duration::from_secs(1));
        assert_eq!(churn.at_a_time(now + 2 * EPOCH), 0);
    }

    #[test]
    fn long_lived_and_single_channels_do_not_count() {
        let (mut churn, start) = (Churn::default(), Instant::now());
        for second in 0..10 {
            let now = start + Duration::from_secs(second);
            churn.ended(now.checked_sub(Duration::from_secs(60)).unwrap_or(now), now);
            churn.ended(now, now);
            assert_eq!(churn.at_a_time(now), 0);
        }
    }
}

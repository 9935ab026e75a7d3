//! Churn: short-lived channels that come and go, and how many of them there are at a time.
//!
//! Each of them is interactive, but together they keep a connection busy. A stream beside them that leaves them the place
//! in front, as it does for a single one, would have a fraction of what they have.

use std::time::{Duration, Instant};

/// The time over which is counted. It is also how long a count is good for.
const EPOCH: Duration = Duration::from_millis(100);
/// A channel that lives longer is no part of it.
const SHORT_LIFE: Duration = Duration::from_secs(1);

/// The count of one epoch, while the next is counted.
#[derive(Debug, Default)]
pub(super) struct Churn {
    /// Since when lives are added up.
    since: Option<Instant>,
    /// The lives of the channels that have ended since then, one behind the other.
    lived: Duration,
    /// Channels at a time in the last epoch, on average, and when that was counted.
    last: Option<(u32, Instant)>,
}

impl Churn {
    /// A channel has ended that was opened at `opened`.
    pub(super) fn ended(&mut self, opened: Instant, now: Instant) {
        let life = now.saturating_duration_since(opened);
        if life > SHORT_LIFE {
            return;
        }
        let since = *self.since.get_or_insert(now);
        self.lived += life;
        let elapsed = now.saturating_duration_since(since);
        if elapsed >= EPOCH {
            // Little's law: what has lived in a time, by that time, is how many there were at once.
            let at_a_time = self.lived.as_micros().div_ceil(elapsed.as_micros().max(1));
            let at_a_time = u32::try_from(at_a_time).unwrap_or(u32::MAX);
            *self = Self {
                since: Some(now),
                lived: Duration::ZERO,
                // A few that ended over a long time are none.
                last: (elapsed < 2 * EPOCH).then_some((at_a_time, now)),
            };
        }
    }

    /// Short-lived channels at a time.
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

    /// Channels that live for a millisecond each, so many at a time.
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
    fn count_is_good_for_a_moment_only() {
        let (churn, now) = churn(32, Duration::from_secs(1));
        assert_eq!(churn.at_a_time(now + 2 * EPOCH), 0);
    }

    #[test]
    fn channels_that_last_and_single_ones_are_no_churn() {
        let (mut churn, start) = (Churn::default(), Instant::now());
        for second in 0..10 {
            let now = start + Duration::from_secs(second);
            churn.ended(now.checked_sub(Duration::from_secs(60)).unwrap_or(now), now);
            churn.ended(now, now);
            assert_eq!(churn.at_a_time(now), 0);
        }
    }
}

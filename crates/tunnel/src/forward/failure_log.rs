//! Failures of one forward's connections in the log: the first few in full, then how many more there were.
//!
//! A browser behind `-D` asks for dozens of names that don't resolve, again and again: a line for each would bury what
//! else there is to read, and fill a disk.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use log::{Level, debug, log};
use tokio::time::{Instant, sleep_until};

use crate::status::ForwardCounters;

/// Failures of one interval that are said in full.
const IN_FULL: u32 = 5;
/// The time after which the others are summed up.
const INTERVAL: Duration = Duration::from_secs(60);

/// Failures of one forward since the interval began.
#[derive(Debug, Default)]
pub(crate) struct FailureLog(Mutex<Option<Interval>>);

#[derive(Debug)]
struct Interval {
    begun: Instant,
    said: u32,
    counted: u64,
    last: String,
}

/// A failure's place in its interval.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    /// Among the first: to be said.
    Said,
    /// The first that is only counted: a summary is due at that time.
    FirstCounted(Instant),
    /// Counted.
    Counted,
}

/// Says that a connection of the forward failed, or counts it and says so later. To be called within a runtime.
pub(crate) fn failed(counters: &Arc<ForwardCounters>, label: &str, level: Level, failure: &str) {
    let turn = counters.failures.note(Instant::now(), failure);
    match turn {
        Turn::Said => log!(level, "{label}: {failure}"),
        Turn::Counted | Turn::FirstCounted(_) => debug!("{label}: {failure}"),
    }
    if let Turn::FirstCounted(due) = turn {
        let (counters, label) = (counters.clone(), label.to_owned());
        tokio::spawn(async move {
            sleep_until(due).await;
            if let Some(summary) = counters.failures.summary() {
                log!(level, "{label}: {summary}");
            }
        });
    }
}

impl FailureLog {
    fn note(&self, now: Instant, failure: &str) -> Turn {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // One with a summary to come ends with it.
        if slot.as_ref().is_some_and(|i| i.is_over(now)) {
            *slot = None;
        }
        let interval = slot.get_or_insert_with(|| Interval {
            begun: now,
            said: 0,
            counted: 0,
            last: String::new(),
        });
        if interval.said < IN_FULL {
            interval.said += 1;
            return Turn::Said;
        }
        interval.counted += 1;
        failure.clone_into(&mut interval.last);
        match interval.counted {
            1 => Turn::FirstCounted(interval.begun + INTERVAL),
            _ => Turn::Counted,
        }
    }

    /// Ends the interval.
    fn summary(&self) -> Option<String> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Interval { counted, last, .. } = slot.take()?;
        let (seconds, s) = (INTERVAL.as_secs(), if counted == 1 { "" } else { "s" });
        Some(format!(
            "{counted} more failure{s} within {seconds} s, the last: {last}"
        ))
    }
}

impl Interval {
    fn is_over(&self, now: Instant) -> bool {
        self.counted == 0 && now >= self.begun + INTERVAL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn first_failures_are_said_and_the_others_summed_up_once_an_interval() {
        let log = FailureLog::default();
        let begun = Instant::now();
        for _ in 0..IN_FULL {
            assert_eq!(log.note(begun, "a"), Turn::Said);
        }
        assert_eq!(log.note(begun, "b"), Turn::FirstCounted(begun + INTERVAL));
        for n in 0..1000 {
            assert_eq!(log.note(begun, &format!("c{n}")), Turn::Counted);
        }
        // However late the summary comes, nothing is said before it, and it has it all.
        assert_eq!(log.note(begun + 2 * INTERVAL, "d"), Turn::Counted);
        let summary = log.summary().unwrap();
        assert_eq!(summary, "1002 more failures within 60 s, the last: d");
        assert_eq!(log.note(begun + 2 * INTERVAL, "e"), Turn::Said);
    }

    #[tokio::test(start_paused = true)]
    async fn interval_with_nothing_to_sum_up_ends_by_itself() {
        let log = FailureLog::default();
        let begun = Instant::now();
        for after in 0..100 {
            assert_eq!(log.note(begun + after * INTERVAL, "a"), Turn::Said);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn summary_comes_by_itself_when_the_failures_stop() {
        let counters: Arc<ForwardCounters> = Arc::default();
        for _ in 0..=IN_FULL {
            failed(&counters, "test", Level::Warn, "a");
        }
        assert!(counters.failures.0.lock().unwrap().is_some());
        tokio::time::sleep(INTERVAL + Duration::from_secs(1)).await;
        assert!(counters.failures.0.lock().unwrap().is_none());
    }
}

//! Liveness: a silent peer is asked for a sign of life, and given up after too many questions without an answer.

use std::time::{Duration, Instant};

/// Rule for a silent peer (`ServerAliveInterval`, `ClientAliveInterval`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepAlive {
    /// Silence before each question.
    pub interval: Duration,
    /// Unanswered questions that are borne; the connection ends at the next.
    pub count_max: u32,
}

/// The peer has answered none of the questions that the rule bears.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PeerSilent;

/// The silence of one peer. Anything that it sends is a sign of life.
#[derive(Debug)]
pub(crate) struct Liveness {
    rule: Option<KeepAlive>,
    unanswered: u32,
    /// Time at which the peer last sent something, or was last asked.
    silent_since: Instant,
}

impl Liveness {
    /// A peer that was heard of just now; without a rule it may be silent for ever.
    pub(crate) fn new(rule: Option<KeepAlive>, now: Instant) -> Self {
        Self {
            rule,
            unanswered: 0,
            silent_since: now,
        }
    }

    /// The peer sent something.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.silent_since = now;
        self.unanswered = 0;
    }

    /// Time at which the next question is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        Some(self.silent_since + self.rule?.interval)
    }

    /// Counts a question that is due; the caller asks it.
    pub(crate) fn question(&mut self, now: Instant) -> Result<(), PeerSilent> {
        self.unanswered += 1;
        // Not the time it was due: a process that was stopped for long must still wait for the answer.
        self.silent_since = now;
        match self.rule {
            Some(rule) if self.unanswered > rule.count_max => Err(PeerSilent),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(10);

    fn liveness(now: Instant) -> Liveness {
        let rule = KeepAlive {
            interval: INTERVAL,
            count_max: 2,
        };
        Liveness::new(Some(rule), now)
    }

    #[test]
    fn question_is_due_after_each_interval_of_silence_until_the_count_is_full() {
        let mut now = Instant::now();
        let mut liveness = liveness(now);
        for expected in [Ok(()), Ok(()), Err(PeerSilent)] {
            now += INTERVAL;
            assert_eq!(liveness.due(), Some(now));
            assert_eq!(liveness.question(now), expected);
        }
    }

    #[test]
    fn anything_heard_begins_the_silence_and_the_count_anew() {
        let now = Instant::now();
        let mut liveness = liveness(now);
        for _ in 0..10 {
            assert_eq!(liveness.question(now), Ok(()));
            assert_eq!(liveness.question(now), Ok(()));
            liveness.heard(now);
        }
        let later = now + INTERVAL / 2;
        liveness.heard(later);
        assert_eq!(liveness.due(), Some(later + INTERVAL));
    }

    #[test]
    fn question_that_comes_late_waits_its_whole_interval() {
        let now = Instant::now();
        let mut liveness = liveness(now);
        let woken = now + INTERVAL * 360;
        assert_eq!(liveness.question(woken), Ok(()));
        assert_eq!(liveness.due(), Some(woken + INTERVAL));
    }

    #[test]
    fn without_a_rule_no_question_is_ever_due() {
        assert_eq!(Liveness::new(None, Instant::now()).due(), None);
    }
}

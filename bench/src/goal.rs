//! Goals of figures, and whether they were reached.

use crate::report::number;

/// Sense in which one of two numbers is the better one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub(crate) enum Better {
    More,
    Less,
}

/// Number that is aimed at.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub(crate) enum Goal {
    /// Ours divided by the other's.
    Ratio(f64),
    /// Ours alone, in the unit of its quantity.
    Value(f64),
}

/// Outcome of a goal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub(crate) enum GoalResult {
    Reached,
    Missed,
    /// A figure that the goal is about could not be measured.
    Unknown,
}

impl Goal {
    /// `ratio ≥ 1.30`, `≤ 12.0`.
    pub(crate) fn describe(self, better: Better) -> String {
        let sign = match better {
            Better::More => "≥",
            Better::Less => "≤",
        };
        match self {
            Self::Ratio(limit) => format!("ratio {sign} {}", number(limit)),
            Self::Value(limit) => format!("{sign} {}", number(limit)),
        }
    }

    /// Judges our median and the other's.
    pub(crate) fn judge(self, better: Better, ours: f64, theirs: f64) -> GoalResult {
        let (figure, limit) = match self {
            Self::Ratio(limit) => (ours / theirs, limit),
            Self::Value(limit) => (ours, limit),
        };
        if !figure.is_finite() {
            return GoalResult::Unknown;
        }
        let reached = match better {
            Better::More => figure >= limit,
            Better::Less => figure <= limit,
        };
        match reached {
            true => GoalResult::Reached,
            false => GoalResult::Missed,
        }
    }
}

impl GoalResult {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Reached => "reached",
            Self::Missed => "missed",
            Self::Unknown => "not measured",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_better_direction_decides() {
        let ratio = Goal::Ratio(1.3);
        assert_eq!(ratio.judge(Better::More, 130.0, 100.0), GoalResult::Reached);
        assert_eq!(ratio.judge(Better::More, 129.0, 100.0), GoalResult::Missed);
        let less = Goal::Ratio(0.5);
        assert_eq!(less.judge(Better::Less, 4.0, 10.0), GoalResult::Reached);
        assert_eq!(less.judge(Better::Less, 6.0, 10.0), GoalResult::Missed);
        let value = Goal::Value(110.0);
        assert_eq!(
            value.judge(Better::More, 111.0, f64::NAN),
            GoalResult::Reached
        );
    }

    #[test]
    fn what_was_not_measured_is_not_judged() {
        let ratio = Goal::Ratio(1.3);
        assert_eq!(
            ratio.judge(Better::More, 1.0, f64::NAN),
            GoalResult::Unknown
        );
        assert_eq!(
            Goal::Value(1.0).judge(Better::Less, f64::NAN, 1.0),
            GoalResult::Unknown
        );
    }

    #[test]
    fn goals_are_described_with_their_sign() {
        assert_eq!(Goal::Ratio(1.3).describe(Better::More), "ratio ≥ 1.30");
        assert_eq!(Goal::Value(12.0).describe(Better::Less), "≤ 12.0");
    }
}

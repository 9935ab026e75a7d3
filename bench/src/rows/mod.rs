//! What is measured: each row is a list of cases, and a case can be run for one contestant.

mod bulk;
pub(crate) mod connects;
mod echo;
mod logins;
mod long;
mod memory;
mod streams;

use std::time::Duration;

use crate::contestant::{Contestant, Kind, Workshop};
use crate::failure::Result;

/// The rows, by the names that the command line takes.
pub(crate) const NAMES: [&str; 7] = [
    "bulk", "streams", "connects", "echo", "long", "memory", "logins",
];

/// How long and how much.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Before each measurement of a rate.
    pub(crate) warm_up: Duration,
    /// Of each measurement of a rate.
    pub(crate) time: Duration,
    /// Of each measurement over the long link, ramp-up included.
    pub(crate) long_time: Duration,
    /// Idle connections whose memory is measured.
    pub(crate) idle_for_memory: usize,
    /// Idle connections beside a busy one.
    pub(crate) idle_beside_bulk: usize,
    /// Logins whose time is measured one by one.
    pub(crate) single_logins: usize,
}

/// How a case is measured.
type Measure = dyn Fn(&Stage, &Contestant) -> Result<Vec<Reading>>;

/// One measurement that a contestant can be put to.
pub(crate) struct Case {
    pub(crate) row: &'static str,
    pub(crate) name: String,
    run: Box<Measure>,
    floor: Floor,
}

/// Whether two plain relays can be measured too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Floor {
    Measured,
    Meaningless,
}

/// What a case finds around it.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) plan: Plan,
    pub(crate) workshop: Workshop,
}

/// One number that a case found.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    pub(crate) quantity: &'static str,
    pub(crate) better: Better,
    pub(crate) value: f64,
}

/// Which of two numbers is the better one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub(crate) enum Better {
    More,
    Less,
}

impl Plan {
    /// For figures that are to be believed.
    pub(crate) const FULL: Self = Self {
        warm_up: Duration::from_millis(300),
        time: Duration::from_secs(2),
        long_time: Duration::from_secs(8),
        idle_for_memory: 500,
        idle_beside_bulk: 2000,
        single_logins: 10,
    };

    /// To see that everything runs.
    pub(crate) const SMOKE: Self = Self {
        warm_up: Duration::from_millis(50),
        time: Duration::from_millis(200),
        long_time: Duration::from_millis(1500),
        idle_for_memory: 20,
        idle_beside_bulk: 50,
        single_logins: 1,
    };
}

impl Case {
    /// Whether `contestant` can be put to it.
    pub(crate) fn suits(&self, contestant: &Contestant) -> bool {
        self.floor == Floor::Measured || !matches!(contestant.kind, Kind::Relays)
    }

    pub(crate) fn run(&self, stage: &Stage, contestant: &Contestant) -> Result<Vec<Reading>> {
        (self.run)(stage, contestant)
    }

    fn new(
        row: &'static str,
        name: impl Into<String>,
        floor: Floor,
        run: impl Fn(&Stage, &Contestant) -> Result<Vec<Reading>> + 'static,
    ) -> Self {
        Self {
            row,
            name: name.into(),
            run: Box::new(run),
            floor,
        }
    }
}

impl Reading {
    fn more(quantity: &'static str, value: f64) -> Self {
        Self {
            quantity,
            better: Better::More,
            value,
        }
    }

    fn less(quantity: &'static str, value: f64) -> Self {
        Self {
            quantity,
            better: Better::Less,
            value,
        }
    }
}

/// The cases of the row `name`; nothing if there is no such row.
pub(crate) fn cases(name: &str) -> Option<Vec<Case>> {
    Some(match name {
        "bulk" => bulk::cases(),
        "streams" => streams::cases(),
        "connects" => connects::cases(),
        "echo" => echo::cases(),
        "long" => long::cases(),
        "memory" => memory::cases(),
        "logins" => logins::cases(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_cases_of_its_row() {
        for name in NAMES {
            let cases = cases(name).unwrap();
            assert!(!cases.is_empty(), "{name}");
            assert!(cases.iter().all(|case| case.row == name), "{name}");
        }
        assert!(cases("no such row").is_none());
    }
}

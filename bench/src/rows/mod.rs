//! Measurements: each row is a list of cases, and a case can be run for one contestant.

mod bulk;
mod channels;
mod clients;
mod connects;
mod echo;
mod first_byte;
mod http;
mod idle;
mod logins;
mod long;
mod memory;
mod mixed;
mod stalled;
mod stock_end;
mod streams;
mod writes;

use crate::contestant::{Contestant, Kind, Programs, Role};
use crate::failure::{Failure, Result};
use crate::goal::{Better, Goal};
use crate::plan::Plan;
use crate::tunnel::{Setup, Tunnel};
use crate::workshop::Workshop;

/// A row, by the name that the command line takes.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) cases: fn(&Plan) -> Vec<Case>,
}

/// All of them, in the order of the report.
pub(crate) const ROWS: [Row; 16] = [
    Row::new("bulk", bulk::cases),
    Row::new("streams", streams::cases),
    Row::new("connects", connects::cases),
    Row::new("mixed", mixed::cases),
    Row::new("http", http::cases),
    Row::new("echo", echo::cases),
    Row::new("idle", idle::cases),
    Row::new("memory", memory::cases),
    Row::new("long", long::cases),
    Row::new("stock-end", stock_end::cases),
    Row::new("first-byte", first_byte::cases),
    Row::new("logins", logins::cases),
    Row::new("clients", clients::cases),
    Row::new("stalled", stalled::cases),
    Row::new("channels", channels::cases),
    Row::new("writes", writes::cases),
];

/// Rounds in which a case is measured.
const ROUNDS: usize = 5;
/// Rounds of a case whose readings differ by a third from round to round.
const ROUNDS_OF_NOISY: usize = 9;

/// Function that measures a case.
type Measure = dyn Fn(&Stage, &Contestant) -> Result<Vec<Reading>>;

/// One measurement that a contestant can be put to.
pub(crate) struct Case {
    pub(crate) row: &'static str,
    pub(crate) name: String,
    /// Time that it may take for one contestant in one round, in seconds, before anybody has seen it; none is the time
    /// that a plan takes for one rate.
    pub(crate) seconds: Option<f64>,
    /// Rounds in which it is measured, unless the user says how many.
    pub(crate) rounds: usize,
    /// Rounds in which it is measured at most for others than ours.
    pub(crate) max_rounds_of_others: usize,
    /// Position on the axis of a growth plot, if it stands on one.
    pub(crate) position: Option<Position>,
    run: Box<Measure>,
    who: Who,
}

/// Contestants that can be put to a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    /// Two plain relays too.
    All,
    /// Those that speak SSH.
    Ssh,
    /// Ours alone: its goal is a figure of its own.
    Ours,
}

/// A place on the axis of a growth plot.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub(crate) struct Position {
    /// Quantity that grows.
    pub(crate) axis: &'static str,
    pub(crate) x: f64,
}

/// Surroundings of a case.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) plan: Plan,
    pub(crate) workshop: Workshop,
    pub(crate) contestants: Vec<Contestant>,
}

/// One number that a case found.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    pub(crate) quantity: &'static str,
    pub(crate) better: Better,
    pub(crate) value: f64,
    pub(crate) goal: Option<Goal>,
}

impl Row {
    const fn new(name: &'static str, cases: fn(&Plan) -> Vec<Case>) -> Self {
        Self { name, cases }
    }
}

impl Stage {
    /// A tunnel of `who` with one forward to each far end, by their ports.
    fn tunnel(&self, who: &Contestant, setup: Setup, targets: &[u16]) -> Result<Tunnel> {
        Tunnel::start(&self.workshop, who, setup, targets)
    }

    /// The programs of the contestant in that role.
    fn programs_of(&self, role: Role) -> Result<&Programs> {
        let found = self.contestants.iter().find(|who| who.role == role);
        found
            .ok_or_else(|| Failure::new(format!("there is no contestant {role:?}")))?
            .programs()
    }
}

impl Case {
    fn new(
        row: &'static str,
        name: impl Into<String>,
        who: Who,
        run: impl Fn(&Stage, &Contestant) -> Result<Vec<Reading>> + 'static,
    ) -> Self {
        Self {
            row,
            name: name.into(),
            seconds: None,
            rounds: ROUNDS,
            max_rounds_of_others: usize::MAX,
            position: None,
            run: Box::new(run),
            who,
        }
    }

    /// Sets the time that it may take, in seconds.
    fn lasting(self, seconds: f64) -> Self {
        Self {
            seconds: Some(seconds),
            ..self
        }
    }

    /// A point of a growth plot, measured in so many rounds.
    fn at(self, position: Position, rounds: usize) -> Self {
        Self {
            position: Some(position),
            rounds,
            ..self
        }
    }

    /// Readings differ so much from round to round that the median of a few is a matter of luck.
    fn noisy(self) -> Self {
        Self {
            rounds: ROUNDS_OF_NOISY,
            ..self
        }
    }

    /// Others than ours are measured in at most so many rounds.
    fn others_at_most(self, max_rounds_of_others: usize) -> Self {
        Self {
            max_rounds_of_others,
            ..self
        }
    }

    /// True if `contestant` can be put to it.
    pub(crate) fn suits(&self, contestant: &Contestant) -> bool {
        match self.who {
            Who::All => true,
            Who::Ssh => matches!(contestant.kind, Kind::Ssh(_)),
            Who::Ours => contestant.role == Role::Ours,
        }
    }

    pub(crate) fn run(&self, stage: &Stage, contestant: &Contestant) -> Result<Vec<Reading>> {
        (self.run)(stage, contestant)
    }
}

impl Reading {
    fn more(quantity: &'static str, value: f64) -> Self {
        Self {
            quantity,
            better: Better::More,
            value,
            goal: None,
        }
    }

    fn less(quantity: &'static str, value: f64) -> Self {
        Self {
            better: Better::Less,
            ..Self::more(quantity, value)
        }
    }

    /// With what is aimed at.
    fn aiming_at(self, goal: Goal) -> Self {
        Self {
            goal: Some(goal),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_cases_of_its_own() {
        for plan in [Plan::FULL, Plan::SMOKE] {
            for row in &ROWS {
                let cases = (row.cases)(&plan);
                assert!(!cases.is_empty(), "{}", row.name);
                assert!(
                    cases.iter().all(|case| case.row == row.name),
                    "{}",
                    row.name
                );
            }
        }
    }

    #[test]
    fn no_two_cases_of_a_row_share_a_name() {
        for row in &ROWS {
            let mut names: Vec<String> = (row.cases)(&Plan::SMOKE)
                .into_iter()
                .map(|case| case.name)
                .collect();
            let all = names.len();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), all, "{}", row.name);
        }
    }
}

//! A run: every case for every contestant, round after round, and what becomes of the readings.

use std::fs;
use std::time::Instant;

use crate::args::{Purpose, Run};
use crate::contestant::Contestant;
use crate::failure::{Attempt, Failure, Result};
use crate::machine;
use crate::plot::{bars, growth};
use crate::recorded;
use crate::report::{Report, Sample};
use crate::rows::{Case, Stage};
use crate::workshop::Workshop;

/// Rounds in which a case is measured again after a ratio seems to have collapsed.
const ROUNDS_AGAIN: usize = 6;

/// One case for one contestant: how long it takes, and how often it still will.
#[derive(Debug)]
struct Turn {
    seconds: f64,
    left: usize,
}

/// Work that is still to come.
#[derive(Debug)]
struct Progress {
    turns: Vec<Turn>,
    contestants: usize,
}

/// Measures everything and publishes it. An error if a case could not be measured for a contestant, or if a
/// recorded ratio has collapsed.
pub(crate) fn measure_all(run: &Run) -> Result<()> {
    for contestant in &run.contestants {
        contestant.check()?;
    }
    let stage = Stage {
        plan: run.plan,
        workshop: Workshop::open()?,
        contestants: run.contestants.clone(),
    };
    let cases: Vec<Case> = run
        .rows
        .iter()
        .flat_map(|row| (row.cases)(&run.plan))
        .filter(|case| case.name.contains(&run.case))
        .collect();
    if cases.is_empty() {
        return Err(Failure::new(format!(
            "no case of these rows has {:?} in its name",
            run.case
        )));
    }
    let mut report = empty_report(run, &cases);
    let mut progress = Progress::before(run, &cases);
    eprintln!("expected to take {}", minutes(progress.seconds_left()));
    for round in 0..report.rounds {
        for (number, case) in cases.iter().enumerate() {
            let due = |who: &Contestant| round < run.rounds_of(case, who);
            measure_case(
                &stage,
                (number, case),
                (round, &due),
                &mut progress,
                &mut report,
            );
        }
    }
    publish(run, &report)?;
    match run.purpose {
        Purpose::Measure => {}
        Purpose::Compare => compare(&stage, &cases, &mut progress, &mut report)?,
        Purpose::Record => recorded::record(&report)?,
    }
    match report.failures.len() {
        0 => Ok(()),
        count => Err(Failure::new(format!("{count} measurements failed"))),
    }
}

/// Compares with what was recorded. What seems to have collapsed is measured again before that is believed.
fn compare(
    stage: &Stage,
    cases: &[Case],
    progress: &mut Progress,
    report: &mut Report,
) -> Result<()> {
    let suspected = recorded::collapses(report)?;
    let again = cases
        .iter()
        .enumerate()
        .filter(|(_, case)| suspected.iter().any(|collapse| collapse.is_in(case)));
    for (number, case) in again {
        for round in report.rounds..report.rounds + ROUNDS_AGAIN {
            measure_case(stage, (number, case), (round, &|_| true), progress, report);
        }
    }
    if suspected.is_empty() {
        return Ok(());
    }
    let collapses = recorded::collapses(report)?;
    if collapses.is_empty() {
        return Ok(());
    }
    let sentences: Vec<String> = collapses.iter().map(ToString::to_string).collect();
    Err(Failure::new(format!(
        "worse than half of what was recorded: {}",
        sentences.join("; ")
    )))
}

fn empty_report(run: &Run, cases: &[Case]) -> Report {
    Report {
        date: machine::today(),
        name: run.name.clone(),
        rounds: run.most_rounds(cases),
        machine: machine::Machine::here(),
        commit: machine::commit(),
        contestants: run
            .contestants
            .iter()
            .map(|contestant| (contestant.name.clone(), contestant.version()))
            .collect(),
        samples: Vec::new(),
        failures: Vec::new(),
    }
}

/// One case for each contestant for whom the round is due; who begins changes from round to round.
fn measure_case(
    stage: &Stage,
    (number, case): (usize, &Case),
    (round, is_due): (usize, &dyn Fn(&Contestant) -> bool),
    progress: &mut Progress,
    report: &mut Report,
) {
    let count = stage.contestants.len();
    for index in (0..count).map(|turn| (turn + round) % count) {
        let who = &stage.contestants[index];
        if !case.suits(who) || !is_due(who) {
            continue;
        }
        let left = minutes(progress.seconds_left());
        let what = format!(
            "{}, {}, {}, round {}",
            case.row,
            case.name,
            who.name,
            round + 1
        );
        eprint!("[{left} left] {what} … ");
        let start = Instant::now();
        match case.run(stage, who) {
            Err(failure) => report.failures.push(format!("{what}: {failure}")),
            Ok(readings) => report
                .samples
                .extend(readings.into_iter().map(|reading| Sample {
                    row: case.row,
                    case: case.name.clone(),
                    quantity: reading.quantity,
                    better: reading.better,
                    contestant: who.name.clone(),
                    round,
                    value: reading.value,
                    goal: reading.goal.filter(|_| stage.plan.is_judged),
                    position: case.position,
                })),
        }
        let seconds = start.elapsed().as_secs_f64();
        eprintln!("{seconds:.1} s");
        progress.done(number, index, seconds);
    }
}

impl Progress {
    fn before(run: &Run, cases: &[Case]) -> Self {
        let turn = |case: &Case, who: &Contestant| Turn {
            seconds: case.seconds.unwrap_or(run.plan.seconds()),
            left: match case.suits(who) {
                true => run.rounds_of(case, who),
                false => 0,
            },
        };
        let turns = cases
            .iter()
            .flat_map(|case| run.contestants.iter().map(move |who| turn(case, who)));
        Self {
            turns: turns.collect(),
            contestants: run.contestants.len(),
        }
    }

    /// The next round will take as long as this one did.
    fn done(&mut self, case: usize, contestant: usize, seconds: f64) {
        let turn = &mut self.turns[case * self.contestants + contestant];
        turn.seconds = seconds;
        turn.left = turn.left.saturating_sub(1);
    }

    fn seconds_left(&self) -> f64 {
        let left = |turn: &Turn| turn.seconds * turn.left as f64;
        self.turns.iter().map(left).sum()
    }
}

fn minutes(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    format!("{}:{:02} min", seconds / 60, seconds % 60)
}

fn publish(run: &Run, report: &Report) -> Result<()> {
    if run.json {
        let json = serde_json::to_string_pretty(report).attempt(|| "write JSON".to_owned())?;
        println!("{json}");
    } else {
        print!("{}", report.table());
    }
    let Some(dir) = &run.reports else {
        return Ok(());
    };
    fs::create_dir_all(dir).attempt(|| format!("make {}", dir.display()))?;
    let stem = format!("{}-{}", report.date, report.name);
    let mut plots = vec![("Medians side by side".to_owned(), format!("{stem}.svg"))];
    let mut files = vec![(format!("{stem}.svg"), bars::svg(report))];
    for axis in growth::axes(report) {
        let file = format!("{stem}-{}.svg", axis.replace(' ', "-"));
        plots.push((format!("Growth with {axis}"), file.clone()));
        files.push((file, growth::svg(report, axis)));
    }
    files.push((format!("{stem}.md"), report.markdown(&plots)));
    for (name, text) in files {
        let path = dir.join(name);
        fs::write(&path, text).attempt(|| format!("write {}", path.display()))?;
        eprintln!("wrote {}", path.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_reckoned_with_what_was_seen() {
        let turn = |left| Turn { seconds: 2.0, left };
        let mut progress = Progress {
            turns: vec![turn(3), turn(0), turn(1), turn(1)],
            contestants: 2,
        };
        assert_eq!(minutes(progress.seconds_left()), "0:10 min");
        progress.done(0, 0, 30.0);
        assert_eq!(minutes(progress.seconds_left()), "1:04 min");
    }
}

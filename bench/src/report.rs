//! Readings become a table: medians side by side, and in Markdown every single reading.

use std::fmt::Write;

use crate::goal::{Better, Goal, GoalResult};
use crate::machine::Machine;
use crate::measure::median;
use crate::rows::Position;

/// One reading of one contestant in one round.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct Sample {
    pub(crate) row: &'static str,
    pub(crate) case: String,
    pub(crate) quantity: &'static str,
    pub(crate) better: Better,
    pub(crate) contestant: String,
    pub(crate) round: usize,
    pub(crate) value: f64,
    pub(crate) goal: Option<Goal>,
    pub(crate) position: Option<Position>,
}

/// A whole run.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Report {
    pub(crate) date: String,
    pub(crate) name: String,
    pub(crate) rounds: usize,
    pub(crate) machine: Machine,
    /// Of the sources beside this program.
    pub(crate) commit: String,
    /// Names and versions; ours first, then the one it is compared with, then the others.
    pub(crate) contestants: Vec<(String, String)>,
    pub(crate) samples: Vec<Sample>,
    /// Measurements that could not be made, and why.
    pub(crate) failures: Vec<String>,
}

/// One line of the table: the medians of one quantity of one case.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) row: &'static str,
    pub(crate) case: String,
    pub(crate) quantity: &'static str,
    pub(crate) better: Better,
    /// In the order of [`Report::contestants`]; NaN where there is none.
    pub(crate) medians: Vec<f64>,
    pub(crate) goal: Option<Goal>,
    pub(crate) position: Option<Position>,
}

impl Line {
    /// Ours divided by the other's.
    pub(crate) fn ratio(&self) -> f64 {
        self.medians[0] / self.medians[1]
    }

    /// Outcome of the goal, where there is one.
    pub(crate) fn goal_result(&self) -> Option<GoalResult> {
        let goal = self.goal?;
        Some(goal.judge(self.better, self.medians[0], self.medians[1]))
    }

    fn arrow(&self) -> &'static str {
        match self.better {
            Better::More => "↑",
            Better::Less => "↓",
        }
    }
}

impl Report {
    /// The lines in the order in which they were measured first.
    pub(crate) fn lines(&self) -> Vec<Line> {
        let mut lines: Vec<Line> = Vec::new();
        for sample in &self.samples {
            let known = lines.iter().any(|line| line.is_of(sample));
            if known {
                continue;
            }
            let mut line = Line {
                row: sample.row,
                case: sample.case.clone(),
                quantity: sample.quantity,
                better: sample.better,
                medians: Vec::new(),
                goal: sample.goal,
                position: sample.position,
            };
            line.medians = self
                .contestants
                .iter()
                .map(|(name, _)| median(&self.values(&line, name)))
                .collect();
            lines.push(line);
        }
        lines
    }

    /// The readings of one contestant, round by round.
    fn values(&self, line: &Line, contestant: &str) -> Vec<f64> {
        let own = |sample: &&Sample| line.is_of(sample) && sample.contestant == contestant;
        let mut samples: Vec<&Sample> = self.samples.iter().filter(own).collect();
        samples.sort_by_key(|sample| sample.round);
        samples.iter().map(|sample| sample.value).collect()
    }

    /// The table for a terminal.
    pub(crate) fn table(&self) -> String {
        let cells = self.cells();
        let width = |column: usize| {
            let widths = cells.iter().map(|cells| cells[column].chars().count());
            widths.max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..cells[0].len()).map(width).collect();
        let mut text = String::new();
        for line in &cells {
            for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
                let pad = " ".repeat(width - cell.chars().count());
                match column {
                    0..3 => text.extend([cell, &pad, "  "]),
                    _ => text.extend([&pad, cell, "  "]),
                }
            }
            text.truncate(text.trim_end().len());
            text.push('\n');
        }
        for failure in &self.failures {
            text.extend(["failed: ", failure, "\n"]);
        }
        if !self.is_without_goals() {
            text.extend([&self.summary(), "\n"]);
        }
        text
    }

    fn is_without_goals(&self) -> bool {
        self.samples.iter().all(|sample| sample.goal.is_none())
    }

    /// Number of goals that were reached, in words.
    fn summary(&self) -> String {
        let results: Vec<GoalResult> = self.lines().iter().filter_map(Line::goal_result).collect();
        let count = |wanted| results.iter().filter(|v| **v == wanted).count();
        format!(
            "{} targets: {} reached, {} missed, {} not measured",
            results.len(),
            count(GoalResult::Reached),
            count(GoalResult::Missed),
            count(GoalResult::Unknown)
        )
    }

    /// The report for people; `plots` are the pictures beside it, by what they show and their file names.
    pub(crate) fn markdown(&self, plots: &[(String, String)]) -> String {
        let mut text = format!("# {}: {}\n\n", self.date, self.name);
        text.extend(["Machine: ", &self.machine.describe(), ".\n\n"]);
        text.extend(["Sources: commit ", &self.commit, ".\n\n"]);
        for (name, version) in &self.contestants {
            text.extend(["- ", name, ": ", version, "\n"]);
        }
        let rounds = self.rounds;
        text.push_str(&format!(
            "\nMedians over {rounds} rounds of the noisiest rows, over fewer of the others: all readings stand at the \
             end. In each round all were measured in turn. ↑: more is better, ↓: less is better.\n\n"
        ));
        if !self.is_without_goals() {
            text.extend([&self.summary(), ".\n\n"]);
        }
        push_markdown_table(&mut text, &self.cells());
        for (what, file) in plots {
            text.push_str(&format!("\n![{what}]({file})\n"));
        }
        if !self.failures.is_empty() {
            text.push_str("\nNot measured:\n\n");
        }
        for failure in &self.failures {
            text.extend(["- ", failure, "\n"]);
        }
        text.push_str("\n<details><summary>All readings, round by round</summary>\n\n");
        push_markdown_table(&mut text, &self.raw_cells());
        text.push_str("\n</details>\n");
        text
    }

    fn cells(&self) -> Vec<Vec<String>> {
        let mut head = vec!["row".to_owned(), "case".to_owned(), "quantity".to_owned()];
        head.extend(self.contestants.iter().map(|(name, _)| name.clone()));
        head.insert(5, "ratio".to_owned());
        head.extend(["target", "verdict"].map(str::to_owned));
        let mut cells = vec![head];
        for line in self.lines() {
            let quantity = format!("{} {}", line.quantity, line.arrow());
            let mut row = vec![line.row.to_owned(), line.case.clone(), quantity];
            row.extend(line.medians.iter().map(|value| number(*value)));
            row.insert(5, number(line.ratio()));
            row.push(line.goal.map_or(String::new(), |g| g.describe(line.better)));
            row.push(line.goal_result().map_or("", GoalResult::word).to_owned());
            cells.push(row);
        }
        cells
    }

    fn raw_cells(&self) -> Vec<Vec<String>> {
        let head = ["row", "case", "quantity", "contestant", "rounds"];
        let mut cells = vec![head.map(str::to_owned).to_vec()];
        for line in self.lines() {
            for (name, _) in &self.contestants {
                let values: Vec<String> =
                    self.values(&line, name).into_iter().map(number).collect();
                if !values.is_empty() {
                    let (row, case, quantity) = (line.row, &line.case, line.quantity);
                    let texts = [row, case, quantity, name, &values.join(" · ")];
                    cells.push(texts.map(str::to_owned).to_vec());
                }
            }
        }
        cells
    }
}

impl Line {
    fn is_of(&self, sample: &Sample) -> bool {
        self.row == sample.row && self.case == sample.case && self.quantity == sample.quantity
    }
}

/// Three significant digits, or a dash for what was not measured.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        _ if !value.is_finite() => "–".to_owned(),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn push_markdown_table(text: &mut String, cells: &[Vec<String>]) {
    for (number, line) in cells.iter().enumerate() {
        // Writing to a string does not fail.
        let _ = writeln!(text, "| {} |", line.join(" | "));
        if number == 0 {
            let _ = writeln!(text, "|{}", "---|".repeat(line.len()));
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Two rounds of two contestants; ours is twice as fast.
    pub(crate) fn example() -> Report {
        let sample = |contestant: &str, round, value| Sample {
            row: "bulk",
            case: "-L up".to_owned(),
            quantity: "MB/s",
            better: Better::More,
            contestant: contestant.to_owned(),
            round,
            value,
            goal: Some(Goal::Ratio(1.3)),
            position: None,
        };
        Report {
            date: "2026-11-23".to_owned(),
            name: "bulk".to_owned(),
            rounds: 2,
            machine: Machine::here(),
            commit: "0123abc".to_owned(),
            contestants: vec![
                ("adit".to_owned(), "adit 0.1".to_owned()),
                ("<OpenSSH>".to_owned(), "OpenSSH_9.2".to_owned()),
            ],
            samples: vec![
                sample("<OpenSSH>", 0, 900.0),
                sample("adit", 0, 2000.0),
                sample("adit", 1, 2200.0),
                sample("<OpenSSH>", 1, 1200.0),
            ],
            failures: vec!["long, up, adit: no byte arrived".to_owned()],
        }
    }

    #[test]
    fn medians_stand_side_by_side_with_their_ratio() {
        let lines = example().lines();
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0].medians, [2100.0, 1050.0]);
        assert!((lines[0].ratio() - 2.0).abs() < 1e-9);
    }

    #[test]
    fn the_table_is_aligned_and_tells_failures() {
        let table = example().table();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(
            lines[0],
            "row   case   quantity  adit  <OpenSSH>  ratio        target  verdict"
        );
        assert_eq!(
            lines[1],
            "bulk  -L up  MB/s ↑    2100       1050   2.00  ratio ≥ 1.30  reached"
        );
        assert_eq!(lines[2], "failed: long, up, adit: no byte arrived");
        assert_eq!(lines[3], "1 targets: 1 reached, 0 missed, 0 not measured");
    }

    #[test]
    fn markdown_holds_every_reading() {
        let plots = [("Medians".to_owned(), "x.svg".to_owned())];
        let text = example().markdown(&plots);
        assert!(
            text.contains(
                "| bulk | -L up | MB/s ↑ | 2100 | 1050 | 2.00 | ratio ≥ 1.30 | reached |"
            )
        );
        assert!(text.contains("2000 · 2200"), "{text}");
        assert!(text.contains("commit 0123abc"));
        assert!(text.contains("(x.svg)"));
        assert!(text.contains("no byte arrived"));
    }

    #[test]
    fn numbers_have_three_digits() {
        let texts = [1234.5, 123.4, 12.34, 1.234, 0.1234, f64::NAN].map(number);
        assert_eq!(texts, ["1234", "123", "12.3", "1.23", "0.123", "–"]);
    }
}

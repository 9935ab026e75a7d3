//! Ratios that were recorded once: smoke compares with them, and fails where one has collapsed.
//!
//! Both sides run on the same machine in turn, so that a ratio is about the programs and not the machine. It
//! still moves from run to run; only a fall to half is no accident.

use std::fs;
use std::path::PathBuf;

use crate::failure::{Attempt, Failure, Result};
use crate::goal::Better;
use crate::report::{Line, Report, number};
use crate::rows::Case;

/// Factor by which a ratio must be worse than recorded to count as a collapse.
const COLLAPSE: f64 = 2.0;

/// Ratios that are recorded: row, case, quantity.
const CHECKED: [(&str, &str, &str); 6] = [
    ("bulk", "-L up, aes256-gcm", "MB/s"),
    ("bulk", "-L up, aes256-gcm", "CPU s/GB"),
    ("connects", "-L, 32 clients", "connections/s"),
    ("http", "keep-alive, 64 clients", "requests/s"),
    ("echo", "beside a stream up", "p99 µs"),
    ("long", "100 ms, 1 Gbit/s, up", "MB/s, whole run"),
];

/// One recorded ratio, ours divided by theirs.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
struct Entry {
    row: String,
    case: String,
    quantity: String,
    ratio: f64,
}

/// A ratio that is worse than half of what it was.
#[derive(Debug)]
pub(crate) struct Collapse {
    now: Entry,
    recorded: f64,
}

/// True if something of this case is recorded.
pub(crate) fn is_checked(case: &Case) -> bool {
    CHECKED
        .iter()
        .any(|(row, name, _)| *row == case.row && *name == case.name)
}

/// Writes the ratios of `report` to the file that is kept with the sources.
pub(crate) fn record(report: &Report) -> Result<()> {
    let entries: Vec<Entry> = checked_lines(report)?.iter().map(Entry::of).collect();
    let json = serde_json::to_string_pretty(&entries).attempt(|| "write JSON".to_owned())? + "\n";
    let file = file();
    fs::write(&file, json).attempt(|| format!("write {}", file.display()))?;
    eprintln!("wrote {}", file.display());
    Ok(())
}

/// Ratios that have become worse than half of what was recorded. A ratio that is not recorded is an error.
pub(crate) fn collapses(report: &Report) -> Result<Vec<Collapse>> {
    let file = file();
    let json = fs::read(&file).attempt(|| format!("read {}", file.display()))?;
    let recorded: Vec<Entry> =
        serde_json::from_slice(&json).attempt(|| format!("read {}", file.display()))?;
    let mut collapses = Vec::new();
    for line in checked_lines(report)? {
        let now = Entry::of(&line);
        let then = recorded
            .iter()
            .find(|entry| entry.is_about(&now))
            .ok_or_else(|| Failure::new(format!("{now} is not recorded; run adit-bench record")))?;
        eprintln!("{now}, recorded {}", number(then.ratio));
        if has_collapsed(line.better, now.ratio, then.ratio) {
            let recorded = then.ratio;
            collapses.push(Collapse { now, recorded });
        }
    }
    Ok(collapses)
}

impl Collapse {
    /// True if it was seen in this case.
    pub(crate) fn is_in(&self, case: &Case) -> bool {
        self.now.row == case.row && self.now.case == case.name
    }
}

impl std::fmt::Display for Collapse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, recorded {}", self.now, number(self.recorded))
    }
}

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("recorded.json")
}

fn checked_lines(report: &Report) -> Result<Vec<Line>> {
    let lines = report.lines();
    let find = |(row, case, quantity): &(&str, &str, &str)| {
        let found = lines.iter().find(|line| {
            line.row == *row
                && line.case == *case
                && line.quantity == *quantity
                && line.ratio().is_finite()
        });
        found
            .cloned()
            .ok_or_else(|| Failure::new(format!("{row}, {case}, {quantity} was not measured")))
    };
    CHECKED.iter().map(find).collect()
}

fn has_collapsed(better: Better, now: f64, recorded: f64) -> bool {
    match better {
        Better::More => now * COLLAPSE < recorded,
        Better::Less => now > recorded * COLLAPSE,
    }
}

impl Entry {
    fn of(line: &Line) -> Self {
        Self {
            row: line.row.to_owned(),
            case: line.case.clone(),
            quantity: line.quantity.to_owned(),
            ratio: (line.ratio() * 1000.0).round() / 1000.0,
        }
    }

    fn is_about(&self, other: &Self) -> bool {
        self.row == other.row && self.case == other.case && self.quantity == other.quantity
    }
}

impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}, {}, {}: ratio {}",
            self.row,
            self.case,
            self.quantity,
            number(self.ratio)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;
    use crate::rows::ROWS;

    #[test]
    fn what_is_checked_is_measured_by_smoke() {
        for (row, case, quantity) in CHECKED {
            let rows = ROWS.iter().filter(|r| r.name == row);
            let mut cases = rows.flat_map(|r| (r.cases)(&Plan::SMOKE));
            assert!(
                cases.any(|c| c.name == case && is_checked(&c)),
                "{row}, {case}, {quantity}"
            );
        }
    }

    #[test]
    fn what_is_checked_is_recorded() {
        let recorded: Vec<Entry> = serde_json::from_slice(&fs::read(file()).unwrap()).unwrap();
        let names: Vec<_> = recorded
            .iter()
            .map(|e| (e.row.as_str(), e.case.as_str(), e.quantity.as_str()))
            .collect();
        assert_eq!(names, CHECKED);
        assert!(recorded.iter().all(|entry| entry.ratio > 0.0));
    }

    #[test]
    fn only_half_is_a_collapse() {
        assert!(!has_collapsed(Better::More, 0.7, 1.3));
        assert!(has_collapsed(Better::More, 0.6, 1.3));
        assert!(!has_collapsed(Better::Less, 1.2, 0.65));
        assert!(has_collapsed(Better::Less, 1.4, 0.65));
    }

    #[test]
    fn what_was_not_measured_cannot_be_compared() {
        let failure = collapses(&crate::report::tests::example()).unwrap_err();
        assert!(
            failure.to_string().contains("was not measured"),
            "{failure}"
        );
    }
}

//! The command line.

use std::path::{Path, PathBuf};

use crate::contestant::{Contestant, Kind, Programs, Role};
use crate::failure::{Attempt, Failure, Result};
use crate::plan::Plan;
use crate::recorded;
use crate::rows::{Case, ROWS, Row};

pub(crate) const HELP: &str = "\
usage: adit-bench ROW|all|smoke|record [OPTION]...
       adit-bench instructions

Measures tunnels through adit and OpenSSH side by side, on this machine.

rows: bulk streams connects mixed http echo idle memory long stock-end first-byte logins clients stalled channels writes
  all                     every row: about half an hour
  smoke                   every row, very short; fails if something does not run, or if a ratio is worse than
                          half of what bench/recorded.json holds
  record                  the same with more rounds of what is compared, and writes bench/recorded.json anew
  instructions            processor instructions of the core's hot paths, counted by valgrind

  --case TEXT             only the cases whose name holds it: adit-bench bulk --case '-L up, aes256-gcm'
  --rounds N              rounds (5; bulk 9, channels and writes 3, 1 of OpenSSH with 10,000 connections); the table
                          shows medians
  --ours CLIENT:SERVER    what to measure (adit and aditd beside this program)
  --theirs CLIENT:SERVER  what to compare with (/usr/bin/ssh:/usr/sbin/sshd)
  --short                 a moment for each, as smoke does: figures that no target is held against
  --no-floor              leave out the two plain relays
  --name NAME             the report's name (the row's)
  --out DIR               where the report goes (bench/reports; short runs write none)
  --json                  print JSON instead of the table
";

/// Task of this process.
#[derive(Debug)]
pub(crate) enum Args {
    Help,
    /// Be one of the two relays: from a port of 127.0.0.1 to another.
    Relay {
        port: u16,
        target: u16,
    },
    /// Be the far end of thousands of connections.
    FarEnd {
        port: u16,
    },
    /// Do one of the core's tasks so many times, to be watched by valgrind.
    Work {
        name: String,
        count: u64,
    },
    /// Count the instructions of all of them.
    Instructions,
    Run(Box<Run>),
}

/// Measurements to make, and the folder for their report.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) name: String,
    pub(crate) purpose: Purpose,
    pub(crate) rows: Vec<&'static Row>,
    /// Text that the name of a case must hold.
    pub(crate) case: String,
    pub(crate) plan: Plan,
    /// Ours first, then the one it is compared with, then the others.
    pub(crate) contestants: Vec<Contestant>,
    pub(crate) json: bool,
    /// Folder for the report, if it is to be written.
    pub(crate) reports: Option<PathBuf>,
    /// Number of rounds that was asked for, if any.
    rounds: Option<usize>,
}

/// Purpose of the figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A report.
    Measure,
    /// A comparison with what was recorded.
    Compare,
    /// To be compared with later.
    Record,
}

/// Arguments as they were typed.
#[derive(Debug, Default)]
struct Typed {
    words: Vec<String>,
    case: String,
    rounds: Option<usize>,
    ours: Option<String>,
    theirs: Option<String>,
    name: Option<String>,
    out: Option<PathBuf>,
    short: bool,
    no_floor: bool,
    json: bool,
    help: bool,
}

impl Args {
    /// Reads the task of this process from its arguments.
    pub(crate) fn parse() -> Result<Self> {
        Typed::read(lexopt::Parser::from_env())?.mean()
    }
}

impl Run {
    /// Number of times that a case is measured for a contestant.
    pub(crate) fn rounds_of(&self, case: &Case, who: &Contestant) -> usize {
        let most = match who.role {
            Role::Ours => case.rounds,
            Role::Theirs | Role::Floor => case.rounds.min(case.max_rounds_of_others),
        };
        match (self.rounds, self.plan.checked_rounds) {
            (Some(rounds), _) => rounds.max(1),
            (None, None) => most,
            (None, Some(rounds)) if recorded::is_checked(case) => rounds,
            (None, Some(_)) => 1,
        }
    }

    /// Number of rounds of the case that has most.
    pub(crate) fn most_rounds(&self, cases: &[Case]) -> usize {
        let pairs = cases
            .iter()
            .flat_map(|case| self.contestants.iter().map(move |who| (case, who)));
        let rounds = pairs.map(|(case, who)| self.rounds_of(case, who));
        rounds.max().unwrap_or_default()
    }
}

impl Typed {
    fn read(mut parser: lexopt::Parser) -> Result<Self> {
        use lexopt::prelude::*;
        let mut typed = Self::default();
        while let Some(arg) = parser.next()? {
            match arg {
                Value(word) => typed.words.push(word.string()?),
                Long("case") => typed.case = parser.value()?.string()?,
                Long("rounds") => typed.rounds = Some(parser.value()?.parse()?),
                Long("ours") => typed.ours = Some(parser.value()?.string()?),
                Long("theirs") => typed.theirs = Some(parser.value()?.string()?),
                Long("name") => typed.name = Some(parser.value()?.string()?),
                Long("out") => typed.out = Some(parser.value()?.into()),
                Long("short") => typed.short = true,
                Long("no-floor") => typed.no_floor = true,
                Long("json") => typed.json = true,
                Long("help") | Short('h') => typed.help = true,
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(typed)
    }

    fn mean(self) -> Result<Args> {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        let port = |word: &str| word.parse().attempt(|| format!("read port {word}"));
        match words[..] {
            _ if self.help => Ok(Args::Help),
            ["relay", from, to] => Ok(Args::Relay {
                port: port(from)?,
                target: port(to)?,
            }),
            ["far-end", at] => Ok(Args::FarEnd { port: port(at)? }),
            ["work", name, count] => Ok(Args::Work {
                name: name.to_owned(),
                count: count.parse().attempt(|| format!("read count {count}"))?,
            }),
            ["instructions"] => Ok(Args::Instructions),
            [what] => Ok(Args::Run(Box::new(self.run(what)?))),
            _ => Err(Failure::new(
                "name one row, all, smoke, record or instructions; see --help",
            )),
        }
    }

    fn run(&self, what: &str) -> Result<Run> {
        let purpose = match what {
            "smoke" => Purpose::Compare,
            "record" => Purpose::Record,
            _ => Purpose::Measure,
        };
        let every_row = purpose != Purpose::Measure;
        let short = every_row || self.short;
        let rows: Vec<&'static Row> = ROWS
            .iter()
            .filter(|row| every_row || what == "all" || what == row.name)
            .collect();
        if rows.is_empty() {
            return Err(Failure::new(format!("there is no row {what}; see --help")));
        }
        let default_out = Path::new(env!("CARGO_MANIFEST_DIR")).join("reports");
        Ok(Run {
            name: self.name.clone().unwrap_or_else(|| what.to_owned()),
            purpose,
            rows,
            case: self.case.clone(),
            plan: match purpose {
                Purpose::Record => Plan::RECORD,
                _ if short => Plan::SMOKE,
                _ => Plan::FULL,
            },
            contestants: self.contestants()?,
            json: self.json,
            reports: match (&self.out, short) {
                (Some(out), _) => Some(out.clone()),
                (None, true) => None,
                (None, false) => Some(default_out),
            },
            rounds: self.rounds,
        })
    }

    fn contestants(&self) -> Result<Vec<Contestant>> {
        let own = std::env::current_exe().attempt(|| "find this program".to_owned())?;
        let dir = own.parent().unwrap_or(Path::new("."));
        let ssh = |name: &str, role, programs| Contestant {
            name: name.to_owned(),
            role,
            kind: Kind::Ssh(programs),
        };
        // A report must not call adit what is something else, so a chosen pair goes by its path.
        let chosen = |word: &str, role, pair: &str| {
            let client = pair.split_once(':').map_or(pair, |(client, _)| client);
            let name = format!("{word}: {client}");
            Ok::<_, Failure>(ssh(&name, role, Programs::parse(pair)?))
        };
        let ours = match &self.ours {
            Some(pair) => chosen("ours", Role::Ours, pair)?,
            None => ssh("adit", Role::Ours, Programs::adit_in(dir)),
        };
        let theirs = match &self.theirs {
            Some(pair) => chosen("theirs", Role::Theirs, pair)?,
            None => {
                let stock = Programs::parse("/usr/bin/ssh:/usr/sbin/sshd")?;
                ssh("OpenSSH", Role::Theirs, stock)
            }
        };
        let mut contestants = vec![ours, theirs];
        if !self.no_floor {
            contestants.push(Contestant {
                name: "two relays".to_owned(),
                role: Role::Floor,
                kind: Kind::Relays,
            });
        }
        Ok(contestants)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(args: &[&str]) -> Result<Args> {
        Typed::read(lexopt::Parser::from_args(args))?.mean()
    }

    fn run(args: &[&str]) -> Run {
        match mean(args).unwrap() {
            Args::Run(run) => *run,
            other => panic!("{other:?}"),
        }
    }

    /// Our rounds of the first case of each row.
    fn rounds(run: &Run) -> Vec<usize> {
        let ours = &run.contestants[0];
        let first = |row: &&Row| run.rounds_of(&(row.cases)(&run.plan)[0], ours);
        run.rows.iter().map(first).collect()
    }

    #[test]
    fn a_row_runs_five_rounds_and_is_reported() {
        let run = run(&["echo"]);
        assert_eq!((run.rows.len(), rounds(&run)), (1, vec![5]));
        assert!(run.reports.unwrap().ends_with("bench/reports"));
    }

    #[test]
    fn noisy_rows_run_more_rounds_unless_told() {
        assert_eq!(rounds(&run(&["bulk"])), [9]);
        assert_eq!(rounds(&run(&["bulk", "--rounds", "7"])), [7]);
    }

    #[test]
    fn growth_rows_run_fewer_rounds_unless_told() {
        assert_eq!(rounds(&run(&["writes"])), [3]);
        assert_eq!(rounds(&run(&["writes", "--rounds", "7"])), [7]);
    }

    #[test]
    fn what_takes_minutes_is_measured_less_often_for_others() {
        let run = run(&["idle"]);
        let cases = (run.rows[0].cases)(&run.plan);
        let rounds = |case: &Case, who: usize| run.rounds_of(case, &run.contestants[who]);
        let all: Vec<_> = cases.iter().map(|c| (rounds(c, 0), rounds(c, 1))).collect();
        assert_eq!(all, [(5, 5), (5, 1)]);
    }

    #[test]
    fn smoke_runs_everything_and_reports_nowhere() {
        let run = run(&["smoke"]);
        assert_eq!(
            (run.rows.len(), run.purpose),
            (ROWS.len(), Purpose::Compare)
        );
        assert_eq!(run.reports, None);
        assert!(rounds(&run).iter().all(|rounds| [1, 3].contains(rounds)));
    }

    #[test]
    fn contestants_can_be_chosen() {
        let run = run(&["all", "--ours", "/a:/b", "--no-floor"]);
        assert_eq!(run.contestants.len(), 2);
        assert_eq!(run.contestants[0].name, "ours: /a");
        let programs = run.contestants[0].programs().unwrap();
        assert_eq!(
            (programs.client.as_path(), programs.server.as_path()),
            (Path::new("/a"), Path::new("/b"))
        );
    }

    #[test]
    fn every_row_stands_in_the_help() {
        let line = HELP
            .lines()
            .find(|line| line.starts_with("rows: "))
            .unwrap();
        let names: Vec<&str> = line.split(' ').skip(1).collect();
        assert_eq!(names, ROWS.map(|row| row.name));
    }

    #[test]
    fn nonsense_is_refused() {
        for args in [
            &["nonsense"][..],
            &[],
            &["bulk", "echo"],
            &["bulk", "--ours", "x"],
            &["far-end", "x"],
            &["--x"],
        ] {
            assert!(mean(args).is_err(), "{args:?}");
        }
    }
}

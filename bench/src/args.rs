//! The command line.

use std::path::{Path, PathBuf};

use crate::contestant::{Contestant, Kind};
use crate::failure::{Attempt, Failure, Result};
use crate::rows::{self, Plan};

pub(crate) const HELP: &str = "\
usage: adit-bench ROW|all|smoke [OPTION]...

Measures tunnels through adit and OpenSSH side by side, on this machine.

rows: bulk streams connects echo long memory logins
  all                     every row
  smoke                   every row, very short, one round: only to see that everything runs

  --rounds N              rounds (5); the table shows medians
  --ours CLIENT:SERVER    what to measure (adit and aditd beside this program)
  --theirs CLIENT:SERVER  what to compare with (/usr/bin/ssh:/usr/sbin/sshd)
  --no-floor              leave out the two plain relays
  --name NAME             the report's name (the row's)
  --out DIR               where the report goes (bench/reports; smoke writes none)
  --json                  print JSON instead of the table
";

/// What to do.
#[derive(Debug)]
pub(crate) enum Args {
    Help,
    /// Be one of the two relays: from a port of 127.0.0.1 to another.
    Relay {
        port: u16,
        target: u16,
    },
    Run(Run),
}

/// What to measure, and where to write it.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) name: String,
    pub(crate) rows: Vec<&'static str>,
    pub(crate) rounds: usize,
    pub(crate) plan: Plan,
    /// Ours first, then the one it is compared with, then the others.
    pub(crate) contestants: Vec<Contestant>,
    pub(crate) json: bool,
    /// Where the report goes, if anywhere.
    pub(crate) reports: Option<PathBuf>,
}

/// What was typed.
#[derive(Debug, Default)]
struct Typed {
    words: Vec<String>,
    rounds: Option<usize>,
    ours: Option<String>,
    theirs: Option<String>,
    name: Option<String>,
    out: Option<PathBuf>,
    no_floor: bool,
    json: bool,
    help: bool,
}

impl Args {
    /// What this process was asked for.
    pub(crate) fn parse() -> Result<Self> {
        Typed::read(lexopt::Parser::from_env())?.mean()
    }
}

impl Typed {
    fn read(mut parser: lexopt::Parser) -> Result<Self> {
        use lexopt::prelude::*;
        let mut typed = Self::default();
        while let Some(arg) = parser.next()? {
            match arg {
                Value(word) => typed.words.push(word.string()?),
                Long("rounds") => typed.rounds = Some(parser.value()?.parse()?),
                Long("ours") => typed.ours = Some(parser.value()?.string()?),
                Long("theirs") => typed.theirs = Some(parser.value()?.string()?),
                Long("name") => typed.name = Some(parser.value()?.string()?),
                Long("out") => typed.out = Some(parser.value()?.into()),
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
        match words[..] {
            _ if self.help => Ok(Args::Help),
            ["relay", port, target] => Ok(Args::Relay {
                port: port.parse().attempt(|| format!("read port {port}"))?,
                target: target.parse().attempt(|| format!("read port {target}"))?,
            }),
            [what] => self.run(what).map(Args::Run),
            _ => Err(Failure::new("name one row, all, or smoke; see --help")),
        }
    }

    fn run(&self, what: &str) -> Result<Run> {
        let smoke = what == "smoke";
        let rows: Vec<&'static str> = rows::NAMES
            .into_iter()
            .filter(|row| smoke || what == "all" || what == *row)
            .collect();
        if rows.is_empty() {
            return Err(Failure::new(format!("there is no row {what}; see --help")));
        }
        let default_out = Path::new(env!("CARGO_MANIFEST_DIR")).join("reports");
        Ok(Run {
            name: self.name.clone().unwrap_or_else(|| what.to_owned()),
            rows,
            rounds: self.rounds.unwrap_or(if smoke { 1 } else { 5 }).max(1),
            plan: if smoke { Plan::SMOKE } else { Plan::FULL },
            contestants: self.contestants()?,
            json: self.json,
            reports: match (&self.out, smoke) {
                (Some(out), _) => Some(out.clone()),
                (None, true) => None,
                (None, false) => Some(default_out),
            },
        })
    }

    fn contestants(&self) -> Result<Vec<Contestant>> {
        let own = std::env::current_exe().attempt(|| "find this program".to_owned())?;
        let dir = own.parent().unwrap_or(Path::new("."));
        let beside = Contestant {
            name: "adit".to_owned(),
            kind: Kind::Ssh {
                client: dir.join("adit"),
                server: dir.join("aditd"),
            },
        };
        let stock = Contestant {
            name: "OpenSSH".to_owned(),
            kind: ssh_pair("/usr/bin/ssh:/usr/sbin/sshd")?,
        };
        // A report must not call adit what is something else, so a chosen pair goes by its path.
        let chosen = |role: &str, pair: &str| {
            let kind = ssh_pair(pair)?;
            let client = pair.split_once(':').map_or(pair, |(client, _)| client);
            let name = format!("{role}: {client}");
            Ok::<_, Failure>(Contestant { name, kind })
        };
        let mut contestants = vec![
            self.ours
                .as_deref()
                .map_or(Ok(beside), |pair| chosen("ours", pair))?,
            self.theirs
                .as_deref()
                .map_or(Ok(stock), |pair| chosen("theirs", pair))?,
        ];
        if !self.no_floor {
            contestants.push(Contestant {
                name: "two relays".to_owned(),
                kind: Kind::Relays,
            });
        }
        Ok(contestants)
    }
}

fn ssh_pair(pair: &str) -> Result<Kind> {
    let (client, server) = pair
        .split_once(':')
        .ok_or_else(|| Failure::new(format!("{pair} is not of the form CLIENT:SERVER")))?;
    Ok(Kind::Ssh {
        client: client.into(),
        server: server.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(args: &[&str]) -> Result<Args> {
        Typed::read(lexopt::Parser::from_args(args))?.mean()
    }

    fn run(args: &[&str]) -> Run {
        match mean(args).unwrap() {
            Args::Run(run) => run,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_row_runs_five_rounds_and_is_reported() {
        let run = run(&["echo"]);
        assert_eq!((run.rows, run.rounds), (vec!["echo"], 5));
        assert!(run.reports.unwrap().ends_with("bench/reports"));
    }

    #[test]
    fn smoke_runs_everything_once_and_reports_nowhere() {
        let run = run(&["smoke"]);
        assert_eq!((run.rows.len(), run.rounds), (rows::NAMES.len(), 1));
        assert_eq!(run.reports, None);
    }

    #[test]
    fn contestants_can_be_chosen() {
        let run = run(&["all", "--ours", "/a:/b", "--no-floor"]);
        assert_eq!(run.contestants.len(), 2);
        assert_eq!(run.contestants[0].name, "ours: /a");
        let Kind::Ssh { client, server } = &run.contestants[0].kind else {
            panic!("ours is a pair of programs");
        };
        assert_eq!(
            (client.as_path(), server.as_path()),
            (Path::new("/a"), Path::new("/b"))
        );
    }

    #[test]
    fn nonsense_is_refused() {
        for args in [
            &["nonsense"][..],
            &[],
            &["bulk", "echo"],
            &["bulk", "--ours", "x"],
            &["--x"],
        ] {
            assert!(mean(args).is_err(), "{args:?}");
        }
    }
}

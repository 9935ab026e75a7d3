//! Measures tunnels side by side: adit, OpenSSH, and two plain relays as the floor.
//!
//! Contestants take turns within each round, so that what else happens on the machine meets them
//! alike. Everything runs on 127.0.0.1, with keys and configuration of its own, and ends with the
//! program.

mod args;
mod contestant;
mod failure;
mod link;
mod load;
mod machine;
mod measure;
mod plot;
mod process;
mod relay;
mod report;
mod rows;

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::process::ExitCode;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use args::{Args, Run};
use contestant::{Contestant, Workshop};
use failure::{Attempt, Failure, Result};
use report::{Report, Sample};
use rows::{Case, Stage};

fn main() -> ExitCode {
    let outcome = Args::parse().and_then(|args| match args {
        Args::Help => {
            print!("{}", args::HELP);
            Ok(ExitCode::SUCCESS)
        }
        Args::Relay { port, target } => serve_relay(port, target),
        Args::Run(run) => measure_all(&run),
    });
    outcome.unwrap_or_else(|failure| {
        eprintln!("error: {failure}");
        ExitCode::FAILURE
    })
}

fn serve_relay(port: u16, target: u16) -> Result<ExitCode> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .attempt(|| format!("listen on 127.0.0.1:{port}"))?;
    relay::serve(&listener, (Ipv4Addr::LOCALHOST, target).into())
        .attempt(|| format!("accept on 127.0.0.1:{port}"))?;
    Ok(ExitCode::SUCCESS)
}

/// Success only if every case could be measured for every contestant.
fn measure_all(run: &Run) -> Result<ExitCode> {
    for contestant in &run.contestants {
        contestant.check()?;
    }
    raise_descriptor_limit()?;
    let mut report = Report {
        date: machine::today(),
        name: run.name.clone(),
        rounds: run.rounds,
        machine: machine::Machine::here(),
        contestants: run
            .contestants
            .iter()
            .map(|contestant| (contestant.name.clone(), contestant.version()))
            .collect(),
        samples: Vec::new(),
        failures: Vec::new(),
    };
    let stage = Stage {
        plan: run.plan,
        workshop: Workshop::open()?,
    };
    let cases: Vec<Case> = run
        .rows
        .iter()
        .filter_map(|row| rows::cases(row))
        .flatten()
        .collect();
    for round in 0..run.rounds {
        for case in &cases {
            measure_case(&stage, case, &run.contestants, round, &mut report);
        }
    }
    publish(run, &report)?;
    Ok(match report.failures.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// One case for each contestant; who begins changes from round to round.
fn measure_case(
    stage: &Stage,
    case: &Case,
    contestants: &[Contestant],
    round: usize,
    report: &mut Report,
) {
    let count = contestants.len();
    let turns = (0..count).map(|turn| &contestants[(turn + round) % count]);
    for who in turns.filter(|who| case.suits(who)) {
        let what = format!(
            "{}, {}, {}, round {}",
            case.row,
            case.name,
            who.name,
            round + 1
        );
        eprintln!("{what}");
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
                })),
        }
    }
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
    let stem = format!("{}-{}", report.date, report.name);
    let plot = format!("{stem}.svg");
    fs::create_dir_all(dir).attempt(|| format!("make {}", dir.display()))?;
    for (name, text) in [
        (format!("{stem}.md"), report.markdown(&plot)),
        (plot.clone(), plot::svg(report)),
    ] {
        let path = dir.join(name);
        fs::write(&path, text).attempt(|| format!("write {}", path.display()))?;
        eprintln!("wrote {}", path.display());
    }
    Ok(())
}

/// Thousands of idle connections need two descriptors each here, and the children inherit the limit.
fn raise_descriptor_limit() -> Result<()> {
    let limit = Resource::RLIMIT_NOFILE;
    getrlimit(limit)
        .and_then(|(_, hard)| setrlimit(limit, hard, hard))
        .map_err(|error| Failure::new(format!("cannot raise the limit of open files: {error}")))
}

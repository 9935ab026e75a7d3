//! Measures tunnels side by side: adit, OpenSSH, and two plain relays as the floor.
//!
//! Contestants take turns within each round, so that what else happens on the machine meets them
//! alike. Everything runs on 127.0.0.1, with keys and configuration of its own, and ends with the
//! program.

mod args;
mod contestant;
mod crowd;
mod failure;
mod goal;
mod instructions;
mod link;
mod load;
mod machine;
mod measure;
mod plan;
mod plot;
mod process;
mod recorded;
mod relay;
mod report;
mod rows;
mod run;
mod tunnel;
mod workshop;

use std::net::{Ipv4Addr, TcpListener};
use std::process::ExitCode;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use args::Args;
use failure::{Attempt, Failure, Result};

fn main() -> ExitCode {
    match Args::parse().and_then(obey) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn obey(args: Args) -> Result<()> {
    match args {
        Args::Help => {
            print!("{}", args::HELP);
            Ok(())
        }
        Args::Relay { port, target } => serve_relay(port, target),
        Args::FarEnd { port } => load::far_end::serve(port),
        Args::Work { name, count } => instructions::work(&name, count),
        Args::Instructions => instructions::count_all(),
        Args::Run(run) => {
            raise_descriptor_limit()?;
            run::measure_all(&run)
        }
    }
}

fn serve_relay(port: u16, target: u16) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .attempt(|| format!("listen on 127.0.0.1:{port}"))?;
    relay::serve(&listener, (Ipv4Addr::LOCALHOST, target).into())
        .attempt(|| format!("accept on 127.0.0.1:{port}"))
}

/// Thousands of idle connections need a descriptor each here, and the children inherit the limit.
fn raise_descriptor_limit() -> Result<()> {
    let limit = Resource::RLIMIT_NOFILE;
    getrlimit(limit)
        .and_then(|(_, hard)| setrlimit(limit, hard, hard))
        .map_err(|error| Failure::new(format!("cannot raise the limit of open files: {error}")))
}

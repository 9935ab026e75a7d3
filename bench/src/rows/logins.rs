//! The way to the first byte: start a client, connect, authenticate, forward, echo one byte.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Instant;

use super::{Case, Floor, Reading, Stage};
use crate::contestant::{Contestant, Kind, Server};
use crate::failure::{Failure, Result};
use crate::load::Target;
use crate::measure::{Processes, median};

/// How many log in at the same time.
const CLIENTS: usize = 16;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("logins", "one by one", Floor::Meaningless, one_by_one),
        Case::new("logins", "16 clients", Floor::Meaningless, many),
    ]
}

fn one_by_one(stage: &Stage, who: &Contestant) -> Result<Vec<Reading>> {
    let (client, server, target) = prepare(stage, who)?;
    let mut times = Vec::new();
    for _ in 0..stage.plan.single_logins {
        let start = Instant::now();
        let login = stage.workshop.login(client, &server, &target)?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
        drop(login);
    }
    Ok(vec![Reading::less("ms to the first byte", median(&times))])
}

fn many(stage: &Stage, who: &Contestant) -> Result<Vec<Reading>> {
    let (client, server, target) = prepare(stage, who)?;
    let processes = Processes::new(vec![server.pid()]);
    let logins = AtomicU32::new(0);
    let (cpu, start) = (processes.cpu_seconds()?, Instant::now());
    let work = || {
        while start.elapsed() < stage.plan.time {
            stage.workshop.login(client, &server, &target)?;
            logins.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    };
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(work)).collect();
        let ends = clients.into_iter().map(|client| {
            client
                .join()
                .unwrap_or_else(|_| Err(Failure::new("a load thread panicked")))
        });
        ends.collect::<Result<Vec<()>>>()
    })?;
    let count = f64::from(logins.into_inner());
    Ok(vec![
        Reading::more("logins/s", count / start.elapsed().as_secs_f64()),
        Reading::less(
            "server's CPU ms/login",
            (processes.cpu_seconds()? - cpu) * 1e3 / count,
        ),
    ])
}

fn prepare<'a>(stage: &Stage, who: &'a Contestant) -> Result<(&'a Path, Server, Target)> {
    let Kind::Ssh { client, server } = &who.kind else {
        return Err(Failure::new("relays have no logins"));
    };
    Ok((
        client,
        stage.workshop.server(server, None)?,
        Target::start()?,
    ))
}

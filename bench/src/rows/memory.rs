//! What idle connections cost: memory, and the speed of a busy stream beside them.

use std::net::TcpStream;

use super::{Case, Floor, Reading, Stage};
use crate::contestant::{Contestant, Setup, Tunnel};
use crate::failure::Result;
use crate::load::{Flow, Target, Way, echo_connection, rate};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "memory",
            "idle connections",
            Floor::Meaningless,
            idle_memory,
        ),
        Case::new(
            "memory",
            "a stream beside idle connections",
            Floor::Meaningless,
            beside_idle,
        ),
    ]
}

fn idle_memory(stage: &Stage, who: &Contestant) -> Result<Vec<Reading>> {
    let target = Target::start()?;
    let tunnel = stage.workshop.tunnel(who, Setup::LOCAL, &target)?;
    let processes = tunnel.processes();
    let count = stage.plan.idle_for_memory;
    let before = processes.pss_bytes()? as f64;
    let connections = idle(&tunnel, count)?;
    let after = processes.pss_bytes()? as f64;
    drop(connections);
    Ok(vec![
        Reading::less(
            "kB PSS/connection, both ends",
            (after - before) / 1e3 / count as f64,
        ),
        Reading::less("kB PSS without connections, both ends", before / 1e3),
    ])
}

fn beside_idle(stage: &Stage, who: &Contestant) -> Result<Vec<Reading>> {
    let target = Target::start()?;
    let tunnel = stage.workshop.tunnel(who, Setup::LOCAL, &target)?;
    let processes = tunnel.processes();
    let plan = &stage.plan;
    let bulk = || -> Result<f64> {
        let flows = [Flow::start(tunnel.entry, &target, Way::Send)?];
        Ok(rate(&flows, &processes, plan.warm_up, plan.time)?.megabytes_per_second)
    };
    let alone = bulk()?;
    let connections = idle(&tunnel, plan.idle_beside_bulk)?;
    let beside = bulk()?;
    drop(connections);
    Ok(vec![
        Reading::more("MB/s beside them", beside),
        Reading::more("share of the speed alone", beside / alone),
    ])
}

fn idle(tunnel: &Tunnel, count: usize) -> Result<Vec<TcpStream>> {
    (0..count).map(|_| echo_connection(tunnel.entry)).collect()
}

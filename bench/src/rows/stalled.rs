//! Readers that never read: how much memory they take, and what their neighbour notices.

use std::net::SocketAddr;
use std::thread;

use super::{Case, Reading, Stage, Who};
use crate::contestant::Contestant;
use crate::failure::Result;
use crate::goal::Goal;
use crate::load::echo::{echo_connection, echo_times};
use crate::load::flow::Flow;
use crate::load::target::Target;
use crate::measure::percentile;
use crate::plan::Plan;
use crate::tunnel::Setup;

/// Number of times that each of the two tunnels is measured, for a share of the time.
const TURNS: u32 = 4;

/// Bytes that every channel may have on the way: OpenSSH's window, and the first window of adit's. A reader that never
/// reads gives adit's no reason to grow.
const WINDOW: f64 = (2 << 20) as f64;

pub(super) fn cases(plan: &Plan) -> Vec<Case> {
    let seconds = 2.0 * plan.seconds() + plan.stall_time.as_secs_f64();
    let name = format!("{} stalled readers, half at each end", plan.stalled);
    vec![Case::new("stalled", name, Who::Ssh, measure).lasting(seconds)]
}

/// Two tunnels, one of them with stalled readers, carry the neighbour's echoes in turn: what else happens on
/// the machine meets both alike.
fn measure(stage: &Stage, who: &Contestant) -> Result<Vec<Reading>> {
    let (target, plan) = (Target::start()?, &stage.plan);
    let free = stage.tunnel(who, Setup::LOCAL, &[target.port()])?;
    let stuck = stage.tunnel(who, Setup::LOCAL, &[target.port()])?;
    let mut free_echo = echo_connection(free.entry())?;
    let mut stuck_echo = echo_connection(stuck.entry())?;
    let processes = stuck.processes();
    let memory = processes.pss_bytes()? as f64;
    let stalled = stalled(stuck.entry(), &target, plan.stalled)?;
    thread::sleep(plan.stall_time);
    let growth = processes.pss_bytes()? as f64 - memory;
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        without.extend(echo_times(&mut free_echo, plan.time / TURNS)?);
        with.extend(echo_times(&mut stuck_echo, plan.time / TURNS)?);
    }
    drop(stalled);
    let windows = WINDOW * plan.stalled as f64;
    let p99 = percentile(&with, 99.0);
    Ok(vec![
        Reading::less("MB more, both ends", growth / 1e6).aiming_at(Goal::Value(windows / 1e6)),
        Reading::less("neighbour's p99 µs", p99),
        Reading::less(
            "neighbour's p99, with them / without",
            p99 / percentile(&without, 99.0),
        )
        .aiming_at(Goal::Value(1.1)),
    ])
}

fn stalled(entry: SocketAddr, target: &Target, count: usize) -> Result<Vec<Flow>> {
    (0..count)
        .map(|index| match index % 2 {
            0 => Flow::stalled_here(entry, target),
            _ => Flow::stalled_there(entry, target),
        })
        .collect()
}

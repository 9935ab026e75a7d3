//! One stream at full speed beside thousands of connections that say nothing.

use super::{Case, Reading, Stage, Who};
use crate::contestant::Contestant;
use crate::failure::Result;
use crate::goal::Goal;
use crate::load::far_end::FarEnd;
use crate::load::flow::{Flow, Way, rate};
use crate::load::idle;
use crate::load::target::Target;
use crate::plan::Plan;
use crate::tunnel::{Setup, Tunnel};

/// Number of times that each of the two tunnels is measured, for a share of the time.
const TURNS: u32 = 4;

pub(super) fn cases(plan: &Plan) -> Vec<Case> {
    let case = |count| {
        let name = format!("a stream beside {count} idle connections");
        let run = move |stage: &Stage, who: &Contestant| measure(stage, who, count);
        let seconds = f64::from(2 * TURNS) * plan.seconds() + Plan::opening_seconds(count);
        Case::new("idle", name, Who::Ssh, run)
            .lasting(seconds)
            .others_at_most(plan.rounds_of_others(count))
    };
    plan.idle_beside_bulk.map(case).into()
}

/// Two tunnels, one of them with idle connections, carry the stream in turn: what else happens on the machine
/// meets both alike.
fn measure(stage: &Stage, who: &Contestant, count: usize) -> Result<Vec<Reading>> {
    let (target, far_end) = (Target::start()?, FarEnd::start(&stage.workshop)?);
    let mut ports = [far_end.port(); 1 + idle::DOORS];
    ports[0] = target.port();
    let quiet = stage.tunnel(who, Setup::LOCAL_AES, &ports)?;
    let crowded = stage.tunnel(who, Setup::LOCAL_AES, &ports)?;
    let connections = idle::connections(&crowded.entries()[1..], count)?;
    let (mut alone, mut beside) = (0.0, 0.0);
    for _ in 0..TURNS {
        alone += bulk(stage, &quiet, &target)?;
        beside += bulk(stage, &crowded, &target)?;
    }
    drop(connections);
    Ok(vec![
        Reading::more("MB/s", beside / f64::from(TURNS)),
        Reading::more("share of the speed alone", beside / alone).aiming_at(Goal::Value(0.95)),
    ])
}

/// One turn's speed, in MB/s.
fn bulk(stage: &Stage, tunnel: &Tunnel, target: &Target) -> Result<f64> {
    let flows = [Flow::start(tunnel.entry(), target, Way::Send)?];
    let time = stage.plan.time / TURNS;
    Ok(rate(&flows, &tunnel.processes(), stage.plan.warm_up, time)?.megabytes_per_second)
}

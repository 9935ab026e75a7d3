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
use crate::tunnel::Setup;

pub(super) fn cases(plan: &Plan) -> Vec<Case> {
    let case = |count| {
        let name = format!("a stream beside {count} idle connections");
        let run = move |stage: &Stage, who: &Contestant| measure(stage, who, count);
        let seconds = 2.0 * plan.seconds() + Plan::opening_seconds(count);
        Case::new("idle", name, Who::Ssh, run).lasting(seconds)
    };
    plan.idle_beside_bulk.map(case).into()
}

fn measure(stage: &Stage, who: &Contestant, count: usize) -> Result<Vec<Reading>> {
    let (target, far_end) = (Target::start()?, FarEnd::start(&stage.workshop)?);
    let ports = [target.port(), far_end.port()];
    let tunnel = stage.tunnel(who, Setup::LOCAL_AES, &ports)?;
    let (processes, plan) = (tunnel.processes(), &stage.plan);
    let bulk = || -> Result<f64> {
        let flows = [Flow::start(tunnel.entry(), &target, Way::Send)?];
        Ok(rate(&flows, &processes, plan.warm_up, plan.time)?.megabytes_per_second)
    };
    let alone = bulk()?;
    let connections = idle::connections(tunnel.last_entry(), count)?;
    let beside = bulk()?;
    drop(connections);
    Ok(vec![
        Reading::more("MB/s", beside),
        Reading::more("share of the speed alone", beside / alone).aiming_at(Goal::Value(0.95)),
    ])
}

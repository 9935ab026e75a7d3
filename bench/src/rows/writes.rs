//! Growth of costs as an application writes less at once: 256 KiB down to one byte.

use super::{Case, Position, Reading, Stage, Who};
use crate::contestant::Contestant;
use crate::failure::Result;
use crate::load::flow::{Flow, rate};
use crate::load::target::Target;
use crate::plan::Plan;
use crate::tunnel::Setup;

pub(super) fn cases(plan: &Plan) -> Vec<Case> {
    let rounds = plan.growth_rounds;
    let case = |&size: &usize| {
        let position = Position {
            axis: "bytes per write",
            x: size as f64,
        };
        let run = move |stage: &Stage, who: &Contestant| measure(stage, who, size);
        Case::new("writes", format!("{size} bytes at a time"), Who::Ssh, run)
            .lasting(plan.growth_seconds())
            .at(position, rounds)
    };
    plan.writes.iter().map(case).collect()
}

fn measure(stage: &Stage, who: &Contestant, size: usize) -> Result<Vec<Reading>> {
    let (target, plan) = (Target::start()?, &stage.plan);
    let tunnel = stage.tunnel(who, Setup::LOCAL_AES, &[target.port()])?;
    let flows = [Flow::writing(tunnel.entry(), &target, size)?];
    let processes = tunnel.processes();
    let rate = rate(&flows, &processes, plan.warm_up, plan.growth_time)?;
    Ok(vec![
        Reading::more("MB/s", rate.megabytes_per_second),
        Reading::less("CPU s/GB", rate.cpu_per_gigabyte),
    ])
}

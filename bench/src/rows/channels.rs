//! Growth of costs with the number of channels: one to ten thousand, which carry bytes in turn.

use super::{Case, Position, Reading, Stage, Who};
use crate::contestant::Contestant;
use crate::failure::Result;
use crate::load::far_end::FarEnd;
use crate::load::{idle, turns};
use crate::plan::Plan;
use crate::tunnel::Setup;

pub(super) fn cases(plan: &Plan) -> Vec<Case> {
    let rounds = plan.growth_rounds;
    let case = |&count: &usize| {
        let position = Position {
            axis: "channels",
            x: count as f64,
        };
        let run = move |stage: &Stage, who: &Contestant| measure(stage, who, count);
        Case::new("channels", format!("{count} in turn"), Who::Ssh, run)
            .lasting(plan.growth_seconds() + Plan::opening_seconds(count))
            .at(position, rounds)
            .others_at_most(plan.rounds_of_others(count))
    };
    plan.channels.iter().map(case).collect()
}

fn measure(stage: &Stage, who: &Contestant, count: usize) -> Result<Vec<Reading>> {
    let (far_end, plan) = (FarEnd::start(&stage.workshop)?, &stage.plan);
    let tunnel = stage.tunnel(who, Setup::LOCAL_AES, &[far_end.port(); idle::DOORS])?;
    let mut connections = idle::connections(tunnel.entries(), count)?;
    let processes = tunnel.processes();
    let rate = turns::rate(&mut connections, &processes, plan.warm_up, plan.growth_time)?;
    Ok(vec![
        Reading::more("MB/s", rate.megabytes_per_second),
        Reading::less("CPU s/GB", rate.cpu_per_gigabyte),
    ])
}

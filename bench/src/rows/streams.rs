//! Sixteen streams at once, both ways, through one tunnel.

use super::{Case, Reading, Stage, Who};
use crate::contestant::Contestant;
use crate::failure::Result;
use crate::goal::Goal;
use crate::load::flow::{Flow, Way, rate};
use crate::load::target::Target;
use crate::plan::Plan;
use crate::tunnel::Setup;

const STREAMS: usize = 16;

pub(super) fn cases(_: &Plan) -> Vec<Case> {
    vec![Case::new(
        "streams",
        "16 streams, both ways, aes256-gcm",
        Who::Ssh,
        measure,
    )]
}

fn measure(stage: &Stage, who: &Contestant) -> Result<Vec<Reading>> {
    let target = Target::start()?;
    let tunnel = stage.tunnel(who, Setup::LOCAL_AES, &[target.port()])?;
    let flows = (0..STREAMS)
        .map(|_| Flow::start(tunnel.entry(), &target, Way::Both))
        .collect::<Result<Vec<_>>>()?;
    let processes = tunnel.processes();
    let rate = rate(&flows, &processes, stage.plan.warm_up, stage.plan.time)?;
    Ok(vec![
        Reading::more("MB/s, sum", rate.megabytes_per_second).aiming_at(Goal::Ratio(1.5)),
        Reading::less("CPU s/GB", rate.cpu_per_gigabyte),
        Reading::more("slowest stream's share of the mean", rate.fairness)
            .aiming_at(Goal::Value(0.5)),
    ])
}

//! Memory: of a tunnel at rest, and of connections through it that say nothing.

use super::{Case, Reading, Stage, Who};
use crate::contestant::Contestant;
use crate::failure::Result;
use crate::goal::Goal;
use crate::load::far_end::FarEnd;
use crate::load::idle;
use crate::plan::Plan;
use crate::tunnel::Setup;

pub(super) fn cases(plan: &Plan) -> Vec<Case> {
    let name = format!("{} idle connections", plan.idle_for_memory);
    vec![Case::new("memory", name, Who::Ssh, measure)]
}

fn measure(stage: &Stage, who: &Contestant) -> Result<Vec<Reading>> {
    let far_end = FarEnd::start(&stage.workshop)?;
    let tunnel = stage.tunnel(who, Setup::LOCAL, &[far_end.port()])?;
    let processes = tunnel.processes();
    let count = stage.plan.idle_for_memory;
    let before = processes.pss_bytes()? as f64;
    let connections = idle::connections(tunnel.entries(), count)?;
    let after = processes.pss_bytes()? as f64;
    drop(connections);
    Ok(vec![
        Reading::less(
            "kB PSS/connection, both ends",
            (after - before) / 1e3 / count as f64,
        )
        .aiming_at(Goal::Value(12.0)),
        Reading::less("kB PSS at rest, both ends", before / 1e3).aiming_at(Goal::Ratio(1.0)),
    ])
}

//! One server with many clients, an idle remote forward each: what they cost, and how fast they are let in.
//!
//! A server that makes a process for each client gets fewer of them, or a round would take minutes: both
//! quantities are per client, and what a process costs does not shrink with their number.

use std::time::Instant;

use super::{Case, Reading, Stage, Who};
use crate::contestant::{Contestant, Role};
use crate::crowd::Crowd;
use crate::failure::Result;
use crate::goal::Goal;
use crate::load::target::Target;
use crate::measure::Processes;
use crate::plan::Plan;

pub(super) fn cases(plan: &Plan) -> Vec<Case> {
    let name = format!(
        "{} clients with an idle -R each (theirs: {})",
        plan.clients, plan.clients_by_process
    );
    vec![Case::new("clients", name, Who::Ssh, measure).lasting(6.0 * plan.clients as f64 / 2000.0)]
}

fn measure(stage: &Stage, who: &Contestant) -> Result<Vec<Reading>> {
    let count = match who.role {
        Role::Ours => stage.plan.clients,
        Role::Theirs | Role::Floor => stage.plan.clients_by_process,
    };
    let target = Target::start()?;
    let server = stage.workshop.server(&who.programs()?.server, None)?;
    let processes = Processes::new(vec![server.pid()]);
    let crowd = Crowd::before(&server, &stage.workshop)?;
    let (before, start) = (processes.pss_bytes()? as f64, Instant::now());
    let held = crowd.hold(count, target.port())?;
    let seconds = start.elapsed().as_secs_f64();
    let after = processes.pss_bytes()? as f64;
    drop(held);
    let clients = count as f64;
    Ok(vec![
        Reading::less("kB PSS/client, server", (after - before) / 1e3 / clients)
            .aiming_at(Goal::Value(60.0)),
        Reading::more("clients let in/s", clients / seconds).aiming_at(Goal::Ratio(3.0)),
    ])
}

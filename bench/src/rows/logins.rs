//! Logins per second at the server: the clients are the same for every server, made of adit's library.

use std::time::Instant;

use super::{Case, Reading, Stage, Who};
use crate::contestant::Contestant;
use crate::crowd::Crowd;
use crate::failure::{Failure, Result};
use crate::goal::Goal;
use crate::measure::Processes;
use crate::plan::Plan;

pub(super) fn cases(_: &Plan) -> Vec<Case> {
    vec![Case::new(
        "logins",
        "16 clients of our library",
        Who::Ssh,
        measure,
    )]
}

fn measure(stage: &Stage, who: &Contestant) -> Result<Vec<Reading>> {
    let server = stage.workshop.server(&who.programs()?.server, None)?;
    let crowd = Crowd::before(&server, &stage.workshop)?;
    let processes = Processes::new(vec![server.pid()]);
    let (cpu, start) = (processes.cpu_seconds()?, Instant::now());
    let count = f64::from(crowd.log_in_for(stage.plan.time)?);
    let seconds = start.elapsed().as_secs_f64();
    if count <= 0.0 {
        return Err(Failure::new("nobody was logged in"));
    }
    let cpu = processes.cpu_seconds()? - cpu;
    Ok(vec![
        Reading::more("logins/s", count / seconds).aiming_at(Goal::Ratio(2.0)),
        Reading::less("server's CPU ms/login", cpu * 1e3 / count),
    ])
}

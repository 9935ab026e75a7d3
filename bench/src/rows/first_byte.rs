//! The way to the first byte: start a client, connect, authenticate, forward, echo one byte.

use std::time::Instant;

use super::{Case, Reading, Stage, Who};
use crate::contestant::Contestant;
use crate::failure::Result;
use crate::goal::Goal;
use crate::load::target::Target;
use crate::measure::median;
use crate::plan::Plan;

pub(super) fn cases(_: &Plan) -> Vec<Case> {
    vec![Case::new("first-byte", "one by one", Who::Ssh, measure)]
}

fn measure(stage: &Stage, who: &Contestant) -> Result<Vec<Reading>> {
    let (programs, target) = (who.programs()?, Target::start()?);
    let server = stage.workshop.server(&programs.server, None)?;
    let mut times = Vec::new();
    for _ in 0..stage.plan.single_logins {
        let start = Instant::now();
        let login = stage
            .workshop
            .login(&programs.client, &server, target.port())?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
        drop(login);
    }
    Ok(vec![
        Reading::less("ms to the first byte", median(&times)).aiming_at(Goal::Ratio(0.5)),
    ])
}

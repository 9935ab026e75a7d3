//! The way to the first byte: start a client, connect, authenticate, forward, echo one byte.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use super::{Case, Reading, Stage, Who, long};
use crate::contestant::Contestant;
use crate::failure::Result;
use crate::goal::Goal;
use crate::link::{Link, LinkKind};
use crate::load::target::Target;
use crate::measure::median;
use crate::plan::Plan;

pub(super) fn cases(plan: &Plan) -> Vec<Case> {
    let here = |stage: &Stage, who: &Contestant| {
        let time = measure(stage, who, None)?;
        Ok(vec![time.aiming_at(Goal::Ratio(0.5))])
    };
    let away = |stage: &Stage, who: &Contestant| Ok(vec![measure(stage, who, Some(long::LINK))?]);
    vec![
        Case::new("first-byte", "one by one", Who::Ssh, here),
        // A login takes both ends some ten round trips.
        Case::new("first-byte", "100 ms away", Who::Ssh, away)
            .lasting(plan.single_logins as f64 * long::LINK.round_trip.as_secs_f64() * 10.0),
    ]
}

fn measure(stage: &Stage, who: &Contestant, link: Option<LinkKind>) -> Result<Reading> {
    let (programs, target) = (who.programs()?, Target::start()?);
    let server = stage.workshop.server(&programs.server, None)?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, server.port()));
    let link = link.map(|kind| Link::start(address, kind)).transpose()?;
    let door = link.as_ref().map_or(address, Link::address).port();
    let mut times = Vec::new();
    for _ in 0..stage.plan.single_logins {
        let start = Instant::now();
        let login = stage
            .workshop
            .login(&programs.client, door, target.port())?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
        drop(login);
    }
    Ok(Reading::less("ms to the first byte", median(&times)))
}

//! The way to the first byte: of a new tunnel from the start of its client, of a new connection through one that is there.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use super::{Case, Reading, Stage, Who, long};
use crate::contestant::Contestant;
use crate::failure::Result;
use crate::goal::Goal;
use crate::link::{Link, LinkKind};
use crate::load::echo::{echo_connection, socks_echo};
use crate::load::target::Target;
use crate::measure::median;
use crate::plan::Plan;
use crate::tunnel::{Forward, Setup};

pub(super) fn cases(plan: &Plan) -> Vec<Case> {
    let here = |stage: &Stage, who: &Contestant| {
        let time = measure(stage, who, None)?;
        Ok(vec![time.aiming_at(Goal::Ratio(0.5))])
    };
    let away = |stage: &Stage, who: &Contestant| Ok(vec![measure(stage, who, Some(long::LINK))?]);
    let round_trips = |count: f64| count * long::LINK.round_trip.as_secs_f64();
    let connection = |name, forward| {
        // Two round trips each, and the login before.
        Case::new("first-byte", name, Who::Ssh, move |stage, who| {
            Ok(vec![measure_connection(stage, who, forward)?])
        })
        .lasting(round_trips(plan.single_logins as f64 * 2.0 + 15.0))
    };
    vec![
        Case::new("first-byte", "one by one", Who::Ssh, here),
        // A login takes both ends some ten round trips.
        Case::new("first-byte", "100 ms away", Who::Ssh, away)
            .lasting(round_trips(plan.single_logins as f64 * 10.0)),
        connection("a connection of -L, 100 ms away", Forward::Local),
        connection("a connection of -D, 100 ms away", Forward::Dynamic),
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

/// One connection after the other to the same target.
fn measure_connection(stage: &Stage, who: &Contestant, forward: Forward) -> Result<Reading> {
    let target = Target::start()?;
    let setup = Setup {
        forward,
        link: Some(long::LINK),
        ..Setup::LOCAL
    };
    let tunnel = stage.tunnel(who, setup, &[target.port()])?;
    let mut times = Vec::new();
    for _ in 0..stage.plan.single_logins {
        let start = Instant::now();
        match forward {
            Forward::Dynamic => socks_echo(tunnel.entry(), target.port())?,
            Forward::Local | Forward::Remote => echo_connection(tunnel.entry()).map(drop)?,
        }
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(Reading::less("ms to the first byte", median(&times)))
}

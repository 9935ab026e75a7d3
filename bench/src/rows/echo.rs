//! The time of a 64-byte echo, alone and beside a bulk stream in the same tunnel.

use std::thread;

use super::{Case, Reading, Stage, Who};
use crate::contestant::Contestant;
use crate::failure::Result;
use crate::goal::Goal;
use crate::load::echo::{echo_connection, echo_times};
use crate::load::flow::{Flow, Way};
use crate::load::target::Target;
use crate::measure::percentile;
use crate::plan::Plan;
use crate::tunnel::Setup;

pub(super) fn cases(_: &Plan) -> Vec<Case> {
    let case = |name, beside| {
        Case::new("echo", name, Who::All, move |stage, who| {
            measure(stage, who, beside)
        })
    };
    vec![
        case("alone", None),
        case("beside a stream up", Some(Way::Send)),
        case("beside a stream down", Some(Way::Receive)),
    ]
}

fn measure(stage: &Stage, who: &Contestant, beside: Option<Way>) -> Result<Vec<Reading>> {
    let target = Target::start()?;
    let tunnel = stage.tunnel(who, Setup::LOCAL, &[target.port()])?;
    let mut socket = echo_connection(tunnel.entry())?;
    let bulk = beside
        .map(|way| Flow::start(tunnel.entry(), &target, way))
        .transpose()?;
    thread::sleep(stage.plan.warm_up);
    let times = echo_times(&mut socket, stage.plan.time)?;
    drop(bulk);
    let p50 = Reading::less("p50 µs", percentile(&times, 50.0));
    let p99 = Reading::less("p99 µs", percentile(&times, 99.0));
    Ok(match beside {
        None => vec![
            p50.aiming_at(Goal::Ratio(0.9)),
            p99.aiming_at(Goal::Ratio(0.7)),
        ],
        Some(_) => vec![p50, p99.aiming_at(Goal::Ratio(0.25))],
    })
}

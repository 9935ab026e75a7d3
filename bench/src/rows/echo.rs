//! The time of a 64-byte echo, alone and beside a bulk stream in the same tunnel.

use std::thread;

use super::{Case, Floor, Reading, Stage};
use crate::contestant::{Contestant, Setup};
use crate::failure::{Attempt, Result};
use crate::load::{Flow, Target, Way, echo_connection, echo_times};
use crate::measure::percentile;

pub(super) fn cases() -> Vec<Case> {
    let case = |name, beside| {
        Case::new("echo", name, Floor::Measured, move |stage, who| {
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
    let tunnel = stage.workshop.tunnel(who, Setup::LOCAL, &target)?;
    let mut socket = echo_connection(tunnel.entry)?;
    let bulk = beside
        .map(|way| Flow::start(tunnel.entry, &target, way))
        .transpose()?;
    thread::sleep(stage.plan.warm_up);
    let times = echo_times(&mut socket, stage.plan.time).attempt(|| "echo".to_owned())?;
    drop(bulk);
    Ok(vec![
        Reading::less("p50 µs", percentile(&times, 50.0)),
        Reading::less("p99 µs", percentile(&times, 99.0)),
    ])
}

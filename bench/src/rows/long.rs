//! One stream over a long link: 100 ms there and back, 1 Gbit/s, made by our own relay.

use std::thread;
use std::time::{Duration, Instant};

use super::{Case, Reading, Stage, Who};
use crate::contestant::Contestant;
use crate::failure::Result;
use crate::goal::Goal;
use crate::link::LinkKind;
use crate::load::flow::{Flow, Way};
use crate::load::target::Target;
use crate::plan::Plan;
use crate::tunnel::Setup;

pub(super) const LINK: LinkKind = LinkKind {
    round_trip: Duration::from_millis(100),
    rate: 125e6,
};

pub(super) fn cases(plan: &Plan) -> Vec<Case> {
    let case = |name, way| {
        // What the relays reach is what the link itself can carry.
        let run = move |stage: &Stage, who: &Contestant| measure(stage, who, way, 110.0);
        Case::new("long", name, Who::All, run).lasting(plan.long_seconds())
    };
    vec![
        case("100 ms, 1 Gbit/s, up", Way::Send),
        case("100 ms, 1 Gbit/s, down", Way::Receive),
    ]
}

/// The whole run, with the ramp-up in it, and its second half, without. `goal` is in MB/s, for the whole run.
pub(super) fn measure(
    stage: &Stage,
    who: &Contestant,
    way: Way,
    goal: f64,
) -> Result<Vec<Reading>> {
    let target = Target::start()?;
    let setup = Setup {
        link: Some(LINK),
        ..Setup::LOCAL
    };
    let tunnel = stage.tunnel(who, setup, &[target.port()])?;
    let start = Instant::now();
    let flow = Flow::start(tunnel.entry(), &target, way)?;
    thread::sleep(stage.plan.long_time / 2);
    let (half_bytes, half_time) = (flow.bytes(), start.elapsed());
    thread::sleep(stage.plan.long_time.saturating_sub(start.elapsed()));
    let (bytes, time) = (flow.bytes(), start.elapsed());
    let rate = |bytes: u64, time: Duration| bytes as f64 / 1e6 / time.as_secs_f64();
    Ok(vec![
        Reading::more("MB/s, whole run", rate(bytes, time)).aiming_at(Goal::Value(goal)),
        Reading::more(
            "MB/s, second half",
            rate(bytes - half_bytes, time - half_time),
        ),
    ])
}

//! One stream at full speed beside connections that come and go as fast as they can, in one tunnel.

use super::{Case, Reading, Stage, Who};
use crate::contestant::Contestant;
use crate::failure::Result;
use crate::goal::Goal;
use crate::load::churn::Churn;
use crate::load::echo::echo_connection_from;
use crate::load::far_end::FarEnd;
use crate::load::flow::{Flow, Way, rate};
use crate::load::target::Target;
use crate::plan::Plan;
use crate::tunnel::Setup;

pub(super) fn cases(_: &Plan) -> Vec<Case> {
    let case = |name, way, clients| {
        Case::new("mixed", name, Who::Ssh, move |stage, who| {
            measure(stage, who, way, clients)
        })
    };
    vec![
        case("stream up, 2 clients", Way::Send, 2),
        case("stream down, 2 clients", Way::Receive, 2),
        case("stream up, 32 clients", Way::Send, 32),
        case("stream down, 32 clients", Way::Receive, 32),
    ]
}

fn measure(stage: &Stage, who: &Contestant, way: Way, clients: u8) -> Result<Vec<Reading>> {
    let (target, far_end) = (Target::start()?, FarEnd::start(&stage.workshop)?);
    let tunnel = stage.tunnel(who, Setup::LOCAL_AES, &[target.port(), far_end.port()])?;
    let flow = Flow::start(tunnel.entry(), &target, way)?;
    let (warm_up, time) = (stage.plan.warm_up, stage.plan.time);
    let entry = tunnel.entries()[1];
    let churn = Churn::start(clients, warm_up + time, move |source| {
        echo_connection_from(source, entry).map(drop)
    })?;
    let rate = rate(&[flow], &tunnel.processes(), warm_up, time)?;
    let made = churn.finish()?;
    // Neither side of the mix may pay for the other more than with OpenSSH.
    Ok(vec![
        Reading::more("MB/s of the stream", rate.megabytes_per_second).aiming_at(Goal::Ratio(1.0)),
        Reading::more("connections/s", made.connections / made.seconds).aiming_at(Goal::Ratio(1.0)),
    ])
}

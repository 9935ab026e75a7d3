//! New connections per second: connect, one byte there and back, close.

use super::{Case, Reading, Stage, Who};
use crate::contestant::Contestant;
use crate::failure::Result;
use crate::goal::Goal;
use crate::load::churn::Churn;
use crate::load::echo::{echo_connection_from, socks_echo_from};
use crate::load::far_end::FarEnd;
use crate::plan::Plan;
use crate::tunnel::{Forward, Setup};

/// Number of clients that connect at the same time.
const CLIENTS: u8 = 32;

pub(super) fn cases(_: &Plan) -> Vec<Case> {
    let case = |name, forward| {
        // The relays start two threads for each connection, which is the floor of nothing.
        Case::new("connects", name, Who::Ssh, move |stage, who| {
            measure(stage, who, forward)
        })
    };
    vec![
        case("-L, 32 clients", Forward::Local),
        case("-D (SOCKS5), 32 clients", Forward::Dynamic),
    ]
}

fn measure(stage: &Stage, who: &Contestant, forward: Forward) -> Result<Vec<Reading>> {
    // A far end that starts a thread for each connection would take more of the machine than the tunnel.
    let far_end = FarEnd::start(&stage.workshop)?;
    let setup = Setup {
        forward,
        ..Setup::LOCAL
    };
    let tunnel = stage.tunnel(who, setup, &[far_end.port()])?;
    let processes = tunnel.processes();
    let (entry, port) = (tunnel.entry(), far_end.port());
    let cpu = processes.cpu_seconds()?;
    let churn = Churn::start(CLIENTS, stage.plan.time, move |source| match forward {
        Forward::Dynamic => socks_echo_from(source, entry, port),
        Forward::Local | Forward::Remote => echo_connection_from(source, entry).map(drop),
    })?;
    let made = churn.finish()?;
    let cpu = processes.cpu_seconds()? - cpu;
    Ok(vec![
        Reading::more("connections/s", made.connections / made.seconds).aiming_at(Goal::Ratio(1.5)),
        Reading::less("CPU ms/connection", cpu * 1e3 / made.connections),
    ])
}

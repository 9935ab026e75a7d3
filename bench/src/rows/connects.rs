//! New connections per second: connect, one byte there and back, close.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use super::{Case, Reading, Stage, Who};
use crate::contestant::Contestant;
use crate::failure::{Failure, Result};
use crate::goal::Goal;
use crate::load::echo::{echo_connection_from, socks_echo_from};
use crate::load::far_end::FarEnd;
use crate::load::idle::source;
use crate::load::spawn;
use crate::plan::Plan;
use crate::tunnel::{Forward, Setup};

/// How many connect at the same time.
const CLIENTS: u8 = 32;

/// A share of failed connections above this makes the number meaningless.
const TOLERATED_FAILURES: f64 = 0.01;

/// What one client reached.
#[derive(Debug, Default)]
struct Score {
    good: u32,
    bad: u32,
    /// Why one failed.
    example: Option<Failure>,
}

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
    let (entry, port, time) = (tunnel.entry(), far_end.port(), stage.plan.time);
    let (cpu, start) = (processes.cpu_seconds()?, Instant::now());
    let clients = (0..CLIENTS)
        .map(|client| {
            let source = source(client);
            spawn(move || {
                connect_again_and_again(time, || match forward {
                    Forward::Dynamic => socks_echo_from(source, entry, port),
                    Forward::Local | Forward::Remote => echo_from(source, entry),
                })
            })
        })
        .collect::<Result<Vec<_>>>()?;
    let mut sum = Score::default();
    for client in clients {
        let score = client
            .join()
            .map_err(|_| Failure::new("a load thread panicked"))?;
        sum.good += score.good;
        sum.bad += score.bad;
        sum.example = sum.example.or(score.example);
    }
    let seconds = start.elapsed().as_secs_f64();
    let cpu = processes.cpu_seconds()? - cpu;
    let (good, bad) = (f64::from(sum.good), f64::from(sum.bad));
    if let Some(failure) = sum.example.filter(|_| bad > TOLERATED_FAILURES * good) {
        let all = good + bad;
        return Err(Failure::new(format!(
            "{bad} of {all} connections failed: {failure}"
        )));
    }
    Ok(vec![
        Reading::more("connections/s", good / seconds).aiming_at(Goal::Ratio(1.5)),
        Reading::less("CPU ms/connection", cpu * 1e3 / good),
    ])
}

fn echo_from(source: Ipv4Addr, entry: SocketAddr) -> Result<()> {
    echo_connection_from(source, entry).map(drop)
}

fn connect_again_and_again(time: Duration, connect: impl Fn() -> Result<()>) -> Score {
    let end = Instant::now() + time;
    let mut score = Score::default();
    while Instant::now() < end {
        match connect() {
            Ok(()) => score.good += 1,
            Err(failure) => {
                score.bad += 1;
                score.example = Some(failure);
            }
        }
    }
    score
}

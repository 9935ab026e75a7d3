//! New connections per second: connect, one byte there and back, close.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use super::{Case, Floor, Reading, Stage};
use crate::contestant::{Contestant, Forward, Setup};
use crate::failure::{Attempt, Failure, Result};
use crate::load::{Target, connect, echo_connection, first_echo, spawn};

/// How many connect at the same time.
const CLIENTS: usize = 32;

/// A share of failed connections above this makes the number meaningless.
const TOLERATED_FAILURES: f64 = 0.01;

pub(super) fn cases() -> Vec<Case> {
    let case = |name, forward| {
        // The relays start two threads for each connection, which is the floor of nothing.
        Case::new("connects", name, Floor::Meaningless, move |stage, who| {
            measure(stage, who, forward)
        })
    };
    vec![
        case("-L, 32 clients", Forward::Local),
        case("-D (SOCKS5), 32 clients", Forward::Dynamic),
    ]
}

fn measure(stage: &Stage, who: &Contestant, forward: Forward) -> Result<Vec<Reading>> {
    let target = Target::start()?;
    let setup = Setup {
        forward,
        ..Setup::LOCAL
    };
    let tunnel = stage.workshop.tunnel(who, setup, &target)?;
    let processes = tunnel.processes();
    let (entry, port, time) = (tunnel.entry, target.port(), stage.plan.time);
    let (cpu, start) = (processes.cpu_seconds()?, Instant::now());
    let clients = (0..CLIENTS)
        .map(|_| spawn(move || connect_again_and_again(entry, port, forward, time)))
        .collect::<Result<Vec<_>>>()?;
    let (mut good, mut bad) = (0.0, 0.0);
    let mut example = None;
    for client in clients {
        let Ok((done, failed, failure)) = client.join() else {
            return Err(Failure::new("a load thread panicked"));
        };
        good += f64::from(done);
        bad += f64::from(failed);
        example = example.or(failure);
    }
    let seconds = start.elapsed().as_secs_f64();
    let cpu = processes.cpu_seconds()? - cpu;
    if let Some(failure) = example.filter(|_| bad > TOLERATED_FAILURES * good) {
        let all = good + bad;
        return Err(Failure::new(format!(
            "{bad} of {all} connections failed: {failure}"
        )));
    }
    Ok(vec![
        Reading::more("connections/s", good / seconds),
        Reading::less("CPU ms/connection", cpu * 1e3 / good),
    ])
}

/// How many connections went well and how many did not, and why one did not.
fn connect_again_and_again(
    entry: SocketAddr,
    target: u16,
    forward: Forward,
    time: Duration,
) -> (u32, u32, Option<Failure>) {
    let end = Instant::now() + time;
    let (mut good, mut bad, mut example) = (0, 0, None);
    while Instant::now() < end {
        let result = match forward {
            Forward::Dynamic => socks_echo(entry, target),
            Forward::Local | Forward::Remote => echo_connection(entry).map(drop),
        };
        match result {
            Ok(()) => good += 1,
            Err(failure) => {
                bad += 1;
                example = Some(failure);
            }
        }
    }
    (good, bad, example)
}

/// One byte to 127.0.0.1:`target` and back through the SOCKS5 proxy at `entry`.
pub(crate) fn socks_echo(entry: SocketAddr, target: u16) -> Result<()> {
    let mut socket = connect(entry)?;
    let [high, low] = target.to_be_bytes();
    let [a, b, c, d] = Ipv4Addr::LOCALHOST.octets();
    let mut talk = || {
        socket.write_all(&[5, 1, 0])?;
        socket.read_exact(&mut [0; 2])?;
        socket.write_all(&[5, 1, 0, 1, a, b, c, d, high, low])?;
        socket.read_exact(&mut [0; 10])?;
        first_echo(&mut socket)
    };
    talk().attempt(|| format!("get an echo through the SOCKS proxy at {entry}"))
}

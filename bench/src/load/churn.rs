//! Connections that come and go: each of several clients connects, gets one byte there and back, closes, and begins again.

use std::net::Ipv4Addr;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::idle::source;
use super::spawn;
use crate::failure::{Failure, Result};

/// A share of failed connections above this makes the number meaningless.
const TOLERATED_FAILURES: f64 = 0.01;

/// Clients at work.
pub(crate) struct Churn {
    clients: Vec<JoinHandle<Score>>,
    start: Instant,
}

/// Connections that clients made, and those that failed.
#[derive(Debug, Default)]
struct Score {
    good: u32,
    bad: u32,
    /// Reason why one failed.
    example: Option<Failure>,
}

/// Connections that were made, and in what time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Made {
    pub(crate) connections: f64,
    pub(crate) seconds: f64,
}

impl Churn {
    /// Lets so many clients connect for `time`. `connect` makes one connection from an address of 127.0.0.0/8.
    pub(crate) fn start(
        clients: u8,
        time: Duration,
        connect: impl Fn(Ipv4Addr) -> Result<()> + Clone + Send + 'static,
    ) -> Result<Self> {
        let start = Instant::now();
        let clients = (0..clients)
            .map(|client| {
                let connect = connect.clone();
                spawn(move || again_and_again(start + time, || connect(source(client))))
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Self { clients, start })
    }

    /// Waits for the end of the time.
    pub(crate) fn finish(self) -> Result<Made> {
        let mut sum = Score::default();
        for client in self.clients {
            let score = client
                .join()
                .map_err(|_| Failure::new("a load thread panicked"))?;
            sum.good += score.good;
            sum.bad += score.bad;
            sum.example = sum.example.or(score.example);
        }
        let seconds = self.start.elapsed().as_secs_f64();
        let (connections, bad) = (f64::from(sum.good), f64::from(sum.bad));
        if let Some(failure) = sum
            .example
            .filter(|_| bad > TOLERATED_FAILURES * connections)
        {
            let all = connections + bad;
            return Err(Failure::new(format!(
                "{bad} of {all} connections failed: {failure}"
            )));
        }
        Ok(Made {
            connections,
            seconds,
        })
    }
}

fn again_and_again(end: Instant, connect: impl Fn() -> Result<()>) -> Score {
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

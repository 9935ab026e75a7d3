//! Streams at full speed, and what a group of them reaches.

use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::target::{Target, order, pour, swallow};
use super::{BUFFER, connect, header, spawn};
use crate::failure::{Attempt, Failure, Result};
use crate::measure::Processes;

/// Direction of a flow's bytes, seen from the end that connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Send,
    Receive,
    Both,
}

/// A stream of bytes at full speed, until it is dropped.
#[derive(Debug)]
pub(crate) struct Flow {
    socket: TcpStream,
    /// Bytes that have arrived at the target.
    sent: Arc<AtomicU64>,
    /// Bytes that have arrived at the connecting end.
    received: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

/// Rate that a group of flows reached, and its cost.
#[derive(Debug, Clone)]
pub(crate) struct Rate {
    /// Megabytes (10^6 bytes) per second, all flows together.
    pub(crate) megabytes_per_second: f64,
    /// CPU seconds of the tunnel's processes per gigabyte (10^9 bytes).
    pub(crate) cpu_per_gigabyte: f64,
    /// The slowest flow's share of the mean, in the direction where it is smaller.
    pub(crate) fairness: f64,
}

impl Flow {
    /// Connects to `entry`, the tunnel's mouth, and lets bytes run.
    pub(crate) fn start(entry: SocketAddr, target: &Target, way: Way) -> Result<Self> {
        let order = match way {
            Way::Send => order::SWALLOW,
            Way::Receive => order::POUR,
            Way::Both => order::BOTH,
        };
        let mut flow = Self::open(entry, target, order)?;
        if way != Way::Receive {
            flow.pour(BUFFER)?;
        }
        if way != Way::Send {
            let (inward, count) = (clone(&flow.socket)?, Arc::clone(&flow.received));
            flow.threads.push(spawn(move || swallow(inward, &count))?);
        }
        Ok(flow)
    }

    /// Sends to the target, `size` bytes at a time.
    pub(crate) fn writing(entry: SocketAddr, target: &Target, size: usize) -> Result<Self> {
        let mut flow = Self::open(entry, target, order::SWALLOW)?;
        flow.pour(size)?;
        Ok(flow)
    }

    /// The target pours, and this end reads nothing.
    pub(crate) fn stalled_here(entry: SocketAddr, target: &Target) -> Result<Self> {
        Self::open(entry, target, order::POUR)
    }

    /// This end pours, and the target reads nothing.
    pub(crate) fn stalled_there(entry: SocketAddr, target: &Target) -> Result<Self> {
        let mut flow = Self::open(entry, target, order::STAND_STILL)?;
        flow.pour(BUFFER)?;
        Ok(flow)
    }

    fn open(entry: SocketAddr, target: &Target, order: u8) -> Result<Self> {
        let (number, sent) = target.counter();
        let mut socket = connect(entry)?;
        socket
            .write_all(&header(order, number))
            .attempt(|| format!("begin a flow through {entry}"))?;
        Ok(Self {
            socket,
            sent,
            received: Arc::default(),
            threads: Vec::new(),
        })
    }

    fn pour(&mut self, size: usize) -> Result<()> {
        let out = clone(&self.socket)?;
        self.threads.push(spawn(move || pour(out, size))?);
        Ok(())
    }

    /// Bytes that have arrived so far, both ways together.
    pub(crate) fn bytes(&self) -> u64 {
        let (sent, received) = self.counts();
        sent + received
    }

    fn counts(&self) -> (u64, u64) {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (load(&self.sent), load(&self.received))
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        // Ends blocked reads and writes; a socket that is already broken needs no end.
        let _ = self.socket.shutdown(Shutdown::Both);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Measures running flows for `time`, after `warm_up`.
pub(crate) fn rate(
    flows: &[Flow],
    processes: &Processes,
    warm_up: Duration,
    time: Duration,
) -> Result<Rate> {
    thread::sleep(warm_up);
    let counts_before: Vec<(u64, u64)> = flows.iter().map(Flow::counts).collect();
    let (cpu_before, start) = (processes.cpu_seconds()?, Instant::now());
    thread::sleep(time);
    let seconds = start.elapsed().as_secs_f64();
    let cpu = processes.cpu_seconds()? - cpu_before;
    let moved: Vec<(f64, f64)> = flows
        .iter()
        .zip(counts_before)
        .map(|(flow, (sent, received))| {
            let now = flow.counts();
            ((now.0 - sent) as f64, (now.1 - received) as f64)
        })
        .collect();
    let total: f64 = moved.iter().map(|(sent, received)| sent + received).sum();
    if total <= 0.0 {
        return Err(Failure::new(format!("no byte arrived in {seconds:.1} s")));
    }
    let sent = fairness(moved.iter().map(|(sent, _)| *sent));
    let received = fairness(moved.iter().map(|(_, received)| *received));
    Ok(Rate {
        megabytes_per_second: total / 1e6 / seconds,
        cpu_per_gigabyte: cpu / (total / 1e9),
        fairness: sent.min(received),
    })
}

fn fairness(moved: impl Iterator<Item = f64> + Clone) -> f64 {
    let count = moved.clone().count() as f64;
    let mean = moved.clone().sum::<f64>() / count;
    // A direction in which nothing was meant to run is fair.
    if mean <= 0.0 {
        return 1.0;
    }
    moved.fold(f64::INFINITY, f64::min) / mean
}

fn clone(socket: &TcpStream) -> Result<TcpStream> {
    socket
        .try_clone()
        .attempt(|| "duplicate a socket".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_moves_bytes() {
        let target = Target::start().unwrap();
        let own = Processes::new(vec![std::process::id()]);
        for way in [Way::Send, Way::Receive, Way::Both] {
            let flows = [Flow::start(target.address, &target, way).unwrap()];
            let moved = || flows[0].counts();
            while !match way {
                Way::Send => moved().0 > 0,
                Way::Receive => moved().1 > 0,
                Way::Both => moved().0 > 0 && moved().1 > 0,
            } {
                thread::yield_now();
            }
            let rate = rate(&flows, &own, Duration::ZERO, Duration::from_millis(50)).unwrap();
            assert!(rate.megabytes_per_second > 0.0, "{way:?}");
            assert!((rate.fairness - 1.0).abs() < 1e-9, "{way:?}");
        }
    }

    #[test]
    fn a_target_that_stands_still_counts_nothing() {
        let target = Target::start().unwrap();
        let still = Flow::stalled_there(target.address, &target).unwrap();
        let running = Flow::writing(target.address, &target, 16).unwrap();
        while running.bytes() < 1_000 {
            thread::yield_now();
        }
        assert_eq!(still.bytes(), 0);
    }

    #[test]
    fn fairness_is_the_smallest_share() {
        assert!((fairness([1.0, 3.0].into_iter()) - 0.5).abs() < 1e-9);
        assert!((fairness([0.0, 0.0].into_iter()) - 1.0).abs() < 1e-9);
    }
}

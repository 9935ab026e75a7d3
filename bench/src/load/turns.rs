//! Many connections that carry bytes in turn: a chunk on each, round and round, with a bounded amount on the way.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::far_end::CHUNK;
use super::flow::Rate;
use crate::failure::{Attempt, Failure, Result};
use crate::measure::Processes;

/// Chunks on the way at once, over all connections: as much as two of OpenSSH's windows.
const DEPTH: usize = 64;

/// State of the round through the connections.
struct Turns<'a> {
    connections: &'a mut [TcpStream],
    chunk: Vec<u8>,
    sent: usize,
    acknowledged: usize,
}

/// Measures connections to a [`FarEnd`](super::far_end::FarEnd) for `time`, after `warm_up`.
pub(crate) fn rate(
    connections: &mut [TcpStream],
    processes: &Processes,
    warm_up: Duration,
    time: Duration,
) -> Result<Rate> {
    let mut turns = Turns {
        connections,
        chunk: vec![0x5a; CHUNK],
        sent: 0,
        acknowledged: 0,
    };
    turns.run(warm_up)?;
    let (before, cpu, start) = (turns.acknowledged, processes.cpu_seconds()?, Instant::now());
    turns.run(time)?;
    let seconds = start.elapsed().as_secs_f64();
    let cpu = processes.cpu_seconds()? - cpu;
    let bytes = ((turns.acknowledged - before) * CHUNK) as f64;
    if bytes <= 0.0 {
        return Err(Failure::new(format!(
            "no chunk was acknowledged in {seconds:.1} s"
        )));
    }
    turns.finish()?;
    Ok(Rate {
        megabytes_per_second: bytes / 1e6 / seconds,
        cpu_per_gigabyte: cpu / (bytes / 1e9),
        fairness: 1.0,
    })
}

impl Turns<'_> {
    fn run(&mut self, time: Duration) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < time {
            let turn = self.sent % self.connections.len();
            self.connections[turn]
                .write_all(&self.chunk)
                .attempt(|| format!("send on connection {turn}"))?;
            self.sent += 1;
            if self.sent - self.acknowledged >= DEPTH {
                self.acknowledge()?;
            }
        }
        Ok(())
    }

    fn acknowledge(&mut self) -> Result<()> {
        let turn = self.acknowledged % self.connections.len();
        self.connections[turn]
            .read_exact(&mut [0])
            .attempt(|| format!("get an acknowledgement on connection {turn}"))?;
        self.acknowledged += 1;
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        while self.acknowledged < self.sent {
            self.acknowledge()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::load::{echo, far_end, idle, spawn};
    use crate::workshop::free_port;

    #[test]
    fn every_chunk_is_acknowledged_whatever_the_number_of_connections() {
        let port = free_port().unwrap();
        spawn(move || far_end::serve(port)).unwrap();
        let entry = (Ipv4Addr::LOCALHOST, port).into();
        while echo::echo_connection(entry).is_err() {
            std::thread::yield_now();
        }
        let own = Processes::new(vec![std::process::id()]);
        for count in [1, 3, 2 * DEPTH] {
            let mut connections = idle::connections(&[entry], count).unwrap();
            let time = Duration::from_millis(50);
            for _ in 0..2 {
                let rate = rate(&mut connections, &own, Duration::ZERO, time).unwrap();
                assert!(rate.megabytes_per_second > 0.0, "{count}: {rate:?}");
            }
        }
    }
}

//! The near end: what an application does with a tunnel.

use super::conn::Conn;
use super::{Greeting, HERALD, Mode, pattern};
use crate::forward::Address;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// Somebody who connects to the near end of a tunnel behind which a [`super::Target`] waits.
#[derive(Debug, Clone)]
pub struct Visitor {
    to: Address,
    behind: Option<SocketAddr>,
}

/// A connection whose reader has stopped reading.
pub struct StalledReader {
    conn: Conn,
    greeting: Greeting,
}

impl Visitor {
    /// Will connect to `to`.
    pub fn new(to: Address) -> Self {
        Self { to, behind: None }
    }

    /// Will ask the SOCKS proxy at `proxy` for `target`, which has an IPv4 address.
    pub fn through_socks(proxy: Address, target: &Address) -> Self {
        let behind = match target {
            Address::Tcp(addr) => Some(*addr),
            Address::Unix(_) => None,
        };
        Self { to: proxy, behind }
    }

    /// Sends `word`, ends, and wants exactly it back.
    ///
    /// # Errors
    ///
    /// What came instead.
    pub fn echo(&self, word: &[u8]) -> Result<(), String> {
        let (mut conn, _) = self.open(Mode::Echo, 0)?;
        conn.write_all(word)
            .and_then(|()| conn.end_writing())
            .map_err(|e| self.says("send", &e))?;
        let mut came = Vec::new();
        conn.read_to_end(&mut came)
            .map_err(|error| self.says("read the echo", &error))?;
        if came != word {
            return Err(format!(
                "echo of {} bytes came back as {} bytes",
                word.len(),
                came.len()
            ));
        }
        Ok(())
    }

    /// Sends `length` bytes and wants them back, and ends only then: what a peer without half-closed channels can do.
    ///
    /// # Errors
    ///
    /// The first byte that is wrong, or missing.
    pub fn talk(&self, length: u64) -> Result<(), String> {
        let (mut conn, greeting) = self.open(Mode::Echo, length)?;
        let mut other = conn
            .try_clone()
            .map_err(|error| self.says("clone", &error))?;
        thread::scope(|scope| {
            let sending = scope.spawn(move || pattern::send(&mut other, greeting.seed, length));
            pattern::expect(&mut (&mut conn).take(length), greeting.seed, length)?;
            let sent = sending
                .join()
                .map_err(|_| "the sender panicked".to_owned())?;
            sent.map(drop).map_err(|error| self.says("send", &error))
        })
    }

    /// Sends and receives `length` bytes at the same time.
    ///
    /// # Errors
    ///
    /// The first byte that is wrong, or missing.
    pub fn exchange(&self, length: u64) -> Result<(), String> {
        let (conn, greeting) = self.open(Mode::Exchange, length)?;
        self.exchange_on(conn, greeting)
    }

    /// Ends its own direction and still gets an answer; then the other way round.
    ///
    /// # Errors
    ///
    /// When either end does not outlive the other.
    pub fn half_close(&self) -> Result<(), String> {
        const LENGTH: u64 = 300_000;
        let (mut conn, greeting) = self.open(Mode::AnswerAfterEof, LENGTH)?;
        pattern::send(&mut conn, greeting.seed, LENGTH)
            .and_then(|_| conn.end_writing())
            .map_err(|error| self.says("send before the end", &error))?;
        pattern::expect(&mut conn, greeting.reply_seed(), LENGTH)
            .map_err(|failure| format!("answer after our end: {failure}"))?;

        let (mut conn, greeting) = self.open(Mode::ListenAfterEof, LENGTH)?;
        pattern::expect(&mut conn, greeting.reply_seed(), LENGTH)
            .map_err(|failure| format!("before the target's end: {failure}"))?;
        pattern::send(&mut conn, greeting.seed, LENGTH)
            .and_then(|_| conn.end_writing())
            .map_err(|error| self.says("send after the target's end", &error))?;
        // The target closes when it has read all; only then has it judged us.
        let rest = conn
            .read(&mut [0])
            .map_err(|error| self.says("wait for the close", &error))?;
        if rest == 0 {
            Ok(())
        } else {
            Err("a byte after the target's end".into())
        }
    }

    /// Reads `length` bytes slowly, for each of `lengths` at once.
    ///
    /// # Errors
    ///
    /// The first byte that is wrong, or missing, or an end that is none.
    pub fn sip(&self, lengths: &[u64]) -> Result<(), String> {
        self.all(lengths.to_vec(), |length| {
            let (mut conn, greeting) =
                self.greet(Conn::connect_narrow(&self.to), Mode::Flood, length)?;
            pattern::expect(
                &mut pattern::Sipping(&mut conn),
                greeting.reply_seed(),
                length,
            )
            .map(drop)
        })
    }

    /// Sends `length` bytes to a target that reads them slowly, and ends, for each of `lengths` at once. The target knows
    /// whether all came: [`super::Target::wait_for_sips`].
    ///
    /// # Errors
    ///
    /// When it cannot send.
    pub fn pour(&self, lengths: &[u64]) -> Result<(), String> {
        self.all(lengths.to_vec(), |length| {
            let (mut conn, greeting) = self.open(Mode::Sip, length)?;
            pattern::send(&mut conn, greeting.seed, length)
                .and_then(|_| conn.end_writing())
                .and_then(|()| conn.read(&mut [0]))
                .map(drop)
                .map_err(|error| self.says("pour", &error))
        })
    }

    /// `count` exchanges of `length` bytes each way, all at once.
    ///
    /// # Errors
    ///
    /// Those that failed, by their number.
    pub fn many(&self, count: usize, length: u64) -> Result<(), String> {
        self.all(vec![(); count], |()| self.exchange(length))
    }

    /// The same, but no stream sends before all are open.
    ///
    /// # Errors
    ///
    /// Those that failed, by their number.
    pub fn many_once_open(&self, count: usize, length: u64) -> Result<(), String> {
        let mut open = Vec::new();
        for _ in 0..count {
            let (mut conn, greeting) = self.open(Mode::HeraldedExchange, length)?;
            let mut herald = HERALD;
            conn.read_exact(&mut herald)
                .map_err(|error| self.says("hear", &error))?;
            open.push((conn, greeting));
        }
        self.all(open, |(conn, greeting)| self.exchange_on(conn, greeting))
    }

    /// Asks for `length` bytes and does not read them.
    ///
    /// # Errors
    ///
    /// When the tunnel is not there.
    pub fn stall(&self, length: u64) -> Result<StalledReader, String> {
        let (conn, greeting) = self.open(Mode::Flood, length)?;
        Ok(StalledReader { conn, greeting })
    }

    /// Does `visit` with each of `streams` at the same time.
    fn all<T: Send>(
        &self,
        streams: Vec<T>,
        visit: impl Fn(T) -> Result<(), String> + Sync,
    ) -> Result<(), String> {
        let count = streams.len();
        let visit = &visit;
        let results: Vec<_> = thread::scope(|scope| {
            let running: Vec<_> = streams
                .into_iter()
                .map(|one| scope.spawn(move || visit(one)))
                .collect();
            running.into_iter().map(|stream| stream.join()).collect()
        });
        let failed: Vec<String> = results
            .into_iter()
            .enumerate()
            .filter_map(|(number, result)| match result {
                Ok(Ok(())) => None,
                Ok(Err(failure)) => Some(format!("stream {number}: {failure}")),
                Err(_) => Some(format!("stream {number} panicked")),
            })
            .collect();
        if failed.is_empty() {
            return Ok(());
        }
        Err(format!(
            "{} of {count} streams failed: {}",
            failed.len(),
            failed.join("; ")
        ))
    }

    fn exchange_on(&self, mut conn: Conn, greeting: Greeting) -> Result<(), String> {
        let length = greeting.length;
        let mut other = conn
            .try_clone()
            .map_err(|error| self.says("clone", &error))?;
        thread::scope(|scope| {
            let sending = scope.spawn(move || {
                let sent = pattern::send(&mut other, greeting.seed, length)?;
                other.end_writing().map(|()| sent)
            });
            let came = pattern::expect(&mut conn, greeting.reply_seed(), length);
            let sent = sending
                .join()
                .map_err(|_| "the sender panicked".to_owned())?;
            came?;
            sent.map(drop).map_err(|error| self.says("send", &error))
        })
    }

    fn open(&self, mode: Mode, length: u64) -> Result<(Conn, Greeting), String> {
        self.greet(Conn::connect(&self.to), mode, length)
    }

    fn greet(
        &self,
        connected: io::Result<Conn>,
        mode: Mode,
        length: u64,
    ) -> Result<(Conn, Greeting), String> {
        static SEED: AtomicU64 = AtomicU64::new(0x5eed);
        let seed = SEED.fetch_add(0x1_0001, Ordering::Relaxed);
        let greeting = Greeting { mode, seed, length };
        let mut conn = connected.map_err(|error| self.says("connect", &error))?;
        self.behind
            .map_or(Ok(()), |to| ask_socks(&mut conn, to))
            .map_err(|error| self.says("be connected", &error))?;
        conn.write_all(&greeting.to_bytes())
            .map_err(|error| self.says("greet", &error))?;
        Ok((conn, greeting))
    }

    fn says(&self, what: &str, error: &std::io::Error) -> String {
        format!("cannot {what} at {}: {error}", self.to)
    }
}

impl StalledReader {
    /// Reads everything after all: nothing may have been lost.
    ///
    /// # Errors
    ///
    /// The first byte that is wrong, or missing.
    pub fn catch_up(mut self) -> Result<(), String> {
        pattern::expect(
            &mut self.conn,
            self.greeting.reply_seed(),
            self.greeting.length,
        )
        .map(drop)
        .map_err(|failure| format!("the stalled reader, catching up: {failure}"))
    }
}

/// SOCKS4, which is one question and one answer.
fn ask_socks(conn: &mut Conn, target: SocketAddr) -> io::Result<()> {
    let IpAddr::V4(ip) = target.ip() else {
        return Err(io::Error::other("SOCKS4 has no IPv6"));
    };
    let mut question = vec![4, 1];
    question.extend(target.port().to_be_bytes());
    question.extend(ip.octets());
    question.push(0);
    conn.write_all(&question)?;
    let mut answer = [0; 8];
    conn.read_exact(&mut answer)?;
    match answer[1] {
        90 => Ok(()),
        other => Err(io::Error::other(format!("SOCKS4 answers {other}"))),
    }
}

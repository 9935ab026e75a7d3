//! HTTP with connections that are kept: a server and a crowd of clients, each on one thread, so that what is
//! measured is what lies between them.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::{HEADER_LEN, connect, spawn};
use crate::failure::{Attempt, Failure, Result};
use crate::measure::Processes;

const REQUEST: &[u8] =
    b"GET /page HTTP/1.1\r\nHost: bench.test\r\nUser-Agent: adit-bench\r\nAccept: */*\r\n\r\n";

/// The body of every answer, in bytes.
const BODY: usize = 128;

/// End of a request.
const BLANK_LINE: &[u8] = b"\r\n\r\n";

/// The longest request that the server takes, in bytes.
const MAX_REQUEST: usize = 4096;

/// A server on a free port of 127.0.0.1. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct HttpServer {
    port: u16,
    stop: Arc<Notify>,
}

/// Rate that the clients reached, and its cost.
#[derive(Debug)]
pub(crate) struct HttpRate {
    pub(crate) requests_per_second: f64,
    /// CPU seconds of the tunnel's processes per million requests.
    pub(crate) cpu_per_million: f64,
}

impl HttpServer {
    pub(crate) fn start() -> Result<Self> {
        let runtime = runtime()?;
        let listener = runtime
            .block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
            .attempt(|| "listen for HTTP on 127.0.0.1".to_owned())?;
        let address = listener
            .local_addr()
            .attempt(|| "read the HTTP server's address".to_owned())?;
        let stop = Arc::new(Notify::new());
        let stopped = Arc::clone(&stop);
        spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    result = accept(&listener) => result,
                    () = stopped.notified() => Ok(()),
                }
            })
        })?;
        Ok(Self {
            port: address.port(),
            stop,
        })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.stop.notify_one();
    }
}

/// Keeps `clients` connections through `entry` busy, one request at a time on each.
pub(crate) fn load(
    entry: SocketAddr,
    clients: usize,
    processes: &Processes,
    times: (Duration, Duration),
) -> Result<HttpRate> {
    let (warm_up, time) = times;
    let done = Arc::new(AtomicU64::new(0));
    let runtime = runtime()?;
    let mut running = JoinSet::new();
    for _ in 0..clients {
        let (socket, done) = (connect(entry)?, Arc::clone(&done));
        running.spawn_on(ask_again_and_again(socket, done), runtime.handle());
    }
    runtime.block_on(async {
        let failure = async {
            match running.join_next().await {
                Some(Ok(Err(error))) => Failure::new(format!("cannot get a page: {error}")),
                _ => Failure::new("a client ended early"),
            }
        };
        let measure = async {
            tokio::time::sleep(warm_up).await;
            let before = done.load(Ordering::Relaxed);
            let (cpu, start) = (processes.cpu_seconds()?, Instant::now());
            tokio::time::sleep(time).await;
            let requests = (done.load(Ordering::Relaxed) - before) as f64;
            let seconds = start.elapsed().as_secs_f64();
            let cpu = processes.cpu_seconds()? - cpu;
            Ok(HttpRate {
                requests_per_second: requests / seconds,
                cpu_per_million: cpu / (requests / 1e6),
            })
        };
        tokio::select! {
            failure = failure => Err(failure),
            rate = measure => rate,
        }
    })
}

fn runtime() -> Result<Runtime> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .attempt(|| "start a runtime".to_owned())
}

async fn ask_again_and_again(socket: std::net::TcpStream, done: Arc<AtomicU64>) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    let mut socket = TcpStream::from_std(socket)?;
    let mut answer = vec![0; answer().len()];
    loop {
        socket.write_all(REQUEST).await?;
        socket.read_exact(&mut answer).await?;
        if !answer.starts_with(b"HTTP/1.1 200 ") {
            return Err(io::Error::other("not a page"));
        }
        done.fetch_add(1, Ordering::Relaxed);
    }
}

fn answer() -> Vec<u8> {
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {BODY}\r\n\r\n");
    [head.as_bytes(), &[b'x'; BODY]].concat()
}

async fn accept(listener: &TcpListener) -> io::Result<()> {
    loop {
        let (socket, _) = listener.accept().await?;
        // Errors are the other end closing.
        tokio::spawn(serve(socket));
    }
}

async fn serve(mut socket: TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let answer = answer();
    let mut request = Vec::with_capacity(MAX_REQUEST);
    loop {
        // One request at a time is on the way, so that a blank line at the end is the end of one.
        while !request.ends_with(BLANK_LINE) {
            if is_echo(&request) {
                socket.write_all(&[0]).await?;
                return Ok(());
            }
            if request.len() >= MAX_REQUEST || socket.read_buf(&mut request).await? == 0 {
                return Ok(());
            }
        }
        request.clear();
        socket.write_all(&answer).await?;
    }
}

/// The trial of a tunnel that is coming up, which every far end answers with a byte.
fn is_echo(request: &[u8]) -> bool {
    request.len() == HEADER_LEN + 1 && request[0] == super::target::order::ECHO
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_served_again_and_again_on_one_connection() {
        let server = HttpServer::start().unwrap();
        let entry = (Ipv4Addr::LOCALHOST, server.port()).into();
        let own = Processes::new(vec![std::process::id()]);
        let times = (Duration::from_millis(10), Duration::from_millis(100));
        let rate = load(entry, 4, &own, times).unwrap();
        assert!(rate.requests_per_second > 0.0, "{rate:?}");
    }

    #[test]
    fn a_tunnel_to_it_can_be_tried() {
        let server = HttpServer::start().unwrap();
        let entry = (Ipv4Addr::LOCALHOST, server.port()).into();
        crate::load::echo::echo_connection(entry).unwrap();
    }
}

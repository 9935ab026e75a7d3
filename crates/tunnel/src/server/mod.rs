//! The server: listen, admit, forward. `serve_connection` takes a socket and a policy; everything else leads to it.
//!
//! ```text
//!   Server::run ─ accept ─▶ gate ──────────────▶ workers ────▶ serve_connection ─▶ auth ─▶ forwards
//!   (listeners)             (how many, and who)  (a thread)                        (who)   (what, until the end)
//! ```

pub mod account;
mod auth;
mod forwards;
mod gate;
mod hands;
mod limits;
pub mod penalties;
mod readers;
mod refusal;
mod remote;
mod sessions;
pub mod settings;
mod startups;
mod workers;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use adit_proto::Side;
use adit_proto::connection::ConnectionConfig;
use adit_proto::error::Error;
use adit_proto::peer_text;
use log::Level;
use tokio::time::timeout;

pub use account::LocalAccount;
use gate::{Gate, Visit};
use penalties::Cause;
use readers::Readers;
use refusal::Refused;
pub use settings::ServerSettings;
use workers::Workers;

use crate::config::values::AddressFamily;
use crate::forward::accept::Acceptor;
use crate::forward::descriptors::{Pool, Share};
use crate::forward::dial;
use crate::net::listener::{self, BindError, Listener, WILDCARD};
use crate::net::{Ended, ServerLogin, Stream, handshake, memory, seed};
use crate::repeats::{self, Source};
use crate::session::remote::process::Starter;
use crate::session::remote::start::Limits;

/// A server with its listening sockets.
#[derive(Debug)]
pub struct Server {
    listeners: Vec<Listener>,
    settings: Mutex<Arc<ServerSettings>>,
    gate: Gate,
    refused: Refused,
    commons: Commons,
    workers: Workers,
}

/// Resources that all connections of a server share.
#[derive(Debug, Clone)]
struct Commons {
    /// Descriptors for logins.
    descriptors: Pool,
    /// Threads that read key files.
    readers: Arc<Readers>,
    /// Starts the programs of sessions.
    starter: Starter,
}

impl Server {
    /// Binds all addresses of the settings.
    ///
    /// # Errors
    /// The error of the first address that could not be bound.
    pub async fn bind(settings: Arc<ServerSettings>) -> Result<Self, BindError> {
        let mut listeners = Vec::new();
        for (host, port) in &settings.listen_on {
            let addresses = listen_addresses(host.as_deref(), *port, settings.family).await?;
            listeners.extend(listener::bind_tcp(&addresses, *port)?.0);
        }
        let descriptors = limits::descriptors();
        let workers = limits::workers(descriptors);
        let for_logins = limits::for_logins(descriptors, workers, settings.max_startups.full);
        Ok(Self {
            listeners,
            settings: Mutex::new(settings),
            gate: Gate::default(),
            refused: Refused::default(),
            commons: Commons {
                descriptors: Pool::new(for_logins),
                readers: Arc::default(),
                starter: Starter::own(Limits::default()),
            },
            workers: Workers::new(workers),
        })
    }

    /// The same with another starter of programs. By default the running binary is executed again, which has to know
    /// [`start::MARK`](crate::session::remote::start::MARK).
    pub fn with_starter(mut self, starter: Starter) -> Self {
        self.commons.starter = starter;
        self
    }

    /// Addresses that it listens on.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        let addresses = self.listeners.iter().filter_map(|listener| match listener {
            Listener::Tcp(listener) => listener.local_addr().ok(),
            Listener::Unix(..) => None,
        });
        addresses.collect()
    }

    /// Sets the settings of later connections. The listening sockets stay.
    pub fn reload(&self, settings: Arc<ServerSettings>) {
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner) = settings;
    }

    /// Serves until the task ends. Connections have their own threads and continue until the server is dropped.
    pub async fn run(self: Arc<Self>) {
        seed::prepare();
        let mut accepting = tokio::task::JoinSet::new();
        for index in 0..self.listeners.len() {
            let server = self.clone();
            accepting.spawn(async move { server.accept(index).await });
        }
        while accepting.join_next().await.is_some() {}
    }

    /// Accepts until the task ends. A socket counts in a share only after its login.
    async fn accept(self: Arc<Self>, index: usize) {
        let address = self.local_addrs().get(index).map(ToString::to_string);
        let acceptor = Acceptor {
            label: &format!("listener {}", address.unwrap_or_default()),
            level: Level::Error,
            descriptors: &Share::unlimited(),
        };
        let admit = |(socket, peer), _| self.admit(socket, peer);
        acceptor.run(&self.listeners[index], admit).await;
    }

    fn admit(&self, socket: Stream, peer: Option<SocketAddr>) {
        let settings = self
            .settings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let visit = match self.gate.enter(peer, &settings, Instant::now()) {
            Ok(visit) => visit,
            Err(refusal) => {
                self.gate.log(refusal, peer, socket.local_addr());
                self.refused.tell(socket, refusal);
                return;
            }
        };
        let commons = self.commons.clone();
        let served = socket.leave_runtime().and_then(|socket| {
            self.workers.serve(async move {
                match socket.enter_runtime() {
                    Ok(socket) => serve_connection(socket, settings, commons, visit).await,
                    Err(error) => warn_unserved(peer, &error),
                }
            })
        });
        if let Err(error) = served {
            warn_unserved(peer, &error);
        }
    }
}

fn warn_unserved(peer: Option<SocketAddr>, error: &io::Error) {
    let why = listener::describe(error);
    Peer(peer).log(
        Level::Warn,
        "connections that could not be served",
        format_args!(
            "drop connection from {}: cannot serve it: {why}",
            Peer(peer)
        ),
    );
}

async fn listen_addresses(
    host: Option<&str>,
    port: u16,
    family: AddressFamily,
) -> Result<Vec<SocketAddr>, BindError> {
    let Some(host) = host else {
        let addresses = WILDCARD.into_iter();
        return Ok(addresses.filter(|a| family.admits(a.ip())).collect());
    };
    let resolved = dial::resolve(host, port, family).await;
    resolved.map_err(|e| BindError {
        address: format!("{host}:{port}"),
        source: io::Error::other(e),
    })
}

/// Serves one connection until it ends.
async fn serve_connection(
    socket: Stream,
    settings: Arc<ServerSettings>,
    commons: Commons,
    mut visit: Visit,
) {
    visit.blame(Cause::NoAuth);
    let name = Peer(visit.peer);
    let deadline = settings.login_grace.map(|grace| Instant::now() + grace);
    let local = socket.local_addr();
    socket.prepare_ssh(settings.tcp_keep_alive);
    let begun = before(deadline, begin(socket, &settings, &mut visit)).await;
    let mut connection = match begun {
        Some(Ok(begun)) => begun,
        Some(Err(error)) => {
            let why = listener::describe(&error);
            let line = format_args!("Connection from {name} ended before identification: {why}");
            name.log(Level::Info, "connections without identification", line);
            return;
        }
        None => {
            visit.blame(Cause::GraceExceeded);
            name.log_timeout();
            return;
        }
    };
    let login = auth::authenticate(&mut connection, &settings, &commons, &mut visit);
    let (login, success) = match before(deadline, login).await {
        Some(Ok((login, success))) => (auth::Login { local, ..login }, success),
        Some(Err(auth::NoLogin)) => {
            log_end(name, " [preauth]", &connection.why_ended());
            return;
        }
        None => {
            visit.blame(Cause::GraceExceeded);
            name.log_timeout();
            connection.end("Timeout before authentication");
            return;
        }
    };
    visit.logged_in();
    let (handle, mut incoming) = connection.finish(success);
    forwards::serve(&handle, &mut incoming, &settings, &commons, login).await;
    if !handle.is_ended() {
        // Nothing answers the client any more.
        handle.end("no longer served");
    }
    log_end(name, "", &handle.why_ended());
}

async fn begin(
    socket: Stream,
    settings: &ServerSettings,
    visit: &mut Visit,
) -> io::Result<ServerLogin> {
    let ident = handshake::exchange_ident(&socket, Side::Server).await?;
    let config = ConnectionConfig {
        transport: settings.transport.clone(),
        keep_alive: settings.keep_alive,
        peer_ident: ident.line,
        // A fault of this machine: the client's address gets no penalty.
        seed: seed::draw().inspect_err(|_| visit.forgive())?,
        windows: memory::windows(),
    };
    Ok(ServerLogin::start(socket, config, &ident.early))
}

/// Output of the future, or none if the deadline has passed.
async fn before<T>(deadline: Option<Instant>, future: impl Future<Output = T>) -> Option<T> {
    match deadline {
        None => Some(future.await),
        Some(deadline) => timeout(deadline.saturating_duration_since(Instant::now()), future)
            .await
            .ok(),
    }
}

fn log_end(peer: Peer, when: &str, ended: &Ended) {
    let kind = match when {
        "" => "ended connections",
        _ => "connections that ended before the login",
    };
    match ended {
        Ended::Protocol(Error::PeerDisconnected(disconnect)) => {
            let why = peer_text::description(&disconnect.description);
            let line = format_args!("Received disconnect from {peer}: {why}{when}");
            peer.log(Level::Info, kind, line);
        }
        Ended::Protocol(error) => {
            let line = format_args!("Connection from {peer}: {error}{when}");
            peer.log(Level::Error, kind, line);
        }
        ended => {
            let line = format_args!("Connection from {peer} {ended}{when}");
            peer.log(Level::Info, kind, line);
        }
    }
}

/// Name of a peer in messages: `127.0.0.1 port 51000`.
#[derive(Debug, Clone, Copy)]
struct Peer(Option<SocketAddr>);

impl Peer {
    /// Writes a log line that this peer can cause at will. After the first few of a kind they are only counted. True if
    /// it was written.
    fn log(self, level: Level, kind: &'static str, line: fmt::Arguments<'_>) -> bool {
        let source = Source::from(self.0.map(|address| address.ip()));
        repeats::log(level, source, kind, line)
    }

    fn log_timeout(self) {
        let line = format_args!("Timeout before authentication for connection from {self}");
        self.log(Level::Info, "timeouts before authentication", line);
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => write!(f, "{} port {}", address.ip().to_canonical(), address.port()),
            None => write!(f, "UNKNOWN port 65535"),
        }
    }
}

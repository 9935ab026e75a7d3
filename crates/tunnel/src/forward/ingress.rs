//! The listening end of a forward: accept, ask the peer for a channel, relay.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use adit_proto::message::connection::{ChannelType, TcpAddresses};
use log::{debug, error, warn};
use tokio::time::timeout;

use super::relay::{End, relay};
use super::socks::{Host, Outcome, Progress, Request, Socks, Version};
use crate::net::connection::OpenError;
use crate::net::listener::{Listener, describe};
use crate::net::{Channel, Handle, Stream};
use crate::status::ForwardCounters;

/// How long an application may take over its SOCKS handshake.
const SOCKS_TIMEOUT: Duration = Duration::from_secs(60);
/// The pause of a listener when the process is out of file descriptors.
const OUT_OF_FILES_PAUSE: Duration = Duration::from_secs(1);

/// What to ask the peer for, for each connection that comes in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// `-L` to a host and port.
    DirectTcpip {
        /// The host as the server shall resolve it.
        host: String,
        /// The port.
        port: u16,
    },
    /// `-L` to a unix socket.
    DirectStreamLocal {
        /// The path at the server.
        path: String,
    },
    /// `-D`: the application says where to, in SOCKS.
    Socks,
    /// `-R` at the server.
    ForwardedTcpip {
        /// The address to bind, as the client asked.
        address: String,
        /// The port that is bound.
        port: u16,
    },
    /// `-R` of a unix socket at the server.
    ForwardedStreamLocal {
        /// The path that is bound.
        path: String,
    },
}

/// The listening end of one forward.
#[derive(Debug)]
pub struct Ingress {
    /// How messages name the forward: `forward -L 9000 → db:5432`.
    pub label: String,
    /// How messages name the peer: `server example.com`.
    pub peer_name: String,
    /// The connection to the peer.
    pub handle: Handle,
    /// Where connections go.
    pub route: Route,
    /// What the forward has carried.
    pub counters: Arc<ForwardCounters>,
}

impl Ingress {
    /// Accepts until the task is ended.
    pub async fn serve(self: Arc<Self>, listener: Listener) {
        loop {
            match listener.accept().await {
                Ok((app, origin)) => {
                    let ingress = self.clone();
                    tokio::spawn(async move { ingress.carry(app, origin).await });
                }
                Err(error) => {
                    warn!("{}: cannot accept: {}", self.label, describe(&error));
                    tokio::time::sleep(OUT_OF_FILES_PAUSE).await;
                }
            }
        }
    }

    /// One connection, from accept to close.
    async fn carry(&self, app: Stream, origin: Option<SocketAddr>) {
        let from = Origin(origin);
        let opened = match &self.route {
            Route::Socks => self.open_by_socks(&app, from).await,
            route => self
                .open(route.channel_type(from), &route.target(), from)
                .await
                .ok(),
        };
        let Some(channel) = opened else {
            self.counters.failed.add(1);
            return;
        };
        self.counters.opened.add(1);
        self.counters.open.add(1);
        debug!("{}: connection from {from} opened", self.label);
        let end = relay(channel, app, &self.counters).await;
        self.counters.open.sub(1);
        match end {
            End::Orderly => debug!("{}: connection from {from} ended", self.label),
            End::Reset(Some(error)) => {
                debug!(
                    "{}: connection from {from} reset: {}",
                    self.label,
                    describe(&error)
                );
            }
            End::Reset(None) => debug!("{}: connection from {from} reset by the peer", self.label),
        }
    }

    async fn open(
        &self,
        channel_type: ChannelType,
        target: &str,
        from: Origin,
    ) -> Result<Channel, OpenError> {
        let opened = self.handle.open(channel_type).await;
        if let Err(error) = &opened {
            let label = &self.label;
            match error {
                OpenError::Refused(failure) => error!(
                    "{label}: connection from {from}: {target} {} (from {})",
                    in_words(&failure.reason.to_string(), &failure.description),
                    self.peer_name
                ),
                OpenError::Ended(ended) => {
                    error!("{label}: connection from {from}: {target}: {ended}");
                }
            }
        }
        opened
    }

    async fn open_by_socks(&self, app: &Stream, from: Origin) -> Option<Channel> {
        let request = match timeout(SOCKS_TIMEOUT, read_request(app)).await {
            Ok(Ok(request)) => request,
            Ok(Err(why)) => {
                warn!("{}: connection from {from}: {why}", self.label);
                return None;
            }
            Err(_) => {
                warn!(
                    "{}: connection from {from}: SOCKS handshake timed out",
                    self.label
                );
                return None;
            }
        };
        let (
            Request {
                version,
                host,
                port,
            },
            early,
        ) = request;
        let host = match host {
            Host::Address(address) => address.to_string(),
            Host::Name(name) => name,
        };
        let target = format!("{host}:{port}");
        let channel_type = ChannelType::DirectTcpip(from.addresses(host, port));
        match self.open(channel_type, &target, from).await {
            Ok(channel) => {
                app.write_all(&version.reply(Outcome::Succeeded))
                    .await
                    .ok()?;
                channel.send(&early).await.ok()?;
                Some(channel)
            }
            Err(error) => {
                refuse_socks(app, version, &error).await;
                None
            }
        }
    }
}

async fn refuse_socks(app: &Stream, version: Version, error: &OpenError) {
    let outcome = match error {
        OpenError::Refused(failure) => {
            Outcome::of_open_failure(failure.reason.0, &failure.description)
        }
        OpenError::Ended(_) => Outcome::GeneralFailure,
    };
    // An application that has gone needs no answer.
    let _ = app.write_all(&version.reply(outcome)).await;
}

/// The request, and the application's bytes behind it.
async fn read_request(app: &Stream) -> Result<(Request, Vec<u8>), String> {
    let mut socks = Socks::new();
    loop {
        let bytes = app.read_some().await.map_err(|e| describe(&e))?;
        if bytes.is_empty() {
            return Err("closed during the SOCKS handshake".into());
        }
        let mut input = &bytes[..];
        while !input.is_empty() {
            match socks.handle(input) {
                Ok(Progress::NeedMore) => input = &[],
                Ok(Progress::Reply {
                    bytes: reply,
                    consumed,
                }) => {
                    app.write_all(&reply).await.map_err(|e| describe(&e))?;
                    input = &input[consumed..];
                }
                Ok(Progress::Request { request, consumed }) => {
                    return Ok((request, input[consumed..].to_vec()));
                }
                Err(error) => {
                    if let Some(reply) = error.reply() {
                        let _ = app.write_all(&reply).await;
                    }
                    return Err(error.to_string());
                }
            }
        }
    }
}

impl Route {
    fn channel_type(&self, from: Origin) -> ChannelType {
        match self {
            Route::DirectTcpip { host, port } => {
                ChannelType::DirectTcpip(from.addresses(host.clone(), *port))
            }
            Route::DirectStreamLocal { path } => ChannelType::DirectStreamLocal {
                socket_path: path.clone(),
            },
            Route::ForwardedTcpip { address, port } => {
                ChannelType::ForwardedTcpip(from.addresses(address.clone(), *port))
            }
            Route::ForwardedStreamLocal { path } => ChannelType::ForwardedStreamLocal {
                socket_path: path.clone(),
            },
            Route::Socks => ChannelType::Other(String::new()),
        }
    }

    /// How messages name where a connection was going.
    fn target(&self) -> String {
        match self {
            Route::DirectTcpip { host, port } => format!("{host}:{port}"),
            Route::DirectStreamLocal { path } => path.clone(),
            Route::ForwardedTcpip { .. } | Route::ForwardedStreamLocal { .. } => {
                "the client's target".into()
            }
            Route::Socks => String::new(),
        }
    }
}

/// Where a connection came from.
#[derive(Debug, Clone, Copy)]
struct Origin(Option<SocketAddr>);

impl Origin {
    fn addresses(self, host: String, port: u16) -> TcpAddresses {
        TcpAddresses {
            host,
            port,
            originator_address: self
                .0
                .map_or("127.0.0.1".into(), |a| a.ip().to_canonical().to_string()),
            originator_port: self.0.map_or(0, |a| a.port()),
        }
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(address) => write!(f, "{address}"),
            None => write!(f, "a unix socket"),
        }
    }
}

/// `refused` and the like for the commonest descriptions, the peer's own words for the rest.
fn in_words(reason: &str, description: &str) -> String {
    let description: String = description.chars().take(200).collect();
    let description = description.escape_debug();
    match reason {
        "connect failed" if description.to_string() == "Connection refused" => "refused".into(),
        _ => format!("{reason}: {description}"),
    }
}

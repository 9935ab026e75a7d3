//! The listening end of a forward: accept, ask the peer for a channel, relay.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use adit_proto::message::connection::{ChannelType, TcpAddresses};
use log::{debug, error, warn};
use tokio::time::timeout;

use super::relay::{End, relay};
use super::socks::{Host, Outcome, Progress, Request, Socks, Version};
use crate::net::connection::OpenError;
use crate::net::listener::{Listener, describe};
use crate::net::{Handle, Stream};
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
        let app = Arc::new(app);
        let end = match &self.route {
            Route::Socks => self.carry_by_socks(&app, from).await,
            route => {
                let channel_type = route.channel_type(from);
                self.carry_while_opening(channel_type, &route.target(), &app, from)
                    .await
            }
        };
        match end {
            None => self.counters.failed.add(1),
            Some(End::Orderly) => debug!("{}: connection from {from} ended", self.label),
            Some(End::Reset(Some(error))) => debug!(
                "{}: connection from {from} reset: {}",
                self.label,
                describe(&error)
            ),
            Some(End::Reset(None)) => {
                debug!("{}: connection from {from} reset by the peer", self.label);
            }
        }
    }

    /// Relays while the peer decides, so that what the application says at once leaves with the question.
    async fn carry_while_opening(
        &self,
        channel_type: ChannelType,
        target: &str,
        app: &Arc<Stream>,
        from: Origin,
    ) -> Option<End> {
        let opening = self.handle.begin_open(channel_type);
        let (channel, verdict) = opening
            .inspect_err(|error| self.say_why_not(target, from, error))
            .ok()?;
        let mut relaying = pin!(relay(channel, app.clone(), &self.counters));
        let verdict = tokio::select! {
            biased;
            verdict = verdict.given() => verdict,
            // The application could not wait for it.
            end = &mut relaying => return Some(end),
        };
        if let Err(error) = verdict {
            self.say_why_not(target, from, &error);
            // An orderly end would look like an answer to what it has said.
            app.reset_on_close();
            return None;
        }
        Some(self.count(relaying, from).await)
    }

    /// Counts a connection that is open, from now to its end.
    async fn count(&self, relaying: impl Future<Output = End>, from: Origin) -> End {
        self.counters.opened.add(1);
        self.counters.open.add(1);
        debug!("{}: connection from {from} opened", self.label);
        let end = relaying.await;
        self.counters.open.sub(1);
        end
    }

    fn say_why_not(&self, target: &str, from: Origin, error: &OpenError) {
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

    async fn carry_by_socks(&self, app: &Arc<Stream>, from: Origin) -> Option<End> {
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
        match self.handle.open(channel_type).await {
            Ok(channel) => {
                app.write_all(&version.reply(Outcome::Succeeded))
                    .await
                    .ok()?;
                channel.send(&early).await.ok()?;
                let relaying = relay(channel, app.clone(), &self.counters);
                Some(self.count(relaying, from).await)
            }
            Err(error) => {
                self.say_why_not(&target, from, &error);
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

#[cfg(test)]
mod tests {
    use adit_proto::message::connection::OpenFailureReason;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::mpsc::Receiver;

    use super::*;
    use crate::net::Incoming;
    use crate::net::channel::Received;
    use crate::net::connection::ChannelAsked;
    use crate::net::pair::Pair;

    /// A forward whose server is the test, and an application that is connected to it.
    struct Forward {
        ingress: Arc<Ingress>,
        app: TcpStream,
        _server: Handle,
        asked: Receiver<Incoming>,
    }

    impl Forward {
        async fn new() -> Self {
            let (client, _server, asked) = Pair::new().await.into_client_and_server();
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let (app, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
            let (accepted, origin) = accepted.unwrap();
            let ingress = Arc::new(Ingress {
                label: "test".into(),
                peer_name: "the test".into(),
                handle: client,
                route: Route::DirectStreamLocal {
                    path: "/target".into(),
                },
                counters: Arc::default(),
            });
            let carrying = ingress.clone();
            tokio::spawn(async move { carrying.carry(accepted.into(), Some(origin)).await });
            Self {
                ingress,
                app: app.unwrap(),
                _server,
                asked,
            }
        }

        async fn asked(&mut self) -> ChannelAsked {
            loop {
                if let Incoming::Open(asked) = self.asked.recv().await.unwrap() {
                    return asked;
                }
            }
        }
    }

    /// Waits until the application has spoken and was heard, though nobody has given it its channel.
    async fn say(forward: &mut Forward, bytes: &[u8]) {
        forward.app.write_all(bytes).await.unwrap();
        let counters = &forward.ingress.counters;
        while counters.sent.value() < bytes.len() as u64 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn application_need_not_wait_for_the_verdict() {
        let mut forward = Forward::new().await;
        let asked = forward.asked().await;
        say(&mut forward, b"hello").await;
        forward.app.shutdown().await.unwrap();

        let channel = asked.accept();

        let came = channel.receive().await.unwrap();
        assert_eq!(came, Received::Data(b"hello".to_vec()));
        channel.taken(5);
        assert_eq!(channel.receive().await.unwrap(), Received::Eof);
        channel.send(b"and goodbye").await.unwrap();
        channel.send_eof();
        let mut answer = String::new();
        forward.app.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "and goodbye");
    }

    #[tokio::test]
    async fn refusal_is_no_orderly_end_for_an_application_that_has_spoken() {
        let mut forward = Forward::new().await;
        let asked = forward.asked().await;
        say(&mut forward, b"hello").await;

        asked.refuse(OpenFailureReason::CONNECT_FAILED, "Connection refused");

        let end = forward.app.read(&mut [0]).await;
        assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
        assert_eq!(forward.ingress.counters.failed.value(), 1);
        assert_eq!(forward.ingress.counters.opened.value(), 0);
    }
}

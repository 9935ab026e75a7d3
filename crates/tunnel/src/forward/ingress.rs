//! The listening end of a forward: accept, ask the peer for a channel, relay.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use adit_proto::message::connection::{ChannelType, TcpAddresses};
use adit_proto::peer_text;
use log::{Level, debug};
use tokio::time::timeout;

use super::answered::Answered;
use super::descriptors::{Permit, Share};
use super::relay::{End, relay};
use super::socks::{Host, Outcome, Progress, Request, Socks, Version};
use crate::config::spec::Endpoint;
use crate::net::connection::{OpenError, Refusal, Verdict};
use crate::net::listener::{Accepted, Listener, describe};
use crate::net::{Channel, Handle, Stream};
use crate::repeats::{self, Source};
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
    /// Where its applications have been before.
    pub answered: Answered,
    /// What its connections take their sockets from.
    pub descriptors: Share,
}

impl Ingress {
    /// Accepts until the task is ended.
    pub async fn serve(self: Arc<Self>, listener: Listener) {
        loop {
            match self.accept(&listener).await {
                Ok(((app, origin), descriptor)) => {
                    let ingress = self.clone();
                    tokio::spawn(async move {
                        ingress.carry(app, origin).await;
                        drop(descriptor);
                    });
                }
                Err(error) => {
                    self.say_pause(&format!("cannot accept: {}", describe(&error)));
                    tokio::time::sleep(OUT_OF_FILES_PAUSE).await;
                }
            }
        }
    }

    /// The next connection. While the share is full none is accepted: those that come wait in the kernel's queue. A
    /// listener to which nobody comes holds a place for itself only.
    async fn accept(&self, listener: &Listener) -> io::Result<(Accepted, Permit)> {
        loop {
            let accepted = poll_fn(|cx| match self.descriptors.take(1) {
                Err(_) => Poll::Ready(None),
                // The place is given back at once where nobody has come.
                Ok(place) => listener
                    .poll_accept(cx)
                    .map(|a| Some(a.map(|a| (a, place)))),
            });
            match accepted.await {
                Some(accepted) => return accepted,
                None => self.wait_for_room().await,
            }
        }
    }

    async fn wait_for_room(&self) {
        self.say_pause("too many open connections; accepts no further until one ends");
        self.descriptors.freed().await;
    }

    /// Said each second, for as long as it lasts.
    fn say_pause(&self, why: &str) {
        let (label, source) = (&self.label, Source::Named(self.label.clone()));
        let line = format_args!("{label}: {why}");
        repeats::log(Level::Warn, source, "pauses without a descriptor", line);
    }

    /// One connection, from accept to close.
    async fn carry(&self, app: Stream, origin: Option<SocketAddr>) {
        let from = Origin(origin);
        let app = Arc::new(app);
        let asked = match &self.route {
            Route::Socks => self.ask_by_socks(&app, from).await,
            route => self
                .ask(route.channel_type(from), route.target(), from)
                .ok(),
        };
        let Some(asked) = asked else {
            self.counters.failed.add(1);
            return;
        };
        let Some(end) = self.relay_while_opening(asked, &app, from).await else {
            self.counters.failed.add(1);
            return;
        };
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

    /// Asks the peer for a channel.
    fn ask(
        &self,
        channel_type: ChannelType,
        target: String,
        from: Origin,
    ) -> Result<Asked, OpenError> {
        match self.handle.begin_open(channel_type) {
            Ok((channel, verdict)) => Ok(Asked {
                channel,
                verdict,
                target,
                first_words: Vec::new(),
            }),
            Err(error) => {
                self.say_why_not(&target, from, &error);
                Err(error)
            }
        }
    }

    /// Relays while the peer decides, so that what the application says at once leaves with the question. None where nothing
    /// came of it.
    async fn relay_while_opening(
        &self,
        asked: Asked,
        app: &Arc<Stream>,
        from: Origin,
    ) -> Option<End> {
        let Asked {
            channel,
            mut verdict,
            target,
            first_words,
        } = asked;
        let mut relaying = pin!(async {
            if let Err(error) = channel.send(&first_words).await {
                return End::Reset(Some(error));
            }
            relay(channel, app.clone(), &self.counters).await
        });
        let (verdict, early_end) = tokio::select! {
            biased;
            given = verdict.given() => (Some(given), None),
            // The application could not wait, or the verdict has just come and was heard there first.
            end = &mut relaying => (verdict.known(), Some(end)),
        };
        match verdict {
            None => {
                debug!(
                    "{}: connection from {from} gave up before {} answered",
                    self.label,
                    peer_text::description(&target)
                );
                return None;
            }
            Some(Err(error)) => {
                self.end_refused(&target, app, from, &error);
                return None;
            }
            Some(Ok(())) => {}
        }
        if self.route == Route::Socks {
            self.answered.note(&target, Instant::now());
        }
        drop(target);
        self.counters.opened.add(1);
        debug!("{}: connection from {from} opened", self.label);
        if early_end.is_some() {
            return early_end;
        }
        self.counters.open.add(1);
        let end = relaying.await;
        self.counters.open.sub(1);
        Some(end)
    }

    fn end_refused(&self, target: &str, app: &Stream, from: Origin, error: &OpenError) {
        self.answered.forget(target);
        self.say_why_not(target, from, error);
        let nothing_is_lost = matches!(error, OpenError::Refused(refusal) if refusal.lost == 0);
        if !nothing_is_lost {
            // An orderly end would look like an answer to what it has said.
            app.reset_on_close();
        }
    }

    fn say_why_not(&self, target: &str, from: Origin, error: &OpenError) {
        let label = &self.label;
        match error {
            OpenError::Refused(Refusal { failure, .. }) => {
                let failure = format!(
                    "connection from {from}: {} {} (from {})",
                    peer_text::description(target),
                    in_words(&failure.reason.to_string(), &failure.description),
                    self.peer_name
                );
                repeats::connection_failed(Level::Error, label, &failure);
            }
            OpenError::Ended(ended) => {
                let target = peer_text::description(target);
                let failure = format!("connection from {from}: {target}: {ended}");
                repeats::connection_failed(Level::Error, label, &failure);
            }
        }
    }

    /// Asks the peer for what the application asks for in SOCKS, and tells it what became of it.
    ///
    /// A target that answered a moment ago is said to do so again, if that lets the application's words leave with the
    /// question.
    async fn ask_by_socks(&self, app: &Stream, from: Origin) -> Option<Asked> {
        let (request, first_words) = match timeout(SOCKS_TIMEOUT, read_request(app)).await {
            Ok(Ok(request)) => request,
            Ok(Err(why)) => {
                let failure = format!("connection from {from}: {why}");
                repeats::connection_failed(Level::Warn, &self.label, &failure);
                return None;
            }
            Err(_) => {
                let failure = format!("connection from {from}: SOCKS handshake timed out");
                repeats::connection_failed(Level::Warn, &self.label, &failure);
                return None;
            }
        };
        let Request {
            version,
            host,
            port,
        } = request;
        let host = match host {
            Host::Address(address) => address.to_string(),
            Host::Name(name) => name,
        };
        let target = endpoint(&host, port);
        let channel_type = ChannelType::DirectTcpip(from.addresses(host, port));
        let may_hurry =
            self.handle.takes_early_data() && self.answered.lately(&target, Instant::now());
        let given = match self.ask(channel_type, target, from) {
            Ok(asked) if may_hurry => {
                self.answered.rely_on(&asked.target, Instant::now());
                Ok(asked)
            }
            Ok(mut asked) => match asked.verdict.given().await {
                Ok(()) => Ok(asked),
                Err(error) => {
                    self.say_why_not(&asked.target, from, &error);
                    Err(error)
                }
            },
            Err(error) => Err(error),
        };
        match given {
            Ok(asked) => {
                let reply = version.reply(Outcome::Succeeded);
                app.write_all(&reply).await.ok()?;
                Some(Asked {
                    first_words,
                    ..asked
                })
            }
            Err(error) => {
                refuse_socks(app, version, &error).await;
                None
            }
        }
    }
}

/// A channel that the peer has been asked for.
struct Asked {
    channel: Channel,
    verdict: Verdict,
    /// How messages name where it leads.
    target: String,
    /// What the application said behind its request, and is not sent yet.
    first_words: Vec<u8>,
}

async fn refuse_socks(app: &Stream, version: Version, error: &OpenError) {
    let outcome = match error {
        OpenError::Refused(Refusal { failure, .. }) => {
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
            Route::DirectTcpip { host, port } => endpoint(host, *port),
            Route::DirectStreamLocal { path } => path.clone(),
            Route::ForwardedTcpip { .. } | Route::ForwardedStreamLocal { .. } => {
                "the client's target".into()
            }
            Route::Socks => String::new(),
        }
    }
}

fn endpoint(host: &str, port: u16) -> String {
    let host = host.to_owned();
    Endpoint::Tcp { host, port }.to_string()
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
    match reason {
        "connect failed" if description == "Connection refused" => "refused".into(),
        _ => format!("{reason}: {}", peer_text::description(description)),
    }
}

#[cfg(test)]
mod tests;

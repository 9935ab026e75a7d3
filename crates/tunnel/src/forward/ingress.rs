//! The listening end of a forward: accept, ask the peer for a channel, relay.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use adit_proto::message::connection::{ChannelType, TcpAddresses};
use adit_proto::peer_text;
use log::{Level, debug};

use super::accept::Acceptor;
use super::descriptors::{Permit, Share};
use super::recent_targets::RecentTargets;
use super::relay::{End, relay};
use super::socks::Outcome;
use super::socks::conversation::{Application, Wanted};
use super::uplink::{NoUplink, Uplink};
use crate::config::spec::Endpoint;
use crate::net::connection::Verdict;
use crate::net::listener::{Accepted, Listener, describe};
use crate::net::outcome::{OpenError, Refusal};
use crate::net::{Channel, Handle, Stream};
use crate::repeats;
use crate::status::ForwardCounters;

/// Way of the connections that come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// Each goes to the same place.
    Fixed(FixedRoute),
    /// `-D`: the application says where to, in SOCKS.
    Socks,
}

/// Channel that the peer is asked for, for each connection that comes in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FixedRoute {
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
    /// Name of the forward in messages: `forward -L 9000 → db:5432`.
    pub label: String,
    /// Name of the peer in messages: `server example.com`.
    pub peer_name: String,
    /// The connection to the peer, or the next.
    pub uplink: Uplink,
    /// Way of its connections.
    pub route: Route,
    /// Counters of what the forward has carried.
    pub counters: Arc<ForwardCounters>,
    /// Targets that its applications reached a moment ago.
    pub recent_targets: RecentTargets,
    /// Share that its connections take their sockets from.
    pub descriptors: Share,
}

impl Ingress {
    /// Accepts until the task is ended.
    pub async fn serve(self: Arc<Self>, listener: Listener) {
        let acceptor = Acceptor {
            label: &self.label,
            level: Level::Warn,
            descriptors: &self.descriptors,
        };
        let serve = |(app, origin): Accepted, descriptor: Permit| {
            let ingress = self.clone();
            tokio::spawn(async move {
                ingress.carry(app, origin).await;
                drop(descriptor);
            });
        };
        acceptor.run(&listener, serve).await;
    }

    /// One connection, from accept to close.
    async fn carry(&self, app: Stream, origin: Option<SocketAddr>) {
        let from = Origin(origin);
        let app = Arc::new(app);
        let asked = match &self.route {
            Route::Fixed(route) => {
                let channel_type = || route.channel_type(from);
                self.ask(&app, route.target(), from, channel_type)
                    .await
                    .ok()
            }
            Route::Socks => self.ask_by_socks(&app, from).await,
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

    /// Asks the peer for a channel, once there is a connection to it.
    async fn ask(
        &self,
        app: &Stream,
        target: String,
        from: Origin,
        channel_type: impl Fn() -> ChannelType,
    ) -> Result<Asked, NotOpened> {
        match self.begin_open(app, channel_type).await {
            Ok((connection, channel, verdict)) => Ok(Asked {
                connection,
                channel,
                verdict,
                target,
                early_data: Vec::new(),
            }),
            Err(error) => {
                self.say_why_not(&target, from, &error);
                Err(error)
            }
        }
    }

    async fn begin_open(
        &self,
        app: &Stream,
        channel_type: impl Fn() -> ChannelType,
    ) -> Result<(Handle, Channel, Verdict), NotOpened> {
        let mut connection = self.uplink.current();
        loop {
            let handle = match connection.take() {
                Some(handle) => handle,
                // It is for the few: the others need no room for it in their tasks.
                None => Box::pin(self.uplink.wait(app)).await?,
            };
            match handle.begin_open(channel_type()) {
                Ok((channel, verdict)) => return Ok((handle, channel, verdict)),
                // There may be another, or it is known why not.
                Err(OpenError::Ended(_)) => {}
                Err(error) => return Err(error.into()),
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
            early_data,
            ..
        } = asked;
        let mut relaying = pin!(async {
            if let Err(error) = channel.send(&early_data).await {
                return End::Reset(Some(error));
            }
            self.counters.sent.add(early_data.len() as u64);
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
                self.say_gave_up(&target, from);
                return None;
            }
            Some(Err(error)) => {
                self.end_refused(&target, app, from, &error);
                return None;
            }
            Some(Ok(())) => {}
        }
        if self.route == Route::Socks {
            self.recent_targets.note_answer(&target, Instant::now());
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
        self.recent_targets.forget(target);
        self.say_why_not(target, from, &NotOpened::from(error.clone()));
        let nothing_is_lost = matches!(error, OpenError::Refused(refusal) if refusal.lost == 0);
        if !nothing_is_lost {
            // An orderly end would look like an answer to what it has said.
            app.reset_on_close();
        }
    }

    fn say_gave_up(&self, target: &str, from: Origin) {
        let (label, target) = (&self.label, peer_text::description(target));
        debug!("{label}: connection from {from} gave up before {target} answered");
    }

    fn say_why_not(&self, target: &str, from: Origin, error: &NotOpened) {
        let shown = peer_text::description(target);
        let why = match error {
            NotOpened::NoUplink(NoUplink::NotWanted) => return self.say_gave_up(target, from),
            NotOpened::NoUplink(error) => format!(": {error}"),
            NotOpened::Open(OpenError::Ended(ended)) => format!(": {ended}"),
            NotOpened::Open(OpenError::Refused(Refusal { failure, .. })) => format!(
                " {} (from {})",
                in_words(&failure.reason.to_string(), &failure.description),
                self.peer_name
            ),
        };
        let failure = format!("connection from {from}: {shown}{why}");
        repeats::connection_failed(Level::Error, &self.label, &failure);
    }

    /// Asks the peer for what the application asks for in SOCKS, and tells it what became of it.
    async fn ask_by_socks(&self, socket: &Stream, from: Origin) -> Option<Asked> {
        let app = Application::Socket(socket);
        let wanted = match app.request().await {
            Ok(wanted) => wanted,
            Err(why) => {
                let failure = format!("connection from {from}: {why}");
                repeats::connection_failed(Level::Warn, &self.label, &failure);
                return None;
            }
        };
        match self.ask_for(socket, &wanted, from).await {
            Ok(asked) => {
                if app.reply(&wanted, Outcome::Succeeded).await.is_err() {
                    self.say_gave_up(&asked.target, from);
                    return None;
                }
                Some(Asked {
                    early_data: wanted.early_data,
                    ..asked
                })
            }
            Err(error) => {
                app.refuse(&wanted, error.outcome()).await;
                None
            }
        }
    }

    /// Asks the peer for the target, and waits for the answer; not for that of a target that answered a moment ago, if
    /// early data can leave with the question.
    async fn ask_for(
        &self,
        app: &Stream,
        wanted: &Wanted,
        from: Origin,
    ) -> Result<Asked, NotOpened> {
        let target = wanted.target().to_string();
        let channel_type =
            || ChannelType::DirectTcpip(from.addresses(wanted.host.clone(), wanted.port));
        let mut asked = self.ask(app, target, from, channel_type).await?;
        let now = Instant::now();
        if asked.connection.takes_early_data() && self.recent_targets.answers(&asked.target, now) {
            self.recent_targets.rely_on(&asked.target, now);
        } else if let Err(error) = asked.verdict.given().await {
            let error = error.into();
            self.say_why_not(&asked.target, from, &error);
            return Err(error);
        }
        Ok(asked)
    }
}

/// A channel that the peer has been asked for.
struct Asked {
    connection: Handle,
    channel: Channel,
    verdict: Verdict,
    /// Name of its target in messages.
    target: String,
    /// Data behind the application's SOCKS request, not sent yet.
    early_data: Vec<u8>,
}

/// Reason why an application got no channel.
#[derive(Debug, Clone, PartialEq, Eq)]
enum NotOpened {
    NoUplink(NoUplink),
    Open(OpenError),
}

impl From<NoUplink> for NotOpened {
    fn from(error: NoUplink) -> Self {
        Self::NoUplink(error)
    }
}

impl From<OpenError> for NotOpened {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

impl NotOpened {
    /// The outcome that the application is told in SOCKS.
    fn outcome(&self) -> Outcome {
        match self {
            Self::NoUplink(_) => Outcome::GeneralFailure,
            Self::Open(error) => Outcome::of_open(error),
        }
    }
}

impl FixedRoute {
    /// The channel to ask for.
    fn channel_type(&self, from: Origin) -> ChannelType {
        match self {
            FixedRoute::DirectTcpip { host, port } => {
                ChannelType::DirectTcpip(from.addresses(host.clone(), *port))
            }
            FixedRoute::DirectStreamLocal { path } => ChannelType::DirectStreamLocal {
                socket_path: path.clone(),
            },
            FixedRoute::ForwardedTcpip { address, port } => {
                ChannelType::ForwardedTcpip(from.addresses(address.clone(), *port))
            }
            FixedRoute::ForwardedStreamLocal { path } => ChannelType::ForwardedStreamLocal {
                socket_path: path.clone(),
            },
        }
    }

    /// The target's name in messages.
    fn target(&self) -> String {
        match self {
            FixedRoute::DirectTcpip { host, port } => endpoint(host, *port),
            FixedRoute::DirectStreamLocal { path } => path.clone(),
            FixedRoute::ForwardedTcpip { .. } | FixedRoute::ForwardedStreamLocal { .. } => {
                "the client's target".into()
            }
        }
    }
}

fn endpoint(host: &str, port: u16) -> String {
    let host = host.to_owned();
    Endpoint::Tcp { host, port }.to_string()
}

/// Address that a connection came from.
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

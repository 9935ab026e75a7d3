//! The listening end of a forward: accept, open a channel at the peer, relay.

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
use crate::net::connection::PendingConfirmation;
use crate::net::listener::{Accepted, Listener, describe};
use crate::net::outcome::{OpenError, Refusal};
use crate::net::{Channel, Handle, Stream};
use crate::repeats;
use crate::status::ForwardCounters;

/// Route of the connections that come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// All connections go to the same target.
    Fixed(FixedRoute),
    /// `-D`: the application names its target in SOCKS.
    Socks,
}

/// Type of the channel that is opened for each connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FixedRoute {
    /// `-L` to a host and port.
    DirectTcpip {
        /// Host, which the server resolves.
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
        /// Address to bind, as the client requested it.
        address: String,
        /// Port that is bound.
        port: u16,
    },
    /// `-R` of a unix socket at the server.
    ForwardedStreamLocal {
        /// Path that is bound.
        path: String,
    },
}

/// Listening end of one forward.
#[derive(Debug)]
pub struct Ingress {
    /// Name of the forward in messages: `forward -L 9000 → db:5432`.
    pub label: String,
    /// Name of the peer in messages: `server example.com`.
    pub peer_name: String,
    /// Connection to the peer, now or later.
    pub uplink: Uplink,
    /// Route of its connections.
    pub route: Route,
    /// Counters of the forward.
    pub counters: Arc<ForwardCounters>,
    /// Targets that its applications were connected to a moment ago.
    pub recent_targets: RecentTargets,
    /// Share of which its connections take their descriptors.
    pub descriptors: Share,
}

impl Ingress {
    /// Accepts until the task ends.
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

    /// Serves one connection, from accept to close.
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

    /// Opens a channel at the peer, as soon as there is a connection to it.
    async fn ask(
        &self,
        app: &Stream,
        target: String,
        from: Origin,
        channel_type: impl Fn() -> ChannelType,
    ) -> Result<OpeningChannel, NotOpened> {
        match self.begin_open(app, channel_type).await {
            Ok((connection, channel, confirmation)) => Ok(OpeningChannel {
                connection,
                channel,
                confirmation,
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
    ) -> Result<(Handle, Channel, PendingConfirmation), NotOpened> {
        let mut connection = self.uplink.current();
        loop {
            let handle = match connection.take() {
                Some(handle) => handle,
                // Boxed, because few need it: it would make the tasks of all others larger.
                None => Box::pin(self.uplink.wait(app)).await?,
            };
            match handle.begin_open(channel_type()) {
                Ok((channel, confirmation)) => return Ok((handle, channel, confirmation)),
                // There may be another connection, or the uplink knows the reason why not.
                Err(OpenError::Ended(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Relays before the channel is confirmed, so that the application's early data follows the open request at once.
    /// None if the channel is not confirmed.
    async fn relay_while_opening(
        &self,
        asked: OpeningChannel,
        app: &Arc<Stream>,
        from: Origin,
    ) -> Option<End> {
        let OpeningChannel {
            channel,
            mut confirmation,
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
        let (confirmation, early_end) = tokio::select! {
            biased;
            given = confirmation.given() => (Some(given), None),
            // The application left early, or the relay noticed the peer's answer first.
            end = &mut relaying => (confirmation.known(), Some(end)),
        };
        match confirmation {
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
            // The application would take an orderly end for an answer to its data.
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

    /// Opens a channel to the target that the application names in SOCKS, and sends the reply.
    async fn ask_by_socks(&self, socket: &Stream, from: Origin) -> Option<OpeningChannel> {
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
                Some(OpeningChannel {
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

    /// Opens a channel to the target, and waits for the answer. It does not wait if the target answered a moment ago
    /// and early data can follow the open request.
    async fn ask_for(
        &self,
        app: &Stream,
        wanted: &Wanted,
        from: Origin,
    ) -> Result<OpeningChannel, NotOpened> {
        let target = wanted.target().to_string();
        let channel_type =
            || ChannelType::DirectTcpip(from.addresses(wanted.host.clone(), wanted.port));
        let mut asked = self.ask(app, target, from, channel_type).await?;
        let now = Instant::now();
        if asked.connection.takes_early_data() && self.recent_targets.answers(&asked.target, now) {
            self.recent_targets.rely_on(&asked.target, now);
        } else if let Err(error) = asked.confirmation.given().await {
            let error = error.into();
            self.say_why_not(&asked.target, from, &error);
            return Err(error);
        }
        Ok(asked)
    }
}

/// A channel whose open request is sent.
struct OpeningChannel {
    connection: Handle,
    channel: Channel,
    confirmation: PendingConfirmation,
    /// Name of the target in messages.
    target: String,
    /// Data after the application's SOCKS request, not sent yet.
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
    /// Outcome for the SOCKS reply.
    fn outcome(&self) -> Outcome {
        match self {
            Self::NoUplink(_) => Outcome::GeneralFailure,
            Self::Open(error) => Outcome::of_open(error),
        }
    }
}

impl FixedRoute {
    /// Type of the channel to open.
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

    /// Name of the target in messages.
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

/// Origin of a connection.
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

/// A short word for the most common failures, the peer's own text for the rest.
fn in_words(reason: &str, description: &str) -> String {
    match reason {
        "connect failed" if description == "Connection refused" => "refused".into(),
        _ => format!("{reason}: {}", peer_text::description(description)),
    }
}

#[cfg(test)]
mod tests;

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
use crate::config::spec::Endpoint;
use crate::net::connection::Verdict;
use crate::net::listener::{Accepted, Listener, describe};
use crate::net::outcome::{OpenError, Refusal};
use crate::net::{Channel, Handle, Stream};
use crate::repeats;
use crate::status::ForwardCounters;

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
    /// Targets that its applications reached a moment ago.
    pub recent_targets: RecentTargets,
    /// What its connections take their sockets from.
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
        let asked = match self.route.fixed(from) {
            Some((channel_type, target)) => self.ask(channel_type, target, from).ok(),
            None => self.ask_by_socks(&app, from).await,
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
                early_data: Vec::new(),
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
            early_data,
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
        self.say_why_not(target, from, error);
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
    async fn ask_by_socks(&self, app: &Stream, from: Origin) -> Option<Asked> {
        let app = Application::Socket(app);
        let wanted = match app.request().await {
            Ok(wanted) => wanted,
            Err(why) => {
                let failure = format!("connection from {from}: {why}");
                repeats::connection_failed(Level::Warn, &self.label, &failure);
                return None;
            }
        };
        match self.ask_for(&wanted, from).await {
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
                app.refuse(&wanted, Outcome::of_open(&error)).await;
                None
            }
        }
    }

    /// Asks the peer for the target, and waits for the answer; not for that of a target that answered a moment ago, if
    /// early data can leave with the question.
    async fn ask_for(&self, wanted: &Wanted, from: Origin) -> Result<Asked, OpenError> {
        let target = wanted.target().to_string();
        let addresses = from.addresses(wanted.host.clone(), wanted.port);
        let may_hurry =
            self.handle.takes_early_data() && self.recent_targets.answers(&target, Instant::now());
        let mut asked = self.ask(ChannelType::DirectTcpip(addresses), target, from)?;
        if may_hurry {
            self.recent_targets.rely_on(&asked.target, Instant::now());
        } else if let Err(error) = asked.verdict.given().await {
            self.say_why_not(&asked.target, from, &error);
            return Err(error);
        }
        Ok(asked)
    }
}

/// A channel that the peer has been asked for.
struct Asked {
    channel: Channel,
    verdict: Verdict,
    /// How messages name where it leads.
    target: String,
    /// Data behind the application's SOCKS request, not sent yet.
    early_data: Vec<u8>,
}

impl Route {
    /// The channel to ask for, and how messages name its target; none where the application says where to.
    fn fixed(&self, from: Origin) -> Option<(ChannelType, String)> {
        let the_clients = || "the client's target".to_owned();
        Some(match self {
            Route::DirectTcpip { host, port } => (
                ChannelType::DirectTcpip(from.addresses(host.clone(), *port)),
                endpoint(host, *port),
            ),
            Route::DirectStreamLocal { path } => (
                ChannelType::DirectStreamLocal {
                    socket_path: path.clone(),
                },
                path.clone(),
            ),
            Route::ForwardedTcpip { address, port } => (
                ChannelType::ForwardedTcpip(from.addresses(address.clone(), *port)),
                the_clients(),
            ),
            Route::ForwardedStreamLocal { path } => (
                ChannelType::ForwardedStreamLocal {
                    socket_path: path.clone(),
                },
                the_clients(),
            ),
            Route::Socks => return None,
        })
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

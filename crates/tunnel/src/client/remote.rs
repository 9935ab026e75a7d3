//! Remote forwards: the server listens, connections are made here; for `-R port` the application says where to.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use adit_proto::message::connection::{ChannelType, OpenFailureReason};
use adit_proto::peer_text;
use log::{Level, debug};
use tokio::time::timeout;

use super::Client;
use crate::config::spec::Endpoint;
use crate::config::values::AddressFamily;
use crate::forward::dial::{DialError, Dialled, Dials, dial_tcp};
use crate::forward::egress::Egress;
use crate::forward::registry::{RemoteAddress, RemoteForward, RemoteTarget};
use crate::forward::relay::relay;
use crate::forward::socks::{Host, Outcome, Progress, Request, Socks};
use crate::net::channel::Received;
use crate::net::connection::ChannelAsked;
use crate::net::{Channel, Stream};
use crate::policy::RuleList;
use crate::repeats::{self, Source};
use crate::status::ForwardCounters;

/// How long an application may take over its SOCKS handshake.
const SOCKS_TIMEOUT: Duration = Duration::from_secs(60);

impl Client {
    /// A connection came to one of our ports at the server.
    pub(super) fn serve_remote(&self, asked: ChannelAsked) {
        let key = match &asked.channel_type {
            ChannelType::ForwardedTcpip(a) => RemoteAddress::Tcp {
                address: a.host.clone(),
                port: a.port,
            },
            ChannelType::ForwardedStreamLocal { socket_path } => {
                RemoteAddress::Unix(socket_path.clone())
            }
            other => {
                let name = peer_text::name(other.name());
                log_unasked(format_args!(
                    "server asked for a channel of type {name}, refused"
                ));
                asked.refuse(
                    OpenFailureReason::UNKNOWN_CHANNEL_TYPE,
                    "only what was asked for is forwarded",
                );
                return;
            }
        };
        let Some(forward) = self.remote.get(&key) else {
            log_unasked(format_args!(
                "server forwards a connection for {key}, which nobody asked for; refused"
            ));
            asked.refuse(
                OpenFailureReason::ADMINISTRATIVELY_PROHIBITED,
                "no such forward",
            );
            return;
        };
        let family = self.settings.family();
        let RemoteForward {
            label,
            target,
            counters,
        } = forward.clone();
        match target {
            RemoteTarget::Fixed(target) => {
                let egress = Egress {
                    label,
                    target,
                    family,
                    counters,
                    dials: self.dials.clone(),
                };
                tokio::spawn(egress.carry(asked, |_| Ok(())));
            }
            RemoteTarget::Dynamic => {
                let dynamic = Dynamic {
                    label,
                    family,
                    counters,
                    dials: self.dials.clone(),
                    permitted: self
                        .settings
                        .options
                        .permit_remote_open
                        .clone()
                        .unwrap_or(RuleList::Any),
                };
                tokio::spawn(async move { dynamic.carry(asked.accept()).await });
            }
        }
    }
}

/// Writes a line that the server can cause at will.
fn log_unasked(line: fmt::Arguments<'_>) {
    let source = Source::Named("the server".into());
    repeats::log(Level::Warn, source, "channels that nobody asked for", line);
}

/// One connection of a remote dynamic forward.
struct Dynamic {
    label: String,
    family: AddressFamily,
    counters: Arc<ForwardCounters>,
    dials: Arc<Dials>,
    permitted: RuleList,
}

impl Dynamic {
    async fn carry(self, channel: Channel) {
        let (request, early) = match timeout(SOCKS_TIMEOUT, read_request(&channel)).await {
            Ok(Ok(request)) => request,
            Ok(Err(error)) => return self.failed(&error.to_string()),
            Err(_) => return self.failed("SOCKS handshake timed out"),
        };
        let target = Endpoint::Tcp {
            host: match &request.host {
                Host::Address(address) => address.to_string(),
                Host::Name(name) => name.clone(),
            },
            port: request.port,
        };
        let shown = target.to_string();
        let shown = peer_text::description(&shown);
        let dialled = tokio::select! {
            biased;
            dialled = self.dial(&target) => dialled,
            () = channel.over() => return,
        };
        match dialled {
            Ok((app, _descriptor)) => {
                self.counters.opened.add(1);
                if let Err(error) = begin(&channel, &app, &request, &early).await {
                    return self.failed(&format!("{shown}: {error}"));
                }
                debug!("{}: connected to {shown}", self.label);
                self.counters.open.add(1);
                relay(channel, Arc::new(app), &self.counters).await;
                self.counters.open.sub(1);
            }
            Err(error) => {
                self.counters.failed.add(1);
                self.failed(&format!("{shown}: {error}"));
                let outcome = match &error {
                    DialError::Denied(_) => Outcome::NotAllowed,
                    DialError::Resolve(_) => Outcome::HostUnreachable,
                    DialError::Connect(error) => Outcome::of_io(error),
                    DialError::Full(_) => Outcome::GeneralFailure,
                };
                // An application that has gone needs no answer.
                let _ = channel.send(&request.version.reply(outcome)).await;
                channel.send_eof();
            }
        }
    }

    fn failed(&self, failure: &str) {
        repeats::connection_failed(Level::Warn, &self.label, failure);
    }

    async fn dial(&self, target: &Endpoint) -> Result<Dialled, DialError> {
        let Endpoint::Tcp { host, port } = target else {
            return Err(DialError::Denied("not a TCP target".into()));
        };
        if !self.permitted.permits_open(host, *port) {
            return Err(DialError::Denied("not in PermitRemoteOpen".into()));
        }
        let any = |_: SocketAddr| Ok(());
        dial_tcp(host, *port, self.family, &self.dials, any).await
    }
}

/// The reply, and what the application sent right behind its request.
async fn begin(channel: &Channel, app: &Stream, request: &Request, early: &[u8]) -> io::Result<()> {
    channel
        .send(&request.version.reply(Outcome::Succeeded))
        .await?;
    app.write_all(early).await?;
    channel.taken(early.len());
    Ok(())
}

/// The request, and the application's bytes behind it, which are not credited yet.
async fn read_request(channel: &Channel) -> io::Result<(Request, Vec<u8>)> {
    let mut socks = Socks::new();
    loop {
        let bytes = match channel.receive().await? {
            Received::Data(bytes) => bytes,
            Received::Eof | Received::Closed(_) => {
                return Err(io::Error::other("closed during the SOCKS handshake"));
            }
            Received::Ended(ended) => return Err(io::Error::other(ended)),
        };
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            match socks.handle(rest) {
                Ok(Progress::NeedMore) => {
                    channel.taken(rest.len());
                    rest = &[];
                }
                Ok(Progress::Reply { bytes, consumed }) => {
                    channel.send(&bytes).await?;
                    channel.taken(consumed);
                    rest = &rest[consumed..];
                }
                Ok(Progress::Request { request, consumed }) => {
                    channel.taken(consumed);
                    return Ok((request, rest[consumed..].to_vec()));
                }
                Err(error) => {
                    if let Some(reply) = error.reply() {
                        let _ = channel.send(&reply).await;
                        channel.send_eof();
                    }
                    return Err(io::Error::other(error.to_string()));
                }
            }
        }
    }
}

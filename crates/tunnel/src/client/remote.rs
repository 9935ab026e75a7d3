//! Remote forwards: the server listens, connections are made here; for `-R port` the application says where to.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use adit_proto::message::connection::{ChannelType, GlobalRequest, OpenFailureReason};
use adit_proto::peer_text;
use log::{Level, debug, log};
use tokio::time::timeout;

use super::error::ForwardError;
use super::{Client, Started, label};
use crate::config::spec::{BindAddress, Endpoint, Forward, ListenSpec};
use crate::config::values::AddressFamily;
use crate::forward::dial::{DialError, Dialled, Dials, dial_tcp};
use crate::forward::egress::Egress;
use crate::forward::failure_log::failed;
use crate::forward::registry::{RemoteAddress, RemoteForward, RemoteTarget};
use crate::forward::relay::relay;
use crate::forward::socks::{Host, Outcome, Progress, Request, Socks};
use crate::net::channel::Received;
use crate::net::connection::ChannelAsked;
use crate::net::{Channel, Stream};
use crate::policy::{LISTEN_NOTICE, RuleList};
use crate::repeats::{self, Source};
use crate::status::ForwardCounters;

/// How long an application may take over its SOCKS handshake.
const SOCKS_TIMEOUT: Duration = Duration::from_secs(60);

impl Client {
    pub(super) async fn start_remote(
        &mut self,
        forward: &Forward,
    ) -> Result<Started, ForwardError> {
        let label = label(forward);
        let (listen, target) = match forward {
            Forward::Remote { listen, target } => (listen, RemoteTarget::Fixed(target.clone())),
            Forward::RemoteDynamic { listen } => (listen, RemoteTarget::Dynamic),
            Forward::Local { .. } | Forward::Dynamic { .. } => {
                unreachable!("local forwards start in local.rs")
            }
        };
        let request = request(listen);
        for said in self.heard() {
            debug!("Remote: {said}");
        }
        let reply = self
            .handle
            .ask_global(request)
            .await
            .map_err(ForwardError::Ended)?;
        // What a server says between a request and its answer is about the request.
        let Ok(allocated_port) = reply else {
            return Err(refused(label, listen, self.heard()));
        };
        let entry = RemoteForward {
            label: label.clone(),
            target,
            counters: self.counters(&label),
        };
        let key = registered_at(listen, allocated_port);
        let inserted = self.remote.insert(key, entry);
        // Only now: connections of this forward may have come along with the words.
        let said = self.heard();
        if inserted.is_err() {
            return Err(refused(label, listen, said));
        }
        for said in said {
            log!(loudness(&said), "{label}: the server says: {said}");
        }
        Ok(Started {
            label,
            allocated_port: allocated_port.filter(|_| asks_for_any_port(listen)),
        })
    }

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

/// A refusal with the server's reason. sshd says `PATH:LINE: key options: …` right after the login, in time to be
/// taken for one.
fn refused(label: String, listen: &ListenSpec, mut said: Vec<String>) -> ForwardError {
    said.retain(|text| !text.contains(": key options:"));
    let (what, port) = match listen {
        ListenSpec::Tcp { port, .. } => (format!("port {port}"), Some(*port)),
        ListenSpec::Unix(path) => (format!("path {}", path.to_string_lossy()), None),
    };
    ForwardError::Refused {
        label,
        what,
        port,
        said,
    }
}

/// How loud a server's words about a forward that is up are: only another address than the one asked for is a warning.
fn loudness(said: &str) -> Level {
    match said.starts_with(LISTEN_NOTICE) {
        true => Level::Warn,
        false => Level::Debug,
    }
}

/// The request on the wire.
fn request(listen: &ListenSpec) -> GlobalRequest {
    match listen {
        ListenSpec::Tcp { bind, port } => GlobalRequest::TcpipForward {
            address_to_bind: wire_address(bind),
            port: *port,
        },
        ListenSpec::Unix(path) => GlobalRequest::StreamLocalForward {
            socket_path: path.to_string_lossy().into_owned(),
        },
    }
}

fn wire_address(bind: &BindAddress) -> String {
    match bind {
        BindAddress::Default => "localhost".into(),
        BindAddress::Any => String::new(),
        BindAddress::Host(host) => host.clone(),
    }
}

fn asks_for_any_port(listen: &ListenSpec) -> bool {
    matches!(listen, ListenSpec::Tcp { port: 0, .. })
}

/// Under which name the server will announce connections.
fn registered_at(listen: &ListenSpec, allocated_port: Option<u16>) -> RemoteAddress {
    match listen {
        ListenSpec::Tcp { bind, port } => RemoteAddress::Tcp {
            address: wire_address(bind),
            port: match port {
                0 => allocated_port.unwrap_or(0),
                port => *port,
            },
        },
        ListenSpec::Unix(path) => RemoteAddress::Unix(path.to_string_lossy().into_owned()),
    }
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
        failed(&self.counters, &self.label, Level::Warn, failure);
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

#[cfg(test)]
mod tests {
    use adit_proto::connection::RequestRefused;
    use adit_proto::userauth::client::ClientAuthEvent;
    use tokio::task::JoinSet;

    use super::*;
    use crate::client::{ClientSettings, Trust};
    use crate::config::ssh_config::ClientOptions;
    use crate::forward::registry::Registry;
    use crate::net::pair::ends;
    use crate::net::{Handle, Incoming};

    const KEY_OPTIONS: &str = "/home/u/.ssh/authorized_keys:1: key options: port-forwarding";

    /// What a refused forward's error holds of what a server said between the request and its answer.
    async fn said_of(words: &'static [&'static str]) -> Vec<String> {
        let ((handle, mut incoming), (server, mut requests)) = ends();
        let refusing = tokio::spawn(async move {
            while let Some(event) = requests.recv().await {
                match event {
                    Incoming::AuthRequest(_) => server.accept_user().unwrap(),
                    Incoming::Global { .. } => {
                        words.iter().for_each(|text| server.debug(text).unwrap());
                        server.reply_global(Err(RequestRefused)).unwrap();
                    }
                    _ => {}
                }
            }
        });
        while let Some(event) = incoming.recv().await {
            match event {
                Incoming::HostKey(_) => handle.accept_host_key(),
                Incoming::Auth(ClientAuthEvent::Success) => break,
                _ => {}
            }
        }
        let listen = ListenSpec::Tcp {
            bind: BindAddress::Default,
            port: 9,
        };
        let mut client = client(handle, incoming);
        let refused = client.forward(&Forward::RemoteDynamic { listen }).await;
        drop(client);
        refusing.await.unwrap();
        match refused {
            Err(ForwardError::Refused { said, .. }) => said,
            other => panic!("{other:?}"),
        }
    }

    fn client(handle: Handle, incoming: tokio::sync::mpsc::Receiver<Incoming>) -> Client {
        let options = ClientOptions::default();
        Client {
            settings: Arc::new(ClientSettings::new(
                "h",
                "u",
                "/nonexistent".into(),
                options,
            )),
            handle,
            incoming,
            hops: Vec::new(),
            trust: Trust::Full,
            listening: JoinSet::new(),
            remote: Registry::default(),
            forwards: Vec::new(),
            dials: Arc::default(),
        }
    }

    #[tokio::test]
    async fn options_of_the_login_key_are_no_reason_for_a_refusal() {
        const REASON: &str = "Server has disabled port forwarding.";
        assert!(said_of(&[KEY_OPTIONS]).await.is_empty());
        assert_eq!(said_of(&[KEY_OPTIONS, REASON]).await, [REASON]);
    }

    #[test]
    fn only_another_listen_address_is_worth_a_warning() {
        let notice = "Forwarding listen address \"a\" overridden by server GatewayPorts";
        assert_eq!(loudness(notice), Level::Warn);
        assert_eq!(loudness(KEY_OPTIONS), Level::Debug);
        assert_eq!(loudness("hello"), Level::Debug);
    }
}

//! The dialling end of a forward: for each channel that the peer opens, ask the policy, dial, confirm the channel,
//! relay.
//!
//! Each channel has its own task, so a slow name server or a target that does not answer delays no other.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use adit_proto::message::connection::{ChannelType, OpenFailureReason};
use adit_proto::peer_text;
use log::{Level, debug};

use super::dial::{DialError, Dialled, Dials, dial_tcp, dial_unix};
use super::relay;
use super::socks::Outcome;
use super::socks::conversation::Application;
use crate::config::spec::Endpoint;
use crate::config::values::AddressFamily;
use crate::net::incoming::IncomingChannel;
use crate::net::listener::describe;
use crate::net::{Channel, Stream};
use crate::policy::RuleList;
use crate::repeats::{self, Source};
use crate::status::ForwardCounters;

/// Dialling end of one forward, on one connection.
#[derive(Debug)]
pub struct Egress {
    /// Name of the forward, or of the peer's request, in messages.
    pub label: String,
    /// Address family of the targets.
    pub family: AddressFamily,
    /// Counters of the forward.
    pub counters: Arc<ForwardCounters>,
    /// Limits on lookups and sockets of the connection's channels.
    pub dials: Arc<Dials>,
}

impl Egress {
    /// Dials `target`, confirms the channel, and relays. `permit` is asked about each address before it is dialled.
    ///
    /// Stops when the connection ends.
    pub async fn carry(
        self,
        asked: IncomingChannel,
        target: Endpoint,
        permit: impl Fn(SocketAddr) -> Result<(), String>,
    ) {
        let dialled = tokio::select! {
            biased;
            dialled = self.dial(&target, permit) => dialled,
            () = asked.over() => return,
        };
        match dialled {
            Ok((app, _descriptor)) => {
                self.note_connected(&target);
                self.relay(asked.accept(), app, &[]).await;
            }
            Err(error) => {
                self.note_not_connected(&target, &error);
                asked.refuse(failure_reason(&error), error.to_string());
            }
        }
    }

    /// The same for a remote dynamic forward, whose application names its target in SOCKS. The channel is confirmed
    /// first, and the application learns the outcome by SOCKS. Targets must be in the list `permitted`.
    pub async fn carry_socks(self, asked: IncomingChannel, permitted: RuleList) {
        let origin = origin(&asked.channel_type);
        let channel = asked.accept();
        let app = Application::Channel(&channel);
        let wanted = match app.request().await {
            Ok(wanted) => wanted,
            Err(why) => return self.note_failed(&format!("connection from {origin}: {why}")),
        };
        let target = wanted.target();
        let dialled = tokio::select! {
            biased;
            dialled = self.dial_permitted(&target, &permitted) => dialled,
            () = channel.over() => return,
        };
        match dialled {
            Ok((dialled, _descriptor)) => {
                if app.reply(&wanted, Outcome::Succeeded).await.is_err() {
                    return self.note_gave_up(&target, &origin);
                }
                self.note_connected(&target);
                self.relay(channel, dialled, &wanted.early_data).await;
            }
            Err(error) => {
                self.note_not_connected(&target, &error);
                app.refuse(&wanted, Outcome::of_dial(&error)).await;
            }
        }
    }

    async fn dial_permitted(
        &self,
        target: &Endpoint,
        permitted: &RuleList,
    ) -> Result<Dialled, DialError> {
        match target {
            Endpoint::Tcp { host, port } if permitted.permits_open(host, *port) => {
                self.dial(target, |_| Ok(())).await
            }
            _ => Err(DialError::Denied("not in PermitRemoteOpen".into())),
        }
    }

    async fn dial(
        &self,
        target: &Endpoint,
        permit: impl Fn(SocketAddr) -> Result<(), String>,
    ) -> Result<Dialled, DialError> {
        match target {
            Endpoint::Tcp { host, port } => {
                dial_tcp(host, *port, self.family, &self.dials, permit).await
            }
            Endpoint::Unix(path) => dial_unix(Path::new(path), &self.dials).await,
        }
    }

    /// Relays until both directions have ended, beginning with `early_data`, which has already come through the
    /// channel.
    async fn relay(&self, channel: Channel, dialled: Stream, early_data: &[u8]) {
        self.counters.open.add(1);
        if !early_data.is_empty() {
            self.write_early(&channel, &dialled, early_data).await;
        }
        relay::relay(channel, Arc::new(dialled), &self.counters).await;
        self.counters.open.sub(1);
    }

    async fn write_early(&self, channel: &Channel, dialled: &Stream, early_data: &[u8]) {
        match relay::write(channel, dialled, early_data).await {
            Ok(()) => self.counters.received.add(early_data.len() as u64),
            // A target that no longer reads may have sent data before, which the relay delivers.
            Err(error) => debug!("{}: early data not taken: {}", self.label, describe(&error)),
        }
        channel.taken(early_data.len());
    }

    fn note_connected(&self, target: &Endpoint) {
        self.counters.opened.add(1);
        debug!("{}: connected to {}", self.label, shown(target));
    }

    fn note_not_connected(&self, target: &Endpoint, error: &DialError) {
        let target = shown(target);
        match error {
            DialError::Denied(_) => {
                self.counters.failed.add(1);
                let source = Source::Named(self.label.clone());
                let line = format_args!("{}: {target}: {error}", self.label);
                repeats::log(Level::Warn, source, "refused forwards", line);
            }
            _ => self.note_failed(&format!("{target}: {error}")),
        }
    }

    /// Logs that an application left before its connection was ready.
    fn note_gave_up(&self, target: &Endpoint, origin: &str) {
        self.counters.failed.add(1);
        let (label, target) = (&self.label, shown(target));
        debug!("{label}: connection from {origin} gave up before {target} answered");
    }

    fn note_failed(&self, failure: &str) {
        self.counters.failed.add(1);
        repeats::connection_failed(Level::Warn, &self.label, failure);
    }
}

/// The target for messages: the peer may have sent its text.
fn shown(target: &Endpoint) -> String {
    peer_text::description(&target.to_string()).to_string()
}

/// The origin of a connection of a remote forward for messages, as the peer names it.
fn origin(channel_type: &ChannelType) -> String {
    match channel_type {
        ChannelType::ForwardedTcpip(addresses) => shown(&Endpoint::Tcp {
            host: addresses.originator_address.clone(),
            port: addresses.originator_port,
        }),
        _ => "a unix socket".into(),
    }
}

/// Reason code of RFC 4254 §5.1 for a target that was not reached.
fn failure_reason(error: &DialError) -> OpenFailureReason {
    match error {
        DialError::Denied(_) => OpenFailureReason::ADMINISTRATIVELY_PROHIBITED,
        DialError::Full(_) => OpenFailureReason::RESOURCE_SHORTAGE,
        DialError::Resolve(_) | DialError::Connect(_) => OpenFailureReason::CONNECT_FAILED,
    }
}

#[cfg(test)]
mod tests {
    use adit_proto::message::connection::TcpAddresses;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::super::dial::tests::listener;
    use super::*;
    use crate::net::channel::Received;
    use crate::net::pair::{Pair, asked};

    #[tokio::test]
    async fn dialling_stops_when_the_connection_ends() {
        let (_listener, address) = listener(0);
        // The backlog is full now: the next connection gets no answer.
        let _first = TcpStream::connect(address).await.unwrap();
        let (client, _server, mut incoming) = Pair::new().await.into_client_and_server();
        let ask = client.open(ChannelType::DirectTcpip(TcpAddresses {
            host: address.ip().to_string(),
            port: address.port(),
            originator_address: String::new(),
            originator_port: 0,
        }));
        let carry = async {
            let asked = asked(&mut incoming).await;
            let (egress, _) = egress();
            let target = Endpoint::Tcp {
                host: address.ip().to_string(),
                port: address.port(),
            };
            let carrying = egress.carry(asked, target, |_| Ok(()));
            tokio::join!(carrying, async { client.end("gone") });
        };
        let (asked, ()) = tokio::join!(ask, carry);
        assert!(asked.is_err());
    }

    /// An egress with its counters.
    fn egress() -> (Egress, Arc<ForwardCounters>) {
        let counters = Arc::<ForwardCounters>::default();
        let egress = Egress {
            label: "test".into(),
            family: AddressFamily::Any,
            counters: counters.clone(),
            dials: Arc::default(),
        };
        (egress, counters)
    }

    /// Sends `request` to a remote dynamic forward, and then EOF. Returns the counters and the data that the
    /// application received.
    async fn through_socks(request: &[u8], permitted: RuleList) -> (Arc<ForwardCounters>, Vec<u8>) {
        let (peer, _server, mut incoming) = Pair::new().await.into_client_and_server();
        let (egress, counters) = egress();
        let serving = async {
            let asked = asked(&mut incoming).await;
            egress.carry_socks(asked, permitted).await;
        };
        let speaking = async {
            let channel = peer.open(forwarded()).await.unwrap();
            channel.send(request).await.unwrap();
            channel.send_eof();
            let mut heard = Vec::new();
            while let Received::Data(bytes) = channel.receive().await.unwrap() {
                heard.extend_from_slice(&bytes);
                channel.taken(bytes.len());
            }
            heard
        };
        let ((), heard) = tokio::join!(serving, speaking);
        (counters, heard)
    }

    fn forwarded() -> ChannelType {
        ChannelType::ForwardedTcpip(TcpAddresses {
            host: "localhost".into(),
            port: 1080,
            originator_address: "192.0.2.1".into(),
            originator_port: 40_000,
        })
    }

    /// SOCKS4 request for this port of 127.0.0.1.
    fn connect_to(port: u16) -> Vec<u8> {
        let [high, low] = port.to_be_bytes();
        vec![4, 1, high, low, 127, 0, 0, 1, 0]
    }

    const GRANTED: [u8; 8] = [0, 90, 0, 0, 0, 0, 0, 0];
    const REJECTED: [u8; 8] = [0, 91, 0, 0, 0, 0, 0, 0];

    #[tokio::test]
    async fn socks_handshake_that_fails_counts_as_a_failed_connection() {
        let (counters, heard) = through_socks(b"GET / HTTP/1.1\r\n", RuleList::Any).await;
        assert!(heard.starts_with(b"HTTP/1.1 501 "));
        let (counters_of_nothing, heard) = through_socks(b"", RuleList::Any).await;
        assert_eq!(heard, b"");
        for counters in [counters, counters_of_nothing] {
            assert_eq!((counters.failed.value(), counters.opened.value()), (1, 0));
        }
    }

    #[tokio::test]
    async fn socks_reply_says_that_a_target_is_not_permitted() {
        let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = target.local_addr().unwrap().port();
        let (counters, heard) = through_socks(&connect_to(port), RuleList::None).await;
        assert_eq!(heard, REJECTED);
        assert_eq!((counters.failed.value(), counters.opened.value()), (1, 0));
    }

    #[tokio::test]
    async fn data_behind_a_socks_request_reaches_the_target_and_is_counted() {
        let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let request = [
            &connect_to(target.local_addr().unwrap().port())[..],
            b"hello",
        ]
        .concat();
        let answering = async {
            let (mut app, _) = target.accept().await.unwrap();
            let mut came = String::new();
            app.read_to_string(&mut came).await.unwrap();
            app.write_all(b"and goodbye").await.unwrap();
            came
        };
        let through_socks = through_socks(&request, RuleList::Any);
        let ((counters, heard), came) = tokio::join!(through_socks, answering);
        assert_eq!(came, "hello");
        assert_eq!(heard, [&GRANTED[..], b"and goodbye"].concat());
        let status = counters.status();
        assert_eq!((status.opened, status.failed, status.open), (1, 0, 0));
        assert_eq!((status.received_bytes, status.sent_bytes), (5, 11));
    }
}

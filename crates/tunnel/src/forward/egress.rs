//! The dialling end of a forward: asked for a channel, ask the policy, dial, accept, relay.
//!
//! Each runs in a task of its own, so that a slow name server or a target that does not answer holds up nobody.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use adit_proto::message::connection::OpenFailureReason;
use adit_proto::peer_text;
use log::{Level, debug};

use super::dial::{DialError, Dialled, Dials, dial_tcp, dial_unix};
use super::relay::relay;
use crate::config::spec::Endpoint;
use crate::config::values::AddressFamily;
use crate::net::connection::ChannelAsked;
use crate::repeats::{self, Source};
use crate::status::ForwardCounters;

/// One connection to make for the peer.
#[derive(Debug)]
pub struct Egress {
    /// How messages name the forward or the peer's request.
    pub label: String,
    /// Where to.
    pub target: Endpoint,
    /// Which addresses may be used.
    pub family: AddressFamily,
    /// What the forward has carried.
    pub counters: Arc<ForwardCounters>,
    /// What its connection has under way.
    pub dials: Arc<Dials>,
}

impl Egress {
    /// Dials, and relays once the peer has its channel. `permit` is asked about each address before it is dialled.
    ///
    /// Gives up when the connection ends, for which nobody should be dialled any more.
    pub async fn carry(
        self,
        asked: ChannelAsked,
        permit: impl Fn(SocketAddr) -> Result<(), String>,
    ) {
        let dialled = tokio::select! {
            biased;
            dialled = self.dial(permit) => dialled,
            () = asked.over() => return,
        };
        match dialled {
            Ok((app, _descriptor)) => {
                self.counters.opened.add(1);
                self.counters.open.add(1);
                debug!("{}: connected to {}", self.label, self.shown_target());
                relay(asked.accept(), Arc::new(app), &self.counters).await;
                self.counters.open.sub(1);
            }
            Err(error) => {
                self.counters.failed.add(1);
                let reason = match error {
                    DialError::Denied(_) => OpenFailureReason::ADMINISTRATIVELY_PROHIBITED,
                    DialError::Full(_) => OpenFailureReason::RESOURCE_SHORTAGE,
                    _ => OpenFailureReason::CONNECT_FAILED,
                };
                self.say_why_not(&error);
                asked.refuse(reason, error.to_string());
            }
        }
    }

    /// The target for messages: it may be the peer's word.
    fn shown_target(&self) -> String {
        peer_text::description(&self.target.to_string()).to_string()
    }

    fn say_why_not(&self, error: &DialError) {
        let (label, target) = (&self.label, self.shown_target());
        match error {
            DialError::Denied(_) => {
                let source = Source::Named(label.clone());
                let line = format_args!("{label}: {target}: {error}");
                repeats::log(Level::Warn, source, "refused forwards", line);
            }
            _ => {
                let failure = format!("{target}: {error}");
                repeats::connection_failed(Level::Warn, label, &failure);
            }
        }
    }

    async fn dial(
        &self,
        permit: impl Fn(SocketAddr) -> Result<(), String>,
    ) -> Result<Dialled, DialError> {
        match &self.target {
            Endpoint::Tcp { host, port } => {
                dial_tcp(host, *port, self.family, &self.dials, permit).await
            }
            Endpoint::Unix(path) => dial_unix(Path::new(path), &self.dials).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use adit_proto::message::connection::{ChannelType, TcpAddresses};
    use tokio::net::TcpStream;

    use super::super::dial::tests::listener;
    use super::*;
    use crate::net::pair::{Pair, asked};

    #[tokio::test]
    async fn dialling_is_given_up_when_the_connection_ends() {
        let (_listener, address) = listener(0);
        // The backlog is full now: the next to connect gets no answer.
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
            let egress = Egress {
                label: "test".into(),
                target: Endpoint::Tcp {
                    host: address.ip().to_string(),
                    port: address.port(),
                },
                family: AddressFamily::Any,
                counters: Arc::default(),
                dials: Arc::default(),
            };
            let carrying = egress.carry(asked, |_| Ok(()));
            tokio::join!(carrying, async { client.end("gone") });
        };
        let (asked, ()) = tokio::join!(ask, carry);
        assert!(asked.is_err());
    }
}

//! The dialling end of a forward: asked for a channel, ask the policy, dial, accept, relay.
//!
//! Each runs in a task of its own, so that a slow name server or a target that does not answer holds up nobody.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use adit_proto::message::connection::OpenFailureReason;
use log::{debug, warn};

use super::dial::{DialError, Dials, dial_tcp, dial_unix};
use super::relay::relay;
use crate::config::spec::Endpoint;
use crate::config::values::AddressFamily;
use crate::net::Stream;
use crate::net::connection::ChannelAsked;
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
            Ok(app) => {
                self.counters.opened.add(1);
                self.counters.open.add(1);
                debug!("{}: connected to {}", self.label, self.target);
                relay(asked.accept(), app, &self.counters).await;
                self.counters.open.sub(1);
            }
            Err(error) => {
                self.counters.failed.add(1);
                warn!("{}: {}: {error}", self.label, self.target);
                let reason = match error {
                    DialError::Denied(_) => OpenFailureReason::ADMINISTRATIVELY_PROHIBITED,
                    _ => OpenFailureReason::CONNECT_FAILED,
                };
                asked.refuse(reason, error.to_string());
            }
        }
    }

    async fn dial(
        &self,
        permit: impl Fn(SocketAddr) -> Result<(), String>,
    ) -> Result<Stream, DialError> {
        match &self.target {
            Endpoint::Tcp { host, port } => {
                dial_tcp(host, *port, self.family, &self.dials, permit).await
            }
            Endpoint::Unix(path) => dial_unix(Path::new(path)).await,
        }
    }
}

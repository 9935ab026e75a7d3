//! Remote forwards: the server listens, connections are made here; for `-R port` the application says where to.

use std::fmt;

use adit_proto::message::connection::{ChannelType, OpenFailureReason};
use adit_proto::peer_text;
use log::Level;

use super::Client;
use crate::forward::egress::Egress;
use crate::forward::registry::{RemoteAddress, RemoteForward, RemoteTarget};
use crate::net::connection::ChannelAsked;
use crate::policy::RuleList;
use crate::repeats::{self, Source};

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
        let egress = Egress {
            label,
            family,
            counters,
            dials: self.dials.clone(),
        };
        match target {
            RemoteTarget::Fixed(target) => {
                tokio::spawn(egress.carry(asked, target, |_| Ok(())));
            }
            RemoteTarget::Dynamic => {
                let permitted = self.settings.options.permit_remote_open.clone();
                tokio::spawn(egress.carry_socks(asked, permitted.unwrap_or(RuleList::Any)));
            }
        }
    }
}

/// Writes a line that the server can cause at will.
fn log_unasked(line: fmt::Arguments<'_>) {
    let source = Source::Named("the server".into());
    repeats::log(Level::Warn, source, "channels that nobody asked for", line);
}

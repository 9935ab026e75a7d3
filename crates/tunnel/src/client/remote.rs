//! Remote forwards: the server listens, and connections are made here. With `-R port` the application names its target
//! in SOCKS.

use std::fmt;

use adit_proto::message::connection::{ChannelType, OpenFailureReason};
use adit_proto::peer_text;
use log::Level;

use super::serving::Serving;
use crate::forward::egress::Egress;
use crate::forward::registry::{RemoteAddress, RemoteForward, RemoteTarget};
use crate::net::incoming::IncomingChannel;
use crate::repeats::{self, Source};

impl Serving {
    /// Handles a channel that the server opens for one of our listeners.
    pub(super) fn serve_remote(&self, asked: IncomingChannel) {
        let Some(address) = forwarded_from(&asked.channel_type) else {
            let name = peer_text::name(asked.channel_type.name());
            log_unasked(format_args!(
                "server asked for a channel of type {name}, refused"
            ));
            return asked.refuse(
                OpenFailureReason::UNKNOWN_CHANNEL_TYPE,
                "only what was asked for is forwarded",
            );
        };
        match self.remote.get(&address) {
            Some(forward) => self.dial_for(forward.clone(), asked),
            None => {
                log_unasked(format_args!(
                    "server forwards a connection for {address}, which nobody asked for; refused"
                ));
                asked.refuse(
                    OpenFailureReason::ADMINISTRATIVELY_PROHIBITED,
                    "no such forward",
                );
            }
        }
    }

    /// Dials for a connection of a remote forward, in a task of its own.
    fn dial_for(&self, forward: RemoteForward, asked: IncomingChannel) {
        let egress = Egress {
            label: forward.label,
            family: self.settings.family,
            counters: forward.counters,
            dials: self.dials.clone(),
        };
        match forward.target {
            RemoteTarget::Fixed(target) => {
                tokio::spawn(egress.carry(asked, target, |_| Ok(())));
            }
            RemoteTarget::Dynamic => {
                let permitted = self.settings.permit_remote_open.clone();
                tokio::spawn(egress.carry_socks(asked, permitted));
            }
        }
    }
}

/// Listening address of a channel; none for other types of channels.
fn forwarded_from(channel_type: &ChannelType) -> Option<RemoteAddress> {
    match channel_type {
        ChannelType::ForwardedTcpip(a) => Some(RemoteAddress::Tcp {
            address: a.host.clone(),
            port: a.port,
        }),
        ChannelType::ForwardedStreamLocal { socket_path } => {
            Some(RemoteAddress::Unix(socket_path.clone()))
        }
        _ => None,
    }
}

/// Logs a line that the server can cause at will.
fn log_unasked(line: fmt::Arguments<'_>) {
    let source = Source::Named("the server".into());
    repeats::log(Level::Warn, source, "channels that nobody asked for", line);
}

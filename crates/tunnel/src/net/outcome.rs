//! Outcomes: the end of a connection, and the failure to open a channel.

use std::io;

use adit_proto::error::Error;
use adit_proto::message::connection::{OpenFailure, OpenFailureReason};

/// Reason of a connection's end, with a text for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// This end closed it.
    ByUs,
    /// The peer closed the connection.
    ClosedByPeer,
    /// The connection broke.
    Broken(String),
    /// An error of the protocol.
    Protocol(Error),
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Ended::ByUs => write!(f, "ended here"),
            Ended::ClosedByPeer => write!(f, "closed by remote host"),
            Ended::Broken(why) => write!(f, "connection lost: {why}"),
            Ended::Protocol(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for Ended {}

impl Ended {
    /// The end that an error of the SSH socket stands for.
    pub(super) fn of_socket(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Ended::ClosedByPeer,
            _ => Ended::Broken(error.to_string()),
        }
    }
}

/// The peer's refusal of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Reason of the peer.
    pub failure: OpenFailure,
    /// Bytes of early data that are lost.
    pub lost: u32,
}

impl Refusal {
    /// A refusal of our own: no channel number is free.
    pub(super) fn too_many_channels() -> Self {
        Self {
            failure: OpenFailure {
                reason: OpenFailureReason::RESOURCE_SHORTAGE,
                description: "too many channels".into(),
            },
            lost: 0,
        }
    }
}

/// Reason why a channel could not be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenError {
    /// The peer refused it.
    Refused(Refusal),
    /// The connection has ended.
    Ended(Ended),
}

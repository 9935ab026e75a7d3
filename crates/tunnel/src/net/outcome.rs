//! Outcomes: why a connection is over, why a channel was not opened.

use std::io;

use adit_proto::error::Error;
use adit_proto::message::connection::{OpenFailure, OpenFailureReason};

/// Why a connection is over, in words for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// We ended it.
    ByUs,
    /// The peer closed the connection.
    ClosedByPeer,
    /// The connection broke.
    Broken(String),
    /// The protocol ended it.
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
    /// The end that an error of the SSH socket means.
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
    /// Why.
    pub failure: OpenFailure,
    /// Bytes that had been sent and are lost.
    pub lost: u32,
}

impl Refusal {
    /// Our own refusal: no channel number is left to ask the peer with.
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

/// Why a channel could not be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenError {
    /// The peer refused.
    Refused(Refusal),
    /// The connection is over.
    Ended(Ended),
}

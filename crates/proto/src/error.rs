//! Errors that end a connection, grouped by culprit, and the DISCONNECT message that each sends to the peer.

use std::fmt;

use crate::message::transport::{Disconnect, DisconnectReason};
use crate::peer_text;
use crate::wire::WireError;

/// Act of the peer that its protocol forbids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misbehaviour {
    /// A message that does not have the layout its number says.
    Wire(WireError),
    /// A message that is not legal at this point.
    UnexpectedMessage(u8),
    /// A message for a channel that does not exist or is not in the right state.
    UnknownChannel(u32),
    /// Data after EOF or CLOSE.
    DataAfterEof,
    /// More data than the window allows.
    WindowExceeded,
    /// WINDOW_ADJUST beyond 2^32 - 1.
    WindowOverflow,
    /// More data in one packet than was agreed.
    PacketTooLarge,
    /// An answer to a request that nobody made.
    UnexpectedReply,
    /// More answers wait for the peer than it reads.
    AsksFasterThanItReads,
    /// A packet that fails its check, in the words of the packet layer.
    Packet(String),
    /// A first line that is not an SSH identification.
    Identification(&'static str),
    /// Another user name or service than in the request before, as `user for service`.
    UserChanged {
        /// Service or user of the first request.
        from: String,
        /// Service or user of the later request.
        to: String,
    },
    /// The key exchange went wrong, in the words of the key layer.
    KeyExchange(String),
}

impl From<WireError> for Misbehaviour {
    fn from(error: WireError) -> Self {
        Misbehaviour::Wire(error)
    }
}

impl fmt::Display for Misbehaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Misbehaviour::Wire(error) => write!(f, "{error}"),
            Misbehaviour::UnexpectedMessage(number) => {
                write!(f, "message {number} is not legal at this point")
            }
            Misbehaviour::UnknownChannel(id) => write!(f, "no such channel: {id}"),
            Misbehaviour::DataAfterEof => write!(f, "channel data after EOF"),
            Misbehaviour::WindowExceeded => write!(f, "more channel data than the window allows"),
            Misbehaviour::WindowOverflow => write!(f, "window adjusted beyond 2^32 - 1"),
            Misbehaviour::PacketTooLarge => write!(f, "larger channel packet than agreed"),
            Misbehaviour::UnexpectedReply => write!(f, "reply to a request that was not made"),
            Misbehaviour::AsksFasterThanItReads => {
                write!(f, "peer sends requests faster than it reads the answers")
            }
            Misbehaviour::Packet(what) => write!(f, "{what}"),
            Misbehaviour::Identification(what) => {
                write!(f, "invalid SSH identification string: {what}")
            }
            Misbehaviour::UserChanged { from, to } => {
                write!(
                    f,
                    "change of user name or service not allowed: {from} -> {to}"
                )
            }
            Misbehaviour::KeyExchange(what) => write!(f, "key exchange failed: {what}"),
        }
    }
}

impl std::error::Error for Misbehaviour {}

/// Reason for the end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The peer broke the protocol.
    PeerMisbehaved(Misbehaviour),
    /// Both are right, and have nothing in common.
    PeerIncompatible(String),
    /// The peer ended the connection with DISCONNECT.
    PeerDisconnected(Disconnect),
    /// The host key was refused, or changed during the connection.
    HostKeyRefused(String),
    /// The peer answered nothing for too long.
    PeerSilent(&'static str),
    /// Our own cryptography refused; never expected.
    Internal(String),
}

impl From<Misbehaviour> for Error {
    fn from(what: Misbehaviour) -> Self {
        Error::PeerMisbehaved(what)
    }
}

impl From<WireError> for Error {
    fn from(error: WireError) -> Self {
        Error::PeerMisbehaved(error.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::PeerMisbehaved(what) => write!(f, "protocol error: {what}"),
            Error::PeerIncompatible(what) | Error::HostKeyRefused(what) => write!(f, "{what}"),
            Error::PeerDisconnected(d) => {
                write!(
                    f,
                    "disconnected by peer: {}",
                    peer_text::description(&d.description)
                )
            }
            Error::PeerSilent(what) => write!(f, "timed out: {what}"),
            Error::Internal(what) => write!(f, "internal error: {what}"),
        }
    }
}

impl std::error::Error for Error {}

impl Error {
    /// DISCONNECT message for the peer; none where the peer has ended the connection itself.
    pub fn disconnect(&self) -> Option<Disconnect> {
        let reason = match self {
            Error::PeerDisconnected(_) => return None,
            Error::PeerMisbehaved(Misbehaviour::Packet(_)) => DisconnectReason::MAC_ERROR,
            Error::PeerMisbehaved(Misbehaviour::KeyExchange(_)) | Error::PeerIncompatible(_) => {
                DisconnectReason::KEY_EXCHANGE_FAILED
            }
            Error::PeerMisbehaved(_) => DisconnectReason::PROTOCOL_ERROR,
            Error::HostKeyRefused(_) => DisconnectReason::HOST_KEY_NOT_VERIFIABLE,
            Error::PeerSilent(_) => DisconnectReason::CONNECTION_LOST,
            Error::Internal(_) => DisconnectReason::BY_APPLICATION,
        };
        Some(Disconnect {
            reason,
            description: self.to_string(),
        })
    }
}

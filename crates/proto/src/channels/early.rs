//! Early data: data that is sent before the channel open confirmation, by the extension `early-data` of
//! docs/PROTOCOL.md.
//!
//! The opener does not know the recipient's number of the channel yet, so it sends its own, with the highest bit set.

use std::collections::HashMap;

use super::window::WindowExceeded;
use super::{ChannelId, EARLY_DATA, PeerChannelId};

/// Mark of an opener's number in the field of the recipient channel.
const EARLY: u32 = 1 << 31;

/// Limit of the early data of all unconfirmed channels together, as a multiple of that of one channel.
const TOGETHER: u64 = 128;

/// State of early data on a connection whose ends both support it.
#[derive(Debug)]
pub(super) struct EarlyData {
    /// Early window: bytes that the peer accepts before it confirms a channel. They are part of the window that the
    /// confirmation grants.
    pub(super) window: u32,
    /// Early data sent on channels that the peer has not confirmed yet, in bytes.
    sent: u64,
    /// Early data of the peer on channels that we have not confirmed yet, in bytes.
    held: u64,
    /// Channels that the peer opened, by the peer's numbers.
    opened_by_peer: HashMap<u32, ChannelId>,
}

/// Channel that a message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Addressee {
    /// The channel with this number of ours.
    Ours(ChannelId),
    /// The channel that the peer opened with this number of its own.
    Early(ChannelId),
    /// A channel of the peer that was refused, or that is gone.
    Gone,
}

impl EarlyData {
    pub(super) fn new(window: u32) -> Self {
        Self {
            window,
            sent: 0,
            held: 0,
            opened_by_peer: HashMap::new(),
        }
    }

    /// Part of `want` that may be sent within the limit of all unconfirmed channels.
    pub(super) fn may_send(&self, want: u32) -> u32 {
        let left = (TOGETHER * u64::from(self.window)).saturating_sub(self.sent);
        want.min(u32::try_from(left).unwrap_or(u32::MAX))
    }

    /// Counts early data that was reserved to be sent.
    pub(super) fn sent(&mut self, bytes: u32) {
        self.sent += u64::from(bytes);
    }

    /// Uncounts early data that was not sent, or whose channel is decided.
    pub(super) fn settled(&mut self, bytes: u32) {
        self.sent = self.sent.saturating_sub(bytes.into());
    }

    /// Counts early data of a channel that we have not decided about.
    pub(super) fn hold(&mut self, bytes: u32) -> Result<(), WindowExceeded> {
        self.held += u64::from(bytes);
        match self.held <= TOGETHER * u64::from(EARLY_DATA) {
            true => Ok(()),
            false => Err(WindowExceeded),
        }
    }

    /// Uncounts early data whose channel is decided.
    pub(super) fn let_go(&mut self, bytes: u32) {
        self.held = self.held.saturating_sub(bytes.into());
    }

    /// Adds a channel that the peer opened.
    pub(super) fn insert(&mut self, peer: PeerChannelId, id: ChannelId) {
        self.opened_by_peer.insert(peer.0, id);
    }

    /// Removes a channel that is gone, unless the peer uses the number for a newer one.
    pub(super) fn remove(&mut self, peer: PeerChannelId, id: ChannelId) {
        if self.opened_by_peer.get(&peer.0) == Some(&id) {
            self.opened_by_peer.remove(&peer.0);
        }
    }

    pub(super) fn addressee(&self, recipient_channel: u32) -> Addressee {
        if recipient_channel & EARLY == 0 {
            return Addressee::Ours(ChannelId(recipient_channel));
        }
        match self.opened_by_peer.get(&(recipient_channel & !EARLY)) {
            Some(&id) => Addressee::Early(id),
            None => Addressee::Gone,
        }
    }
}

/// Number that the peer knows our channel by before its confirmation.
pub(super) fn number_of(id: ChannelId) -> PeerChannelId {
    PeerChannelId(EARLY | id.0)
}

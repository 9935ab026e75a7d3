//! Data that is sent before the channel is confirmed: the extension `early-data@adit` of docs/PROTOCOL.md.
//!
//! Whoever opens a channel does not know the other end's number of it yet, so it writes its own, with the highest bit set.

use std::collections::HashMap;

use super::{ChannelId, PeerChannelId};

/// Marks the number of the opener where the number of the recipient belongs.
const EARLY: u32 = 1 << 31;

/// What both ends need where they send and take early data.
#[derive(Debug)]
pub(super) struct EarlyData {
    /// What the peer takes of a channel that it has not confirmed, in bytes: a part of the window of its confirmation.
    pub(super) window: u32,
    /// The peer's channels by the peer's numbers of them.
    opened_by_peer: HashMap<u32, ChannelId>,
}

/// Whom a message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Addressee {
    /// The channel with this number of ours.
    Ours(ChannelId),
    /// The channel that the peer opened under its number in the message.
    Early(ChannelId),
    /// A channel of the peer's that we have refused, or that is gone.
    Gone,
}

impl EarlyData {
    pub(super) fn new(window: u32) -> Self {
        Self {
            window,
            opened_by_peer: HashMap::new(),
        }
    }

    /// The peer opened a channel.
    pub(super) fn insert(&mut self, peer: PeerChannelId, id: ChannelId) {
        self.opened_by_peer.insert(peer.0, id);
    }

    /// A channel is gone. Where the peer has used the number again already, that channel stays.
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

/// What the peer knows a channel of ours by before it has confirmed it.
pub(super) fn number_of(id: ChannelId) -> PeerChannelId {
    PeerChannelId(EARLY | id.0)
}

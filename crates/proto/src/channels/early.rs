//! Data that is sent before the channel is confirmed: the extension `early-data` of docs/PROTOCOL.md.
//!
//! Whoever opens a channel does not know the other end's number of it yet, so it writes its own, with the highest bit set.

use std::collections::HashMap;

use super::window::WindowExceeded;
use super::{ChannelId, EARLY_DATA, PeerChannelId};

/// Marks the number of the opener where the number of the recipient belongs.
const EARLY: u32 = 1 << 31;

/// How many times the early data of one channel all channels that are not confirmed may have together.
const TOGETHER: u64 = 128;

/// What both ends need where they send and take early data.
#[derive(Debug)]
pub(super) struct EarlyData {
    /// What the peer takes of a channel that it has not confirmed, in bytes: a part of the window of its confirmation.
    pub(super) window: u32,
    /// Early data that we have sent, and the peer has not confirmed the channel yet.
    sent: u64,
    /// Early data of the peer's that we hold, and have not confirmed the channel yet.
    held: u64,
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
            sent: 0,
            held: 0,
            opened_by_peer: HashMap::new(),
        }
    }

    /// How much of `want` may be sent, counting what all channels have sent that are not confirmed.
    pub(super) fn may_send(&self, want: u32) -> u32 {
        let left = (TOGETHER * u64::from(self.window)).saturating_sub(self.sent);
        want.min(u32::try_from(left).unwrap_or(u32::MAX))
    }

    /// So many bytes more were sent.
    pub(super) fn sent(&mut self, bytes: u32) {
        self.sent += u64::from(bytes);
    }

    /// So many of them were not sent after all, or their channel is decided.
    pub(super) fn settled(&mut self, bytes: u32) {
        self.sent = self.sent.saturating_sub(bytes.into());
    }

    /// So many bytes more came for a channel that is not decided.
    pub(super) fn hold(&mut self, bytes: u32) -> Result<(), WindowExceeded> {
        self.held += u64::from(bytes);
        match self.held <= TOGETHER * u64::from(EARLY_DATA) {
            true => Ok(()),
            false => Err(WindowExceeded),
        }
    }

    /// The channel of so many of them is decided.
    pub(super) fn let_go(&mut self, bytes: u32) {
        self.held = self.held.saturating_sub(bytes.into());
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

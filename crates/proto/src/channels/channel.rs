//! One entry of the channel table.

use std::time::Instant;

use super::half_close::HalfClose;
use super::window::{RecvWindow, SendWindow};
use super::{PLAIN_PACKET_SIZE, PeerChannelId};

/// The most data bytes of one packet to any peer, whatever it claims to take.
const LARGEST_DATA: u32 = 256 << 10;

/// How far the opening of a channel has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// The peer asked for it; nobody has decided yet.
    Asked,
    /// We asked for it; the peer has not decided yet.
    Opening,
    /// Both agreed; `half_close` tells the rest.
    Open,
}

/// One channel.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) state: State,
    /// Meaningless while `Opening`: the peer has not told its number yet.
    pub(super) peer: PeerChannelId,
    pub(super) send: SendWindow,
    pub(super) recv: RecvWindow,
    pub(super) peer_max_packet: u32,
    /// When it last carried a packet larger than interactive ones.
    pub(super) last_large: Option<Instant>,
    pub(super) half_close: HalfClose,
    /// A sender found the window too small: tell it when there is more.
    pub(super) wants_window: bool,
    /// It stands in the queue of channels whose credit is due.
    pub(super) credit_queued: bool,
    /// The owner has let go; the number is free once CLOSE went both ways.
    pub(super) released: bool,
}

impl Channel {
    pub(super) fn new(state: State, recv: RecvWindow) -> Self {
        Self {
            state,
            peer: PeerChannelId(0),
            send: SendWindow::new(0),
            recv,
            peer_max_packet: PLAIN_PACKET_SIZE,
            last_large: None,
            half_close: HalfClose::new(),
            wants_window: false,
            credit_queued: false,
            released: false,
        }
    }

    /// What the peer told about its end.
    pub(super) fn confirm(&mut self, sender_channel: u32, window: u32, max_packet: u32) {
        self.peer = PeerChannelId(sender_channel);
        self.send = SendWindow::new(window);
        // A peer that takes no bytes at all could never be sent anything; and no packet is longer than a sealer's.
        self.peer_max_packet = max_packet.clamp(1, LARGEST_DATA);
    }
}

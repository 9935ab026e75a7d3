//! One entry of the channel table.

use std::time::Instant;

use super::early;
use super::half_close::HalfClose;
use super::requests::Requests;
use super::window::{RecvWindow, SendWindow, WindowExceeded};
use super::{ChannelId, PLAIN_PACKET_SIZE, PeerChannelId};

/// The most data bytes of one packet to any peer, whatever it claims to take.
const LARGEST_DATA: u32 = 256 << 10;

/// How far the opening of a channel has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// The peer asked for it; nobody has decided yet.
    Asked,
    /// We asked for it; the peer has not decided yet.
    Opening,
    /// The same, with a peer that takes early data: so many bytes.
    OpeningEarly { window: u32 },
    /// The peer refused it. Its owner may still be about to send, so the number stays in use until it lets go.
    Refused,
    /// Both agreed; `half_close` tells the rest.
    Open,
}

/// One channel.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) state: State,
    /// What our messages call the channel: the peer's number. Meaningless while `Opening`, ours in `OpeningEarly`.
    pub(super) peer: PeerChannelId,
    pub(super) send: SendWindow,
    pub(super) recv: RecvWindow,
    pub(super) peer_max_packet: u32,
    pub(super) opened: Instant,
    /// When it last carried a packet larger than interactive ones.
    pub(super) last_large: Option<Instant>,
    pub(super) half_close: HalfClose,
    /// Requests that wait for answers; none where neither end has any, as in a forward.
    pub(super) requests: Option<Box<Requests>>,
    /// A sender found the window too small: tell it when there is more.
    pub(super) wants_window: bool,
    /// It stands in the queue of channels whose credit is due.
    pub(super) credit_queued: bool,
    /// The owner has let go; the number is free once CLOSE went both ways.
    pub(super) released: bool,
}

impl Channel {
    pub(super) fn new(state: State, recv: RecvWindow, now: Instant) -> Self {
        Self {
            state,
            peer: PeerChannelId(0),
            send: SendWindow::new(0),
            recv,
            peer_max_packet: PLAIN_PACKET_SIZE,
            opened: now,
            last_large: None,
            half_close: HalfClose::new(),
            requests: None,
            wants_window: false,
            credit_queued: false,
            released: false,
        }
    }

    /// Data may go out before the peer has confirmed.
    pub(super) fn begin_early(&mut self, id: ChannelId, window: u32) {
        self.state = State::OpeningEarly { window };
        self.peer = early::number_of(id);
        self.send = SendWindow::new(window);
    }

    /// Whether our owner may send data, if there is window, or end it.
    pub(super) fn takes_data(&self) -> bool {
        let undecided_or_refused = matches!(self.state, State::Asked | State::Refused);
        !undecided_or_refused && !self.released && self.half_close.may_send()
    }

    /// True where what is sent now is early data.
    pub(super) fn is_early(&self) -> bool {
        matches!(self.state, State::OpeningEarly { .. })
    }

    /// Bytes sent before the peer has decided.
    pub(super) fn sent_early(&self) -> u32 {
        match self.state {
            State::OpeningEarly { window } => window - self.send.available(),
            State::Opening | State::Asked | State::Refused | State::Open => 0,
        }
    }

    /// What the peer told about its end. The early data is part of the window.
    pub(super) fn confirm(
        &mut self,
        sender_channel: u32,
        window: u32,
        max_packet: u32,
    ) -> Result<(), WindowExceeded> {
        let sent = self.sent_early();
        self.peer = PeerChannelId(sender_channel);
        self.send = SendWindow::new(window.checked_sub(sent).ok_or(WindowExceeded)?);
        // A peer that takes no bytes at all could never be sent anything; and no packet is longer than a sealer's.
        self.peer_max_packet = max_packet.clamp(1, LARGEST_DATA);
        Ok(())
    }
}

//! An entry of the channel table.

use std::time::Instant;

use super::early;
use super::half_close::HalfClose;
use super::requests::Requests;
use super::window::{RecvWindow, SendWindow, WindowExceeded};
use super::{ChannelId, PLAIN_PACKET_SIZE, PeerChannelId};

/// Limit of the data bytes in one packet, whatever the peer accepts.
const LARGEST_DATA: u32 = 256 << 10;

/// State of the opening of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// The peer has opened it, and our owner has not decided yet.
    Asked,
    /// We have opened it, and the peer has not decided yet.
    Opening,
    /// The same, with a peer that accepts early data, of this many bytes.
    OpeningEarly { window: u32 },
    /// The peer has refused it. The owner may still try to send, so the number stays in use until it releases the
    /// channel.
    Refused,
    /// Both sides have agreed; `half_close` has the rest of the state.
    Open,
}

/// A channel.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) state: State,
    /// Recipient channel of our messages: the peer's number. Not valid in `Opening`; in `OpeningEarly` it is derived
    /// from ours.
    pub(super) peer: PeerChannelId,
    pub(super) send: SendWindow,
    pub(super) recv: RecvWindow,
    pub(super) peer_max_packet: u32,
    pub(super) opened: Instant,
    /// Time of the last packet larger than interactive ones.
    pub(super) last_large: Option<Instant>,
    pub(super) half_close: HalfClose,
    /// Requests that wait for replies; none if neither side uses requests, as in a forward.
    pub(super) requests: Option<Box<Requests>>,
    /// True if a sender needs more window and wants a `Writable`.
    pub(super) wants_window: bool,
    /// True if the channel is in the queue of channels whose credit is due.
    pub(super) credit_queued: bool,
    /// True after the owner's release. The number is free after CLOSE in both directions.
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

    /// Permits early data before the peer's confirmation.
    pub(super) fn begin_early(&mut self, id: ChannelId, window: u32) {
        self.state = State::OpeningEarly { window };
        self.peer = early::number_of(id);
        self.send = SendWindow::new(window);
    }

    /// True if the owner may send data, within the window, or EOF.
    pub(super) fn takes_data(&self) -> bool {
        let undecided_or_refused = matches!(self.state, State::Asked | State::Refused);
        !undecided_or_refused && !self.released && self.half_close.may_send()
    }

    /// True if data that is sent now is early data.
    pub(super) fn is_early(&self) -> bool {
        matches!(self.state, State::OpeningEarly { .. })
    }

    /// Early data sent before the peer's decision, in bytes.
    pub(super) fn sent_early(&self) -> u32 {
        match self.state {
            State::OpeningEarly { window } => window - self.send.available(),
            State::Opening | State::Asked | State::Refused | State::Open => 0,
        }
    }

    /// Applies the confirmation. Early data counts as part of the window that it grants.
    pub(super) fn confirm(
        &mut self,
        sender_channel: u32,
        window: u32,
        max_packet: u32,
    ) -> Result<(), WindowExceeded> {
        let sent = self.sent_early();
        self.peer = PeerChannelId(sender_channel);
        self.send = SendWindow::new(window.checked_sub(sent).ok_or(WindowExceeded)?);
        // A limit of zero would block the channel, and no packet may be longer than the sealer permits.
        self.peer_max_packet = max_packet.clamp(1, LARGEST_DATA);
        Ok(())
    }
}

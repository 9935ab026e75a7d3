//! The channel table (RFC 4254 §5): opens, data, flow control, half-close.
//!
//! The table is the same for client and server, and belongs to no transport: it has no keys, sequence numbers or
//! sockets. Messages come in through `recv` (recv.rs), commands through the other methods; `poll_message` and
//! `poll_event` return the output. Each method is O(1) in the number of channels.

pub mod budget;
mod channel;
mod churn;
mod early;
pub mod half_close;
mod interactive;
mod recv;
pub mod requests;
pub mod window;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::Misbehaviour;
use crate::message::connection::{
    self as message, ChannelType, Open, OpenConfirmation, OpenFailure, OpenFailureReason,
};
use crate::message::{number, waiting_cost};
use budget::WindowBudget;
pub use budget::{WindowLimits, WindowPool};
use channel::{Channel, State};
use churn::Churn;
use early::EarlyData;
pub use half_close::PeerClose;
use interactive::Interactive;
pub use requests::{ChannelReplyToken, RequestError, RequestOutcome, WantReply};
use window::Path;

/// Our number of a channel: the recipient channel of the peer's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelId(pub u32);

/// The peer's number of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PeerChannelId(u32);

/// Limit of the channels of one connection; more are refused with RESOURCE_SHORTAGE.
pub const MAX_CHANNELS: usize = 65_536;

/// Limit of the channels that the peer opened and our owner has not decided about: they use memory, but no descriptor.
pub const MAX_UNDECIDED: usize = 8192;

/// Data bytes that every peer accepts in a packet (RFC 4253 §6.1 requires 32 KiB).
pub const PLAIN_PACKET_SIZE: u32 = 32 << 10;

/// Early data that we accept on a channel before its confirmation, in bytes: a part of its first window.
pub const EARLY_DATA: u32 = 32 << 10;
const _: () = assert!(EARLY_DATA <= WindowLimits::GENEROUS.min);
const _: () = assert!(EARLY_DATA <= WindowLimits::OPENSSH.min);

/// Limit of the control messages that wait for the transport, in bytes. A peer that provokes more than it reads is
/// disconnected.
const MAX_WAITING: usize = 4 << 20;
/// Part of that limit for each channel: its OPEN or confirmation, EOF and CLOSE are always permitted.
const WAITING_OF_A_CHANNEL: usize = 512;

/// Stream of a channel. Each has its own bytes in order, and all share the channel's window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChannelStream {
    /// SSH_MSG_CHANNEL_DATA.
    Data,
    /// SSH_MSG_CHANNEL_EXTENDED_DATA of type SSH_EXTENDED_DATA_STDERR; data of other types is dropped.
    Stderr,
}

/// Data of the peer that has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelData<'a> {
    /// The channel.
    pub id: ChannelId,
    /// The stream of the channel.
    pub stream: ChannelStream,
    /// The bytes, which are the end of the payload. Call `taken` after the reader has got them.
    pub bytes: &'a [u8],
}

/// Event of a channel.
#[derive(Debug, PartialEq, Eq)]
pub enum ChannelEvent {
    /// The peer opened a channel: answer with `accept` or `refuse`.
    Asked {
        /// The new channel.
        id: ChannelId,
        /// Type of the channel.
        channel_type: ChannelType,
    },
    /// The peer confirmed a channel that we opened.
    Opened(ChannelId),
    /// The peer refused a channel that we opened; `release` it.
    Refused {
        /// The channel.
        id: ChannelId,
        /// Reason of the peer.
        failure: OpenFailure,
        /// Bytes of early data that are lost, those of a turn that was just reserved included.
        lost: u32,
    },
    /// The peer enlarged a window that was used up.
    Writable(ChannelId),
    /// The peer sent a request on a channel whose owner accepts requests.
    Request {
        /// The channel.
        id: ChannelId,
        /// Type of the request, a name without control characters.
        request_type: String,
        /// Fields of the type, not parsed; at most a packet long.
        data: Vec<u8>,
        /// Token for the reply, if one is wanted.
        reply: Option<ChannelReplyToken>,
    },
    /// The peer replied to our oldest request that wants a reply.
    Reply {
        /// The channel.
        id: ChannelId,
        /// The reply.
        outcome: RequestOutcome,
    },
    /// The peer sends no more data, on any stream.
    Eof(ChannelId),
    /// The peer closed the channel.
    Closed {
        /// The channel.
        id: ChannelId,
        /// Normal end, or reset.
        close: PeerClose,
    },
}

/// The channel table of one connection.
#[derive(Debug)]
pub struct Channels {
    slots: Vec<Option<Channel>>,
    free: Vec<u32>,
    /// Number of channels in the state `Asked`.
    undecided: usize,
    budget: WindowBudget,
    /// Limit of the data bytes in one packet to us.
    max_packet: u32,
    round_trip: Option<Duration>,
    interactive: Interactive,
    churn: Churn,
    /// Meaning of a CLOSE without EOF.
    close_without_eof: PeerClose,
    /// State of early data, if both ends support it.
    early: Option<EarlyData>,
    messages: VecDeque<Vec<u8>>,
    /// Bytes of the messages that wait.
    waiting: usize,
    credits: VecDeque<ChannelId>,
    /// Number of channels so far that had requests.
    generation: u64,
    events: VecDeque<ChannelEvent>,
}

impl Channels {
    /// An empty table. `max_packet` is the limit of data bytes in one packet to us; windows are taken from `pool`.
    pub fn new(limits: WindowLimits, max_packet: u32, pool: Arc<WindowPool>) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            undecided: 0,
            budget: WindowBudget::new(limits, pool),
            max_packet,
            round_trip: None,
            interactive: Interactive::default(),
            churn: Churn::default(),
            close_without_eof: PeerClose::Orderly,
            early: None,
            messages: VecDeque::new(),
            waiting: 0,
            credits: VecDeque::new(),
            generation: 0,
            events: VecDeque::new(),
        }
    }

    /// Sets the last measured round trip time, which the sizes of windows depend on.
    pub fn set_round_trip(&mut self, round_trip: Duration) {
        self.round_trip = Some(round_trip);
    }

    /// Sets the meaning of a CLOSE without EOF. If it is a reset, data that the application has not read is lost.
    pub fn set_close_without_eof(&mut self, meaning: PeerClose) {
        self.close_without_eof = meaning;
    }

    /// Turns on early data: the peer accepts `window` bytes on each unconfirmed channel, and may send early data
    /// itself. Only for a table without channels.
    pub fn set_early_data(&mut self, window: Option<u32>) {
        self.early = window.map(EarlyData::new);
    }

    /// True if early data may be sent.
    pub fn takes_early_data(&self) -> bool {
        self.early.is_some()
    }

    /// Number of channels in the table.
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// True if there is no channel.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Opens a channel; `None` if the table is full. `Opened` or `Refused` follows.
    ///
    /// Data may be sent at once: what exceeds the early window waits for the confirmation.
    pub fn open(&mut self, channel_type: ChannelType, now: Instant) -> Option<ChannelId> {
        let recv = self.budget.open_window(now);
        let id = self.insert(Channel::new(State::Opening, recv, now))?;
        let early_window = self.early.as_ref().map(|early| early.window);
        let channel = self.channel_mut(id)?;
        if let Some(window) = early_window {
            channel.begin_early(id, window);
        }
        let open = Open {
            channel_type,
            sender_channel: id.0,
            initial_window_size: channel.recv.granted(),
            maximum_packet_size: self.max_packet,
        };
        self.queue(open.encode());
        Some(id)
    }

    /// Confirms a channel that the peer opened.
    pub fn accept(&mut self, id: ChannelId) {
        let max_packet = self.max_packet;
        let Some(channel) = self.channel_mut(id) else {
            return;
        };
        if channel.state != State::Asked {
            return;
        }
        channel.state = State::Open;
        let held = channel.recv.held();
        let confirmation = OpenConfirmation {
            recipient_channel: channel.peer.0,
            sender_channel: id.0,
            // Early data that has arrived is part of it.
            initial_window_size: channel.recv.size(),
            maximum_packet_size: max_packet,
        };
        self.decided(held);
        self.queue(confirmation.encode());
    }

    /// Refuses a channel that the peer opened; its number is free again.
    pub fn refuse(&mut self, id: ChannelId, failure: &OpenFailure) {
        let Some(channel) = self.channel(id) else {
            return;
        };
        if channel.state != State::Asked {
            return;
        }
        let held = channel.recv.held();
        let message = failure.encode(channel.peer.0);
        self.decided(held);
        self.queue(message);
        self.remove(id);
    }

    /// Notes the decision about a channel that held this much early data.
    fn decided(&mut self, held: u32) {
        self.undecided -= 1;
        if let Some(early) = &mut self.early {
            early.let_go(held);
        }
    }

    /// Takes up to `want` bytes from the channel's send window, for data of `stream`. If it takes fewer, `Writable`
    /// follows when the peer enlarges the window. `None` if the channel accepts no more data.
    pub fn reserve(&mut self, id: ChannelId, stream: ChannelStream, want: u32) -> Option<Reserved> {
        let channel = self.slots.get_mut(id.0 as usize)?.as_mut()?;
        if !channel.takes_data() {
            return None;
        }
        let bytes = match &mut self.early {
            Some(early) if channel.is_early() => {
                let may_send = match stream {
                    ChannelStream::Data => early.may_send(want),
                    // Early data exists for plain data only.
                    ChannelStream::Stderr => 0,
                };
                let bytes = channel.send.reserve(may_send);
                early.sent(bytes);
                bytes
            }
            _ => channel.send.reserve(want),
        };
        channel.wants_window |= bytes < want;
        Some(Reserved {
            stream,
            bytes,
            recipient_channel: channel.peer.0,
            max_packet: channel.peer_max_packet,
        })
    }

    /// Gives back reserved bytes that were not sent.
    pub fn refund(&mut self, id: ChannelId, unused: u32) {
        let Some(Some(channel)) = self.slots.get_mut(id.0 as usize) else {
            return;
        };
        channel.send.refund(unused);
        if let Some(early) = &mut self.early
            && channel.is_early()
        {
            early.settled(unused);
        }
    }

    /// Notes that the reader took `len` bytes, which become credit. Credit is sent after the channel is accepted.
    pub fn taken(&mut self, id: ChannelId, len: u32, now: Instant) {
        let path = self.path_of(id, now);
        let Some(Some(channel)) = self.slots.get_mut(id.0 as usize) else {
            return;
        };
        debug_assert_ne!(channel.state, State::Asked);
        channel.recv.take(len, now, path, &mut self.budget);
        if channel.recv.credit_due(&self.budget)
            && channel.half_close.may_receive()
            && !channel.credit_queued
        {
            channel.credit_queued = true;
            self.credits.push_back(id);
        }
    }

    fn path_of(&self, id: ChannelId, now: Instant) -> Path {
        Path {
            round_trip: self.round_trip,
            sharing: self
                .interactive
                .sharing_of(id, self.churn.at_a_time(now), now),
        }
    }

    /// Sends EOF after our data.
    pub fn send_eof(&mut self, id: ChannelId) {
        let Some(channel) = self.channel_mut(id) else {
            return;
        };
        if !channel.takes_data() || !channel.half_close.send_eof() {
            return;
        }
        // Without the peer's number, EOF follows its confirmation.
        if channel.state != State::Opening {
            self.queue_eof(id);
        }
    }

    fn queue_eof(&mut self, id: ChannelId) {
        if let Some(channel) = self.channel(id) {
            let message = message::encode_channel_only(number::CHANNEL_EOF, channel.peer.0);
            self.queue(message);
        }
    }

    /// Closes the channel and gives up its number; no more events follow for it.
    pub fn release(&mut self, id: ChannelId) {
        let Some(channel) = self.channel_mut(id) else {
            return;
        };
        channel.released = true;
        match channel.state {
            State::Opening | State::OpeningEarly { .. } => {}
            State::Asked => self.refuse(
                id,
                &OpenFailure {
                    reason: OpenFailureReason::CONNECT_FAILED,
                    description: "given up".into(),
                },
            ),
            State::Refused => self.remove(id),
            State::Open => self.close(id),
        }
    }

    fn close(&mut self, id: ChannelId) {
        let Some(channel) = self.channel_mut(id) else {
            return;
        };
        let over = if channel.half_close.send_close() {
            let message = message::encode_channel_only(number::CHANNEL_CLOSE, channel.peer.0);
            let over = channel.half_close.is_over();
            self.queue(message);
            over
        } else {
            channel.half_close.is_over()
        };
        if over && self.channel(id).is_some_and(|c| c.released) {
            self.remove(id);
        }
    }

    /// Next message for the peer.
    pub fn poll_message(&mut self) -> Option<Vec<u8>> {
        if let Some(message) = self.messages.pop_front() {
            self.waiting -= waiting_cost(&message);
            return Some(message);
        }
        while let Some(id) = self.credits.pop_front() {
            let Some(channel) = self.channel_mut(id) else {
                continue;
            };
            // RFC 4254 §5.3 permits no credit after our CLOSE: the peer may have freed the number.
            if !std::mem::take(&mut channel.credit_queued) || channel.half_close.closed_by_us() {
                continue;
            }
            let credit = channel.recv.take_credit();
            if credit > 0 {
                return Some(message::encode_window_adjust(channel.peer.0, credit));
            }
        }
        None
    }

    /// True if `poll_message` would return a message.
    pub fn has_message(&self) -> bool {
        !self.messages.is_empty() || !self.credits.is_empty()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<ChannelEvent> {
        self.events.pop_front()
    }

    fn queue(&mut self, message: Vec<u8>) {
        self.waiting += waiting_cost(&message);
        self.messages.push_back(message);
    }

    /// An error if the peer has provoked more messages than it reads.
    fn check_backlog(&self) -> Result<(), Misbehaviour> {
        // Slots, not present channels: a channel that is gone may have left its CLOSE in the queue.
        let of_channels = self.slots.len() * WAITING_OF_A_CHANNEL;
        if self.waiting > MAX_WAITING.max(of_channels) {
            return Err(Misbehaviour::AsksFasterThanItReads);
        }
        Ok(())
    }

    fn channel(&self, id: ChannelId) -> Option<&Channel> {
        self.slots.get(id.0 as usize)?.as_ref()
    }

    fn channel_mut(&mut self, id: ChannelId) -> Option<&mut Channel> {
        self.slots.get_mut(id.0 as usize)?.as_mut()
    }

    fn insert(&mut self, channel: Channel) -> Option<ChannelId> {
        if self.len() >= MAX_CHANNELS {
            self.budget.close_window(&channel.recv);
            return None;
        }
        let index = match self.free.pop() {
            Some(index) => {
                self.slots[index as usize] = Some(channel);
                index
            }
            None => {
                self.slots.push(Some(channel));
                u32::try_from(self.slots.len() - 1).expect("the table is bounded")
            }
        };
        Some(ChannelId(index))
    }

    fn remove(&mut self, id: ChannelId) {
        if let Some(channel) = self.slots[id.0 as usize].take() {
            if let Some(early) = &mut self.early {
                early.remove(channel.peer, id);
            }
            self.budget.close_window(&channel.recv);
            self.free.push(id.0);
        }
    }
}

/// Send window taken by `Channels::reserve`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reserved {
    /// The stream that the data is of.
    pub stream: ChannelStream,
    /// Number of data bytes that may be sent.
    pub bytes: u32,
    /// The peer's number of the channel, for the data header.
    pub recipient_channel: u32,
    /// Limit of the data bytes in one packet, without its header.
    pub max_packet: u32,
}

#[cfg(test)]
mod tests;

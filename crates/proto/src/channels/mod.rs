//! The channel table (RFC 4254 §5): opens, data, flow control, half-close.
//!
//! It does not know whether it is client or server, and nothing in it belongs to one transport: no keys, no
//! sequence numbers, no sockets. Messages come in through `recv` (recv.rs), commands through the other methods;
//! `poll_message` and `poll_event` give what must go out. Each of them is O(1) in the number of channels.

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

/// Our number of a channel: what the peer calls the recipient channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelId(pub u32);

/// The peer's number of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PeerChannelId(u32);

/// The most channels one connection may have; more are refused with RESOURCE_SHORTAGE.
pub const MAX_CHANNELS: usize = 65_536;

/// The most of them that the peer may have asked for and nobody has decided yet, for they hold memory and no descriptor.
pub const MAX_UNDECIDED: usize = 8192;

/// The most data bytes that a packet towards any peer may carry (RFC 4253 §6.1 asks everyone to take 32 KiB).
pub const PLAIN_PACKET_SIZE: u32 = 32 << 10;

/// Data of a channel that is taken before we have confirmed it, in bytes: a part of its first window.
pub const EARLY_DATA: u32 = 32 << 10;
const _: () = assert!(EARLY_DATA <= WindowLimits::GENEROUS.min);
const _: () = assert!(EARLY_DATA <= WindowLimits::OPENSSH.min);

/// What control messages may cost that wait for the transport; a peer that asks faster than it reads is cut off beyond.
const MAX_WAITING: usize = 4 << 20;
/// What each channel may have waiting in any case: its OPEN or confirmation, EOF and CLOSE are no provocation.
const WAITING_OF_A_CHANNEL: usize = 512;

/// Stream of a channel: each has bytes of its own in order, and all share the channel's window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChannelStream {
    /// SSH_MSG_CHANNEL_DATA.
    Data,
    /// SSH_MSG_CHANNEL_EXTENDED_DATA of the type SSH_EXTENDED_DATA_STDERR; other types are not passed on.
    Stderr,
}

/// Data of the peer's that has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelData<'a> {
    /// The channel.
    pub id: ChannelId,
    /// The stream of the channel.
    pub stream: ChannelStream,
    /// The bytes, at the end of the payload that they came in. Tell with `taken` once the reader has them.
    pub bytes: &'a [u8],
}

/// What happened to a channel.
#[derive(Debug, PartialEq, Eq)]
pub enum ChannelEvent {
    /// The peer asks for a channel: answer with `accept` or `refuse`.
    Asked {
        /// The new channel.
        id: ChannelId,
        /// What for.
        channel_type: ChannelType,
    },
    /// The peer confirmed a channel that we asked for.
    Opened(ChannelId),
    /// The peer refused a channel that we asked for; `release` it.
    Refused {
        /// The channel.
        id: ChannelId,
        /// Why.
        failure: OpenFailure,
        /// How many bytes of early data went with it, those of a turn that has just been reserved among them.
        lost: u32,
    },
    /// The peer granted window to a channel whose window was used up.
    Writable(ChannelId),
    /// The peer asks something of a channel whose owner takes requests.
    Request {
        /// The channel.
        id: ChannelId,
        /// The type, a name without control characters.
        request_type: String,
        /// The fields of the type, not looked at: no more than a packet holds.
        data: Vec<u8>,
        /// To be answered with, where an answer is wanted.
        reply: Option<ChannelReplyToken>,
    },
    /// The peer answered our oldest request that wants an answer.
    Reply {
        /// The channel.
        id: ChannelId,
        /// The answer.
        outcome: RequestOutcome,
    },
    /// The peer sends no more data, on either stream.
    Eof(ChannelId),
    /// The peer closed the channel.
    Closed {
        /// The channel.
        id: ChannelId,
        /// Whether it had announced the end of its data.
        close: PeerClose,
    },
}

/// The channel table of one connection.
#[derive(Debug)]
pub struct Channels {
    slots: Vec<Option<Channel>>,
    free: Vec<u32>,
    /// Channels in the state `Asked`.
    undecided: usize,
    budget: WindowBudget,
    /// The most data bytes of one packet to us.
    max_packet: u32,
    round_trip: Option<Duration>,
    interactive: Interactive,
    churn: Churn,
    /// Meaning of a CLOSE without EOF.
    close_without_eof: PeerClose,
    /// Where both ends send and take data before a confirmation.
    early: Option<EarlyData>,
    messages: VecDeque<Vec<u8>>,
    /// What the messages cost that wait.
    waiting: usize,
    credits: VecDeque<ChannelId>,
    /// Counts channels that have requests.
    generation: u64,
    events: VecDeque<ChannelEvent>,
}

impl Channels {
    /// An empty table. `max_packet` is the most data bytes we take in one packet; windows are taken from `pool`.
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

    /// The newest measured round trip, which sizes the windows.
    pub fn set_round_trip(&mut self, round_trip: Duration) {
        self.round_trip = Some(round_trip);
    }

    /// Sets what a CLOSE without EOF means. Taken for a reset, it loses what the application has not read yet.
    pub fn set_close_without_eof(&mut self, meaning: PeerClose) {
        self.close_without_eof = meaning;
    }

    /// Of each channel that the peer has not confirmed yet it takes so many bytes, and may send such data itself. For a table
    /// without channels.
    pub fn set_early_data(&mut self, window: Option<u32>) {
        self.early = window.map(EarlyData::new);
    }

    /// Whether data may be sent before a channel is confirmed.
    pub fn takes_early_data(&self) -> bool {
        self.early.is_some()
    }

    /// Channels in the table.
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Whether there is no channel.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Asks the peer for a channel; `None` where the table is full. `Opened` or `Refused` follows.
    ///
    /// Data may be sent at once: what the peer does not take before it confirms waits for window.
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

    /// Gives the peer the channel it asked for.
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
            // What has come early is a part of it.
            initial_window_size: channel.recv.size(),
            maximum_packet_size: max_packet,
        };
        self.decided(held);
        self.queue(confirmation.encode());
    }

    /// Refuses the channel that the peer asked for; its number is free again.
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

    /// One channel less waits to be decided; it held so much early data.
    fn decided(&mut self, held: u32) {
        self.undecided -= 1;
        if let Some(early) = &mut self.early {
            early.let_go(held);
        }
    }

    /// Takes up to `want` bytes from the channel's send window, for data of `stream`. Fewer than wanted, and `Writable`
    /// follows once the peer grants more. `None` where the channel takes no more data.
    pub fn reserve(&mut self, id: ChannelId, stream: ChannelStream, want: u32) -> Option<Reserved> {
        let channel = self.slots.get_mut(id.0 as usize)?.as_mut()?;
        if !channel.takes_data() {
            return None;
        }
        let bytes = match &mut self.early {
            Some(early) if channel.is_early() => {
                let may_send = match stream {
                    ChannelStream::Data => early.may_send(want),
                    // The peer knows early data of this kind only.
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
            bytes,
            recipient_channel: channel.peer.0,
            max_packet: channel.peer_max_packet,
        })
    }

    /// Gives back what was reserved and not sent.
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

    /// The reader took `len` bytes: they become credit. It begins once the channel is accepted.
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
            company: self
                .interactive
                .company_of(id, self.churn.at_a_time(now), now),
        }
    }

    /// Ends our data.
    pub fn send_eof(&mut self, id: ChannelId) {
        let Some(channel) = self.channel_mut(id) else {
            return;
        };
        if !channel.takes_data() || !channel.half_close.send_eof() {
            return;
        }
        // The end is told with the confirmation where the peer's number is not known before.
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

    /// Closes the channel and lets go of its number; no more events come for it.
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

    /// The next message for the peer.
    pub fn poll_message(&mut self) -> Option<Vec<u8>> {
        if let Some(message) = self.messages.pop_front() {
            self.waiting -= waiting_cost(&message);
            return Some(message);
        }
        while let Some(id) = self.credits.pop_front() {
            let Some(channel) = self.channel_mut(id) else {
                continue;
            };
            // Credit from before our CLOSE must not follow it (RFC 4254 §5.3): the peer has let go of the number.
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

    /// Whether `poll_message` has something.
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

    /// An error once the peer has provoked more messages than it reads.
    fn check_backlog(&self) -> Result<(), Misbehaviour> {
        // Not only the channels that there are now: one that is gone may have left its CLOSE behind.
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
    /// How many data bytes may be sent.
    pub bytes: u32,
    /// The peer's number of the channel, for the data header.
    pub recipient_channel: u32,
    /// The most data bytes of one packet; its header is not counted.
    pub max_packet: u32,
}

#[cfg(test)]
mod tests;

//! The channel table (RFC 4254 §5): opens, data, flow control, half-close.
//!
//! It does not know whether it is client or server, and nothing in it belongs to one transport: no keys, no
//! sequence numbers, no sockets. Messages come in through `recv_*`, commands through the other methods;
//! `poll_message` and `poll_event` give what must go out. Each of them is O(1) in the number of channels.

pub mod budget;
mod channel;
pub mod half_close;
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
pub use half_close::PeerClose;
use window::{Company, Path};

/// Our number of a channel: what the peer calls the recipient channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelId(pub u32);

/// The peer's number of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PeerChannelId(u32);

/// The most channels one connection may have; more are refused with RESOURCE_SHORTAGE.
pub const MAX_CHANNELS: usize = 65_536;

/// The most data bytes that a packet towards any peer may carry (RFC 4253 §6.1 asks everyone to take 32 KiB).
pub const PLAIN_PACKET_SIZE: u32 = 32 << 10;

/// Packets of no more data bytes than this are taken for somebody who waits for an answer.
const INTERACTIVE: usize = 1024;

/// How long an interactive channel counts as company after its last packet, and how long a larger packet marks a channel
/// as bulk: now and then bulk, too, comes in a small packet.
const COMPANY_LASTS: Duration = Duration::from_secs(1);

/// What control messages may cost that wait for the transport; a peer that asks faster than it reads is cut off beyond.
const MAX_WAITING: usize = 4 << 20;
/// What each channel may have waiting in any case: its OPEN or confirmation, EOF and CLOSE are no provocation.
const WAITING_OF_A_CHANNEL: usize = 512;

/// What happened to a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// The peer refused a channel that we asked for; its number is free again.
    Refused {
        /// The channel.
        id: ChannelId,
        /// Why.
        failure: OpenFailure,
    },
    /// The peer granted window to a channel whose window was used up.
    Writable(ChannelId),
    /// The peer sends no more data.
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
    budget: WindowBudget,
    /// The most data bytes of one packet to us.
    max_packet: u32,
    round_trip: Option<Duration>,
    /// The channel that last carried a packet of interactive size while it was not bulk, and when.
    last_small: Option<(ChannelId, Instant)>,
    /// What a CLOSE without EOF means behind our EOF.
    close_after_our_eof: PeerClose,
    messages: VecDeque<Vec<u8>>,
    /// What the messages cost that wait.
    waiting: usize,
    credits: VecDeque<ChannelId>,
    events: VecDeque<ChannelEvent>,
}

impl Channels {
    /// An empty table. `max_packet` is the most data bytes we take in one packet; windows are taken from `pool`.
    pub fn new(limits: WindowLimits, max_packet: u32, pool: Arc<WindowPool>) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            budget: WindowBudget::new(limits, pool),
            max_packet,
            round_trip: None,
            last_small: None,
            close_after_our_eof: PeerClose::Orderly,
            messages: VecDeque::new(),
            waiting: 0,
            credits: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// The newest measured round trip, which sizes the windows.
    pub fn set_round_trip(&mut self, round_trip: Duration) {
        self.round_trip = Some(round_trip);
    }

    /// The peer is adit, whose CLOSE without EOF is a reset always. Others' is one only before our EOF: asyncssh drops an EOF
    /// that waits for window when it closes behind it, and what is reset then would lose the data in front.
    pub fn peer_tells_resets(&mut self) {
        self.close_after_our_eof = PeerClose::Reset;
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
    pub fn open(&mut self, channel_type: ChannelType, now: Instant) -> Option<ChannelId> {
        let recv = self.budget.open_window(now);
        let id = self.insert(Channel::new(State::Opening, recv))?;
        let open = Open {
            channel_type,
            sender_channel: id.0,
            initial_window_size: self.channel(id)?.recv.granted(),
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
        let confirmation = OpenConfirmation {
            recipient_channel: channel.peer.0,
            sender_channel: id.0,
            initial_window_size: channel.recv.granted(),
            maximum_packet_size: max_packet,
        };
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
        let message = failure.encode(channel.peer.0);
        self.queue(message);
        self.remove(id);
    }

    /// Takes up to `want` bytes from the channel's send window. Fewer than wanted, and `Writable` follows once
    /// the peer grants more. `None` where the channel takes no more data.
    pub fn reserve(&mut self, id: ChannelId, want: u32) -> Option<Reserved> {
        let channel = self.channel_mut(id)?;
        if channel.state != State::Open || !channel.half_close.may_send() {
            return None;
        }
        let bytes = channel.send.reserve(want);
        channel.wants_window |= bytes < want;
        Some(Reserved {
            bytes,
            recipient_channel: channel.peer.0,
            max_packet: channel.peer_max_packet,
        })
    }

    /// Gives back what was reserved and not sent.
    pub fn refund(&mut self, id: ChannelId, unused: u32) {
        if let Some(channel) = self.channel_mut(id) {
            channel.send.refund(unused);
        }
    }

    /// The reader took `len` bytes: they become credit.
    pub fn taken(&mut self, id: ChannelId, len: u32, now: Instant) {
        let path = self.path_of(id, now);
        let Some(Some(channel)) = self.slots.get_mut(id.0 as usize) else {
            return;
        };
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
        let company = match self.last_small {
            Some((other, at)) if other != id && is_recent(at, now) => Company::Interactive,
            _ => Company::None,
        };
        Path {
            round_trip: self.round_trip,
            company,
        }
    }

    /// Ends our data.
    pub fn send_eof(&mut self, id: ChannelId) {
        let Some(channel) = self.channel_mut(id) else {
            return;
        };
        if channel.state == State::Open && channel.half_close.send_eof() {
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
            State::Opening => {}
            State::Asked => self.refuse(
                id,
                &OpenFailure {
                    reason: OpenFailureReason::CONNECT_FAILED,
                    description: "given up".into(),
                },
            ),
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
    /// The most data bytes of one packet.
    pub max_packet: u32,
}

/// What the peer sends.
impl Channels {
    /// One message of RFC 4254 §5, of any kind. Data comes back as a slice of it; all else as events.
    pub fn recv<'a>(
        &mut self,
        payload: &'a [u8],
        now: Instant,
    ) -> Result<Option<(ChannelId, &'a [u8])>, Misbehaviour> {
        match payload.first().copied().unwrap_or_default() {
            number::CHANNEL_DATA => return self.recv_data(payload, now),
            number::CHANNEL_OPEN => self.recv_open(payload, now)?,
            number::CHANNEL_OPEN_CONFIRMATION => self.recv_open_confirmation(payload)?,
            number::CHANNEL_OPEN_FAILURE => self.recv_open_failure(payload)?,
            number::CHANNEL_WINDOW_ADJUST => self.recv_window_adjust(payload)?,
            number::CHANNEL_EXTENDED_DATA => self.recv_extended_data(payload, now)?,
            number::CHANNEL_EOF => self.recv_eof(payload)?,
            number::CHANNEL_CLOSE => self.recv_close(payload)?,
            number::CHANNEL_REQUEST => self.recv_request(payload)?,
            // We never ask anything of a channel.
            _ => return Err(Misbehaviour::UnexpectedReply),
        }
        Ok(None)
    }

    /// SSH_MSG_CHANNEL_OPEN.
    fn recv_open(&mut self, payload: &[u8], now: Instant) -> Result<(), Misbehaviour> {
        let open = match Open::parse(payload)? {
            Ok(open) => open,
            Err((sender_channel, error)) => {
                let failure = OpenFailure {
                    reason: OpenFailureReason::CONNECT_FAILED,
                    description: error.to_string(),
                };
                self.queue(failure.encode(sender_channel));
                return self.check_backlog();
            }
        };
        let mut channel = Channel::new(State::Asked, self.budget.open_window(now));
        channel.confirm(
            open.sender_channel,
            open.initial_window_size,
            open.maximum_packet_size,
        );
        match self.insert(channel) {
            Some(id) => self.events.push_back(ChannelEvent::Asked {
                id,
                channel_type: open.channel_type,
            }),
            None => {
                let failure = OpenFailure {
                    reason: OpenFailureReason::RESOURCE_SHORTAGE,
                    description: "too many channels".into(),
                };
                self.queue(failure.encode(open.sender_channel));
            }
        }
        self.check_backlog()
    }

    /// SSH_MSG_CHANNEL_OPEN_CONFIRMATION.
    fn recv_open_confirmation(&mut self, payload: &[u8]) -> Result<(), Misbehaviour> {
        let confirmation = OpenConfirmation::parse(payload)?;
        let id = ChannelId(confirmation.recipient_channel);
        let channel = self.in_state(id, State::Opening)?;
        channel.state = State::Open;
        channel.confirm(
            confirmation.sender_channel,
            confirmation.initial_window_size,
            confirmation.maximum_packet_size,
        );
        if channel.released {
            self.close(id);
        } else {
            self.events.push_back(ChannelEvent::Opened(id));
        }
        Ok(())
    }

    /// SSH_MSG_CHANNEL_OPEN_FAILURE.
    fn recv_open_failure(&mut self, payload: &[u8]) -> Result<(), Misbehaviour> {
        let (recipient_channel, failure) = OpenFailure::parse(payload)?;
        let id = ChannelId(recipient_channel);
        let released = self.in_state(id, State::Opening)?.released;
        self.remove(id);
        if !released {
            self.events.push_back(ChannelEvent::Refused { id, failure });
        }
        Ok(())
    }

    /// SSH_MSG_CHANNEL_WINDOW_ADJUST.
    fn recv_window_adjust(&mut self, payload: &[u8]) -> Result<(), Misbehaviour> {
        let (recipient_channel, bytes_to_add) = message::parse_window_adjust(payload)?;
        let id = ChannelId(recipient_channel);
        // It may cross our CLOSE on the way, and some peers (paramiko) even send it behind theirs; it asks for nothing,
        // so a channel that is gone is no reason to end the connection. OpenSSH takes it the same way.
        let Ok(channel) = self.in_state(id, State::Open) else {
            return Ok(());
        };
        channel
            .send
            .adjust(bytes_to_add)
            .map_err(|_| Misbehaviour::WindowOverflow)?;
        if std::mem::take(&mut channel.wants_window) && !channel.released {
            self.events.push_back(ChannelEvent::Writable(id));
        }
        Ok(())
    }

    /// SSH_MSG_CHANNEL_DATA: the channel and its data; `None` where nobody wants it any more.
    fn recv_data<'a>(
        &mut self,
        payload: &'a [u8],
        now: Instant,
    ) -> Result<Option<(ChannelId, &'a [u8])>, Misbehaviour> {
        let (recipient_channel, data) = message::parse_data(payload)?;
        let id = ChannelId(recipient_channel);
        let channel = self.recv_bytes(id, data.len(), now)?;
        let wanted = !channel.released;
        if data.len() > INTERACTIVE {
            channel.last_large = Some(now);
        } else if channel.last_large.is_none_or(|at| !is_recent(at, now)) {
            self.last_small = Some((id, now));
        }
        Ok((wanted && !data.is_empty()).then_some((id, data)))
    }

    /// SSH_MSG_CHANNEL_EXTENDED_DATA: no tunnel has a use for it; its window is given back at once.
    fn recv_extended_data(&mut self, payload: &[u8], now: Instant) -> Result<(), Misbehaviour> {
        let (recipient_channel, len) = message::parse_extended_data(payload)?;
        let id = ChannelId(recipient_channel);
        if !self.recv_bytes(id, len, now)?.released {
            self.taken(id, u32::try_from(len).unwrap_or(u32::MAX), now);
        }
        Ok(())
    }

    /// Books arriving bytes against the window; gives the channel, whose reader may have gone.
    fn recv_bytes(
        &mut self,
        id: ChannelId,
        len: usize,
        now: Instant,
    ) -> Result<&mut Channel, Misbehaviour> {
        let max_packet = self.max_packet;
        let channel = self.in_state(id, State::Open)?;
        let len = u32::try_from(len).map_err(|_| Misbehaviour::WindowExceeded)?;
        if len > max_packet {
            return Err(Misbehaviour::PacketTooLarge);
        }
        if !channel.half_close.may_receive() {
            return Err(Misbehaviour::DataAfterEof);
        }
        channel
            .recv
            .receive(len, now)
            .map_err(|_| Misbehaviour::WindowExceeded)?;
        Ok(channel)
    }

    /// SSH_MSG_CHANNEL_EOF.
    fn recv_eof(&mut self, payload: &[u8]) -> Result<(), Misbehaviour> {
        let id = ChannelId(message::parse_channel_only(payload)?);
        let channel = self.in_state(id, State::Open)?;
        let first = channel.half_close.may_receive();
        channel
            .half_close
            .recv_eof()
            .map_err(|_| Misbehaviour::DataAfterEof)?;
        if first && !channel.released {
            self.events.push_back(ChannelEvent::Eof(id));
        }
        Ok(())
    }

    /// SSH_MSG_CHANNEL_CLOSE: answered with ours at once, for nothing that we send reaches anybody now.
    fn recv_close(&mut self, payload: &[u8]) -> Result<(), Misbehaviour> {
        let id = ChannelId(message::parse_channel_only(payload)?);
        let after_our_eof = self.close_after_our_eof;
        let channel = self.in_state(id, State::Open)?;
        let close = channel
            .half_close
            .recv_close(after_our_eof)
            .map_err(|_| Misbehaviour::UnknownChannel(id.0))?;
        if !channel.released {
            self.events.push_back(ChannelEvent::Closed { id, close });
        }
        self.close(id);
        Ok(())
    }

    /// SSH_MSG_CHANNEL_REQUEST: no channel of a tunnel knows any; refused where an answer is wanted.
    fn recv_request(&mut self, payload: &[u8]) -> Result<(), Misbehaviour> {
        let request = message::ChannelRequest::parse(payload)?;
        // OpenSSH's ClientAlive asks for a sign of life on any channel that it has open, so the question may cross our
        // CLOSE on the way. Nobody is there whom an answer could be addressed to.
        let Ok(channel) = self.in_state(ChannelId(request.recipient_channel), State::Open) else {
            return Ok(());
        };
        if request.want_reply && !channel.half_close.closed_by_us() {
            let message = message::encode_channel_only(number::CHANNEL_FAILURE, channel.peer.0);
            self.queue(message);
        }
        self.check_backlog()
    }

    fn in_state(&mut self, id: ChannelId, state: State) -> Result<&mut Channel, Misbehaviour> {
        match self.channel_mut(id) {
            Some(channel) if channel.state == state => Ok(channel),
            _ => Err(Misbehaviour::UnknownChannel(id.0)),
        }
    }
}

fn is_recent(at: Instant, now: Instant) -> bool {
    now.saturating_duration_since(at) < COMPANY_LASTS
}

#[cfg(test)]
mod tests;

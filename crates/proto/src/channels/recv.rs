//! Messages of the peer (RFC 4254 §5), each checked against the state of its channel.

use std::time::Instant;

use super::channel::{Channel, State};
use super::early::Addressee;
use super::interactive::{INTERACTIVE, is_recent};
use super::requests::RequestOutcome;
use super::{
    ChannelData, ChannelEvent, ChannelId, ChannelStream, Channels, EARLY_DATA, MAX_UNDECIDED,
};
use crate::error::Misbehaviour;
use crate::message::connection::{
    self as message, EXTENDED_DATA_STDERR, Open, OpenConfirmation, OpenFailure, OpenFailureReason,
};
use crate::message::number;

impl Channels {
    /// Handles a message of RFC 4254 §5. Data is returned as a slice of it; everything else becomes events.
    pub fn recv<'a>(
        &mut self,
        payload: &'a [u8],
        now: Instant,
    ) -> Result<Option<ChannelData<'a>>, Misbehaviour> {
        match payload.first().copied().unwrap_or_default() {
            number::CHANNEL_DATA => return self.recv_data(payload, now),
            number::CHANNEL_EXTENDED_DATA => return self.recv_extended_data(payload, now),
            number::CHANNEL_OPEN => self.recv_open(payload, now)?,
            number::CHANNEL_OPEN_CONFIRMATION => self.recv_open_confirmation(payload)?,
            number::CHANNEL_OPEN_FAILURE => self.recv_open_failure(payload)?,
            number::CHANNEL_WINDOW_ADJUST => self.recv_window_adjust(payload)?,
            number::CHANNEL_EOF => self.recv_eof(payload, now)?,
            number::CHANNEL_CLOSE => self.recv_close(payload, now)?,
            number::CHANNEL_REQUEST => self.recv_request(payload)?,
            number::CHANNEL_SUCCESS => self.recv_answer(payload, RequestOutcome::Success)?,
            number::CHANNEL_FAILURE => self.recv_answer(payload, RequestOutcome::Failure)?,
            other => return Err(Misbehaviour::UnexpectedMessage(other)),
        }
        Ok(None)
    }

    /// SSH_MSG_CHANNEL_OPEN.
    pub(super) fn recv_open(&mut self, payload: &[u8], now: Instant) -> Result<(), Misbehaviour> {
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
        if self.undecided >= MAX_UNDECIDED {
            self.refuse_open(open.sender_channel, "too many channels wait to be opened");
            return self.check_backlog();
        }
        let mut channel = Channel::new(State::Asked, self.budget.open_window(now), now);
        channel
            .confirm(
                open.sender_channel,
                open.initial_window_size,
                open.maximum_packet_size,
            )
            .map_err(|_| Misbehaviour::WindowExceeded)?;
        let peer = channel.peer;
        match self.insert(channel) {
            Some(id) => {
                self.undecided += 1;
                if let Some(early) = &mut self.early {
                    early.insert(peer, id);
                }
                self.events.push_back(ChannelEvent::Asked {
                    id,
                    channel_type: open.channel_type,
                });
            }
            None => self.refuse_open(open.sender_channel, "too many channels"),
        }
        self.check_backlog()
    }

    fn refuse_open(&mut self, sender_channel: u32, description: &str) {
        let failure = OpenFailure {
            reason: OpenFailureReason::RESOURCE_SHORTAGE,
            description: description.into(),
        };
        self.queue(failure.encode(sender_channel));
    }

    /// SSH_MSG_CHANNEL_OPEN_CONFIRMATION.
    pub(super) fn recv_open_confirmation(&mut self, payload: &[u8]) -> Result<(), Misbehaviour> {
        let confirmation = OpenConfirmation::parse(payload)?;
        let id = ChannelId(confirmation.recipient_channel);
        let sent_early = self.opening(id)?.sent_early();
        self.settle_early(sent_early);
        let channel = self.opening(id)?;
        let eof_waits = channel.state == State::Opening && !channel.half_close.may_send();
        channel
            .confirm(
                confirmation.sender_channel,
                confirmation.initial_window_size,
                confirmation.maximum_packet_size,
            )
            .map_err(|_| Misbehaviour::WindowExceeded)?;
        channel.state = State::Open;
        channel.wants_window = false;
        let released = channel.released;
        if eof_waits {
            self.queue_eof(id);
        }
        if released {
            self.close(id);
        } else {
            self.events.push_back(ChannelEvent::Opened(id));
        }
        Ok(())
    }

    /// SSH_MSG_CHANNEL_OPEN_FAILURE.
    pub(super) fn recv_open_failure(&mut self, payload: &[u8]) -> Result<(), Misbehaviour> {
        let (recipient_channel, failure) = OpenFailure::parse(payload)?;
        let id = ChannelId(recipient_channel);
        let channel = self.opening(id)?;
        let lost = channel.sent_early();
        let released = channel.released;
        self.settle_early(lost);
        if released {
            self.remove(id);
        } else if let Some(channel) = self.channel_mut(id) {
            channel.state = State::Refused;
            let refused = ChannelEvent::Refused { id, failure, lost };
            self.events.push_back(refused);
        }
        Ok(())
    }

    /// SSH_MSG_CHANNEL_WINDOW_ADJUST.
    pub(super) fn recv_window_adjust(&mut self, payload: &[u8]) -> Result<(), Misbehaviour> {
        let (recipient_channel, bytes_to_add) = message::parse_window_adjust(payload)?;
        let id = ChannelId(recipient_channel);
        // It may cross our CLOSE, and some peers (paramiko) even send it after theirs. It asks for nothing, so a
        // channel that is gone is no reason to end the connection. OpenSSH ignores it, too.
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

    /// SSH_MSG_CHANNEL_DATA; `None` if the owner has released the channel.
    pub(super) fn recv_data<'a>(
        &mut self,
        payload: &'a [u8],
        now: Instant,
    ) -> Result<Option<ChannelData<'a>>, Misbehaviour> {
        let (recipient_channel, bytes) = message::parse_data(payload)?;
        let Some(id) = self.addressee(recipient_channel)? else {
            return Ok(None);
        };
        let wanted = self.recv_bytes(id, bytes.len(), now)?;
        let stream = ChannelStream::Data;
        Ok((wanted && !bytes.is_empty()).then_some(ChannelData { id, stream, bytes }))
    }

    /// SSH_MSG_CHANNEL_EXTENDED_DATA; `None` if the owner has released the channel. Data of an unknown type is credited
    /// at once.
    fn recv_extended_data<'a>(
        &mut self,
        payload: &'a [u8],
        now: Instant,
    ) -> Result<Option<ChannelData<'a>>, Misbehaviour> {
        let (recipient_channel, data_type_code, bytes) = message::parse_extended_data(payload)?;
        let id = ChannelId(recipient_channel);
        self.in_state(id, State::Open)?;
        let wanted = self.recv_bytes(id, bytes.len(), now)?;
        if !wanted || bytes.is_empty() {
            return Ok(None);
        }
        if data_type_code != EXTENDED_DATA_STDERR {
            self.taken(id, u32::try_from(bytes.len()).unwrap_or(u32::MAX), now);
            return Ok(None);
        }
        let stream = ChannelStream::Stderr;
        Ok(Some(ChannelData { id, stream, bytes }))
    }

    /// Counts arriving bytes against the window. True if the owner has not released the channel.
    fn recv_bytes(
        &mut self,
        id: ChannelId,
        data_len: usize,
        now: Instant,
    ) -> Result<bool, Misbehaviour> {
        let channel = self
            .slots
            .get_mut(id.0 as usize)
            .and_then(Option::as_mut)
            .ok_or(Misbehaviour::UnknownChannel(id.0))?;
        let len = u32::try_from(data_len).map_err(|_| Misbehaviour::WindowExceeded)?;
        if len > self.max_packet {
            return Err(Misbehaviour::PacketTooLarge);
        }
        if !channel.half_close.may_receive() {
            return Err(Misbehaviour::DataAfterEof);
        }
        if channel.state == State::Asked {
            let held = channel.recv.held().saturating_add(len);
            let together = self.early.as_mut().map_or(Ok(()), |early| early.hold(len));
            if held > EARLY_DATA || together.is_err() {
                return Err(Misbehaviour::WindowExceeded);
            }
        }
        channel
            .recv
            .receive(len, now)
            .map_err(|_| Misbehaviour::WindowExceeded)?;
        let wanted = !channel.released;
        if data_len > INTERACTIVE {
            channel.last_large = Some(now);
            self.interactive.turned_to_bulk(id);
        } else if channel.last_large.is_none_or(|at| !is_recent(at, now)) {
            self.interactive.spoke(id, now);
        }
        Ok(wanted)
    }

    /// Uncounts early data of ours whose channel is confirmed or refused.
    fn settle_early(&mut self, sent: u32) {
        if let Some(early) = &mut self.early {
            early.settled(sent);
        }
    }

    /// SSH_MSG_CHANNEL_EOF.
    pub(super) fn recv_eof(&mut self, payload: &[u8], now: Instant) -> Result<(), Misbehaviour> {
        let recipient_channel = message::parse_channel_only(payload)?;
        let Some(id) = self.addressee(recipient_channel)? else {
            return Ok(());
        };
        let channel = self
            .channel_mut(id)
            .ok_or(Misbehaviour::UnknownChannel(id.0))?;
        let first = channel.half_close.may_receive();
        channel
            .half_close
            .recv_eof()
            .map_err(|_| Misbehaviour::DataAfterEof)?;
        if first && !channel.released {
            self.events.push_back(ChannelEvent::Eof(id));
        }
        self.interactive.ended(id, now);
        Ok(())
    }

    /// SSH_MSG_CHANNEL_CLOSE. Ours is sent at once, because the peer accepts nothing after its own.
    pub(super) fn recv_close(&mut self, payload: &[u8], now: Instant) -> Result<(), Misbehaviour> {
        let id = ChannelId(message::parse_channel_only(payload)?);
        let without_eof = self.close_without_eof;
        let channel = self.in_state(id, State::Open)?;
        let close = channel
            .half_close
            .recv_close(without_eof)
            .map_err(|_| Misbehaviour::UnknownChannel(id.0))?;
        let opened = channel.opened;
        if !channel.released {
            self.events.push_back(ChannelEvent::Closed { id, close });
        }
        self.interactive.ended(id, now);
        self.churn.ended(opened, now);
        self.close(id);
        Ok(())
    }

    /// Channel of data or EOF; `None` for early data of a channel that is gone.
    fn addressee(&mut self, recipient_channel: u32) -> Result<Option<ChannelId>, Misbehaviour> {
        let addressee = match &self.early {
            Some(early) => early.addressee(recipient_channel),
            None => Addressee::Ours(ChannelId(recipient_channel)),
        };
        Ok(match addressee {
            Addressee::Ours(id) => {
                self.in_state(id, State::Open)?;
                Some(id)
            }
            Addressee::Early(id) => Some(id),
            Addressee::Gone => None,
        })
    }

    fn opening(&mut self, id: ChannelId) -> Result<&mut Channel, Misbehaviour> {
        match self.channel_mut(id) {
            Some(channel)
                if matches!(channel.state, State::Opening | State::OpeningEarly { .. }) =>
            {
                Ok(channel)
            }
            _ => Err(Misbehaviour::UnknownChannel(id.0)),
        }
    }

    pub(super) fn in_state(
        &mut self,
        id: ChannelId,
        state: State,
    ) -> Result<&mut Channel, Misbehaviour> {
        match self.channel_mut(id) {
            Some(channel) if channel.state == state => Ok(channel),
            _ => Err(Misbehaviour::UnknownChannel(id.0)),
        }
    }
}

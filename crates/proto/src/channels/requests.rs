//! Requests of a channel and their replies (RFC 4254 §5.4), in both directions.
//!
//! A reply does not name its request. So our replies are sent in the order of the requests, and the peer's replies are
//! matched in the order of ours. The owner of a channel knows the meaning of its requests.
//!
//! The channel of a forward accepts no requests: they are refused at once, and nothing is stored for them.

use super::channel::State;
use super::{ChannelEvent, ChannelId, Channels, MAX_WAITING, PeerChannelId};
use crate::error::Misbehaviour;
use crate::message::connection::{self as message, ChannelRequest};
use crate::message::number;
use crate::ordered_replies::{OrderedReplies, ReplyToken};
use crate::packet::MAX_PAYLOAD_LEN;

/// Limit of the peer's requests on one channel that wait for our replies; more are misbehaviour.
pub const MAX_OWED: usize = 256;

/// Limit of our requests on one channel that wait for the peer's replies; more are an error of the caller.
pub const MAX_ASKED: u32 = 256;

/// OpenSSH's keepalive request. Any reply will do, so the owner is not asked.
const KEEP_ALIVE: &str = "keepalive@openssh.com";

/// Reply to a request of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestOutcome {
    /// SSH_MSG_CHANNEL_SUCCESS.
    Success,
    /// SSH_MSG_CHANNEL_FAILURE.
    Failure,
}

impl RequestOutcome {
    fn encode(self, recipient: PeerChannelId) -> Vec<u8> {
        let number = match self {
            RequestOutcome::Success => number::CHANNEL_SUCCESS,
            RequestOutcome::Failure => number::CHANNEL_FAILURE,
        };
        message::encode_channel_only(number, recipient.0)
    }
}

/// Wish for a reply to a request of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WantReply {
    /// `ChannelEvent::Reply` follows, unless the channel is closed before.
    Yes,
    /// No reply follows.
    No,
}

/// Error of a request that was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestError {
    /// The channel is not open yet, or no longer.
    NotOpen,
    /// Too many requests wait for the peer's replies.
    TooMany,
    /// It is longer than a packet.
    TooLong,
}

impl std::fmt::Display for RequestError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            RequestError::NotOpen => "channel is not open",
            RequestError::TooMany => "too many requests wait for the peer",
            RequestError::TooLong => "request is longer than a packet",
        })
    }
}

impl std::error::Error for RequestError {}

/// Right to give one reply on a channel: it comes with a request that wants a reply, and the reply consumes it.
///
/// It cannot be copied:
///
/// ```compile_fail
/// # use adit_proto::channels::{ChannelReplyToken, Channels, RequestOutcome};
/// fn answer_twice(channels: &mut Channels, token: ChannelReplyToken) {
///     channels.answer_request(token, RequestOutcome::Success);
///     channels.answer_request(token, RequestOutcome::Failure);
/// }
/// ```
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the peer waits for the reply"]
pub struct ChannelReplyToken {
    id: ChannelId,
    /// Distinguishes the channel from later ones with the same number.
    generation: u64,
    token: ReplyToken,
}

/// Requests of one channel that wait for replies.
#[derive(Debug)]
pub(super) struct Requests {
    generation: u64,
    /// True if the owner accepts the peer's requests.
    taken: bool,
    replies: OrderedReplies,
    /// Number of replies that the peer owes.
    asked: u32,
}

impl Requests {
    fn new(generation: u64) -> Self {
        Self {
            generation,
            taken: false,
            replies: OrderedReplies::new(MAX_OWED),
            asked: 0,
        }
    }
}

/// Commands.
impl Channels {
    /// Passes requests of the channel's peer on as events from now on; those of other channels are refused at once.
    pub fn take_requests(&mut self, id: ChannelId) {
        let generation = self.next_generation();
        if let Some(channel) = self.channel_mut(id) {
            let new = || Box::new(Requests::new(generation));
            channel.requests.get_or_insert_with(new).taken = true;
        }
    }

    fn next_generation(&mut self) -> u64 {
        self.generation += 1;
        self.generation
    }

    /// Sends a request after the data that is sealed already, and before data that follows. It may follow our EOF, but
    /// not our CLOSE.
    pub fn send_request(
        &mut self,
        id: ChannelId,
        request_type: &str,
        data: &[u8],
        want_reply: WantReply,
    ) -> Result<(), RequestError> {
        let (backlog, generation) = (self.waiting, self.next_generation());
        let channel = self.channel_mut(id).ok_or(RequestError::NotOpen)?;
        if channel.state != State::Open || channel.released || channel.half_close.closed_by_us() {
            return Err(RequestError::NotOpen);
        }
        let message = ChannelRequest {
            recipient_channel: channel.peer.0,
            request_type,
            want_reply: want_reply == WantReply::Yes,
            data,
        }
        .encode();
        if message.len() > MAX_PAYLOAD_LEN {
            return Err(RequestError::TooLong);
        }
        if backlog > MAX_WAITING {
            return Err(RequestError::TooMany);
        }
        if want_reply == WantReply::Yes {
            let new = || Box::new(Requests::new(generation));
            let requests = channel.requests.get_or_insert_with(new);
            if requests.asked >= MAX_ASKED {
                return Err(RequestError::TooMany);
            }
            requests.asked += 1;
        }
        self.queue(message);
        Ok(())
    }

    /// Replies to a request of the peer, at once or after the replies before it. If the channel is closed meanwhile,
    /// the reply is dropped.
    pub fn answer_request(&mut self, token: ChannelReplyToken, outcome: RequestOutcome) {
        let Some(channel) = self.channel_mut(token.id) else {
            return;
        };
        let message = outcome.encode(channel.peer);
        match &mut channel.requests {
            Some(requests) if requests.generation == token.generation => {
                requests.replies.answer(token.token, message);
            }
            _ => return,
        }
        self.queue_answers(token.id);
    }

    /// Queues the replies whose turn has come.
    fn queue_answers(&mut self, id: ChannelId) {
        while let Some(channel) = self.channel_mut(id)
            && !channel.half_close.closed_by_us()
            && let Some(requests) = channel.requests.as_mut()
            && let Some(message) = requests.replies.poll()
        {
            self.queue(message);
        }
    }
}

/// Messages of the peer.
impl Channels {
    /// SSH_MSG_CHANNEL_REQUEST.
    pub(super) fn recv_request(&mut self, payload: &[u8]) -> Result<(), Misbehaviour> {
        let request = ChannelRequest::parse(payload)?;
        let id = ChannelId(request.recipient_channel);
        // OpenSSH's ClientAlive sends a keepalive request on any open channel, so it may cross our CLOSE. A reply would
        // then have no recipient.
        let channel = self.in_state(id, State::Open).ok();
        let Some(channel) = channel.filter(|c| !c.half_close.closed_by_us()) else {
            return Ok(());
        };
        let failure = RequestOutcome::Failure.encode(channel.peer);
        let is_for_owner = request.request_type != KEEP_ALIVE && request.has_name();
        match &mut channel.requests {
            Some(requests) if requests.taken && is_for_owner => {
                let reply = match request.want_reply {
                    true => Some(ChannelReplyToken {
                        id,
                        generation: requests.generation,
                        token: requests.replies.await_owner()?,
                    }),
                    false => None,
                };
                self.events.push_back(ChannelEvent::Request {
                    id,
                    request_type: request.request_type.to_owned(),
                    data: request.data.to_vec(),
                    reply,
                });
            }
            Some(requests) if request.want_reply => {
                requests.replies.know(failure)?;
                self.queue_answers(id);
            }
            None if request.want_reply => self.queue(failure),
            _ => {}
        }
        self.check_backlog()
    }

    /// SSH_MSG_CHANNEL_SUCCESS or SSH_MSG_CHANNEL_FAILURE: the reply to our oldest request that waits for one.
    pub(super) fn recv_answer(
        &mut self,
        payload: &[u8],
        outcome: RequestOutcome,
    ) -> Result<(), Misbehaviour> {
        let id = ChannelId(message::parse_channel_only(payload)?);
        // It may cross our CLOSE, or follow the peer's: a channel that is gone is no reason to end the connection.
        let Some(channel) = self.channel_mut(id) else {
            return Ok(());
        };
        if channel.state == State::Open && channel.half_close.is_over() {
            return Ok(());
        }
        let asked = channel
            .requests
            .as_mut()
            .map(|requests| &mut requests.asked);
        match asked {
            Some(asked) if *asked > 0 => *asked -= 1,
            _ => return Err(Misbehaviour::UnexpectedReply),
        }
        if !channel.released {
            self.events.push_back(ChannelEvent::Reply { id, outcome });
        }
        Ok(())
    }
}

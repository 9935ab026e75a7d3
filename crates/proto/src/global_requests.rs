//! Global requests (RFC 4254 §4) in both directions: ours that wait for the peer's replies, and the peer's that wait for
//! ours.

use std::collections::VecDeque;

use crate::error::Misbehaviour;
use crate::message::connection::{self as message, GlobalRequest};
use crate::message::number;
use crate::ordered_replies::{OrderedReplies, ReplyToken};

/// Requests of ours that may wait for the peer's replies; more are a mistake of the caller.
const MAX_ASKED: usize = 4096;
/// Requests of the peer that may wait for our replies.
const MAX_OWED: usize = 4096;

/// SSH_MSG_REQUEST_FAILURE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestRefused;

/// The reply to a global request: the port that was allocated, where there is one, or a refusal.
pub type GlobalReply = Result<Option<u16>, RequestRefused>;

/// Purpose of a request of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The owner of the connection wants something.
    Owner,
    /// A sign of life.
    KeepAlive,
    /// The time until the reply.
    RoundTrip,
}

/// One of our requests that has its reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answered {
    /// The owner's, with what the peer said.
    Owner(GlobalReply),
    /// A sign of life, which the reply is by being there.
    KeepAlive,
    /// A measurement, which the reply ends.
    RoundTrip,
}

impl Answered {
    /// For what is refused, or answered by what is no reply at all.
    fn without_success(purpose: Purpose) -> Self {
        match purpose {
            Purpose::Owner => Self::Owner(Err(RequestRefused)),
            Purpose::KeepAlive => Self::KeepAlive,
            Purpose::RoundTrip => Self::RoundTrip,
        }
    }
}

/// The global requests of one connection that are not answered yet.
#[derive(Debug)]
pub(crate) struct GlobalRequests {
    /// Ours, the oldest first.
    asked: VecDeque<Purpose>,
    /// Replies that the peer waits for.
    replies: OrderedReplies,
}

impl GlobalRequests {
    /// Nobody waits for anything.
    pub(crate) fn new() -> Self {
        Self {
            asked: VecDeque::new(),
            replies: OrderedReplies::new(MAX_OWED),
        }
    }

    /// Notes a request of ours, which the caller sends.
    pub(crate) fn ask(&mut self, purpose: Purpose) -> Result<(), Misbehaviour> {
        if self.asked.len() >= MAX_ASKED {
            return Err(Misbehaviour::AsksFasterThanItReads);
        }
        self.asked.push_back(purpose);
        Ok(())
    }

    /// REQUEST_SUCCESS or REQUEST_FAILURE: it is for our oldest request.
    pub(crate) fn recv_reply(&mut self, payload: &[u8]) -> Result<Answered, Misbehaviour> {
        let purpose = self.asked.pop_front();
        match (purpose.ok_or(Misbehaviour::UnexpectedReply)?, payload[0]) {
            (Purpose::Owner, number::REQUEST_SUCCESS) => {
                let port = message::parse_request_success(payload)?;
                Ok(Answered::Owner(Ok(port)))
            }
            (purpose, _) => Ok(Answered::without_success(purpose)),
        }
    }

    /// UNIMPLEMENTED: some peers (libssh 0.7.5) answer so what they do not know. None where nothing waits.
    ///
    /// The oldest of the core's own questions it is, wherever it stands: such a peer gives the owner's requests real replies,
    /// in its own time. Where there is none, the owner's oldest is what the peer will never answer otherwise.
    pub(crate) fn recv_unimplemented(&mut self) -> Option<Answered> {
        let ours = self.asked.iter().position(|&p| p != Purpose::Owner);
        let purpose = self.asked.remove(ours.unwrap_or_default())?;
        Some(Answered::without_success(purpose))
    }

    /// GLOBAL_REQUEST: given to the owner, with a token where it wants a reply, or refused at once.
    pub(crate) fn recv_request(
        &mut self,
        payload: &[u8],
    ) -> Result<Option<(GlobalRequest, Option<ReplyToken>)>, Misbehaviour> {
        let (request, want_reply) = GlobalRequest::parse(payload)?;
        let is_owners = !matches!(request, GlobalRequest::KeepAlive | GlobalRequest::Other(_));
        let mut reply = None;
        match (is_owners, want_reply) {
            (true, true) => reply = Some(self.replies.await_owner()?),
            (false, true) => self.replies.know(vec![number::REQUEST_FAILURE])?,
            (_, false) => {}
        }
        Ok(is_owners.then_some((request, reply)))
    }

    /// Takes the owner's reply.
    pub(crate) fn reply(&mut self, token: ReplyToken, reply: GlobalReply) {
        let message = match reply {
            Ok(port) => message::encode_request_success(port),
            Err(RequestRefused) => vec![number::REQUEST_FAILURE],
        };
        self.replies.answer(token, message);
    }

    /// The next reply to send.
    pub(crate) fn poll_reply(&mut self) -> Option<Vec<u8>> {
        self.replies.poll()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::connection::encode_request_success;

    fn asked(purposes: &[Purpose]) -> GlobalRequests {
        let mut requests = GlobalRequests::new();
        for &purpose in purposes {
            requests.ask(purpose).unwrap();
        }
        requests
    }

    #[test]
    fn replies_belong_to_the_requests_in_their_order() {
        let mut requests = asked(&[Purpose::KeepAlive, Purpose::Owner, Purpose::Owner]);
        let port = encode_request_success(Some(40_000));
        let refusal = [number::REQUEST_FAILURE];
        for (reply, expected) in [
            (&refusal[..], Answered::KeepAlive),
            (&port, Answered::Owner(Ok(Some(40_000)))),
            (&refusal, Answered::Owner(Err(RequestRefused))),
        ] {
            assert_eq!(requests.recv_reply(reply), Ok(expected));
        }
        let unasked = requests.recv_reply(&refusal);
        assert_eq!(unasked, Err(Misbehaviour::UnexpectedReply));
    }

    #[test]
    fn unimplemented_is_the_cores_own_question_before_it_is_the_owners() {
        let mut requests = asked(&[Purpose::Owner, Purpose::RoundTrip]);
        assert_eq!(requests.recv_unimplemented(), Some(Answered::RoundTrip));
        let refused = Answered::Owner(Err(RequestRefused));
        assert_eq!(requests.recv_unimplemented(), Some(refused));
        assert_eq!(requests.recv_unimplemented(), None);
    }

    #[test]
    fn request_that_no_owner_knows_is_refused_where_it_wants_a_reply() {
        let mut requests = GlobalRequests::new();
        let other = GlobalRequest::Other("unknown@example.com".into()).encode();
        assert_eq!(requests.recv_request(&other), Ok(None));
        assert_eq!(requests.poll_reply(), Some(vec![number::REQUEST_FAILURE]));
        assert_eq!(requests.poll_reply(), None);
    }

    #[test]
    fn requests_of_ours_beyond_the_bound_are_refused() {
        let mut requests = asked(&[Purpose::Owner; MAX_ASKED]);
        assert!(requests.ask(Purpose::KeepAlive).is_err());
    }
}

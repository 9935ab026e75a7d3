//! Requests of a session channel, in both directions: those of the peer for the owner, and replies to ours.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use adit_proto::channels::{ChannelReplyToken, RequestError, RequestOutcome, WantReply};
use adit_proto::message::session::SessionRequest;
use adit_proto::wire::WireError;
use tokio::sync::oneshot;

use super::channel::Channel;
use super::state::Shared;

/// Limit of the peer's requests that wait for the owner of one channel. More are refused, or dropped if no reply is
/// wanted.
const MAX_REQUESTS: usize = 1024;
/// Limit of their bytes together, counted as below.
const MAX_REQUEST_BYTES: usize = 1 << 20;

/// A request of the peer.
#[derive(Debug)]
pub(super) struct Request {
    request_type: String,
    data: Vec<u8>,
    /// Right to reply, if a reply is wanted.
    pub(super) reply: Option<ChannelReplyToken>,
}

impl Request {
    pub(super) fn new(
        request_type: String,
        data: Vec<u8>,
        reply: Option<ChannelReplyToken>,
    ) -> Self {
        Self {
            request_type,
            data,
            reply,
        }
    }

    fn len(&self) -> usize {
        self.request_type.len() + self.data.len()
    }
}

/// Queues of one channel's requests, for both directions.
#[derive(Debug, Default)]
pub(super) struct RequestQueues {
    incoming: VecDeque<Request>,
    /// Sum of the bytes of waiting requests.
    len: usize,
    waker: Option<Waker>,
    /// Senders for the tasks that wait for the peer's replies, that of the oldest request first.
    asked: VecDeque<oneshot::Sender<RequestOutcome>>,
}

impl RequestQueues {
    /// Queues a request of the peer, and wakes the owner. Gives it back if there is no room.
    pub(super) fn push(&mut self, request: Request) -> Option<Request> {
        let len = self.len + request.len();
        if self.incoming.len() >= MAX_REQUESTS || len > MAX_REQUEST_BYTES {
            return Some(request);
        }
        self.len = len;
        self.incoming.push_back(request);
        self.wake();
        None
    }

    fn pop(&mut self) -> Option<Request> {
        let request = self.incoming.pop_front()?;
        self.len -= request.len();
        Some(request)
    }

    /// Passes on the peer's reply to our oldest request.
    pub(super) fn answered(&mut self, outcome: RequestOutcome) {
        if let Some(sender) = self.asked.pop_front() {
            // The task that waited may be gone.
            let _ = sender.send(outcome);
        }
    }

    /// Ends both queues: no more requests or replies will come.
    pub(super) fn end(&mut self) {
        self.asked.clear();
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// A request of the peer, for the owner of a session channel.
#[derive(Debug)]
pub struct IncomingChannelRequest {
    /// Type of the request.
    pub request_type: String,
    /// Fields of the type, in their encoding.
    pub data: Vec<u8>,
    /// Right to reply; without effect if no reply is wanted.
    pub reply: PendingChannelReply,
}

impl IncomingChannelRequest {
    /// The request as one of those that a session knows; none for an unknown type.
    ///
    /// # Errors
    /// The fields do not match the type.
    pub fn parse(&self) -> Result<Option<SessionRequest>, WireError> {
        SessionRequest::parse(&self.request_type, &self.data)
    }
}

/// Right to give one reply. Dropping it refuses the request, because later replies wait for it.
#[derive(Debug)]
#[must_use = "dropped, it refuses the request"]
pub struct PendingChannelReply {
    shared: Arc<Shared>,
    token: Option<ChannelReplyToken>,
}

impl PendingChannelReply {
    /// Replies with success.
    pub fn succeed(mut self) {
        self.give(RequestOutcome::Success);
    }

    /// Replies with failure.
    pub fn fail(self) {}

    /// True if the peer waits for a reply.
    pub fn is_wanted(&self) -> bool {
        self.token.is_some()
    }

    fn give(&mut self, outcome: RequestOutcome) {
        let Some(token) = self.token.take() else {
            return;
        };
        let mut state = self.shared.state();
        // Nothing may follow our good-bye.
        if state.ended.is_some() {
            return;
        }
        state.connection.channels().answer_request(token, outcome);
        drop(state);
        self.shared.kick();
    }
}

impl Drop for PendingChannelReply {
    fn drop(&mut self) {
        self.give(RequestOutcome::Failure);
    }
}

/// Reply of the peer to a request of ours, which may not have arrived yet.
#[derive(Debug)]
pub struct PendingChannelAnswer(oneshot::Receiver<RequestOutcome>);

impl PendingChannelAnswer {
    /// Waits for the reply.
    ///
    /// # Errors
    /// The channel was closed before.
    pub async fn given(self) -> Result<RequestOutcome, RequestError> {
        self.0.await.map_err(|_| RequestError::NotOpen)
    }
}

/// Requests, which only session channels have.
impl Channel {
    /// Sends a request, and waits for the peer's reply.
    ///
    /// # Errors
    /// The channel is not open, or is closed before the reply; or too many requests wait, or this one is too long.
    pub async fn request(&self, request: &SessionRequest) -> Result<RequestOutcome, RequestError> {
        self.ask(request)?.given().await
    }

    /// Sends a request after all data sent before. The reply may be awaited later.
    ///
    /// # Errors
    /// Those of [`Channel::request`].
    pub fn ask(&self, request: &SessionRequest) -> Result<PendingChannelAnswer, RequestError> {
        let (sender, receiver) = oneshot::channel();
        self.send_request(request, Some(sender))?;
        Ok(PendingChannelAnswer(receiver))
    }

    /// Sends a request that wants no reply.
    ///
    /// # Errors
    /// Those of [`Channel::request`].
    pub fn tell(&self, request: &SessionRequest) -> Result<(), RequestError> {
        self.send_request(request, None)
    }

    fn send_request(
        &self,
        request: &SessionRequest,
        answer: Option<oneshot::Sender<RequestOutcome>>,
    ) -> Result<(), RequestError> {
        let want_reply = match answer {
            Some(_) => WantReply::Yes,
            None => WantReply::No,
        };
        let shared = self.shared();
        let mut state = shared.state();
        if state.ended.is_some() {
            return Err(RequestError::NotOpen);
        }
        state.connection.channels().send_request(
            self.id(),
            request.request_type(),
            &request.encode_fields(),
            want_reply,
        )?;
        let session = state.io(self.id()).and_then(|io| io.session.as_mut());
        if let Some(session) = session {
            session.requests.asked.extend(answer);
        }
        drop(state);
        shared.kick();
        Ok(())
    }

    /// Waits for the peer's next request; none after its CLOSE, or the end of the connection.
    pub async fn next_request(&self) -> Option<IncomingChannelRequest> {
        let request = poll_fn(|cx| self.poll_request(cx)).await?;
        Some(IncomingChannelRequest {
            request_type: request.request_type,
            data: request.data,
            reply: PendingChannelReply {
                shared: self.shared(),
                token: request.reply,
            },
        })
    }

    fn poll_request(&self, cx: &mut Context<'_>) -> Poll<Option<Request>> {
        let shared = self.shared();
        let mut state = shared.state();
        let is_over = state.ended.is_some();
        let Some(io) = state.io(self.id()) else {
            return Poll::Ready(None);
        };
        let is_over = is_over || io.closed.is_some();
        let Some(session) = &mut io.session else {
            return Poll::Ready(None);
        };
        match session.requests.pop() {
            None if !is_over => {
                session.requests.waker = Some(cx.waker().clone());
                Poll::Pending
            }
            request => Poll::Ready(request),
        }
    }
}

#[cfg(test)]
mod tests;

//! Requests of a session channel, in both directions: the peer's for the owner of the channel, and answers to ours.

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

/// Requests of the peer that wait for the owner of one channel. More are refused, or dropped where no answer is wanted.
const MAX_REQUESTS: usize = 1024;
/// Bytes that they may have together, as below.
const MAX_REQUEST_BYTES: usize = 1 << 20;

/// A request of the peer.
#[derive(Debug)]
pub(super) struct Request {
    request_type: String,
    data: Vec<u8>,
    /// Right to one answer, where one is wanted.
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

/// What waits on the requests of one channel.
#[derive(Debug, Default)]
pub(super) struct RequestQueues {
    incoming: VecDeque<Request>,
    /// Their bytes.
    len: usize,
    waker: Option<Waker>,
    /// Who waits for the peer's answers, the oldest request's first.
    asked: VecDeque<oneshot::Sender<RequestOutcome>>,
}

impl RequestQueues {
    /// Keeps a request of the peer, and wakes the owner. Gives it back where there is no room.
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

    /// The peer answered our oldest request that waits.
    pub(super) fn answered(&mut self, outcome: RequestOutcome) {
        if let Some(sender) = self.asked.pop_front() {
            // Whoever asked may have gone.
            let _ = sender.send(outcome);
        }
    }

    /// Nothing more comes: nobody need wait for answers or requests.
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
    /// The type.
    pub request_type: String,
    /// The fields of the type, as they are on the wire.
    pub data: Vec<u8>,
    /// The answer that is owed; where none is wanted, it goes nowhere.
    pub reply: PendingChannelReply,
}

impl IncomingChannelRequest {
    /// The request as one of those that a session knows; none where it knows no such type.
    ///
    /// # Errors
    /// If its fields are not what the type says.
    pub fn parse(&self) -> Result<Option<SessionRequest>, WireError> {
        SessionRequest::parse(&self.request_type, &self.data)
    }
}

/// The right to one answer. Dropped, it is a refusal: later answers wait behind it.
#[derive(Debug)]
#[must_use = "dropped, it refuses the request"]
pub struct PendingChannelReply {
    shared: Arc<Shared>,
    token: Option<ChannelReplyToken>,
}

impl PendingChannelReply {
    /// Grants the request.
    pub fn succeed(mut self) {
        self.give(RequestOutcome::Success);
    }

    /// Refuses it.
    pub fn fail(self) {}

    /// True where the peer waits for an answer.
    pub fn is_wanted(&self) -> bool {
        self.token.is_some()
    }

    fn give(&mut self, outcome: RequestOutcome) {
        let Some(token) = self.token.take() else {
            return;
        };
        let mut state = self.shared.state();
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

/// The peer's answer to a request of ours, once it comes.
#[derive(Debug)]
pub struct PendingAnswer(oneshot::Receiver<RequestOutcome>);

impl PendingAnswer {
    /// Waits for it.
    ///
    /// # Errors
    /// If the channel is closed before.
    pub async fn given(self) -> Result<RequestOutcome, RequestError> {
        self.0.await.map_err(|_| RequestError::NotOpen)
    }
}

/// Requests. Only session channels have any.
impl Channel {
    /// Asks the peer something, and waits for its answer.
    ///
    /// # Errors
    /// If the channel is not open, or closed before the answer; if too many requests wait, or this is too long.
    pub async fn request(&self, request: &SessionRequest) -> Result<RequestOutcome, RequestError> {
        self.ask(request)?.given().await
    }

    /// Asks the peer something. The request is behind all that was sent before, and the answer may be awaited later.
    ///
    /// # Errors
    /// As of [`Channel::request`].
    pub fn ask(&self, request: &SessionRequest) -> Result<PendingAnswer, RequestError> {
        let (sender, receiver) = oneshot::channel();
        self.send_request(request, Some(sender))?;
        Ok(PendingAnswer(receiver))
    }

    /// Tells the peer something that it need not answer.
    ///
    /// # Errors
    /// As of [`Channel::request`].
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

    /// The peer's next request; none once it has closed the channel, or the connection is over.
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

//! Requests and events of the peer for the owner of a connection, and their queue.

use std::sync::Arc;

use adit_proto::connection::{GlobalReply, ReplyToken, RequestRefused};
use adit_proto::error::{Error, Misbehaviour};
use adit_proto::key::PublicKey;
use adit_proto::message::connection::{ChannelType, GlobalRequest, OpenFailure, OpenFailureReason};
use adit_proto::userauth::client::ClientAuthEvent;
use adit_proto::userauth::server::AuthRequest;
use tokio::sync::mpsc;

use super::channel::Channel;
use super::state::Shared;

/// Length of the owner's queue. While it may lack room for the events of one packet, nothing more is read: a burst then
/// waits, as with a full window.
pub(super) const INCOMING: usize = 1024;
const OF_ONE_PACKET: usize = 8;
/// Places in the owner's queue that events without a waiting task leave free.
const FOR_REQUESTS: usize = INCOMING / 2;

/// A request or an event of the peer for the owner of the connection, in order.
#[derive(Debug)]
pub enum Incoming {
    /// The peer opened a channel: accept or refuse it.
    Open(IncomingChannel),
    /// A global request of the peer.
    GlobalRequest(IncomingRequest),
    /// The reply to the oldest unanswered [`Handle::send_global_request`](super::Handle::send_global_request).
    GlobalReply(GlobalReply),
    /// A key exchange is complete.
    KeysChanged,
    /// A debug message.
    Debug(String),
}

/// An item for the owner, during the login or after it.
#[derive(Debug)]
pub(super) enum Notice {
    /// Client: the server has this host key.
    HostKey(PublicKey),
    /// Client: an event of the login.
    Auth(ClientAuthEvent),
    /// Server: a request of the login. Boxed, because a connection's queue keeps 32 places of this size as long as it
    /// lives.
    AuthRequest(Box<AuthRequest>),
    /// Both roles.
    Incoming(Incoming),
}

/// The receiving end of the queue, after the login.
#[derive(Debug)]
pub struct Inbox(mpsc::Receiver<Notice>);

impl Inbox {
    pub(super) fn new(notices: mpsc::Receiver<Notice>) -> Self {
        Self(notices)
    }

    /// Waits for the next item; none after the end of the connection. Cancel safe.
    pub async fn recv(&mut self) -> Option<Incoming> {
        loop {
            if let Notice::Incoming(incoming) = self.0.recv().await? {
                return Some(incoming);
            }
        }
    }
}

/// A channel that the peer opened.
#[derive(Debug)]
pub struct IncomingChannel {
    /// Type of the channel, with its target or origin.
    pub channel_type: ChannelType,
    channel: Channel,
}

impl IncomingChannel {
    pub(super) fn new(channel_type: ChannelType, channel: Channel) -> Self {
        Self {
            channel_type,
            channel,
        }
    }

    /// Confirms the channel.
    pub fn accept(self) -> Channel {
        let shared = self.channel.shared();
        shared
            .state()
            .connection
            .channels()
            .accept(self.channel.id());
        shared.kick();
        self.channel
    }

    /// Waits for the end of the connection, after which the channel is of no use.
    pub async fn over(&self) {
        self.channel.over().await;
    }

    /// Refuses the channel, with a description for the user.
    pub fn refuse(self, reason: OpenFailureReason, description: impl Into<String>) {
        let failure = OpenFailure {
            reason,
            description: description.into(),
        };
        let shared = self.channel.shared();
        let id = self.channel.id();
        let mut state = shared.state();
        state.connection.channels().refuse(id, &failure);
        state.remove_io(id);
        drop(state);
        shared.kick();
    }
}

/// A global request of the peer.
#[derive(Debug)]
pub struct IncomingRequest {
    /// Content of the request.
    pub request: GlobalRequest,
    /// Right to answer it; none if no reply is wanted.
    pub reply: Option<PendingReply>,
}

impl IncomingRequest {
    pub(super) fn new(
        request: GlobalRequest,
        reply: Option<ReplyToken>,
        shared: &Arc<Shared>,
    ) -> Self {
        let reply = reply.map(|token| PendingReply {
            token: Some(token),
            shared: shared.clone(),
        });
        Self { request, reply }
    }
}

/// Right to answer a global request, once. Replies are sent in the order of the requests, whichever is given first.
/// Dropping it refuses the request, because the peer must not wait forever.
///
/// ```
/// # use adit_tunnel::net::PendingReply;
/// fn answer(reply: PendingReply) {
///     reply.send(Ok(None)).unwrap();
/// }
/// ```
/// A second answer does not compile:
/// ```compile_fail,E0382
/// # use adit_tunnel::net::PendingReply;
/// fn answer(reply: PendingReply) {
///     reply.send(Ok(None)).unwrap();
///     reply.send(Ok(None)).unwrap();
/// }
/// ```
#[derive(Debug)]
pub struct PendingReply {
    /// None after the reply.
    token: Option<ReplyToken>,
    shared: Arc<Shared>,
}

impl PendingReply {
    /// Sends the reply.
    pub fn send(mut self, reply: GlobalReply) -> Result<(), Error> {
        self.give(reply)
    }

    fn give(&mut self, reply: GlobalReply) -> Result<(), Error> {
        let Some(token) = self.token.take() else {
            return Ok(());
        };
        let mut state = self.shared.state();
        // Nothing may follow our DISCONNECT.
        if state.ended.is_some() {
            return Ok(());
        }
        state.connection.reply_global(token, reply)?;
        drop(state);
        self.shared.kick();
        Ok(())
    }
}

impl Drop for PendingReply {
    fn drop(&mut self) {
        // It fails only if the peer provokes more than it reads, which ends the connection elsewhere.
        let _ = self.give(Err(RequestRefused));
    }
}

/// The owner, as the driver sees it: a bounded queue. An owner that is gone takes nothing, and delays nothing.
#[derive(Debug)]
pub(super) struct Owner(mpsc::Sender<Notice>);

impl Owner {
    /// Both ends of the queue.
    pub(super) fn queue() -> (Self, mpsc::Receiver<Notice>) {
        let (sender, receiver) = mpsc::channel(INCOMING);
        (Self(sender), receiver)
    }

    /// True while the queue has room for all events of one packet.
    pub(super) fn has_room(&self) -> bool {
        self.0.capacity() >= OF_ONE_PACKET || self.0.is_closed()
    }

    /// Waits until `has_room`.
    pub(super) async fn room(&self) {
        let _ = self.0.reserve_many(OF_ONE_PACKET).await;
    }

    /// Queues an item. Events without a waiting task are dropped while requests need the room.
    pub(super) fn tell(&self, notice: Notice) -> Result<(), Error> {
        let is_optional = matches!(
            notice,
            Notice::Incoming(Incoming::KeysChanged | Incoming::Debug(_))
        );
        if is_optional && self.0.capacity() < FOR_REQUESTS {
            return Ok(());
        }
        match self.0.try_send(notice) {
            Err(mpsc::error::TrySendError::Full(_)) => {
                Err(Misbehaviour::AsksFasterThanItReads.into())
            }
            _ => Ok(()),
        }
    }

    /// A place in the queue for a request of the peer; none if the owner is gone.
    pub(super) fn place(&self) -> Option<mpsc::Permit<'_, Notice>> {
        self.0.try_reserve().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn login_requests_do_not_enlarge_the_queue_of_an_idle_connection() {
        let in_service = size_of::<Incoming>();
        assert!(size_of::<Notice>() <= in_service.next_multiple_of(32));
    }
}

//! Handle of a connection for its owner, while the driver runs the connection.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use adit_proto::connection::{Connection, GlobalReply};
use adit_proto::error::Error;
use adit_proto::message::connection::{ChannelType, GlobalRequest};
use adit_proto::message::transport::{Disconnect, DisconnectReason};
use tokio::sync::oneshot;

use super::channel::Channel;
use super::outcome::{Ended, OpenError, Refusal};
use super::state::{ChannelIo, Shared};
use crate::status::ConnectionCounters;

/// Handle of a connection.
#[derive(Debug, Clone)]
pub struct Handle(pub(super) Arc<Shared>);

impl Handle {
    /// Sends a debug message to the peer.
    pub fn debug(&self, text: &str) -> Result<(), Error> {
        self.with(|c| c.debug(text))
    }

    /// Sends a global request and waits for the reply.
    pub async fn global_request(&self, request: GlobalRequest) -> Result<GlobalReply, Ended> {
        let (sender, receiver) = oneshot::channel();
        self.send_request(request, Some(sender))?;
        receiver.await.map_err(|_| self.why_ended())
    }

    /// Sends a global request. The reply is an [`Incoming::GlobalReply`], in order with the other events.
    ///
    /// [`Incoming::GlobalReply`]: super::Incoming::GlobalReply
    pub fn send_global_request(&self, request: GlobalRequest) -> Result<(), Ended> {
        self.send_request(request, None)
    }

    fn send_request(
        &self,
        request: GlobalRequest,
        reply: Option<oneshot::Sender<GlobalReply>>,
    ) -> Result<(), Ended> {
        {
            let mut state = self.0.state();
            if let Some(ended) = &state.ended {
                return Err(ended.clone());
            }
            state
                .connection
                .send_global_request(request)
                .map_err(Ended::Protocol)?;
            state.replies.push_back(reply);
        }
        self.0.kick();
        Ok(())
    }

    /// Opens a channel, and waits until the peer confirms or refuses it.
    pub async fn open(&self, channel_type: ChannelType) -> Result<Channel, OpenError> {
        let (channel, mut confirmation) = self.begin_open(channel_type)?;
        confirmation.given().await?;
        Ok(channel)
    }

    /// Opens a channel. Data may be sent before the peer's answer: as early data, or, if the peer does not accept that,
    /// after the confirmation.
    pub fn begin_open(
        &self,
        channel_type: ChannelType,
    ) -> Result<(Channel, PendingConfirmation), OpenError> {
        let (sender, confirmation) = oneshot::channel();
        let channel = {
            let mut state = self.0.state();
            if let Some(ended) = &state.ended {
                return Err(OpenError::Ended(ended.clone()));
            }
            let io = ChannelIo {
                opened: Some(sender),
                ..ChannelIo::new(&channel_type)
            };
            let id = state
                .connection
                .channels()
                .open(channel_type, Instant::now())
                .ok_or_else(|| OpenError::Refused(Refusal::too_many_channels()))?;
            let token = state.insert_io(id, io);
            Channel::new(self.0.clone(), id, token)
        };
        self.0.kick();
        let confirmation = PendingConfirmation {
            awaited: Some(confirmation),
            connection: self.clone(),
        };
        Ok((channel, confirmation))
    }

    /// True if the peer accepts early data.
    pub fn takes_early_data(&self) -> bool {
        self.inspect(Connection::takes_early_data)
    }

    /// Ends the connection with DISCONNECT.
    pub fn end(&self, description: &str) {
        self.with(|c| {
            c.disconnect(&Disconnect {
                reason: DisconnectReason::BY_APPLICATION,
                description: description.to_owned(),
            });
        });
        // One attempt: a peer that reads nothing must not delay the end.
        let _ = self.0.flush();
        self.0.end(Ended::ByUs);
    }

    /// Reason of the connection's end; `ByUs` before that.
    pub fn why_ended(&self) -> Ended {
        self.0.state().ended.clone().unwrap_or(Ended::ByUs)
    }

    /// True after the connection's end.
    pub fn is_ended(&self) -> bool {
        self.0.state().ended.is_some()
    }

    /// Calls `look` with the state of the connection.
    pub fn inspect<T>(&self, look: impl FnOnce(&Connection) -> T) -> T {
        look(&self.0.state().connection)
    }

    /// Bytes and packets of this connection.
    pub fn counters(&self) -> &Arc<ConnectionCounters> {
        &self.0.counters
    }

    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Connection) -> T) -> T {
        let result = act(&mut self.0.state().connection);
        self.0.kick();
        result
    }
}

/// Channel open confirmation of the peer that is still to come.
#[derive(Debug)]
pub struct PendingConfirmation {
    /// None once the channel is confirmed.
    awaited: Option<oneshot::Receiver<Result<(), Refusal>>>,
    connection: Handle,
}

impl PendingConfirmation {
    /// Waits until the channel is confirmed. A refusal is an error.
    pub async fn given(&mut self) -> Result<(), OpenError> {
        let Some(awaited) = &mut self.awaited else {
            return Ok(());
        };
        match awaited.await {
            Ok(Ok(())) => self.awaited = None,
            Ok(Err(refusal)) => return Err(OpenError::Refused(refusal)),
            Err(_) => return Err(OpenError::Ended(self.connection.why_ended())),
        }
        Ok(())
    }

    /// The peer's answer, if it has come.
    pub fn known(&mut self) -> Option<Result<(), OpenError>> {
        let given = std::pin::pin!(self.given());
        match given.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        }
    }
}

//! The owner's handle to a connection, beside which the driver runs.

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

/// The owner's handle to a connection.
#[derive(Debug, Clone)]
pub struct Handle(pub(super) Arc<Shared>);

impl Handle {
    /// Tells the peer something for a person who debugs.
    pub fn debug(&self, text: &str) -> Result<(), Error> {
        self.with(|c| c.debug(text))
    }

    /// Sends a global request and waits for the reply.
    pub async fn global_request(&self, request: GlobalRequest) -> Result<GlobalReply, Ended> {
        let (sender, receiver) = oneshot::channel();
        self.send_request(request, Some(sender))?;
        receiver.await.map_err(|_| self.why_ended())
    }

    /// Sends a global request; the reply is an [`Incoming::GlobalReply`], in its turn among what else the peer sends.
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

    /// Asks the peer for a channel and waits until it gives or refuses it.
    pub async fn open(&self, channel_type: ChannelType) -> Result<Channel, OpenError> {
        let (channel, mut confirmation) = self.begin_open(channel_type)?;
        confirmation.given().await?;
        Ok(channel)
    }

    /// Asks the peer for a channel. What is sent before the confirmation leaves at once where the peer takes early data, and
    /// waits for the confirmation where it does not.
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

    /// Whether the peer takes data of channels that it has not confirmed.
    pub fn takes_early_data(&self) -> bool {
        self.inspect(Connection::takes_early_data)
    }

    /// Ends the connection with a good-bye.
    pub fn end(&self, description: &str) {
        self.with(|c| {
            c.disconnect(&Disconnect {
                reason: DisconnectReason::BY_APPLICATION,
                description: description.to_owned(),
            });
        });
        // One attempt: a peer that reads nothing does not get to delay the end.
        let _ = self.0.flush();
        self.0.end(Ended::ByUs);
    }

    /// Why the connection is over; `ByUs` while it is not.
    pub fn why_ended(&self) -> Ended {
        self.0.state().ended.clone().unwrap_or(Ended::ByUs)
    }

    /// Whether the connection is over.
    pub fn is_ended(&self) -> bool {
        self.0.state().ended.is_some()
    }

    /// Looks at the connection.
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
    /// Waits until the channel is confirmed. An error where it is refused.
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

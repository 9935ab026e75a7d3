//! Events of the state machine: each changes the state of a channel, wakes the tasks that wait for it, or goes to the
//! owner.

use std::sync::Arc;

use adit_proto::channels::{ChannelEvent, ChannelId, PeerClose, RequestOutcome};
use adit_proto::connection::{Event, GlobalReply, ReplyToken, RequestRefused};
use adit_proto::error::Error;
use adit_proto::message::connection::{ChannelType, GlobalRequest, OpenFailure, OpenFailureReason};
use log::debug;

use super::agreed;
use super::channel::Channel;
use super::incoming::{Incoming, IncomingChannel, IncomingRequest, Notice, Owner};
use super::outcome::Refusal;
use super::requests::Request;
use super::state::{ChannelIo, Shared, State, StreamIo};

impl State {
    /// Handles one event. An error is the peer's fault and ends the connection.
    pub(super) fn handle_event(
        &mut self,
        event: Event,
        shared: &Arc<Shared>,
        owner: &Owner,
    ) -> Result<(), Error> {
        owner.tell(match event {
            Event::Channel(event) => {
                self.handle_channel_event(event, shared, owner);
                return Ok(());
            }
            Event::GlobalReply(reply) => return self.handle_reply(reply, owner),
            Event::GlobalRequest { request, reply } => {
                return self.hand_over(request, reply, shared, owner);
            }
            Event::HostKey(key) => Notice::HostKey(key),
            Event::KeysChanged => {
                shared.counters.key_exchanges.add(1);
                agreed::log(self.connection.transport());
                debug!("NEWKEYS sent, NEWKEYS received");
                Notice::Incoming(Incoming::KeysChanged)
            }
            Event::Auth(event) => Notice::Auth(event),
            Event::AuthRequest(request) => Notice::AuthRequest(request),
            Event::Debug(text) => Notice::Incoming(Incoming::Debug(text)),
        })
    }

    fn handle_reply(&mut self, reply: GlobalReply, owner: &Owner) -> Result<(), Error> {
        match self.replies.pop_front() {
            Some(None) => owner.tell(Notice::Incoming(Incoming::GlobalReply(reply))),
            Some(Some(sender)) => {
                // The task that waited may be gone.
                let _ = sender.send(reply);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Passes a global request of the peer to the owner, or refuses it if the owner is gone. A place in the queue is
    /// taken first: dropping a reply here would refuse it, which needs the lock that is held.
    fn hand_over(
        &mut self,
        request: GlobalRequest,
        reply: Option<ReplyToken>,
        shared: &Arc<Shared>,
        owner: &Owner,
    ) -> Result<(), Error> {
        match (owner.place(), reply) {
            (Some(place), reply) => {
                let incoming = IncomingRequest::new(request, reply, shared);
                place.send(Notice::Incoming(Incoming::GlobalRequest(incoming)));
                Ok(())
            }
            (None, Some(reply)) => self.connection.reply_global(reply, Err(RequestRefused)),
            (None, None) => Ok(()),
        }
    }

    fn handle_channel_event(&mut self, event: ChannelEvent, shared: &Arc<Shared>, owner: &Owner) {
        match event {
            ChannelEvent::Asked { id, channel_type } => {
                self.ask_owner(id, channel_type, shared, owner);
            }
            ChannelEvent::Opened(id) => self.change_io(id, |io| {
                if let Some(sender) = io.opened.take() {
                    // The task that waited may be gone.
                    let _ = sender.send(Ok(()));
                }
                io.streams().for_each(StreamIo::wake_sender);
            }),
            ChannelEvent::Refused { id, failure, lost } => self.change_io(id, |io| {
                if let Some(sender) = io.opened.take() {
                    let _ = sender.send(Err(Refusal { failure, lost }));
                }
                io.closed = Some(PeerClose::Reset);
                io.wake_all();
            }),
            ChannelEvent::Writable(id) => {
                self.change_io(id, |io| io.streams().for_each(StreamIo::wake_sender));
            }
            ChannelEvent::Request {
                id,
                request_type,
                data,
                reply,
            } => self.keep_request(id, Request::new(request_type, data, reply)),
            ChannelEvent::Reply { id, outcome } => self.change_io(id, |io| {
                if let Some(session) = &mut io.session {
                    session.requests.answered(outcome);
                }
            }),
            ChannelEvent::Eof(id) => self.change_io(id, |io| {
                io.streams().for_each(|stream| {
                    stream.eof = true;
                    stream.wake_reader();
                });
            }),
            ChannelEvent::Closed { id, close } => self.change_io(id, |io| {
                io.closed = Some(close);
                io.wake_all();
            }),
        }
    }

    /// Passes a channel that the peer opened to the owner, or refuses it if the owner is gone.
    fn ask_owner(
        &mut self,
        id: ChannelId,
        channel_type: ChannelType,
        shared: &Arc<Shared>,
        owner: &Owner,
    ) {
        let Some(place) = owner.place() else {
            let failure = OpenFailure {
                reason: OpenFailureReason::RESOURCE_SHORTAGE,
                description: "nobody serves this connection any more".into(),
            };
            return self.connection.channels().refuse(id, &failure);
        };
        let token = self.insert_io(id, ChannelIo::new(&channel_type));
        let channel = Channel::new(shared.clone(), id, token);
        let asked = Incoming::Open(IncomingChannel::new(channel_type, channel));
        place.send(Notice::Incoming(asked));
    }

    /// Queues a request for the owner of the channel, or refuses it if too many wait.
    fn keep_request(&mut self, id: ChannelId, request: Request) {
        let session = self.io(id).and_then(|io| io.session.as_mut());
        let refused = match session {
            Some(session) => session.requests.push(request),
            None => Some(request),
        };
        if let Some(token) = refused.and_then(|request| request.reply) {
            let channels = self.connection.channels();
            channels.answer_request(token, RequestOutcome::Failure);
        }
    }

    /// Changes our end of a channel, unless the owner has dropped it.
    fn change_io(&mut self, id: ChannelId, change: impl FnOnce(&mut ChannelIo)) {
        if let Some(io) = self.io(id) {
            change(io);
        }
    }
}

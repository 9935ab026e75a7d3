//! The state of one connection that events change and tasks share, with the locks around it.
//!
//! Two locks: `outbound` is taken before `state`, never after it.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use adit_proto::channels::{ChannelId, ChannelStream, PeerClose};
use adit_proto::connection::{Connection, GlobalReply};
use adit_proto::message::connection::ChannelType;
use adit_proto::packet::Usage;
use tokio::sync::{Notify, oneshot};

use super::outbound::{Outbound, Place};
use super::outcome::{Ended, Refusal};
use super::queue::InboundQueue;
use super::requests::RequestQueues;
use super::stream::Stream;
use crate::status::{ConnectionCounters, ForwardCounters};

/// Everything about one connection that more than one task touches.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) socket: Stream,
    outbound: Mutex<Outbound>,
    state: Mutex<State>,
    /// Wakes the driver: there is something to send, or the end was asked for.
    pub(super) wake: Notify,
    /// Tells those who wait for something else that the connection is over.
    over: Notify,
    pub(super) counters: Arc<ConnectionCounters>,
}

/// The channel table with the tasks that wait on it.
#[derive(Debug)]
pub(super) struct State {
    pub(super) connection: Connection,
    pub(super) channels: Vec<Option<ChannelIo>>,
    /// Receivers of the replies to global requests, in order; none where a reply goes to the owner.
    pub(super) replies: VecDeque<Option<oneshot::Sender<GlobalReply>>>,
    pub(super) ended: Option<Ended>,
    pub(super) opened_usage: Usage,
    next_token: u64,
}

/// The application's side of one channel.
#[derive(Debug, Default)]
pub(super) struct ChannelIo {
    pub(super) token: u64,
    pub(super) data: StreamIo,
    /// What only a session has; none in a forward.
    pub(super) session: Option<Box<SessionIo>>,
    pub(super) closed: Option<PeerClose>,
    pub(super) opened: Option<oneshot::Sender<Result<(), Refusal>>>,
}

/// The part of a session channel that forwards do without.
#[derive(Debug, Default)]
pub(super) struct SessionIo {
    pub(super) stderr: StreamIo,
    pub(super) requests: RequestQueues,
}

/// The application's side of one stream of a channel: it has a reader and a sender of its own.
#[derive(Debug, Default)]
pub(super) struct StreamIo {
    /// The application, to which inbound data goes straight from the read buffer.
    pub(super) sink: Option<(Arc<Stream>, Arc<ForwardCounters>)>,
    /// Inbound data that the sink had no room for.
    pub(super) queue: InboundQueue,
    pub(super) sink_error: Option<io::ErrorKind>,
    /// The peer's EOF, of which the reader has not been told.
    pub(super) eof: bool,
    pub(super) recv_waker: Option<Waker>,
    pub(super) send_waker: Option<Waker>,
    /// Its place in the line of those who wait for the SSH socket.
    pub(super) place: Option<Place>,
}

impl StreamIo {
    pub(super) fn wake_reader(&mut self) {
        if let Some(waker) = self.recv_waker.take() {
            waker.wake();
        }
    }

    pub(super) fn wake_sender(&mut self) {
        if let Some(waker) = self.send_waker.take() {
            waker.wake();
        }
    }

    pub(super) fn wake_all(&mut self) {
        self.wake_reader();
        self.wake_sender();
    }
}

impl ChannelIo {
    /// The application's side of a channel of this type.
    pub(super) fn new(channel_type: &ChannelType) -> Self {
        let is_session = *channel_type == ChannelType::Session;
        Self {
            session: is_session.then(Box::default),
            ..Self::default()
        }
    }

    /// One of its streams; none where the channel has no such.
    pub(super) fn stream(&mut self, stream: ChannelStream) -> Option<&mut StreamIo> {
        match stream {
            ChannelStream::Data => Some(&mut self.data),
            ChannelStream::Stderr => self.session.as_mut().map(|session| &mut session.stderr),
        }
    }

    /// Every stream it has.
    pub(super) fn streams(&mut self) -> impl Iterator<Item = &mut StreamIo> {
        let stderr = self.session.as_mut().map(|session| &mut session.stderr);
        std::iter::once(&mut self.data).chain(stderr)
    }

    pub(super) fn wake_all(&mut self) {
        self.streams().for_each(StreamIo::wake_all);
        if let Some(session) = &mut self.session {
            session.requests.end();
        }
        self.opened = None;
    }
}

impl State {
    pub(super) fn io(&mut self, id: ChannelId) -> Option<&mut ChannelIo> {
        self.channels.get_mut(id.0 as usize)?.as_mut()
    }

    /// One stream of a channel.
    pub(super) fn stream(&mut self, id: ChannelId, stream: ChannelStream) -> Option<&mut StreamIo> {
        self.io(id)?.stream(stream)
    }

    /// Gives the channel its entry, and the token that tells it from later channels of the same number.
    pub(super) fn insert_io(&mut self, id: ChannelId, mut io: ChannelIo) -> u64 {
        self.next_token += 1;
        io.token = self.next_token;
        if io.session.is_some() {
            self.connection.channels().take_requests(id);
        }
        let index = id.0 as usize;
        if self.channels.len() <= index {
            self.channels.resize_with(index + 1, || None);
        }
        self.channels[index] = Some(io);
        self.next_token
    }

    pub(super) fn remove_io(&mut self, id: ChannelId) -> Option<ChannelIo> {
        self.channels.get_mut(id.0 as usize)?.take()
    }
}

impl Shared {
    pub(super) fn new(socket: Stream, connection: Connection) -> Arc<Self> {
        Arc::new(Self {
            socket,
            outbound: Mutex::new(Outbound::new()),
            state: Mutex::new(State {
                connection,
                channels: Vec::new(),
                replies: VecDeque::new(),
                ended: None,
                opened_usage: Usage::default(),
                next_token: 0,
            }),
            wake: Notify::new(),
            over: Notify::new(),
            counters: Arc::default(),
        })
    }

    /// The channel table. A panic elsewhere does not make its arithmetic wrong, so poisoning is passed over.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The outbound direction; to be locked before `state`, never after.
    pub(super) fn outbound(&self) -> MutexGuard<'_, Outbound> {
        self.outbound.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the driver send what waits.
    pub(super) fn kick(&self) {
        self.wake.notify_one();
    }

    /// Ends the connection: everybody who waits hears of it.
    pub(super) fn end(&self, why: Ended) {
        self.end_holding(&mut self.outbound(), why);
    }

    /// Ends the connection, for whoever has locked `outbound` already.
    pub(super) fn end_holding(&self, outbound: &mut Outbound, why: Ended) {
        let mut state = self.state();
        state.ended.get_or_insert(why);
        state.replies.clear();
        state
            .channels
            .iter_mut()
            .flatten()
            .for_each(ChannelIo::wake_all);
        drop(state);
        outbound.wake_all();
        self.kick();
        self.over.notify_waiters();
    }

    /// Waits for the end of the connection.
    pub(super) async fn over(&self) {
        // Made before the look, so that an end in between is not missed.
        let over = self.over.notified();
        if self.state().ended.is_none() {
            over.await;
        }
    }
}

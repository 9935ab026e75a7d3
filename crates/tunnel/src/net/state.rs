//! State of one connection that tasks share and events change, with its locks.
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

/// Parts of one connection that several tasks use.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) socket: Stream,
    outbound: Mutex<Outbound>,
    state: Mutex<State>,
    /// Wakes the driver, to send or to end.
    pub(super) wake: Notify,
    /// Notifies tasks that wait for other things of the connection's end.
    over: Notify,
    pub(super) counters: Arc<ConnectionCounters>,
}

/// The channel table, and the tasks that wait on it.
#[derive(Debug)]
pub(super) struct State {
    pub(super) connection: Connection,
    pub(super) channels: Vec<Option<ChannelIo>>,
    /// Receivers of the replies to global requests, in order; none if the reply goes to the owner.
    pub(super) replies: VecDeque<Option<oneshot::Sender<GlobalReply>>>,
    pub(super) ended: Option<Ended>,
    pub(super) opened_usage: Usage,
    next_token: u64,
}

/// Our end of one channel.
#[derive(Debug, Default)]
pub(super) struct ChannelIo {
    pub(super) token: u64,
    pub(super) data: StreamIo,
    /// Parts of a session channel; none in a forward.
    pub(super) session: Option<Box<SessionIo>>,
    pub(super) closed: Option<PeerClose>,
    pub(super) opened: Option<oneshot::Sender<Result<(), Refusal>>>,
}

/// Parts of a session channel that forwards do without.
#[derive(Debug, Default)]
pub(super) struct SessionIo {
    pub(super) stderr: StreamIo,
    pub(super) requests: RequestQueues,
}

/// Our end of one stream of a channel: it has its own reader and its own sender.
#[derive(Debug, Default)]
pub(super) struct StreamIo {
    /// The application, to which inbound data goes straight from the read buffer.
    pub(super) sink: Option<(Arc<Stream>, Arc<ForwardCounters>)>,
    /// Inbound data that did not fit into the sink.
    pub(super) queue: InboundQueue,
    pub(super) sink_error: Option<io::ErrorKind>,
    /// True after the peer's EOF, until the reader has seen it.
    pub(super) eof: bool,
    pub(super) recv_waker: Option<Waker>,
    pub(super) send_waker: Option<Waker>,
    /// Place in the line of senders that wait for the SSH socket.
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
    /// Our end of a channel of this type.
    pub(super) fn new(channel_type: &ChannelType) -> Self {
        let is_session = *channel_type == ChannelType::Session;
        Self {
            session: is_session.then(Box::default),
            ..Self::default()
        }
    }

    /// One of its streams; none if the channel does not have it.
    pub(super) fn stream(&mut self, stream: ChannelStream) -> Option<&mut StreamIo> {
        match stream {
            ChannelStream::Data => Some(&mut self.data),
            ChannelStream::Stderr => self.session.as_mut().map(|session| &mut session.stderr),
        }
    }

    /// All its streams.
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

    /// Adds a channel. Returns the token that distinguishes it from later channels with the same number.
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

    /// The channel table. Its arithmetic stays right after a panic elsewhere, so poisoning is ignored.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The outbound direction; to be locked before `state`, never after.
    pub(super) fn outbound(&self) -> MutexGuard<'_, Outbound> {
        self.outbound.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the driver to send waiting output.
    pub(super) fn kick(&self) {
        self.wake.notify_one();
    }

    /// Ends the connection, and wakes all tasks that wait.
    pub(super) fn end(&self, why: Ended) {
        self.end_holding(&mut self.outbound(), why);
    }

    /// The same for a caller that has locked `outbound` already.
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
        // Created before the check, so that an end in between is not missed.
        let over = self.over.notified();
        if self.state().ended.is_none() {
            over.await;
        }
    }
}

//! What the driver, the relays and the owner of one connection share, and the owner's handle to it.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use adit_proto::channels::{ChannelId, PeerClose};
use adit_proto::connection::{Connection, RequestRefused};
use adit_proto::error::Error;
use adit_proto::key::PublicKey;
use adit_proto::message::connection::{ChannelType, GlobalRequest, OpenFailure, OpenFailureReason};
use adit_proto::message::transport::{Disconnect, DisconnectReason};
use adit_proto::message::userauth::Method;
use adit_proto::packet::Usage;
use adit_proto::userauth::client::ClientAuthEvent;
use adit_proto::userauth::server::AuthRequest;
use tokio::sync::{Notify, oneshot};

use super::channel::Channel;
use super::outbound::{Outbound, Place};
use super::queue::InboundQueue;
use super::stream::Stream;
use crate::status::{ConnectionCounters, ForwardCounters};

/// Why a connection is over, in words for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// We ended it.
    ByUs,
    /// The peer closed the connection.
    ClosedByPeer,
    /// The connection broke.
    Broken(String),
    /// The protocol ended it.
    Protocol(Error),
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Ended::ByUs => write!(f, "ended here"),
            Ended::ClosedByPeer => write!(f, "closed by remote host"),
            Ended::Broken(why) => write!(f, "connection lost: {why}"),
            Ended::Protocol(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for Ended {}

/// The answer to a global request: the port that was allocated, where there is one, or a refusal.
pub type GlobalAnswer = Result<Option<u16>, RequestRefused>;

/// What the peer wants from the owner of the connection, in order.
#[derive(Debug)]
pub enum Incoming {
    /// Client: is this the server's key? `accept_host_key`, or `end`.
    HostKey(PublicKey),
    /// Client: an answer in user authentication.
    Auth(ClientAuthEvent),
    /// Server: a request to decide.
    AuthRequest(AuthRequest),
    /// The peer asks for a channel: accept or refuse it.
    Open(ChannelAsked),
    /// The peer asks; where `want_reply` is set, answer with `reply_global`, in order.
    Global {
        /// The request.
        request: GlobalRequest,
        /// Whether an answer is wanted.
        want_reply: bool,
    },
    /// The answer to the oldest unanswered [`Handle::ask_in_turn`]: success with the allocated port, where there is one.
    Answer(GlobalAnswer),
    /// A key exchange is complete.
    KeysChanged,
    /// A text for a person who debugs.
    Debug(String),
}

/// A channel that the peer asks for.
#[derive(Debug)]
pub struct ChannelAsked {
    /// What for.
    pub channel_type: ChannelType,
    channel: Channel,
}

impl ChannelAsked {
    pub(super) fn new(channel_type: ChannelType, channel: Channel) -> Self {
        Self {
            channel_type,
            channel,
        }
    }

    /// Gives it.
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

    /// Waits for the end of the connection, after which nobody wants the channel any more.
    pub async fn over(&self) {
        self.channel.over().await;
    }

    /// Refuses it, with a sentence for a person.
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
    /// Who waits for the answers to global requests; none where they come out with all else.
    pub(super) replies: VecDeque<Option<oneshot::Sender<GlobalAnswer>>>,
    pub(super) ended: Option<Ended>,
    pub(super) opened_usage: Usage,
    next_token: u64,
}

/// The application's side of one channel.
#[derive(Debug, Default)]
pub(super) struct ChannelIo {
    pub(super) token: u64,
    /// Where inbound data goes straight from the read buffer.
    pub(super) sink: Option<(Arc<Stream>, Arc<ForwardCounters>)>,
    /// Inbound data that the sink had no room for.
    pub(super) queue: InboundQueue,
    pub(super) sink_error: Option<io::ErrorKind>,
    pub(super) eof: bool,
    pub(super) closed: Option<PeerClose>,
    pub(super) recv_waker: Option<Waker>,
    pub(super) send_waker: Option<Waker>,
    /// Its place in the line of those who wait for the SSH socket.
    pub(super) place: Option<Place>,
    pub(super) opened: Option<oneshot::Sender<Result<(), Refusal>>>,
}

impl ChannelIo {
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
        self.opened = None;
    }
}

impl State {
    pub(super) fn io(&mut self, id: ChannelId) -> Option<&mut ChannelIo> {
        self.channels.get_mut(id.0 as usize)?.as_mut()
    }

    /// Gives the channel its entry, and the token that tells it from later channels of the same number.
    pub(super) fn insert_io(&mut self, id: ChannelId, mut io: ChannelIo) -> u64 {
        self.next_token += 1;
        io.token = self.next_token;
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

    /// Seals and writes what the connection has to say. Tells whether the socket is full.
    pub(super) fn flush(&self) -> io::Result<SocketState> {
        let mut outbound = self.outbound();
        loop {
            let mut state = self.state();
            let opened = state.opened_usage;
            state.connection.note_usage(outbound.usage(), opened);
            outbound.seal_control(&mut state.connection)?;
            drop(state);
            outbound.write(&self.socket)?;
            if outbound.pending() > 0 {
                return Ok(SocketState::Full);
            }
            let state = self.state();
            // Where it has more to say than the buffer holds.
            if state.connection.has_transmit() {
                continue;
            }
            if state.connection.may_send_data() {
                drop(state);
                outbound.wake_next();
            }
            return Ok(SocketState::HasRoom);
        }
    }

    /// The connection is over: everybody who waits hears of it.
    pub(super) fn end(&self, why: Ended) {
        let mut outbound = self.outbound();
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

/// Whether the SSH socket takes more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SocketState {
    HasRoom,
    Full,
}

/// The owner's handle to a connection. The driver runs beside it.
#[derive(Debug, Clone)]
pub struct Handle(pub(super) Arc<Shared>);

impl Handle {
    /// The user takes the host key.
    pub fn accept_host_key(&self) {
        self.with(Connection::accept_host_key);
    }

    /// Client: an authentication request.
    pub fn authenticate(&self, method: Method<'_>) -> Result<(), Error> {
        self.with(|c| c.authenticate(method))
    }

    /// Client: the answers to prompts.
    pub fn answer_prompts<S: AsRef<str>>(&self, answers: &[S]) -> Result<(), Error> {
        self.with(|c| c.answer_prompts(answers))
    }

    /// Client: what a signature with this key must cover.
    pub fn data_to_sign(&self, algorithm: &str, key: &[u8]) -> Option<Vec<u8>> {
        self.0.state().connection.data_to_sign(algorithm, key)
    }

    /// Server: the user is logged in.
    pub fn accept_user(&self) -> Result<(), Error> {
        self.with(Connection::accept_user)
    }

    /// Server: the request is refused.
    pub fn reject_user(&self) -> Result<(), Error> {
        self.with(Connection::reject_user)
    }

    /// Server: the key that was asked about would do.
    pub fn confirm_key(&self) -> Result<(), Error> {
        self.with(Connection::confirm_key)
    }

    /// Server: a text for the user who is logging in.
    pub fn banner(&self, text: &str) -> Result<(), Error> {
        self.with(|c| c.banner(text))
    }

    /// Answers the oldest unanswered global request.
    pub fn reply_global(&self, reply: Result<Option<u16>, RequestRefused>) -> Result<(), Error> {
        self.with(|c| c.reply_global(reply))
    }

    /// Tells the peer something for a person who debugs.
    pub fn debug(&self, text: &str) -> Result<(), Error> {
        self.with(|c| c.debug(text))
    }

    /// Asks the peer something and waits for the answer.
    pub async fn ask_global(&self, request: GlobalRequest) -> Result<GlobalAnswer, Ended> {
        let (sender, receiver) = oneshot::channel();
        self.send_global(request, Some(sender))?;
        receiver.await.map_err(|_| self.why_ended())
    }

    /// Asks the peer something; the answer is an [`Incoming::Answer`], in its turn among what else the peer sends.
    pub fn ask_in_turn(&self, request: GlobalRequest) -> Result<(), Ended> {
        self.send_global(request, None)
    }

    fn send_global(
        &self,
        request: GlobalRequest,
        answer: Option<oneshot::Sender<GlobalAnswer>>,
    ) -> Result<(), Ended> {
        {
            let mut state = self.0.state();
            if let Some(ended) = &state.ended {
                return Err(ended.clone());
            }
            state
                .connection
                .ask_global(request)
                .map_err(Ended::Protocol)?;
            state.replies.push_back(answer);
        }
        self.0.kick();
        Ok(())
    }

    /// Asks the peer for a channel and waits until it gives or refuses it.
    pub async fn open(&self, channel_type: ChannelType) -> Result<Channel, OpenError> {
        let (channel, mut verdict) = self.begin_open(channel_type)?;
        verdict.given().await?;
        Ok(channel)
    }

    /// Asks the peer for a channel. What is sent before the verdict leaves at once where the peer takes early data, and
    /// waits for the verdict where it does not.
    pub fn begin_open(&self, channel_type: ChannelType) -> Result<(Channel, Verdict), OpenError> {
        let (sender, verdict) = oneshot::channel();
        let channel = {
            let mut state = self.0.state();
            if let Some(ended) = &state.ended {
                return Err(OpenError::Ended(ended.clone()));
            }
            let id = state
                .connection
                .channels()
                .open(channel_type, Instant::now())
                .ok_or_else(|| OpenError::Refused(too_many_channels()))?;
            let io = ChannelIo {
                opened: Some(sender),
                ..ChannelIo::default()
            };
            let token = state.insert_io(id, io);
            Channel::new(self.0.clone(), id, token)
        };
        self.0.kick();
        let verdict = Verdict {
            awaited: Some(verdict),
            connection: self.clone(),
        };
        Ok((channel, verdict))
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

    fn with<T>(&self, act: impl FnOnce(&mut Connection) -> T) -> T {
        let result = act(&mut self.0.state().connection);
        self.0.kick();
        result
    }
}

/// The peer's answer to our asking for a channel.
#[derive(Debug)]
pub struct Verdict {
    /// None once it has been favourable.
    awaited: Option<oneshot::Receiver<Result<(), Refusal>>>,
    connection: Handle,
}

impl Verdict {
    /// Waits for it, unless it is known to be favourable.
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

    /// What it is, if it has come.
    pub fn known(&mut self) -> Option<Result<(), OpenError>> {
        let given = std::pin::pin!(self.given());
        match given.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(verdict) => Some(verdict),
            Poll::Pending => None,
        }
    }
}

/// The peer's refusal of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub failure: OpenFailure,
    /// How many bytes had been sent and are lost.
    pub lost: u32,
}

/// Why a channel could not be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenError {
    /// The peer refused.
    Refused(Refusal),
    /// The connection is over.
    Ended(Ended),
}

fn too_many_channels() -> Refusal {
    Refusal {
        failure: OpenFailure {
            reason: OpenFailureReason::RESOURCE_SHORTAGE,
            description: "too many channels".into(),
        },
        lost: 0,
    }
}

//! One SSH connection, either role: transport, authentication, global requests and channels behind one dispatcher.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use zeroize::Zeroizing;

use crate::channels::{
    ChannelEvent, ChannelId, Channels, PLAIN_PACKET_SIZE, PeerClose, WindowLimits, WindowPool,
};
use crate::error::{Error, Misbehaviour};
use crate::key::PublicKey;
use crate::message::connection::{self as message, GlobalRequest};
use crate::message::transport::{self, Disconnect};
use crate::message::{Category, category, number, userauth};
use crate::packet::Usage;
use crate::replies::Replies;
use crate::round_trip::RoundTrip;
use crate::transport::algorithms::Negotiated;
use crate::transport::{OpenChange, Phase, Stage, Transmit, Transport, TransportConfig, Verdict};
use crate::userauth::client::{ClientAuth, ClientAuthEvent};
use crate::userauth::server::{AuthRequest, ServerAuth, ServerAuthStep};
use crate::{Side, ident};

/// The most data bytes of one channel packet between adit ends.
pub const ADIT_PACKET_SIZE: u32 = 64 << 10;

/// Global requests that wait for the peer's answer; more are a mistake of the caller.
const MAX_ASKED: usize = 4096;

/// When a silent peer is asked for a sign of life (`ServerAliveInterval`, `ClientAliveInterval`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepAlive {
    /// Silence before each question.
    pub interval: Duration,
    /// Unanswered questions that are borne; the connection ends at the next.
    pub count_max: u32,
}

/// What happened, for the owner of the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Client: is this the server's key? Answer with `accept_host_key`, or end the connection.
    HostKey(PublicKey),
    /// A key exchange is complete.
    KeysChanged,
    /// Client: an answer in user authentication.
    Auth(ClientAuthEvent),
    /// Server: a request to decide with `accept_user`, `confirm_key` or `reject_user`.
    AuthRequest(AuthRequest),
    /// Something happened to a channel.
    Channel(ChannelEvent),
    /// The peer asks; where `want_reply` is set, answer with `reply_global`, in the order of the events.
    Global {
        /// The request.
        request: GlobalRequest,
        /// Whether an answer is wanted.
        want_reply: bool,
    },
    /// The answer to the oldest unanswered `ask_global`: success with the allocated port, where there is one.
    GlobalReply(Result<Option<u16>, RequestRefused>),
    /// The peer tells something for a person who debugs.
    Debug(String),
}

/// SSH_MSG_REQUEST_FAILURE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestRefused;

/// A global request of ours that waits for its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Owner,
    KeepAlive,
    RoundTrip,
}

#[derive(Debug)]
enum Auth {
    Client(ClientAuth),
    Server(ServerAuth),
    Done,
}

/// One SSH connection as a state machine; its contract stands at the top of this crate.
#[derive(Debug)]
pub struct Connection {
    transport: Transport,
    auth: Auth,
    channels: Channels,
    asked: VecDeque<Asked>,
    /// Client: requests of the login that were on their way when it was over. RFC 4252 §5.1 has the server pass over them;
    /// OpenSSH calls each unimplemented.
    overtaken: usize,
    replies: Replies,
    events: VecDeque<Event>,
    keep_alive: Option<KeepAlive>,
    unanswered: u32,
    /// When the peer last sent something, or we last asked for a sign of life.
    silent_since: Instant,
    /// None towards peers that are known to answer a probe in the middle of a key exchange (paramiko), or not known at
    /// all; their windows keep the initial size.
    round_trip: Option<RoundTrip>,
    cookies: Cookies,
}

/// What a connection begins with, beside its role.
#[derive(Debug)]
pub struct ConnectionConfig {
    /// Algorithms, limits and host keys.
    pub transport: Arc<TransportConfig>,
    /// When to ask a silent peer for a sign of life.
    pub keep_alive: Option<KeepAlive>,
    /// The peer's identification line.
    pub peer_ident: String,
    /// Fresh random bytes: the cookies of the key exchanges are drawn from them.
    pub seed: [u8; 32],
    /// What this connection's windows are taken from, shared by all connections of the process.
    pub windows: Arc<WindowPool>,
}

impl Connection {
    /// A client that will log in as `user`.
    pub fn client(config: ConnectionConfig, user: String, now: Instant) -> Self {
        let (auth, first) = ClientAuth::new(user);
        let mut connection = Self::new(Side::Client, config, Auth::Client(auth), now);
        for message in first {
            connection
                .transport
                .send(message)
                .expect("an empty queue has room for two messages");
        }
        connection
    }

    /// A server.
    pub fn server(config: ConnectionConfig, now: Instant) -> Self {
        let auth = ServerAuth::new(config.transport.algorithms.user_key.clone());
        Self::new(Side::Server, config, Auth::Server(auth), now)
    }

    fn new(side: Side, config: ConnectionConfig, auth: Auth, now: Instant) -> Self {
        let mut cookies = Cookies::new(config.seed);
        let is_adit = ident::is_adit(&config.peer_ident);
        let (limits, max_packet) = match is_adit {
            true => (WindowLimits::GENEROUS, ADIT_PACKET_SIZE),
            false => (WindowLimits::OPENSSH, PLAIN_PACKET_SIZE),
        };
        let mut channels = Channels::new(limits, max_packet, config.windows);
        if is_adit {
            channels.set_close_without_eof(PeerClose::Reset);
        }
        let may_probe = is_adit || ident::is_openssh(&config.peer_ident);
        Self {
            transport: Transport::new(
                side,
                config.transport,
                [ident::ours(), config.peer_ident],
                cookies.next(),
                now,
            ),
            auth,
            channels,
            asked: VecDeque::new(),
            overtaken: 0,
            replies: Replies::default(),
            events: VecDeque::new(),
            keep_alive: config.keep_alive,
            unanswered: 0,
            silent_since: now,
            round_trip: may_probe.then(RoundTrip::default),
            cookies,
        }
    }

    /// The transport, to look at.
    pub fn transport(&self) -> &Transport {
        &self.transport
    }

    /// The channel table. Its messages go out with `poll_transmit`, its events with `poll_event`.
    pub fn channels(&mut self) -> &mut Channels {
        &mut self.channels
    }

    /// Whether the user is logged in.
    pub fn is_authenticated(&self) -> bool {
        matches!(self.auth, Auth::Done)
    }

    /// Whether the peer takes data of channels that it has not confirmed.
    pub fn takes_early_data(&self) -> bool {
        self.channels.takes_early_data()
    }

    /// Whether channel data may be sealed now.
    pub fn may_send_data(&self) -> bool {
        self.transport.may_send_data()
    }

    /// Whether the next packet may be handled now: not while a verdict is awaited.
    pub fn wants_input(&self) -> bool {
        let deciding = matches!(&self.auth, Auth::Server(auth) if auth.is_pending());
        self.transport.wants_input() && !deciding
    }

    /// One packet of the peer, opened. Channel data comes back as a slice of it; all else as events.
    pub fn handle_packet<'a>(
        &mut self,
        payload: &'a [u8],
        sequence_number: u32,
        now: Instant,
    ) -> Result<Option<(ChannelId, &'a [u8])>, Error> {
        let &number = payload.first().ok_or(Misbehaviour::UnexpectedMessage(0))?;
        self.silent_since = now;
        self.unanswered = 0;
        self.transport.count_packet();
        if self.check_phase(number)? == Verdict::Ignore {
            return Ok(None);
        }
        if number == number::CHANNEL_DATA {
            let data = self.channels.recv(payload, now)?;
            self.probe_round_trip(now)?;
            return Ok(data);
        }
        self.dispatch(number, payload, sequence_number, now)?;
        if matches!(
            number,
            number::USERAUTH_SUCCESS | number::CHANNEL_OPEN | number::CHANNEL_OPEN_CONFIRMATION
        ) {
            // Before there is a backlog of bulk data that the answer could queue behind.
            self.probe_round_trip(now)?;
        }
        while let Some(event) = self.channels.poll_event() {
            self.events.push_back(Event::Channel(event));
        }
        Ok(None)
    }

    fn check_phase(&self, number: u8) -> Result<Verdict, Misbehaviour> {
        let stage = match self.auth {
            Auth::Done => Stage::Connected,
            _ => Stage::Authenticating,
        };
        let phase: Phase = self.transport.phase();
        phase.check(number, stage, self.transport.side())
    }

    fn dispatch(
        &mut self,
        number: u8,
        payload: &[u8],
        sequence_number: u32,
        now: Instant,
    ) -> Result<(), Error> {
        match category(number) {
            Category::Disconnect => Err(Error::PeerDisconnected(Disconnect::parse(payload)?)),
            Category::Transport => self.recv_transport(number, payload, now),
            Category::ExtInfo => self.recv_ext_info(payload),
            Category::KexInit | Category::Kex => self.recv_kex(payload, now),
            Category::Service | Category::Userauth => self.recv_userauth(payload),
            Category::Connection => self.recv_connection(number, payload, now),
            Category::Unknown => {
                self.send(transport::encode_unimplemented(sequence_number))?;
                Ok(())
            }
        }
    }

    fn recv_ext_info(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.transport.recv_ext_info(payload)?;
        // Only where we have announced it, too.
        if self.transport.announces() {
            let window = self.transport.peer_ext_info().early_data;
            self.channels.set_early_data(window);
        }
        Ok(())
    }

    fn recv_transport(&mut self, number: u8, payload: &[u8], now: Instant) -> Result<(), Error> {
        match number {
            number::DEBUG => {
                let text = transport::parse_debug(payload)?;
                self.events.push_back(Event::Debug(text));
            }
            number::UNIMPLEMENTED => self.recv_unimplemented(now),
            _ => {}
        }
        Ok(())
    }

    /// Some peers (libssh 0.7.5) answer so what they do not know, and of all that we send that is a question.
    ///
    /// The oldest of our own it is, wherever it stands: such a peer gives the owner's requests real answers, in its own time.
    /// Where there is none of ours, the owner's oldest is what the peer will never answer otherwise.
    fn recv_unimplemented(&mut self, now: Instant) {
        if self.overtaken > 0 {
            self.overtaken -= 1;
            return;
        }
        let ours = self.asked.iter().position(|&asked| asked != Asked::Owner);
        match self.asked.remove(ours.unwrap_or_default()) {
            Some(Asked::Owner) => {
                let refused = Event::GlobalReply(Err(RequestRefused));
                self.events.push_back(refused);
            }
            Some(asked) => self.note_answer(asked, now),
            None => {}
        }
    }

    fn recv_kex(&mut self, payload: &[u8], now: Instant) -> Result<(), Error> {
        let exchanges = self.transport.exchanges();
        let cookie = self.cookies.next();
        self.transport.recv_kex(payload, cookie, now)?;
        if let Some(host_key) = self.transport.poll_host_key() {
            self.events.push_back(Event::HostKey(host_key));
        }
        if self.transport.exchanges() > exchanges {
            self.events.push_back(Event::KeysChanged);
        }
        Ok(())
    }

    fn recv_userauth(&mut self, payload: &[u8]) -> Result<(), Error> {
        match &mut self.auth {
            Auth::Client(auth) => {
                let events = auth.recv(payload)?;
                if events.contains(&ClientAuthEvent::Success) {
                    self.overtaken = auth.unanswered().saturating_sub(1);
                    self.auth = Auth::Done;
                    self.transport.authenticated();
                }
                self.events.extend(events.into_iter().map(Event::Auth));
            }
            Auth::Server(auth) => {
                let session_id = self.transport.session_id().unwrap_or_default();
                match auth.recv(payload, session_id)? {
                    ServerAuthStep::Reply(message) => self.send(message)?,
                    ServerAuthStep::Decide(request) => {
                        self.events.push_back(Event::AuthRequest(request));
                    }
                }
            }
            Auth::Done => return Err(Misbehaviour::UnexpectedMessage(payload[0]).into()),
        }
        Ok(())
    }

    fn recv_connection(&mut self, number: u8, payload: &[u8], now: Instant) -> Result<(), Error> {
        match number {
            number::GLOBAL_REQUEST => {
                let (request, want_reply) = GlobalRequest::parse(payload)?;
                self.recv_global(request, want_reply)?;
            }
            number::REQUEST_SUCCESS | number::REQUEST_FAILURE => self.recv_reply(payload, now)?,
            number::PING => {
                let pong = transport::encode_ping(number::PONG, transport::parse_ping(payload)?);
                self.send(pong)?;
            }
            number::PONG => {}
            _ => {
                self.channels.recv(payload, now)?;
            }
        }
        Ok(())
    }

    fn recv_global(
        &mut self,
        request: GlobalRequest,
        want_reply: bool,
    ) -> Result<(), Misbehaviour> {
        match request {
            GlobalRequest::KeepAlive | GlobalRequest::Other(_) => {
                if want_reply {
                    self.replies.know(vec![number::REQUEST_FAILURE])?;
                }
                self.send_replies()
            }
            request => {
                if want_reply {
                    self.replies.await_owner()?;
                }
                self.events.push_back(Event::Global {
                    request,
                    want_reply,
                });
                Ok(())
            }
        }
    }

    fn recv_reply(&mut self, payload: &[u8], now: Instant) -> Result<(), Misbehaviour> {
        let asked = self
            .asked
            .pop_front()
            .ok_or(Misbehaviour::UnexpectedReply)?;
        if asked == Asked::Owner {
            let reply = match payload[0] {
                number::REQUEST_SUCCESS => Ok(message::parse_request_success(payload)?),
                _ => Err(RequestRefused),
            };
            self.events.push_back(Event::GlobalReply(reply));
        }
        self.note_answer(asked, now);
        Ok(())
    }

    /// What an answer tells by being there.
    fn note_answer(&mut self, asked: Asked, now: Instant) {
        if asked == Asked::RoundTrip
            && let Some(round_trip) = self.round_trip.as_mut().and_then(|r| r.answered(now))
        {
            self.channels.set_round_trip(round_trip);
        }
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The next thing to seal or to install. Channel data is not among it: see `Channels::reserve`.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        if let Some(transmit) = self.transport.poll_transmit() {
            return Some(transmit);
        }
        if !self.transport.may_send() {
            return None;
        }
        let message = self.channels.poll_message()?;
        Some(Transmit::Packet(message.into()))
    }

    /// What the last key exchange agreed on.
    pub fn negotiated(&self) -> Option<&Negotiated> {
        self.transport.negotiated()
    }

    /// Whether `poll_transmit` has something.
    pub fn has_transmit(&self) -> bool {
        self.transport.has_transmit() || (self.transport.may_send() && self.channels.has_message())
    }

    /// The next change of the inbound direction.
    pub fn poll_open_change(&mut self) -> Option<OpenChange> {
        self.transport.poll_open_change()
    }

    /// When `handle_timeout` wants to be called.
    pub fn next_timeout(&self) -> Option<Instant> {
        let keep_alive = self.keep_alive_due();
        let rekey = self.transport.next_timeout();
        keep_alive.into_iter().chain(rekey).min()
    }

    /// Does what time asks for.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        let cookie = self.cookies.next();
        self.transport.handle_timeout(now, cookie);
        if self.keep_alive_due().is_some_and(|due| due <= now) {
            self.unanswered += 1;
            // Not the time it was due: a process that was stopped for long must still wait for the answer.
            self.silent_since = now;
            if self
                .keep_alive
                .is_some_and(|k| self.unanswered > k.count_max)
            {
                return Err(Error::PeerSilent("no answer to keep-alive messages"));
            }
            self.ask(GlobalRequest::KeepAlive, Asked::KeepAlive)?;
        }
        Ok(())
    }

    fn keep_alive_due(&self) -> Option<Instant> {
        let keep_alive = self.keep_alive?;
        self.is_authenticated()
            .then(|| self.silent_since + keep_alive.interval)
    }

    /// Changes keys where the volume under the present ones asks for it.
    pub fn note_usage(&mut self, sealed: Usage, opened: Usage) {
        self.transport.note_sealed(sealed);
        if self.transport.is_rekey_due(sealed, opened) {
            let cookie = self.cookies.next();
            self.transport.rekey(cookie);
        }
    }

    /// The user takes the host key.
    pub fn accept_host_key(&mut self) {
        self.transport.accept_host_key();
    }

    /// Client: an authentication request; `none` has gone out by itself.
    pub fn authenticate(&mut self, method: userauth::Method<'_>) -> Result<(), Error> {
        let Auth::Client(auth) = &mut self.auth else {
            return Err(Error::Internal("authentication is over".into()));
        };
        let message = auth.request(method);
        Ok(self.transport.send(message)?)
    }

    /// Client: the answers to `ClientAuthEvent::Prompts`.
    pub fn answer_prompts<S: AsRef<str>>(&mut self, answers: &[S]) -> Result<(), Error> {
        let Auth::Client(auth) = &mut self.auth else {
            return Err(Error::Internal("authentication is over".into()));
        };
        let message = auth.answer(answers);
        Ok(self.transport.send(message)?)
    }

    /// Client: what a signature with this key must cover; none before the first key exchange and after the login.
    pub fn data_to_sign(&self, algorithm: &str, key: &[u8]) -> Option<Vec<u8>> {
        let Auth::Client(auth) = &self.auth else {
            return None;
        };
        Some(auth.data_to_sign(self.transport.session_id()?, algorithm, key))
    }

    /// Server: the user is logged in.
    pub fn accept_user(&mut self) -> Result<(), Error> {
        self.send(vec![number::USERAUTH_SUCCESS])?;
        self.auth = Auth::Done;
        self.transport.authenticated();
        Ok(())
    }

    /// Server: the request is refused.
    pub fn reject_user(&mut self) -> Result<(), Error> {
        if let Auth::Server(auth) = &mut self.auth {
            let message = auth.reject();
            self.send(message)?;
        }
        Ok(())
    }

    /// Server: the key that was asked about would do.
    pub fn confirm_key(&mut self) -> Result<(), Error> {
        if let Auth::Server(auth) = &mut self.auth
            && let Some(message) = auth.confirm_key()
        {
            self.send(message)?;
        }
        Ok(())
    }

    /// Server: a text for the user who is logging in (RFC 4252 §5.4).
    pub fn banner(&mut self, text: &str) -> Result<(), Error> {
        Ok(self.send(userauth::encode_banner(text))?)
    }

    /// Asks the peer something; `GlobalReply` follows, in the order of the questions.
    pub fn ask_global(&mut self, request: GlobalRequest) -> Result<(), Error> {
        Ok(self.ask(request, Asked::Owner)?)
    }

    /// Answers the oldest unanswered `Global` event that wants a reply.
    pub fn reply_global(
        &mut self,
        reply: Result<Option<u16>, RequestRefused>,
    ) -> Result<(), Error> {
        let message = match reply {
            Ok(port) => message::encode_request_success(port),
            Err(RequestRefused) => vec![number::REQUEST_FAILURE],
        };
        if !self.replies.answer(message) {
            return Err(Error::Internal("nobody waits for this reply".into()));
        }
        Ok(self.send_replies()?)
    }

    /// Tells the peer something for a person who debugs.
    pub fn debug(&mut self, text: &str) -> Result<(), Error> {
        Ok(self.send(transport::encode_debug(text))?)
    }

    /// Says good-bye; the caller ends the connection once it is sent.
    pub fn disconnect(&mut self, disconnect: &Disconnect) {
        self.transport.send_urgent(disconnect.encode());
    }

    fn ask(&mut self, request: GlobalRequest, asked: Asked) -> Result<(), Misbehaviour> {
        if self.asked.len() >= MAX_ASKED {
            return Err(Misbehaviour::AsksFasterThanItReads);
        }
        self.asked.push_back(asked);
        self.send(request.encode())
    }

    fn send_replies(&mut self) -> Result<(), Misbehaviour> {
        while let Some(message) = self.replies.poll() {
            self.send(message)?;
        }
        Ok(())
    }

    fn send(&mut self, message: Vec<u8>) -> Result<(), Misbehaviour> {
        self.transport.send(Zeroizing::new(message))
    }

    fn probe_round_trip(&mut self, now: Instant) -> Result<(), Misbehaviour> {
        match self.round_trip.as_mut().is_some_and(|r| r.probe_due(now)) {
            true => self.ask(GlobalRequest::KeepAlive, Asked::RoundTrip),
            false => Ok(()),
        }
    }
}

/// Cookies of KEXINIT, drawn from one seed: SHA-256 in counter mode.
#[derive(Debug)]
struct Cookies {
    seed: Zeroizing<[u8; 32]>,
    counter: u64,
}

impl Cookies {
    fn new(seed: [u8; 32]) -> Self {
        Self {
            seed: Zeroizing::new(seed),
            counter: 0,
        }
    }

    fn next(&mut self) -> [u8; 16] {
        self.counter += 1;
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&*self.seed);
        context.update(&self.counter.to_be_bytes());
        let mut cookie = [0; 16];
        cookie.copy_from_slice(&context.finish().as_ref()[..16]);
        cookie
    }
}

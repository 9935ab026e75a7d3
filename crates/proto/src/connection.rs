//! One SSH connection of a client or a server: transport, authentication, global requests and channels behind one
//! dispatcher.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use zeroize::Zeroizing;

use crate::channels::{ChannelData, ChannelEvent, Channels, WindowPool};
use crate::error::{Error, Misbehaviour};
use crate::global_requests::{Answered, GlobalRequests, Purpose};
use crate::key::PublicKey;
use crate::liveness::{Liveness, PeerSilent};
use crate::login::{LoginAsClient, LoginAsServer};
use crate::message::connection::GlobalRequest;
use crate::message::transport::{self, Disconnect};
use crate::message::{Category, category, number};
use crate::packet::Usage;
use crate::peers::{RoundTripProbes, Traits};
use crate::round_trip::RoundTrip;
use crate::transport::algorithms::Negotiated;
use crate::transport::{
    MessageAction, OpenChange, Phase, Stage, Transmit, Transport, TransportConfig,
};
use crate::userauth::client::{ClientAuth, ClientAuthEvent};
use crate::userauth::server::{AuthRequest, ServerAuth, ServerAuthStep};
use crate::{Side, ident};

pub use crate::global_requests::{GlobalReply, RequestRefused};
pub use crate::liveness::KeepAlive;
pub use crate::ordered_replies::ReplyToken;

/// Event for the owner of the connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// Client: the server's key, which the owner accepts with [`LoginAsClient::accept_host_key`], or else ends the
    /// connection.
    HostKey(PublicKey),
    /// A key exchange is complete.
    KeysChanged,
    /// Client: an event of user authentication.
    Auth(ClientAuthEvent),
    /// Server: a request that needs an answer, see [`LoginAsServer`].
    AuthRequest(Box<AuthRequest>),
    /// An event of a channel.
    Channel(ChannelEvent),
    /// A global request of the peer.
    GlobalRequest {
        /// Content of the request.
        request: GlobalRequest,
        /// Right to answer with `reply_global`, if the peer wants a reply. Replies are sent in the order of the
        /// requests, whichever is given first.
        reply: Option<ReplyToken>,
    },
    /// Reply to the oldest unanswered `send_global_request`.
    GlobalReply(GlobalReply),
    /// A debug message of the peer.
    Debug(String),
}

#[derive(Debug)]
enum Auth {
    Client(ClientAuth),
    Server(ServerAuth),
}

/// One SSH connection as a state machine. The crate's documentation has its contract.
#[derive(Debug)]
pub struct Connection {
    transport: Transport,
    auth: Auth,
    peer: Traits,
    channels: Channels,
    global_requests: GlobalRequests,
    /// Client: login requests under way when the login succeeded. RFC 4252 §5.1 requires the server to ignore them;
    /// OpenSSH answers each with UNIMPLEMENTED.
    overtaken: usize,
    events: VecDeque<Event>,
    liveness: Liveness,
    /// None if the peer is not probed.
    round_trip: Option<RoundTrip>,
}

/// Configuration of a connection, for both roles.
#[derive(Debug)]
pub struct ConnectionConfig {
    /// Algorithms, limits and host keys.
    pub transport: Arc<TransportConfig>,
    /// Interval and number of probes to a silent peer.
    pub keep_alive: Option<KeepAlive>,
    /// The peer's identification line.
    pub peer_ident: String,
    /// Fresh random bytes, which generate the cookies of the key exchanges.
    pub seed: [u8; 32],
    /// Source of this connection's windows, shared by all connections of the process.
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
        let peer = Traits::identify(&config.peer_ident);
        let mut channels = Channels::new(peer.windows, peer.max_packet, config.windows);
        channels.set_close_without_eof(peer.close_without_eof);
        let may_probe = peer.round_trip_probes == RoundTripProbes::Sent;
        Self {
            transport: Transport::new(
                side,
                config.transport,
                [ident::ours(), config.peer_ident],
                config.seed,
                now,
            ),
            auth,
            peer,
            channels,
            global_requests: GlobalRequests::new(),
            overtaken: 0,
            events: VecDeque::new(),
            liveness: Liveness::new(config.keep_alive, now),
            round_trip: may_probe.then(RoundTrip::default),
        }
    }

    /// The transport, read-only.
    pub fn transport(&self) -> &Transport {
        &self.transport
    }

    /// Known traits of the peer's program.
    pub fn peer(&self) -> &Traits {
        &self.peer
    }

    /// The channel table. `poll_transmit` returns its messages, `poll_event` its events.
    pub fn channels(&mut self) -> &mut Channels {
        &mut self.channels
    }

    /// True once the user is logged in.
    pub fn is_authenticated(&self) -> bool {
        match &self.auth {
            Auth::Client(auth) => auth.is_over(),
            Auth::Server(auth) => auth.is_over(),
        }
    }

    /// True if the peer accepts early data.
    pub fn takes_early_data(&self) -> bool {
        self.channels.takes_early_data()
    }

    /// True if channel data may be sealed now.
    pub fn may_send_data(&self) -> bool {
        self.transport.may_send_data()
    }

    /// True if the next packet may be handled now: not while the owner must decide about a host key or a login.
    pub fn wants_input(&self) -> bool {
        let deciding = matches!(&self.auth, Auth::Server(auth) if auth.is_pending());
        self.transport.wants_input() && !deciding
    }

    /// Handles one opened packet of the peer. Channel data is returned as a slice of it; everything else becomes
    /// events.
    pub fn handle_packet<'a>(
        &mut self,
        payload: &'a [u8],
        sequence_number: u32,
        now: Instant,
    ) -> Result<Option<ChannelData<'a>>, Error> {
        let &number = payload.first().ok_or(Misbehaviour::UnexpectedMessage(0))?;
        self.liveness.heard(now);
        self.transport.count_packet();
        if self.check_phase(number)? == MessageAction::Ignore {
            return Ok(None);
        }
        if matches!(number, number::CHANNEL_DATA | number::CHANNEL_EXTENDED_DATA) {
            let data = self.channels.recv(payload, now)?;
            self.probe_round_trip(now)?;
            return Ok(data);
        }
        self.dispatch(number, payload, sequence_number, now)?;
        if matches!(
            number,
            number::USERAUTH_SUCCESS | number::CHANNEL_OPEN | number::CHANNEL_OPEN_CONFIRMATION
        ) {
            // The probe is sent before a backlog of bulk data could delay its answer.
            self.probe_round_trip(now)?;
        }
        while let Some(event) = self.channels.poll_event() {
            self.events.push_back(Event::Channel(event));
        }
        Ok(None)
    }

    fn check_phase(&self, number: u8) -> Result<MessageAction, Misbehaviour> {
        let stage = match self.is_authenticated() {
            true => Stage::Connected,
            false => Stage::Authenticating,
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
        // Early data needs the announcement of both sides.
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

    fn recv_unimplemented(&mut self, now: Instant) {
        if self.overtaken > 0 {
            self.overtaken -= 1;
        } else if let Some(answered) = self.global_requests.recv_unimplemented() {
            self.note_answered(answered, now);
        }
    }

    fn recv_kex(&mut self, payload: &[u8], now: Instant) -> Result<(), Error> {
        let exchanges = self.transport.exchanges();
        self.transport.recv_kex(payload, now)?;
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
                    self.overtaken = auth.take_unanswered().saturating_sub(1);
                    self.transport.authenticated();
                }
                self.events.extend(events.into_iter().map(Event::Auth));
            }
            Auth::Server(auth) => {
                let session_id = self.transport.session_id().unwrap_or_default();
                match auth.recv(payload, session_id)? {
                    ServerAuthStep::Reply(message) => self.send(message)?,
                    ServerAuthStep::Decide(request) => {
                        self.events.push_back(Event::AuthRequest(Box::new(request)));
                    }
                }
            }
        }
        Ok(())
    }

    fn recv_connection(&mut self, number: u8, payload: &[u8], now: Instant) -> Result<(), Error> {
        match number {
            number::GLOBAL_REQUEST => {
                if let Some((request, reply)) = self.global_requests.recv_request(payload)? {
                    let event = Event::GlobalRequest { request, reply };
                    self.events.push_back(event);
                }
                self.send_replies()?;
            }
            number::REQUEST_SUCCESS | number::REQUEST_FAILURE => {
                let answered = self.global_requests.recv_reply(payload)?;
                self.note_answered(answered, now);
            }
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

    fn note_answered(&mut self, answered: Answered, now: Instant) {
        match answered {
            Answered::Owner(reply) => self.events.push_back(Event::GlobalReply(reply)),
            Answered::KeepAlive => {}
            Answered::RoundTrip => {
                let measured = self.round_trip.as_mut().and_then(|r| r.answered(now));
                if let Some(round_trip) = measured {
                    self.channels.set_round_trip(round_trip);
                }
            }
        }
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The next packet to seal, or change to install. Channel data is not included: see `Channels::reserve`.
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

    /// Algorithms of the last key exchange.
    pub fn negotiated(&self) -> Option<&Negotiated> {
        self.transport.negotiated()
    }

    /// True if `poll_transmit` would return something.
    pub fn has_transmit(&self) -> bool {
        self.transport.has_transmit() || (self.transport.may_send() && self.channels.has_message())
    }

    /// The next change of the inbound direction.
    pub fn poll_open_change(&mut self) -> Option<OpenChange> {
        self.transport.poll_open_change()
    }

    /// Time at which `handle_timeout` wants to be called.
    pub fn next_timeout(&self) -> Option<Instant> {
        let keep_alive = self.keep_alive_due();
        let rekey = self.transport.next_timeout();
        keep_alive.into_iter().chain(rekey).min()
    }

    /// Does the work that is due at this time.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        self.transport.handle_timeout(now);
        if self.keep_alive_due().is_some_and(|due| due <= now) {
            self.liveness
                .question(now)
                .map_err(|PeerSilent| Error::PeerSilent("no answer to keep-alive messages"))?;
            self.ask(GlobalRequest::KeepAlive, Purpose::KeepAlive)?;
        }
        Ok(())
    }

    /// Time of the next probe. None before the login, which has a time limit of its own.
    fn keep_alive_due(&self) -> Option<Instant> {
        self.liveness.due().filter(|_| self.is_authenticated())
    }

    /// Starts a key exchange if the present keys have reached their limit.
    pub fn note_usage(&mut self, sealed: Usage, opened: Usage) {
        self.transport.note_sealed(sealed);
        if self.transport.is_rekey_due(sealed, opened) {
            self.transport.rekey();
        }
    }

    /// Methods of a client for its login.
    ///
    /// # Errors
    /// The user is logged in, or this is a server.
    pub fn login_as_client(&mut self) -> Result<LoginAsClient<'_>, Error> {
        match &mut self.auth {
            Auth::Client(auth) if !auth.is_over() => {
                Ok(LoginAsClient::new(auth, &mut self.transport))
            }
            _ => Err(Error::Internal("there is no login of a client".into())),
        }
    }

    /// Methods of a server for the login of its client.
    ///
    /// # Errors
    /// The user is logged in, or this is a client.
    pub fn login_as_server(&mut self) -> Result<LoginAsServer<'_>, Error> {
        match &mut self.auth {
            Auth::Server(auth) if !auth.is_over() => {
                Ok(LoginAsServer::new(auth, &mut self.transport))
            }
            _ => Err(Error::Internal("there is no login at a server".into())),
        }
    }

    /// Sends a global request that wants a reply; `GlobalReply` follows, in the order of the requests.
    pub fn send_global_request(&mut self, request: GlobalRequest) -> Result<(), Error> {
        Ok(self.ask(request, Purpose::Owner)?)
    }

    /// Answers a global request, once: the answer consumes the token.
    ///
    /// ```
    /// # use adit_proto::connection::{Connection, ReplyToken, RequestRefused};
    /// fn answer(connection: &mut Connection, token: ReplyToken) {
    ///     connection.reply_global(token, Ok(None)).unwrap();
    /// }
    /// ```
    /// A second answer does not compile:
    /// ```compile_fail,E0382
    /// # use adit_proto::connection::{Connection, ReplyToken, RequestRefused};
    /// fn answer(connection: &mut Connection, token: ReplyToken) {
    ///     connection.reply_global(token, Ok(None)).unwrap();
    ///     connection.reply_global(token, Err(RequestRefused)).unwrap();
    /// }
    /// ```
    pub fn reply_global(&mut self, token: ReplyToken, reply: GlobalReply) -> Result<(), Error> {
        self.global_requests.reply(token, reply);
        Ok(self.send_replies()?)
    }

    /// Sends a debug message to the peer.
    pub fn debug(&mut self, text: &str) -> Result<(), Error> {
        Ok(self.send(transport::encode_debug(text))?)
    }

    /// Sends DISCONNECT. The caller ends the connection once it is sent.
    pub fn disconnect(&mut self, disconnect: &Disconnect) {
        self.transport.send_urgent(disconnect.encode());
    }

    fn ask(&mut self, request: GlobalRequest, purpose: Purpose) -> Result<(), Misbehaviour> {
        self.global_requests.ask(purpose)?;
        self.send(request.encode())
    }

    fn send_replies(&mut self) -> Result<(), Misbehaviour> {
        while let Some(message) = self.global_requests.poll_reply() {
            self.send(message)?;
        }
        Ok(())
    }

    fn send(&mut self, message: Vec<u8>) -> Result<(), Misbehaviour> {
        self.transport.send(Zeroizing::new(message))
    }

    fn probe_round_trip(&mut self, now: Instant) -> Result<(), Misbehaviour> {
        match self.round_trip.as_mut().is_some_and(|r| r.probe_due(now)) {
            true => self.ask(GlobalRequest::KeepAlive, Purpose::RoundTrip),
            false => Ok(()),
        }
    }
}

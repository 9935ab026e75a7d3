//! One SSH connection, either role: transport, authentication, global requests and channels behind one dispatcher.

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
use crate::transport::{OpenChange, Phase, Stage, Transmit, Transport, TransportConfig, Verdict};
use crate::userauth::client::{ClientAuth, ClientAuthEvent};
use crate::userauth::server::{AuthRequest, ServerAuth, ServerAuthStep};
use crate::{Side, ident};

pub use crate::global_requests::{GlobalReply, RequestRefused};
pub use crate::liveness::KeepAlive;
pub use crate::ordered_replies::ReplyToken;

/// What happened, for the owner of the connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// Client: is this the server's key? [`LoginAsClient::accept_host_key`], or end the connection.
    HostKey(PublicKey),
    /// A key exchange is complete.
    KeysChanged,
    /// Client: an answer in user authentication.
    Auth(ClientAuthEvent),
    /// Server: a request to answer, see [`LoginAsServer`].
    AuthRequest(AuthRequest),
    /// Something happened to a channel.
    Channel(ChannelEvent),
    /// A global request of the peer.
    GlobalRequest {
        /// The request.
        request: GlobalRequest,
        /// The right to answer it with `reply_global`, where it wants an answer. Replies leave in the order of the requests,
        /// whichever is given first.
        reply: Option<ReplyToken>,
    },
    /// The reply to the oldest unanswered `send_global_request`.
    GlobalReply(GlobalReply),
    /// The peer tells something for a person who debugs.
    Debug(String),
}

#[derive(Debug)]
enum Auth {
    Client(ClientAuth),
    Server(ServerAuth),
}

/// One SSH connection as a state machine; its contract stands at the top of this crate.
#[derive(Debug)]
pub struct Connection {
    transport: Transport,
    auth: Auth,
    peer: Traits,
    channels: Channels,
    global_requests: GlobalRequests,
    /// Client: requests of the login that were on their way when it was over. RFC 4252 §5.1 has the server pass over them;
    /// OpenSSH calls each unimplemented.
    overtaken: usize,
    events: VecDeque<Event>,
    liveness: Liveness,
    /// None towards peers that are not probed.
    round_trip: Option<RoundTrip>,
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

    /// The transport, to look at.
    pub fn transport(&self) -> &Transport {
        &self.transport
    }

    /// Traits of the program at the other end.
    pub fn peer(&self) -> &Traits {
        &self.peer
    }

    /// The channel table. Its messages go out with `poll_transmit`, its events with `poll_event`.
    pub fn channels(&mut self) -> &mut Channels {
        &mut self.channels
    }

    /// Whether the user is logged in.
    pub fn is_authenticated(&self) -> bool {
        match &self.auth {
            Auth::Client(auth) => auth.is_over(),
            Auth::Server(auth) => auth.is_over(),
        }
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
    ) -> Result<Option<ChannelData<'a>>, Error> {
        let &number = payload.first().ok_or(Misbehaviour::UnexpectedMessage(0))?;
        self.liveness.heard(now);
        self.transport.count_packet();
        if self.check_phase(number)? == Verdict::Ignore {
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
            // Before there is a backlog of bulk data that the answer could queue behind.
            self.probe_round_trip(now)?;
        }
        while let Some(event) = self.channels.poll_event() {
            self.events.push_back(Event::Channel(event));
        }
        Ok(None)
    }

    fn check_phase(&self, number: u8) -> Result<Verdict, Misbehaviour> {
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
                        self.events.push_back(Event::AuthRequest(request));
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
        self.transport.handle_timeout(now);
        if self.keep_alive_due().is_some_and(|due| due <= now) {
            self.liveness
                .question(now)
                .map_err(|PeerSilent| Error::PeerSilent("no answer to keep-alive messages"))?;
            self.ask(GlobalRequest::KeepAlive, Purpose::KeepAlive)?;
        }
        Ok(())
    }

    /// Not before the login, which has its own time limit.
    fn keep_alive_due(&self) -> Option<Instant> {
        self.liveness.due().filter(|_| self.is_authenticated())
    }

    /// Changes keys where the volume under the present ones asks for it.
    pub fn note_usage(&mut self, sealed: Usage, opened: Usage) {
        self.transport.note_sealed(sealed);
        if self.transport.is_rekey_due(sealed, opened) {
            self.transport.rekey();
        }
    }

    /// The login of a client.
    ///
    /// # Errors
    /// The user is in, or this is a server.
    pub fn login_as_client(&mut self) -> Result<LoginAsClient<'_>, Error> {
        match &mut self.auth {
            Auth::Client(auth) if !auth.is_over() => {
                Ok(LoginAsClient::new(auth, &mut self.transport))
            }
            _ => Err(Error::Internal("there is no login of a client".into())),
        }
    }

    /// The login of a server's client.
    ///
    /// # Errors
    /// The user is in, or this is a client.
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

    /// Answers a global request, once: the answer takes the token.
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

    /// Tells the peer something for a person who debugs.
    pub fn debug(&mut self, text: &str) -> Result<(), Error> {
        Ok(self.send(transport::encode_debug(text))?)
    }

    /// Says good-bye; the caller ends the connection once it is sent.
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

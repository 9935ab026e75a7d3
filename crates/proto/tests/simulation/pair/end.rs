//! One end: a connection, its packet layer, and an application, driven as the crate's contract asks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use adit_proto::Side;
use adit_proto::channels::WindowPool;
use adit_proto::channels::{ChannelEvent, ChannelId, ChannelStream, Reserved};
use adit_proto::connection::{Connection, ConnectionConfig, Event, KeepAlive, ReplyToken};
use adit_proto::error::{Error, Misbehaviour};
use adit_proto::ident::{self, IdentReader, Progress};
use adit_proto::key::{PublicKey, SigningKey};
use adit_proto::message::connection::{
    DATA_HEADER_LEN, EXTENDED_DATA_HEADER_LEN, write_data_header, write_stderr_header,
};
use adit_proto::message::userauth::Method;
use adit_proto::packet::{HEADER_LEN, Opened, Opener, Sealer};
use adit_proto::transport::{OpenChange, Transmit, TransportConfig};
use adit_proto::userauth::client::ClientAuthEvent;
use adit_proto::userauth::server::{AuthMethod, AuthRequest};

use super::flow::{Flow, pattern};
use super::link::Link;

/// The most data bytes of one packet that this end sends.
const WRITE: u32 = 64 << 10;

/// Settings that an end begins with.
#[derive(Debug)]
pub(crate) struct EndConfig {
    pub(crate) transport: TransportConfig,
    pub(crate) keep_alive: Option<KeepAlive>,
}

/// Role of this end, its own key, and the key that it believes.
#[derive(Debug)]
pub(crate) enum Role {
    /// Logs in with `key`, at a server that has `host_key`.
    Client {
        key: SigningKey,
        host_key: PublicKey,
    },
    /// Lets the user with this key in.
    Server { authorized: PublicKey },
}

/// A packet from somebody in the middle, put in plain before our first message of that number.
#[derive(Debug, Clone)]
pub(crate) struct Injection {
    pub(crate) before: u8,
    pub(crate) payload: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct End {
    role: Role,
    transport: Arc<TransportConfig>,
    keep_alive: Option<KeepAlive>,
    ident: IdentReader,
    ident_sent: bool,
    connection: Option<Connection>,
    sealer: Sealer,
    opener: Opener,
    input: Vec<u8>,
    pub(crate) injection: Option<Injection>,
    pub(crate) flows: BTreeMap<ChannelId, Flow>,
    /// The channel that the peer asked for last.
    pub(crate) newest_asked: Option<ChannelId>,
    /// Requests of the peer that wait for an answer.
    pub(crate) owed: Vec<ReplyToken>,
    /// Requests of the login that the peer has made.
    pub(crate) users_asked: u32,
    /// Everything that `poll_event` gave, but for what happened to channels and requests.
    pub(crate) log: Vec<Event>,
    /// Error that ended this end.
    pub(crate) error: Option<Error>,
}

impl End {
    pub(crate) fn new(role: Role, config: EndConfig) -> Self {
        let side = match role {
            Role::Client { .. } => Side::Client,
            Role::Server { .. } => Side::Server,
        };
        Self {
            role,
            transport: Arc::new(config.transport),
            keep_alive: config.keep_alive,
            ident: IdentReader::new(side),
            ident_sent: false,
            connection: None,
            sealer: Sealer::new(),
            opener: Opener::new(),
            input: Vec::new(),
            injection: None,
            flows: BTreeMap::new(),
            newest_asked: None,
            owed: Vec::new(),
            users_asked: 0,
            log: Vec::new(),
            error: None,
        }
    }

    /// The connection; it exists once the peer's identification is there.
    pub(crate) fn connection(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("identifications exchanged")
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.connection
            .as_ref()
            .is_some_and(Connection::is_authenticated)
    }

    /// Key exchanges so far.
    pub(crate) fn exchanges(&self) -> u64 {
        self.connection
            .as_ref()
            .map_or(0, |c| c.transport().exchanges())
    }

    pub(crate) fn flow(&mut self, id: ChannelId) -> &mut Flow {
        self.flows.get_mut(&id).expect("an open channel")
    }

    /// The application lets go of a channel.
    pub(crate) fn close(&mut self, id: ChannelId) {
        self.flows.remove(&id);
        self.connection().channels().release(id);
    }

    /// Everything that can be done at `now`.
    pub(crate) fn step(&mut self, inbound: &mut Link, outbound: &mut Link, now: Instant) {
        inbound.deliver(&mut self.input, now);
        if self.error.is_some() {
            return;
        }
        if !std::mem::replace(&mut self.ident_sent, true) {
            outbound.send(format!("{}\r\n", ident::ours()).into_bytes(), now);
        }
        let result = self.receive(now).and_then(|()| self.act(now));
        if let Err(error) = result {
            if let (Some(goodbye), Some(connection)) = (error.disconnect(), &mut self.connection) {
                connection.disconnect(&goodbye);
            }
            self.error = Some(error);
        }
        self.transmit(outbound, now);
    }

    /// Time at which this end wants to act by itself.
    pub(crate) fn next_wake(&self) -> Option<Instant> {
        if self.error.is_some() {
            return None;
        }
        let timeout = self.connection.as_ref().and_then(Connection::next_timeout);
        let readers = self.flows.values().filter_map(Flow::next_wake);
        timeout.into_iter().chain(readers).min()
    }

    fn receive(&mut self, now: Instant) -> Result<(), Error> {
        let mut at = self.identify(now)?;
        while let Some(connection) = self.connection.as_mut().filter(|c| c.wants_input()) {
            let opened = self
                .opener
                .open(&mut self.input[at..])
                .map_err(|e| Misbehaviour::Packet(e.to_string()))?;
            let Opened::Packet {
                body,
                consumed,
                sequence_number,
            } = opened
            else {
                break;
            };
            let payload = body.as_slice(&self.input[at..]);
            if let Some(data) = connection.handle_packet(payload, sequence_number, now)? {
                let flow = self.flows.get_mut(&data.id);
                let flow = flow.expect("data for an open channel");
                flow.receive(data.stream, data.bytes);
            }
            at += consumed;
            self.events(now)?;
            self.change_opener();
        }
        self.input.drain(..at);
        Ok(())
    }

    fn identify(&mut self, now: Instant) -> Result<usize, Error> {
        if self.connection.is_some() {
            return Ok(0);
        }
        let Progress::Ident(peer_ident, consumed) = self.ident.read(&self.input)? else {
            return Ok(0);
        };
        let config = ConnectionConfig {
            transport: self.transport.clone(),
            keep_alive: self.keep_alive,
            peer_ident,
            seed: [9; 32],
            windows: WindowPool::new(WindowPool::DEFAULT_LIMIT),
        };
        self.connection = Some(match self.role {
            Role::Client { .. } => Connection::client(config, "user".into(), now),
            Role::Server { .. } => Connection::server(config, now),
        });
        Ok(consumed)
    }

    fn change_opener(&mut self) {
        let connection = self.connection.as_mut().expect("it just handled a packet");
        while let Some(change) = connection.poll_open_change() {
            match change {
                OpenChange::Keys { keys, reset } => self.opener.install(keys, reset).unwrap(),
                OpenChange::StartDecompression => self.opener.start_decompression(),
            }
        }
    }

    fn events(&mut self, now: Instant) -> Result<(), Error> {
        while let Some(event) = self.connection().poll_event() {
            match &event {
                Event::HostKey(key) => self.judge_host_key(key)?,
                Event::Auth(event) => self.log_in(event)?,
                _ => {}
            }
            match event {
                Event::Channel(event) => self.channel_event(event, now),
                Event::GlobalRequest { reply, .. } => self.owed.extend(reply),
                Event::AuthRequest(request) => self.judge_user(*request)?,
                event => self.log.push(event),
            }
        }
        Ok(())
    }

    fn judge_host_key(&mut self, key: &PublicKey) -> Result<(), Error> {
        match &self.role {
            Role::Client { host_key, .. } if host_key == key => {}
            _ => return Err(Error::HostKeyRefused("not the server's key".into())),
        }
        self.connection().login_as_client()?.accept_host_key();
        Ok(())
    }

    /// Told the methods, asks whether the key would do, then signs; a refusal after that is final.
    fn log_in(&mut self, event: &ClientAuthEvent) -> Result<(), Error> {
        let Role::Client { key, .. } = &self.role else {
            panic!("a server does not log in");
        };
        if *event == ClientAuthEvent::Success {
            return Ok(());
        }
        let connection = self.connection.as_mut().expect("it has events");
        let mut login = connection.login_as_client()?;
        let (algorithm, blob) = (key.algorithms()[0], key.public_key().blob());
        let method = |signature| Method::PublicKey {
            algorithm: algorithm.as_str(),
            key: blob,
            signature,
        };
        let failures_before = self
            .log
            .iter()
            .filter(|e| matches!(e, Event::Auth(ClientAuthEvent::Failure(_))))
            .count();
        match event {
            ClientAuthEvent::Failure(_) if failures_before == 0 => {
                login.authenticate(method(None))?;
            }
            ClientAuthEvent::KeyAccepted => {
                let data = login.data_to_sign(algorithm.as_str(), blob).unwrap();
                let signature = key.sign(algorithm, &data).unwrap();
                login.authenticate(method(Some(&signature)))?;
            }
            _ => {}
        }
        Ok(())
    }

    fn judge_user(&mut self, request: AuthRequest) -> Result<(), Error> {
        let Role::Server { authorized } = &self.role else {
            panic!("a client judges nobody");
        };
        self.users_asked += 1;
        let connection = self.connection.as_mut().expect("it has events");
        let mut login = connection.login_as_server()?;
        match request.method {
            AuthMethod::KeyQuery(query) if query.key() == authorized => {
                login.confirm_key(request.answer, &query)
            }
            AuthMethod::KeySigned(proof) if proof.key() == authorized => {
                login.accept(request.answer, proof)
            }
            _ => login.reject(request.answer),
        }
    }

    fn channel_event(&mut self, event: ChannelEvent, now: Instant) {
        match event {
            ChannelEvent::Asked { id, .. } => {
                self.newest_asked = Some(id);
                self.connection().channels().accept(id);
                self.connection().channels().take_requests(id);
                self.flows.insert(id, Flow::new(now));
            }
            ChannelEvent::Opened(id) => {
                self.flows.insert(id, Flow::new(now));
            }
            ChannelEvent::Refused { id, .. } => panic!("{id:?} was refused"),
            ChannelEvent::Request {
                id,
                request_type,
                reply,
                ..
            } => self.flow(id).requests.push((request_type, reply)),
            ChannelEvent::Reply { id, outcome } => self.flow(id).replies.push(outcome),
            ChannelEvent::Writable(id) => self.flow(id).blocked = false,
            ChannelEvent::Eof(id) => self.flow(id).eof = true,
            ChannelEvent::Closed { id, close } => self.flow(id).closed = Some(close),
        }
    }

    /// Readers take, timers fire.
    fn act(&mut self, now: Instant) -> Result<(), Error> {
        let Some(connection) = &mut self.connection else {
            return Ok(());
        };
        for (&id, flow) in &mut self.flows {
            match flow.take(now) {
                0 => {}
                taken => connection.channels().taken(id, taken, now),
            }
        }
        if connection.next_timeout().is_some_and(|due| due <= now) {
            connection.handle_timeout(now)?;
        }
        self.events(now)
    }

    fn transmit(&mut self, outbound: &mut Link, now: Instant) {
        while self.connection.is_some() && outbound.has_room(now) {
            // Before the keys that may wait are installed: the worst order a driver can choose.
            self.note_usage();
            let control = self.transmit_control(outbound, now);
            let data = self.transmit_data(outbound, now);
            if !control && !data {
                return;
            }
        }
    }

    fn note_usage(&mut self) {
        let (sealed, opened) = (self.sealer.usage(), self.opener.usage());
        self.connection().note_usage(sealed, opened);
    }

    /// Messages and keys; tells whether there were any.
    fn transmit_control(&mut self, outbound: &mut Link, now: Instant) -> bool {
        let mut any = false;
        while outbound.has_room(now)
            && let Some(transmit) = self.connection().poll_transmit()
        {
            any = true;
            match transmit {
                Transmit::Packet(payload) => {
                    self.inject(payload[0], outbound, now);
                    let mut packet = Vec::new();
                    self.sealer.seal_message(&payload, &mut packet).unwrap();
                    outbound.send(packet, now);
                }
                Transmit::Keys { keys, reset } => {
                    self.sealer.install(keys, [7; 256], reset).unwrap();
                }
                Transmit::StartCompression => self.sealer.start_compression(),
            }
        }
        any
    }

    fn inject(&mut self, number: u8, outbound: &mut Link, now: Instant) {
        if let Some(injection) = self.injection.take_if(|i| i.before == number) {
            let mut packet = Vec::new();
            let mut plain = Sealer::new();
            plain.seal_message(&injection.payload, &mut packet).unwrap();
            outbound.send(packet, now);
        }
    }

    /// One packet of each channel that has data and window; tells whether there were any.
    fn transmit_data(&mut self, outbound: &mut Link, now: Instant) -> bool {
        let mut any = false;
        let connection = self.connection.as_mut().expect("checked by the caller");
        for (&id, flow) in &mut self.flows {
            if !connection.may_send_data() || !outbound.has_room(now) {
                break;
            }
            for stream in [ChannelStream::Data, ChannelStream::Stderr] {
                let (position, to_send) = flow.ready(stream);
                if to_send == 0 || flow.blocked {
                    continue;
                }
                let want = u32::try_from(to_send).map_or(WRITE, |n| n.min(WRITE));
                let Some(reserved) = connection.channels().reserve(id, stream, want) else {
                    (flow.to_send, flow.stderr_to_send) = (0, 0);
                    continue;
                };
                let len = reserved.bytes.min(reserved.max_packet);
                connection.channels().refund(id, reserved.bytes - len);
                flow.blocked = reserved.bytes == 0;
                if len > 0 {
                    any = true;
                    let data = pattern(position, len as usize);
                    let packet = seal_data(&mut self.sealer, reserved, data);
                    outbound.send(packet, now);
                    flow.note_sent(stream, len);
                }
            }
        }
        any
    }
}

/// In place where possible, as a driver does it.
fn seal_data(sealer: &mut Sealer, reserved: Reserved, data: &[u8]) -> Vec<u8> {
    let (recipient, len) = (reserved.recipient_channel, data.len() as u32);
    let mut plain = [0; DATA_HEADER_LEN];
    let mut stderr = [0; EXTENDED_DATA_HEADER_LEN];
    let header = match reserved.stream {
        ChannelStream::Data => {
            write_data_header(&mut plain, recipient, len);
            &plain[..]
        }
        ChannelStream::Stderr => {
            write_stderr_header(&mut stderr, recipient, len);
            &stderr[..]
        }
    };
    if sealer.is_compressing() {
        let mut packet = Vec::new();
        let payload = [header, data].concat();
        sealer.seal_message(&payload, &mut packet).unwrap();
        return packet;
    }
    let payload_len = header.len() + data.len();
    let mut packet = vec![0; sealer.sealed_len(payload_len)];
    packet[HEADER_LEN..][..header.len()].copy_from_slice(header);
    packet[HEADER_LEN + header.len()..][..data.len()].copy_from_slice(data);
    sealer.seal(&mut packet, payload_len).unwrap();
    packet
}

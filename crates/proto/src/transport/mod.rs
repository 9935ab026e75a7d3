//! The transport layer as a state machine (RFC 4253): key exchange, the first and every later one, from either side.
//!
//! It works on payloads; the packets around them are sealed and opened by [`crate::packet`]. Everything above it
//! does not know that keys change: between our KEXINIT and our NEWKEYS its messages wait in `held`.
//!
//! ```text
//!            start / recv KEXINIT             recv reply, verified       accept_host_key
//!   Idle ──▶ InitSent ──▶ AwaitReply  ──────▶ AwaitDecision ───────────▶ AwaitNewKeys ──▶ Idle
//!                    └──▶ AwaitInit   ──────────────────────(server)──────▲   recv NEWKEYS
//! ```

pub mod algorithms;
mod cookies;
mod exchange;
mod phase;
mod strict;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use crate::Side;
use crate::channels::EARLY_DATA;
use crate::cipher::DirectionKeys;
use crate::error::{Error, Misbehaviour};
use crate::key::{PublicKey, SigningKey};
use crate::message::transport::ExtInfo;
use crate::message::waiting_cost;
use crate::packet::{SequenceReset, Usage};
use crate::peers::{KexInitTurn, StrictKex, Traits};
use algorithms::{Algorithms, DirectionChoice, FirstExchange, Negotiated};
use cookies::Cookies;
use exchange::Exchange;
pub(crate) use phase::{Phase, Stage, Verdict};

/// Packets under one key after which new keys are due whatever the limit says (RFC 4344 §3.1).
const MAX_PACKETS_PER_KEY: u64 = 1 << 31;
/// Bytes under one key by default: far below what AES and ChaCha20 bear (RFC 4344 §3.2).
const DEFAULT_REKEY_BYTES: u64 = 1 << 36;
/// The same for chacha20-poly1305, as OpenSSH has it.
const DEFAULT_REKEY_BYTES_CHACHA: u64 = 1 << 30;
/// Bytes of messages that may wait to be sealed, or for the end of a key exchange.
const MAX_WAITING: usize = 4 << 20;

/// When keys are changed (`RekeyLimit`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RekeyLimit {
    /// After so many bytes in either direction; by default what the cipher bears.
    pub bytes: Option<u64>,
    /// After so long; by default never.
    pub interval: Option<Duration>,
}

/// What a transport is configured with.
#[derive(Debug)]
pub struct TransportConfig {
    /// What to offer.
    pub algorithms: Algorithms,
    /// When to change keys.
    pub rekey: RekeyLimit,
    /// The server's host keys; empty in a client.
    pub host_keys: Vec<SigningKey>,
}

impl TransportConfig {
    /// The host key that signs with this algorithm.
    fn host_key(&self, algorithm: &str) -> Option<&SigningKey> {
        self.host_keys
            .iter()
            .find(|key| key.algorithms().iter().any(|a| a.as_str() == algorithm))
    }
}

/// What must go out, in order.
#[derive(Debug)]
pub enum Transmit {
    /// A payload to seal.
    Packet(Zeroizing<Vec<u8>>),
    /// Keys for the packets that follow.
    Keys {
        /// The keys.
        keys: DirectionKeys,
        /// What happens to the sequence number.
        reset: SequenceReset,
    },
    /// Compression begins with the packet that follows.
    StartCompression,
}

/// A change of the inbound direction, to be made before the next packet is opened.
#[derive(Debug)]
pub enum OpenChange {
    /// Keys for the packets that follow.
    Keys {
        /// The keys.
        keys: DirectionKeys,
        /// What happens to the sequence number.
        reset: SequenceReset,
    },
    /// Decompression begins with the packet that follows.
    StartDecompression,
}

/// What waits for the end of a key exchange.
#[derive(Debug)]
enum Held {
    Packet(Zeroizing<Vec<u8>>),
    /// USERAUTH_SUCCESS stands right before: delayed compression begins after it.
    Authenticated,
}

/// The part of the configured algorithms that our KEXINITs offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Offering {
    Everything,
    /// The peer may lack strict key exchange.
    SafeFirst,
    /// The peer lacks it.
    OnlySafe,
    /// The peer lacks it, and a plain MAC besides.
    OnlyAead,
}

/// The transport of one connection.
#[derive(Debug)]
pub struct Transport {
    side: Side,
    config: Arc<TransportConfig>,
    our_ident: String,
    peer_ident: String,
    cookies: Cookies,
    exchange: Exchange,
    /// `H` of the first exchange; set once, and the mark that it is over.
    session_id: Option<Vec<u8>>,
    strict: bool,
    offering: Offering,
    /// When our first KEXINIT leaves at the latest, while the peer's is awaited.
    init_due: Option<Instant>,
    /// The peer said that it takes EXT_INFO.
    peer_takes_ext_info: bool,
    peer_ext_info: ExtInfo,
    negotiated: Option<Negotiated>,
    host_key: Option<PublicKey>,
    asked_host_key: Option<PublicKey>,
    authenticated: bool,
    exchanges: u64,
    keys_since: Option<Instant>,
    packets_received: u64,
    ignore_next_kex_packet: bool,
    out: VecDeque<Transmit>,
    /// Outbound keys are in `out`: what the caller counts was still sealed with the old ones.
    keys_wait: bool,
    /// The outbound keys have carried their volume, and the peer's NEWKEYS, before which none can be renewed, is still
    /// to come.
    keys_spent: bool,
    held: VecDeque<Held>,
    /// What the messages cost that wait in `out` and `held`.
    waiting_bytes: usize,
    open_changes: VecDeque<OpenChange>,
}

impl Transport {
    /// A transport whose identification lines have been exchanged. It sends KEXINIT at once, unless the peer may lack
    /// strict key exchange: then what is offered depends on the peer's KEXINIT, which is awaited for a moment. The cookies
    /// of all key exchanges are drawn from `seed`.
    pub fn new(
        side: Side,
        config: Arc<TransportConfig>,
        [our_ident, peer_ident]: [String; 2],
        seed: [u8; 32],
        now: Instant,
    ) -> Self {
        let peer = Traits::identify(&peer_ident);
        let mut transport = Self {
            side,
            config,
            our_ident,
            peer_ident,
            cookies: Cookies::new(seed),
            exchange: Exchange::Idle,
            session_id: None,
            strict: false,
            offering: Offering::Everything,
            init_due: None,
            peer_takes_ext_info: false,
            peer_ext_info: ExtInfo::default(),
            negotiated: None,
            host_key: None,
            asked_host_key: None,
            authenticated: false,
            exchanges: 0,
            keys_since: None,
            packets_received: 0,
            ignore_next_kex_packet: false,
            out: VecDeque::new(),
            keys_wait: false,
            keys_spent: false,
            held: VecDeque::new(),
            waiting_bytes: 0,
            open_changes: VecDeque::new(),
        };
        match (peer.strict_kex, peer.kexinit_turn, side) {
            (StrictKex::Expected, ..) => transport.send_kexinit(),
            (_, KexInitTurn::BehindServers, Side::Server) => transport.send_kexinit_unasked(),
            _ => transport.init_due = Some(now + strict::patience(side)),
        }
        transport
    }

    /// Which end this is.
    pub(crate) fn side(&self) -> Side {
        self.side
    }

    /// The peer's identification line.
    pub fn peer_ident(&self) -> &str {
        &self.peer_ident
    }

    /// `H` of the first exchange; none before it is over.
    pub fn session_id(&self) -> Option<&[u8]> {
        self.session_id.as_deref()
    }

    /// What the last exchange agreed on.
    pub fn negotiated(&self) -> Option<&Negotiated> {
        self.negotiated.as_ref()
    }

    /// Whether both sides do strict key exchange.
    pub fn is_strict(&self) -> bool {
        self.strict
    }

    /// True while the last exchange's choice is open to CVE-2023-48795, which only [`WithoutStrictKex::GoOn`] allows.
    ///
    /// [`WithoutStrictKex::GoOn`]: algorithms::WithoutStrictKex::GoOn
    pub fn is_open_to_terrapin(&self) -> bool {
        !self.strict
            && self
                .negotiated
                .as_ref()
                .is_some_and(strict::any_needs_strict_kex)
    }

    /// What the peer announced in EXT_INFO; of a client nothing that only a server has to say.
    pub fn peer_ext_info(&self) -> &ExtInfo {
        &self.peer_ext_info
    }

    /// Whether the peer is told what we take, in EXT_INFO.
    pub(crate) fn announces(&self) -> bool {
        self.peer_takes_ext_info
    }

    /// Key exchanges that are complete in both directions.
    pub fn exchanges(&self) -> u64 {
        self.exchanges
    }

    /// Whether messages other than the key exchange's own may be sealed now.
    pub fn may_send(&self) -> bool {
        self.session_id.is_some() && !self.exchange.holds_messages()
    }

    /// Whether channel data may be sealed now: not with keys that are spent. All else may go on, as there is little of it.
    pub fn may_send_data(&self) -> bool {
        self.may_send() && !self.keys_spent
    }

    /// Whether the next packet may be handled now: not while the host key waits for its verdict.
    pub fn wants_input(&self) -> bool {
        !matches!(self.exchange, Exchange::AwaitDecision { .. })
    }

    /// What is legal to receive now.
    pub(crate) fn phase(&self) -> Phase {
        match (self.exchanges, self.exchange.peer_is_exchanging()) {
            (0, _) => Phase::FirstExchange {
                strict: self.strict,
            },
            (_, true) => Phase::Exchange,
            (_, false) => Phase::Settled,
        }
    }

    /// Sends a message as soon as keys allow.
    ///
    /// An error once too much waits: the peer provokes answers that it does not read.
    pub fn send(&mut self, payload: Zeroizing<Vec<u8>>) -> Result<(), Misbehaviour> {
        if self.waiting_bytes > MAX_WAITING {
            return Err(Misbehaviour::AsksFasterThanItReads);
        }
        self.waiting_bytes += waiting_cost(&payload);
        if self.may_send() {
            self.out.push_back(Transmit::Packet(payload));
        } else {
            self.held.push_back(Held::Packet(payload));
        }
        Ok(())
    }

    /// Sends a message of the transport layer itself, which no key exchange holds up.
    pub fn send_urgent(&mut self, payload: Vec<u8>) {
        self.waiting_bytes += waiting_cost(&payload);
        self.out.push_back(Transmit::Packet(payload.into()));
    }

    /// The next thing that must go out.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        let transmit = self.out.pop_front()?;
        match &transmit {
            Transmit::Packet(payload) => self.waiting_bytes -= waiting_cost(payload),
            Transmit::Keys { .. } => self.keys_wait = false,
            Transmit::StartCompression => {}
        }
        Some(transmit)
    }

    /// Whether `poll_transmit` has something.
    pub fn has_transmit(&self) -> bool {
        !self.out.is_empty()
    }

    /// The next change of the inbound direction.
    pub fn poll_open_change(&mut self) -> Option<OpenChange> {
        self.open_changes.pop_front()
    }

    /// The server's host key, once, when it waits for a verdict.
    pub fn poll_host_key(&mut self) -> Option<PublicKey> {
        self.asked_host_key.take()
    }

    /// User authentication succeeded: delayed compression begins (OpenSSH PROTOCOL §1.2).
    ///
    /// Both ends switch at USERAUTH_SUCCESS, which is therefore the last message before it, even where a key
    /// exchange holds it up.
    pub fn authenticated(&mut self) {
        match self.may_send() {
            true => self.start_delayed_compression(),
            false => self.held.push_back(Held::Authenticated),
        }
    }

    fn start_delayed_compression(&mut self) {
        self.authenticated = true;
        let Some((outbound, inbound)) = self.choices() else {
            return;
        };
        if outbound.compression == algorithms::Compression::Delayed {
            self.out.push_back(Transmit::StartCompression);
        }
        // A NEWKEYS that is on its way was sent before the peer saw our SUCCESS; decompression begins after it.
        if inbound.compression == algorithms::Compression::Delayed
            && !self.exchange.peer_is_exchanging()
        {
            self.open_changes.push_back(OpenChange::StartDecompression);
        }
    }

    /// Whether the volume under the present keys asks for new ones.
    pub(crate) fn is_rekey_due(&self, sealed: Usage, opened: Usage) -> bool {
        // While new keys wait to be installed, the old ones' volume would ask for yet another exchange, and again.
        if !self.may_begin_rekey() || self.keys_wait {
            return false;
        }
        let Some((outbound, inbound)) = self.choices() else {
            return false;
        };
        self.is_spent(sealed, outbound) || self.is_spent(opened, inbound)
    }

    /// Notes the volume under the outbound keys, for `may_send_data`.
    ///
    /// Between our NEWKEYS and the peer's we may send and cannot begin an exchange, so a peer that is slow with its own,
    /// or keeps it back, would have one key carry as much as its windows let through.
    pub(crate) fn note_sealed(&mut self, sealed: Usage) {
        let awaits_peer = matches!(self.exchange, Exchange::AwaitNewKeys { .. });
        self.keys_spent = awaits_peer
            && !self.keys_wait
            && self
                .choices()
                .is_some_and(|(outbound, _)| self.is_spent(sealed, outbound));
    }

    fn is_spent(&self, usage: Usage, choice: DirectionChoice) -> bool {
        usage.packets >= MAX_PACKETS_PER_KEY || usage.bytes >= self.byte_limit(choice)
    }

    /// Not before the login, as OpenSSH has it: a client's KEXINIT that crosses USERAUTH_SUCCESS would be in plain
    /// where the server has begun to decompress.
    fn may_begin_rekey(&self) -> bool {
        self.authenticated && matches!(self.exchange, Exchange::Idle)
    }

    /// Starts a key exchange, unless one is going on.
    pub(crate) fn rekey(&mut self) {
        if matches!(self.exchange, Exchange::Idle) {
            self.send_kexinit();
        }
    }

    /// When `handle_timeout` wants to be called.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.init_due.or_else(|| self.rekey_due())
    }

    /// When keys are due by time.
    fn rekey_due(&self) -> Option<Instant> {
        let interval = self.config.rekey.interval?;
        self.may_begin_rekey()
            .then_some(self.keys_since? + interval)
    }

    /// Starts a key exchange where the age of the present keys asks for it, or where the peer does not.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.next_timeout().is_none_or(|due| due > now) {
            return;
        }
        match self.init_due {
            Some(_) => self.send_kexinit_unasked(),
            None => self.send_kexinit(),
        }
    }

    fn byte_limit(&self, choice: DirectionChoice) -> u64 {
        let default = match choice.cipher {
            crate::cipher::CipherName::ChaCha20Poly1305 => DEFAULT_REKEY_BYTES_CHACHA,
            _ => DEFAULT_REKEY_BYTES,
        };
        self.config.rekey.bytes.unwrap_or(default)
    }

    /// Our outbound and inbound choices.
    fn choices(&self) -> Option<(DirectionChoice, DirectionChoice)> {
        let n = self.negotiated.as_ref()?;
        Some(match self.side {
            Side::Client => (n.client_to_server, n.server_to_client),
            Side::Server => (n.server_to_client, n.client_to_server),
        })
    }

    fn release_held(&mut self) {
        for held in std::mem::take(&mut self.held) {
            match held {
                Held::Packet(payload) => self.out.push_back(Transmit::Packet(payload)),
                Held::Authenticated => self.start_delayed_compression(),
            }
        }
    }

    /// EXT_INFO: kept where it is legal, which the phase gate has decided.
    pub(crate) fn recv_ext_info(&mut self, payload: &[u8]) -> Result<(), Error> {
        let mut info = ExtInfo::parse(payload)?;
        if self.side == Side::Server {
            info.server_sig_algs = None;
        }
        self.peer_ext_info = info;
        Ok(())
    }

    /// Every packet is counted: a strict first exchange begins with KEXINIT.
    pub(crate) fn count_packet(&mut self) {
        self.packets_received += 1;
    }

    fn is_first_exchange(&self) -> FirstExchange {
        match self.session_id {
            None => FirstExchange::Yes,
            Some(_) => FirstExchange::No,
        }
    }

    /// Tells what we take, right after our first NEWKEYS (RFC 8308 §2.4).
    fn send_ext_info(&mut self) {
        let accepted = self.config.algorithms.user_key.iter();
        let algorithms = || accepted.map(|a| a.as_str().to_owned()).collect();
        let info = ExtInfo {
            server_sig_algs: (self.side == Side::Server).then(algorithms),
            ping: true,
            early_data: Some(EARLY_DATA),
        };
        self.send_urgent(info.encode());
    }
}

#[cfg(test)]
mod old_peer_tests;
#[cfg(test)]
mod tests;

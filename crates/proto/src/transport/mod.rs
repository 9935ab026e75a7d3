//! The transport layer as a state machine (RFC 4253): the first key exchange and all later ones, for client and server.
//!
//! It works on payloads; [`crate::packet`] seals and opens the packets around them. The layers above do not notice key
//! exchanges: between our KEXINIT and our NEWKEYS their messages wait in `held`.
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
pub(crate) use phase::{MessageAction, Phase, Stage};

/// Packets under one key after which new keys are due whatever the limit is (RFC 4344 §3.1).
const MAX_PACKETS_PER_KEY: u64 = 1 << 31;
/// Default limit of bytes under one key: far below the safe limit of AES and ChaCha20 (RFC 4344 §3.2).
const DEFAULT_REKEY_BYTES: u64 = 1 << 36;
/// The same for chacha20-poly1305, equal to OpenSSH's.
const DEFAULT_REKEY_BYTES_CHACHA: u64 = 1 << 30;
/// Limit of bytes of messages that wait to be sealed, or for the end of a key exchange.
const MAX_WAITING: usize = 4 << 20;

/// Limits after which keys are exchanged again (`RekeyLimit`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RekeyLimit {
    /// Bytes in either direction; by default the limit of the cipher.
    pub bytes: Option<u64>,
    /// Age of the keys; by default unlimited.
    pub interval: Option<Duration>,
}

/// Configuration of a transport.
#[derive(Debug)]
pub struct TransportConfig {
    /// Algorithms to offer.
    pub algorithms: Algorithms,
    /// Limits of the key exchange.
    pub rekey: RekeyLimit,
    /// Host keys of a server; empty in a client.
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

/// Output of the transport, in order.
#[derive(Debug)]
pub enum Transmit {
    /// A payload to seal.
    Packet(Zeroizing<Vec<u8>>),
    /// Keys for the packets that follow.
    Keys {
        /// The keys.
        keys: DirectionKeys,
        /// Treatment of the sequence number.
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
        /// Treatment of the sequence number.
        reset: SequenceReset,
    },
    /// Decompression begins with the packet that follows.
    StartDecompression,
}

/// Item that waits for the end of a key exchange.
#[derive(Debug)]
enum Held {
    Packet(Zeroizing<Vec<u8>>),
    /// Mark behind USERAUTH_SUCCESS: delayed compression begins here.
    Authenticated,
}

/// Part of the configured algorithms that our KEXINITs offer.
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
    /// Session identifier: `H` of the first key exchange. Set once that is over.
    session_id: Option<Vec<u8>>,
    strict: bool,
    offering: Offering,
    /// Deadline for our first KEXINIT while we wait for the peer's.
    init_due: Option<Instant>,
    /// True if the peer announced that it accepts EXT_INFO.
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
    /// True while new outbound keys are in `out`: the caller's counts are still those of the old keys.
    keys_wait: bool,
    /// True if the outbound keys have reached their limit, and cannot be renewed before the peer's NEWKEYS arrives.
    keys_spent: bool,
    held: VecDeque<Held>,
    /// Bytes of the messages that wait in `out` and `held`.
    waiting_bytes: usize,
    open_changes: VecDeque<OpenChange>,
}

impl Transport {
    /// A transport, after the identification lines were exchanged. It sends KEXINIT at once, unless the peer may lack
    /// strict key exchange: then our offer depends on the peer's KEXINIT, for which it waits a moment. `seed` generates
    /// the cookies of all key exchanges.
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

    /// Role of this end.
    pub(crate) fn side(&self) -> Side {
        self.side
    }

    /// The peer's identification line.
    pub fn peer_ident(&self) -> &str {
        &self.peer_ident
    }

    /// Session identifier: `H` of the first key exchange; none before that is over.
    pub fn session_id(&self) -> Option<&[u8]> {
        self.session_id.as_deref()
    }

    /// Algorithms of the last key exchange.
    pub fn negotiated(&self) -> Option<&Negotiated> {
        self.negotiated.as_ref()
    }

    /// True if both sides do strict key exchange.
    pub fn is_strict(&self) -> bool {
        self.strict
    }

    /// True if the algorithms in use are vulnerable to CVE-2023-48795, which only [`WithoutStrictKex::GoOn`] permits.
    ///
    /// [`WithoutStrictKex::GoOn`]: algorithms::WithoutStrictKex::GoOn
    pub fn is_open_to_terrapin(&self) -> bool {
        !self.strict
            && self
                .negotiated
                .as_ref()
                .is_some_and(strict::any_needs_strict_kex)
    }

    /// Extensions that the peer announced in EXT_INFO. Those that only a server may announce are dropped if a client
    /// sends them.
    pub fn peer_ext_info(&self) -> &ExtInfo {
        &self.peer_ext_info
    }

    /// True if our EXT_INFO will be sent to the peer.
    pub(crate) fn announces(&self) -> bool {
        self.peer_takes_ext_info
    }

    /// Number of key exchanges that are complete in both directions.
    pub fn exchanges(&self) -> u64 {
        self.exchanges
    }

    /// True if messages other than those of the key exchange may be sealed now.
    pub fn may_send(&self) -> bool {
        self.session_id.is_some() && !self.exchange.holds_messages()
    }

    /// True if channel data may be sealed now: not after the keys reached their limit. Other messages are few and may
    /// go on.
    pub fn may_send_data(&self) -> bool {
        self.may_send() && !self.keys_spent
    }

    /// True if the next packet may be handled now: not while the caller decides about the host key.
    pub fn wants_input(&self) -> bool {
        !matches!(self.exchange, Exchange::AwaitDecision { .. })
    }

    /// Phase of the transport, which decides which messages are legal to receive.
    pub(crate) fn phase(&self) -> Phase {
        match (self.exchanges, self.exchange.peer_is_exchanging()) {
            (0, _) => Phase::FirstExchange {
                strict: self.strict,
            },
            (_, true) => Phase::Exchange,
            (_, false) => Phase::Settled,
        }
    }

    /// Sends a message as soon as the keys permit.
    ///
    /// # Errors
    /// Too many messages wait: the peer provokes answers that it does not read.
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

    /// Sends a message of the transport layer itself, which does not wait for the end of a key exchange.
    pub fn send_urgent(&mut self, payload: Vec<u8>) {
        self.waiting_bytes += waiting_cost(&payload);
        self.out.push_back(Transmit::Packet(payload.into()));
    }

    /// Next output, in order.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        let transmit = self.out.pop_front()?;
        match &transmit {
            Transmit::Packet(payload) => self.waiting_bytes -= waiting_cost(payload),
            Transmit::Keys { .. } => self.keys_wait = false,
            Transmit::StartCompression => {}
        }
        Some(transmit)
    }

    /// True if `poll_transmit` would return something.
    pub fn has_transmit(&self) -> bool {
        !self.out.is_empty()
    }

    /// Next change of the inbound direction.
    pub fn poll_open_change(&mut self) -> Option<OpenChange> {
        self.open_changes.pop_front()
    }

    /// Host key of the server, once, when the caller must decide about it.
    pub fn poll_host_key(&mut self) -> Option<PublicKey> {
        self.asked_host_key.take()
    }

    /// Notes that user authentication succeeded: delayed compression begins (OpenSSH PROTOCOL §1.2).
    ///
    /// Both ends begin it after USERAUTH_SUCCESS, even if a key exchange delays that message.
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
        // A NEWKEYS under way was sent before the peer saw our USERAUTH_SUCCESS, so decompression begins after it.
        if inbound.compression == algorithms::Compression::Delayed
            && !self.exchange.peer_is_exchanging()
        {
            self.open_changes.push_back(OpenChange::StartDecompression);
        }
    }

    /// True if the present keys have reached their limit of bytes or packets.
    pub(crate) fn is_rekey_due(&self, sealed: Usage, opened: Usage) -> bool {
        // Until the new keys are installed, the volume is that of the old ones and would start another exchange.
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
    /// Between our NEWKEYS and the peer's we may send but cannot begin an exchange. Without this limit, a peer that
    /// delays its NEWKEYS could make one key carry as much data as its windows permit.
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

    /// True after the login, as in OpenSSH. A client's KEXINIT that crosses USERAUTH_SUCCESS would be uncompressed when
    /// the server already decompresses.
    fn may_begin_rekey(&self) -> bool {
        self.authenticated && matches!(self.exchange, Exchange::Idle)
    }

    /// Starts a key exchange, unless one is running.
    pub(crate) fn rekey(&mut self) {
        if matches!(self.exchange, Exchange::Idle) {
            self.send_kexinit();
        }
    }

    /// Time at which `handle_timeout` wants to be called.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.init_due.or_else(|| self.rekey_due())
    }

    /// Time at which the age of the keys makes new ones due.
    fn rekey_due(&self) -> Option<Instant> {
        let interval = self.config.rekey.interval?;
        self.may_begin_rekey()
            .then_some(self.keys_since? + interval)
    }

    /// Starts a key exchange if the keys are too old, or if the peer's first KEXINIT is late.
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

    /// Algorithms of our outbound and inbound directions.
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

    /// Handles EXT_INFO. The phase gate has checked that it is legal here.
    pub(crate) fn recv_ext_info(&mut self, payload: &[u8]) -> Result<(), Error> {
        let mut info = ExtInfo::parse(payload)?;
        if self.side == Side::Server {
            info.server_sig_algs = None;
        }
        self.peer_ext_info = info;
        Ok(())
    }

    /// Counts a packet: the first packet of a strict key exchange must be KEXINIT.
    pub(crate) fn count_packet(&mut self) {
        self.packets_received += 1;
    }

    fn is_first_exchange(&self) -> FirstExchange {
        match self.session_id {
            None => FirstExchange::Yes,
            Some(_) => FirstExchange::No,
        }
    }

    /// Sends our EXT_INFO right after our first NEWKEYS (RFC 8308 §2.4).
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

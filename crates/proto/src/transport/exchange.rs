//! One key exchange, message by message (RFC 4253 §7, RFC 5656 §4).

use std::borrow::Cow;
use std::time::Instant;

use zeroize::Zeroizing;

use super::algorithms::{
    self, Compression, DirectionChoice, FirstExchange, Negotiated, WithoutStrictKex,
};
use super::{Offering, OpenChange, Transmit, Transport, strict};
use crate::Side;
use crate::cipher::{DirectionKeys, MacName};
use crate::error::{Error, Misbehaviour};
use crate::kex::{ClientKex, ExchangeInput, KeyDerivation, SharedSecret};
use crate::key::PublicKey;
use crate::message::kex::{self as message, DhGroup, EcdhReply, GroupSizes, KexInit};
use crate::message::number;
use crate::packet::SequenceReset;

/// Group sizes that a client asks for (RFC 4419 §3): as strong as X25519, and none that [`ClientKex::in_group`] would
/// refuse.
const GROUP_SIZES: GroupSizes = [2048, 3072, 8192];
/// Cookie of a KEXINIT that is only compared, never sent.
const NO_COOKIE: [u8; 16] = [0; 16];

/// State of the key exchange. Each state holds the values that are valid in it.
#[derive(Debug)]
pub(super) enum Exchange {
    /// No key exchange is running.
    Idle,
    /// Our KEXINIT is sent.
    InitSent { ours: KexInit, ours_raw: Vec<u8> },
    /// Client: the request for a group is sent.
    AwaitGroup {
        negotiated: Negotiated,
        inits: Inits,
    },
    /// Client: our public value is sent.
    AwaitReply(Box<AwaitReply>),
    /// Client: the server's signature is valid, and the caller decides whether the host key is trusted.
    AwaitDecision { keys: Box<Keys> },
    /// Server: waits for the client's public value.
    AwaitInit {
        negotiated: Negotiated,
        inits: Inits,
    },
    /// Our NEWKEYS is sent.
    AwaitNewKeys { inbound: Box<DirectionKeys> },
}

/// Both KEXINIT payloads, which are inputs of the exchange hash.
#[derive(Debug)]
pub(super) struct Inits {
    client: Vec<u8>,
    server: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct AwaitReply {
    negotiated: Negotiated,
    inits: Inits,
    kex: ClientKex,
    client_init: Vec<u8>,
    /// Messages of the group exchange as inputs of the exchange hash; empty if the method names its group.
    group: Vec<u8>,
}

impl AwaitReply {
    fn reply_number(&self) -> u8 {
        match self.negotiated.kex.is_group_exchange() {
            true => number::KEX_DH_GEX_REPLY,
            false => number::KEX_ECDH_REPLY,
        }
    }

    #[cfg(test)]
    pub(super) fn negotiated(&self) -> &Negotiated {
        &self.negotiated
    }
}

/// Keys of both directions, named from our side.
#[derive(Debug)]
pub(super) struct Keys {
    outbound: DirectionKeys,
    inbound: DirectionKeys,
    exchange_hash: Vec<u8>,
}

/// Public values and host key that the exchange hash covers.
struct PublicValues<'a> {
    group: &'a [u8],
    client: &'a [u8],
    server: &'a [u8],
}

impl Exchange {
    /// True between our KEXINIT and our NEWKEYS, when no other message may be sent (RFC 4253 §7.1).
    pub(super) fn holds_messages(&self) -> bool {
        !matches!(self, Exchange::Idle | Exchange::AwaitNewKeys { .. })
    }

    /// True between the peer's KEXINIT and its NEWKEYS.
    pub(super) fn peer_is_exchanging(&self) -> bool {
        !matches!(self, Exchange::Idle | Exchange::InitSent { .. })
    }
}

impl Transport {
    pub(super) fn send_kexinit(&mut self) {
        self.init_due = None;
        let cookie = self.cookies.draw();
        let ours = self.our_init(cookie);
        let ours_raw = ours.encode();
        self.send_urgent(ours_raw.clone());
        self.exchange = Exchange::InitSent { ours, ours_raw };
    }

    /// Sends our first KEXINIT before the peer's has arrived, to a peer that may lack strict key exchange. The client's
    /// order decides: a client puts safe algorithms first, a server leaves unsafe ones out.
    pub(super) fn send_kexinit_unasked(&mut self) {
        self.offering = match (self.side, self.config.algorithms.without_strict_kex) {
            (Side::Client, _) => Offering::SafeFirst,
            (Side::Server, WithoutStrictKex::Refuse) => Offering::OnlySafe,
            (Side::Server, WithoutStrictKex::GoOn) => Offering::Everything,
        };
        self.send_kexinit();
    }

    fn our_init(&self, cookie: [u8; 16]) -> KexInit {
        let all = &self.config.algorithms;
        let offered = match self.offering {
            Offering::Everything => Cow::Borrowed(all),
            Offering::SafeFirst => Cow::Owned(strict::safe_first(all)),
            Offering::OnlySafe => Cow::Owned(strict::only_safe(all)),
            Offering::OnlyAead => Cow::Owned(strict::only_aead(all)),
        };
        let mut ours = offered.offer(self.side, cookie, self.is_first_exchange());
        if self.side == Side::Server {
            // A server offers only signature algorithms of the host keys it has.
            ours.server_host_key_algorithms
                .retain(|name| self.config.host_key(name).is_some());
        }
        ours
    }

    /// Chooses our offer after the peer's first KEXINIT. A peer without strict key exchange is offered only safe
    /// algorithms, if both sides have some.
    fn steer(&mut self, theirs: &KexInit) {
        if self.strict {
            return;
        }
        for offering in [Offering::OnlySafe, Offering::OnlyAead] {
            self.offering = offering;
            let agreed = algorithms::negotiate(&self.our_init(NO_COOKIE), theirs, self.side);
            if agreed.is_ok_and(|agreed| !strict::any_needs_strict_kex(&agreed)) {
                return;
            }
        }
        self.offering = Offering::Everything;
    }

    /// Handles one message of the key exchange.
    pub(crate) fn recv_kex(&mut self, payload: &[u8], now: Instant) -> Result<(), Error> {
        let number = payload[0];
        if number == number::KEXINIT {
            return self.recv_kexinit(payload);
        }
        if number != number::NEWKEYS && std::mem::take(&mut self.ignore_next_kex_packet) {
            return Ok(());
        }
        match (
            number,
            std::mem::replace(&mut self.exchange, Exchange::Idle),
        ) {
            (number::KEX_ECDH_INIT, Exchange::AwaitInit { negotiated, inits }) => {
                self.recv_ecdh_init(payload, negotiated, &inits)
            }
            (number::KEX_DH_GEX_GROUP, Exchange::AwaitGroup { negotiated, inits }) => {
                self.recv_group(payload, negotiated, inits)
            }
            (number, Exchange::AwaitReply(state)) if number == state.reply_number() => {
                self.recv_ecdh_reply(payload, *state)
            }
            (number::NEWKEYS, Exchange::AwaitNewKeys { inbound }) => {
                self.recv_newkeys(*inbound, now);
                Ok(())
            }
            _ => Err(Misbehaviour::UnexpectedMessage(number).into()),
        }
    }

    fn recv_kexinit(&mut self, payload: &[u8]) -> Result<(), Error> {
        let theirs = KexInit::parse(payload)?;
        self.note_announcements(&theirs)?;
        if matches!(self.exchange, Exchange::Idle) {
            if self.is_first_exchange() == FirstExchange::Yes {
                self.steer(&theirs);
            }
            self.send_kexinit();
        }
        let Exchange::InitSent { ours, ours_raw } =
            std::mem::replace(&mut self.exchange, Exchange::Idle)
        else {
            return Err(Misbehaviour::UnexpectedMessage(number::KEXINIT).into());
        };
        let negotiated = algorithms::negotiate(&ours, &theirs, self.side)?;
        self.check_strict(&negotiated, &theirs)?;
        self.ignore_next_kex_packet = negotiated.guess_was_wrong;
        let theirs_raw = payload.to_vec();
        match self.side {
            Side::Client => {
                let inits = Inits {
                    client: ours_raw,
                    server: theirs_raw,
                };
                self.send_public_value(negotiated, inits)
            }
            Side::Server => {
                self.exchange = Exchange::AwaitInit {
                    negotiated,
                    inits: Inits {
                        client: theirs_raw,
                        server: ours_raw,
                    },
                };
                Ok(())
            }
        }
    }

    /// Client: sends our public value, or first the request for a group.
    fn send_public_value(&mut self, negotiated: Negotiated, inits: Inits) -> Result<(), Error> {
        if negotiated.kex.is_group_exchange() {
            self.send_urgent(message::encode_group_request(GROUP_SIZES));
            self.exchange = Exchange::AwaitGroup { negotiated, inits };
            return Ok(());
        }
        let (kex, client_init) = ClientKex::start(negotiated.kex).map_err(internal)?;
        self.send_urgent(message::encode_ecdh_init(&client_init));
        self.exchange = Exchange::AwaitReply(Box::new(AwaitReply {
            negotiated,
            inits,
            kex,
            client_init,
            group: Vec::new(),
        }));
        Ok(())
    }

    /// Client: sends our public value in the group that the server chose (RFC 4419 §3).
    fn recv_group(
        &mut self,
        payload: &[u8],
        negotiated: Negotiated,
        inits: Inits,
    ) -> Result<(), Error> {
        let group = DhGroup::parse(payload)?;
        let (kex, client_init) = ClientKex::in_group(group.p, group.g).map_err(bad_kex)?;
        self.send_urgent(message::encode_group_init(&client_init));
        self.exchange = Exchange::AwaitReply(Box::new(AwaitReply {
            negotiated,
            inits,
            kex,
            client_init,
            group: group.hashed(GROUP_SIZES),
        }));
        Ok(())
    }

    /// Reads the peer's pseudo-methods, which count only in its first KEXINIT.
    fn note_announcements(&mut self, theirs: &KexInit) -> Result<(), Error> {
        if self.is_first_exchange() == FirstExchange::No {
            return Ok(());
        }
        let announces = |name: &str| theirs.kex_algorithms.iter().any(|n| n == name);
        let (strict, ext_info) = match self.side {
            Side::Client => (algorithms::STRICT_S, algorithms::EXT_INFO_S),
            Side::Server => (algorithms::STRICT_C, algorithms::EXT_INFO_C),
        };
        self.strict = announces(strict);
        self.peer_takes_ext_info = announces(ext_info);
        if self.strict && self.packets_received > 1 {
            return Err(Misbehaviour::KeyExchange(
                "strict key exchange: KEXINIT was not the first packet".into(),
            )
            .into());
        }
        Ok(())
    }

    fn check_strict(&self, negotiated: &Negotiated, theirs: &KexInit) -> Result<(), Error> {
        if self.strict || !strict::any_needs_strict_kex(negotiated) {
            return Ok(());
        }
        match self.config.algorithms.without_strict_kex {
            WithoutStrictKex::GoOn => Ok(()),
            WithoutStrictKex::Refuse => {
                let why = strict::refusal(negotiated, theirs);
                Err(Error::PeerIncompatible(why))
            }
        }
    }

    /// Server: sends our public value, the signature, and NEWKEYS.
    fn recv_ecdh_init(
        &mut self,
        payload: &[u8],
        negotiated: Negotiated,
        inits: &Inits,
    ) -> Result<(), Error> {
        let client_init = message::parse_ecdh_init(payload)?;
        let (server_reply, secret) = negotiated.kex.respond(client_init).map_err(bad_kex)?;
        let config = self.config.clone();
        let host_key = config
            .host_key(negotiated.host_key.as_str())
            .ok_or_else(|| Error::Internal("no host key of the negotiated type".into()))?;
        let blob = host_key.public_key().blob();
        let hash = self.exchange_hash(
            &negotiated,
            inits,
            blob,
            PublicValues {
                group: &[],
                client: client_init,
                server: &server_reply,
            },
            &secret,
        );
        let signature = host_key
            .sign(negotiated.host_key, &hash)
            .map_err(internal)?;
        self.send_urgent(
            EcdhReply {
                host_key: blob,
                server_reply: &server_reply,
                signature: &signature,
            }
            .encode(),
        );
        let keys = self.derive(&negotiated, &secret, hash);
        self.send_newkeys(keys);
        Ok(())
    }

    /// Client: verifies the signature, and asks the caller whether it trusts the host key.
    fn recv_ecdh_reply(&mut self, payload: &[u8], state: AwaitReply) -> Result<(), Error> {
        let reply = EcdhReply::parse(payload)?;
        let secret = state.kex.finish(reply.server_reply).map_err(bad_kex)?;
        let host_key = PublicKey::parse(reply.host_key).map_err(bad_kex)?;
        let hash = self.exchange_hash(
            &state.negotiated,
            &state.inits,
            reply.host_key,
            PublicValues {
                group: &state.group,
                client: &state.client_init,
                server: reply.server_reply,
            },
            &secret,
        );
        host_key
            .verify(state.negotiated.host_key, &hash, reply.signature)
            .map_err(bad_kex)?;
        let keys = Box::new(self.derive(&state.negotiated, &secret, hash));
        match &self.host_key {
            Some(known) if *known == host_key => self.send_newkeys(*keys),
            Some(_) => {
                return Err(Error::HostKeyRefused(
                    "the server changed its host key during the connection".into(),
                ));
            }
            None => {
                self.asked_host_key = Some(host_key.clone());
                self.host_key = Some(host_key);
                self.exchange = Exchange::AwaitDecision { keys };
            }
        }
        Ok(())
    }

    /// Continues the key exchange with the host key that the caller trusts.
    pub fn accept_host_key(&mut self) {
        match std::mem::replace(&mut self.exchange, Exchange::Idle) {
            Exchange::AwaitDecision { keys } => self.send_newkeys(*keys),
            other => self.exchange = other,
        }
    }

    fn send_newkeys(&mut self, keys: Keys) {
        self.send_urgent(vec![number::NEWKEYS]);
        self.out.push_back(Transmit::Keys {
            keys: keys.outbound,
            reset: self.sequence_reset(),
        });
        self.keys_wait = true;
        let first = self.session_id.is_none();
        self.session_id.get_or_insert(keys.exchange_hash);
        if self
            .choices()
            .is_some_and(|(o, _)| self.compresses_from_keys_on(o))
        {
            self.out.push_back(Transmit::StartCompression);
        }
        if first && self.peer_takes_ext_info {
            self.send_ext_info();
        }
        self.exchange = Exchange::AwaitNewKeys {
            inbound: Box::new(keys.inbound),
        };
        self.release_held();
    }

    fn recv_newkeys(&mut self, inbound: DirectionKeys, now: Instant) {
        self.open_changes.push_back(OpenChange::Keys {
            keys: inbound,
            reset: self.sequence_reset(),
        });
        if self
            .choices()
            .is_some_and(|(_, i)| self.compresses_from_keys_on(i))
        {
            self.open_changes.push_back(OpenChange::StartDecompression);
        }
        self.exchanges += 1;
        self.keys_since = Some(now);
    }

    fn compresses_from_keys_on(&self, choice: DirectionChoice) -> bool {
        match choice.compression {
            Compression::Off => false,
            Compression::Delayed => self.authenticated,
            Compression::Immediate => true,
        }
    }

    fn sequence_reset(&self) -> SequenceReset {
        match self.strict {
            true => SequenceReset::Restart,
            false => SequenceReset::Continue,
        }
    }

    fn exchange_hash(
        &self,
        negotiated: &Negotiated,
        inits: &Inits,
        host_key_blob: &[u8],
        public: PublicValues<'_>,
        secret: &SharedSecret,
    ) -> Vec<u8> {
        let (client_ident, server_ident) = match self.side {
            Side::Client => (&self.our_ident, &self.peer_ident),
            Side::Server => (&self.peer_ident, &self.our_ident),
        };
        ExchangeInput {
            client_ident: client_ident.as_bytes(),
            server_ident: server_ident.as_bytes(),
            client_kexinit: &inits.client,
            server_kexinit: &inits.server,
            host_key_blob,
            group: public.group,
            client_init: public.client,
            server_reply: public.server,
        }
        .exchange_hash(negotiated.kex, secret)
    }

    fn derive(&mut self, negotiated: &Negotiated, secret: &SharedSecret, hash: Vec<u8>) -> Keys {
        self.negotiated = Some(*negotiated);
        let derivation = KeyDerivation {
            hash: negotiated.kex.hash(),
            secret,
            exchange_hash: &hash,
            session_id: self.session_id.as_deref().unwrap_or(&hash),
        };
        let client_to_server = direction_keys(&derivation, negotiated.client_to_server, *b"ACE");
        let server_to_client = direction_keys(&derivation, negotiated.server_to_client, *b"BDF");
        let (outbound, inbound) = match self.side {
            Side::Client => (client_to_server, server_to_client),
            Side::Server => (server_to_client, client_to_server),
        };
        Keys {
            outbound,
            inbound,
            exchange_hash: hash,
        }
    }
}

fn direction_keys(
    derivation: &KeyDerivation<'_>,
    choice: DirectionChoice,
    letters: [u8; 3],
) -> DirectionKeys {
    let mac_key = match choice.mac {
        Some(mac) => derivation.derive(letters[2], MacName::key_len(mac)),
        None => Zeroizing::default(),
    };
    DirectionKeys {
        cipher: choice.cipher,
        mac: choice.mac,
        iv: derivation.derive(letters[0], choice.cipher.iv_len()),
        key: derivation.derive(letters[1], choice.cipher.key_len()),
        mac_key,
    }
}

fn internal(error: impl std::fmt::Display) -> Error {
    Error::Internal(error.to_string())
}

fn bad_kex(error: impl std::fmt::Display) -> Error {
    Misbehaviour::KeyExchange(error.to_string()).into()
}

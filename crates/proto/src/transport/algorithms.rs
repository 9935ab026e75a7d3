//! Algorithms: the offer of one side, and the negotiation that makes one choice of two offers (RFC 4253 §7.1).

use std::fmt;

pub use super::strict::WithoutStrictKex;
use crate::Side;
use crate::cipher::{CipherName, MacName};
use crate::error::Error;
use crate::kex::KexAlgorithm;
use crate::key::SignatureAlgorithm;
use crate::message::kex::KexInit;
use crate::peer_text;

/// Pseudo-method by which a client announces that it accepts EXT_INFO (RFC 8308).
pub(super) const EXT_INFO_C: &str = "ext-info-c";
/// The same for a server.
pub(super) const EXT_INFO_S: &str = "ext-info-s";
/// Pseudo-method by which a client announces strict key exchange (OpenSSH PROTOCOL §1.10).
pub(super) const STRICT_C: &str = "kex-strict-c-v00@openssh.com";
/// The same for a server.
pub(super) const STRICT_S: &str = "kex-strict-s-v00@openssh.com";

const ZLIB_DELAYED: &str = "zlib@openssh.com";
const ZLIB: &str = "zlib";

/// Compression, as requested and as negotiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// `none`. A client that asks for it still accepts compression from a server that offers nothing else.
    Off,
    /// zlib@openssh.com, which begins after authentication. A client prefers it, a server leaves the choice to the
    /// client.
    Delayed,
    /// `zlib` (RFC 4253 §6.2), which begins with the keys. For servers that offer nothing else.
    Immediate,
}

/// Algorithms that one side offers, most preferred first.
#[derive(Debug, Clone)]
pub struct Algorithms {
    /// Key exchange methods.
    pub kex: Vec<KexAlgorithm>,
    /// Signature algorithms of host keys.
    pub host_key: Vec<SignatureAlgorithm>,
    /// Signature algorithms that a server accepts from users. It announces them in EXT_INFO, and refuses all others.
    pub user_key: Vec<SignatureAlgorithm>,
    /// Ciphers, the same in both directions.
    pub ciphers: Vec<CipherName>,
    /// MACs, the same in both directions.
    pub macs: Vec<MacName>,
    /// Compression.
    pub compression: Compression,
    /// Rule for a peer without strict key exchange that shares no algorithm that is safe without it.
    pub without_strict_kex: WithoutStrictKex,
}

impl Default for Algorithms {
    /// All algorithms of this implementation, AES-GCM first: on processors with AES instructions it costs a tenth of
    /// the others.
    fn default() -> Self {
        Self {
            kex: KexAlgorithm::ALL.to_vec(),
            host_key: SignatureAlgorithm::ALL.to_vec(),
            user_key: SignatureAlgorithm::ALL.to_vec(),
            ciphers: CipherName::ALL.to_vec(),
            macs: MacName::ALL.to_vec(),
            compression: Compression::Off,
            without_strict_kex: WithoutStrictKex::Refuse,
        }
    }
}

impl Algorithms {
    /// KEXINIT with this offer. The pseudo-methods are only in the first KEXINIT of a connection.
    pub(super) fn offer(&self, side: Side, cookie: [u8; 16], first: FirstExchange) -> KexInit {
        // A server has no list of groups for group exchange.
        let has = |k: &&KexAlgorithm| side == Side::Client || !k.is_group_exchange();
        let kex = self.kex.iter().filter(has);
        let mut kex: Vec<String> = kex.map(|k| k.as_str().to_owned()).collect();
        if first == FirstExchange::Yes {
            match side {
                Side::Client => kex.extend([EXT_INFO_C.to_owned(), STRICT_C.to_owned()]),
                Side::Server => kex.extend([EXT_INFO_S.to_owned(), STRICT_S.to_owned()]),
            }
        }
        let ciphers: Vec<String> = self.ciphers.iter().map(|c| c.as_str().to_owned()).collect();
        let macs: Vec<String> = self.macs.iter().map(|m| m.as_str().to_owned()).collect();
        let compression = self.compression_names(side);
        KexInit {
            cookie,
            kex_algorithms: kex,
            server_host_key_algorithms: self
                .host_key
                .iter()
                .map(|h| h.as_str().to_owned())
                .collect(),
            encryption_client_to_server: ciphers.clone(),
            encryption_server_to_client: ciphers,
            mac_client_to_server: macs.clone(),
            mac_server_to_client: macs,
            compression_client_to_server: compression.clone(),
            compression_server_to_client: compression,
            first_kex_packet_follows: false,
        }
    }

    fn compression_names(&self, side: Side) -> Vec<String> {
        let names: &[&str] = match (self.compression, side) {
            (Compression::Off, Side::Client) => &["none", ZLIB_DELAYED, ZLIB],
            (Compression::Off, Side::Server) => &["none"],
            (_, Side::Client) => &[ZLIB_DELAYED, ZLIB, "none"],
            (Compression::Delayed, Side::Server) => &["none", ZLIB_DELAYED],
            (Compression::Immediate, Side::Server) => &[ZLIB],
        };
        names.iter().map(|&n| n.to_owned()).collect()
    }
}

/// Position of a key exchange: the first of its connection, or a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FirstExchange {
    Yes,
    No,
}

/// Algorithms of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DirectionChoice {
    /// The cipher.
    pub cipher: CipherName,
    /// The MAC; none beside an AEAD cipher.
    pub mac: Option<MacName>,
    /// Compression.
    pub compression: Compression,
}

impl fmt::Display for DirectionChoice {
    /// Uses the format of OpenSSH's debug messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mac = self.mac.map_or("<implicit>", MacName::as_str);
        let compression = match self.compression {
            Compression::Off => "none",
            Compression::Delayed => ZLIB_DELAYED,
            Compression::Immediate => ZLIB,
        };
        let cipher = self.cipher.as_str();
        write!(f, "cipher: {cipher} MAC: {mac} compression: {compression}")
    }
}

/// Result of a negotiation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Negotiated {
    /// The key exchange method.
    pub kex: KexAlgorithm,
    /// The signature algorithm of the host key.
    pub host_key: SignatureAlgorithm,
    /// Client to server.
    pub client_to_server: DirectionChoice,
    /// Server to client.
    pub server_to_client: DirectionChoice,
    /// True if the peer guessed the method wrong: its next key exchange packet is ignored.
    pub(super) guess_was_wrong: bool,
}

/// Chooses, for each kind, the first name of the client that the server has too.
pub(super) fn negotiate(ours: &KexInit, theirs: &KexInit, side: Side) -> Result<Negotiated, Error> {
    let (client, server) = match side {
        Side::Client => (ours, theirs),
        Side::Server => (theirs, ours),
    };
    let kex = choose(
        "key exchange method",
        &client.kex_algorithms,
        &server.kex_algorithms,
        KexAlgorithm::from_name,
    )?;
    let host_key = choose(
        "host key type",
        &client.server_host_key_algorithms,
        &server.server_host_key_algorithms,
        SignatureAlgorithm::from_name,
    )?;
    let client_to_server = choose_direction(
        [
            &client.encryption_client_to_server,
            &server.encryption_client_to_server,
        ],
        [&client.mac_client_to_server, &server.mac_client_to_server],
        [
            &client.compression_client_to_server,
            &server.compression_client_to_server,
        ],
    )?;
    let server_to_client = choose_direction(
        [
            &client.encryption_server_to_client,
            &server.encryption_server_to_client,
        ],
        [&client.mac_server_to_client, &server.mac_server_to_client],
        [
            &client.compression_server_to_client,
            &server.compression_server_to_client,
        ],
    )?;
    let guess_was_right = client.kex_algorithms.first() == server.kex_algorithms.first()
        && client.server_host_key_algorithms.first() == server.server_host_key_algorithms.first();
    Ok(Negotiated {
        kex,
        host_key,
        client_to_server,
        server_to_client,
        guess_was_wrong: theirs.first_kex_packet_follows && !guess_was_right,
    })
}

fn choose_direction(
    ciphers: [&Vec<String>; 2],
    macs: [&Vec<String>; 2],
    compression: [&Vec<String>; 2],
) -> Result<DirectionChoice, Error> {
    let cipher = choose("cipher", ciphers[0], ciphers[1], CipherName::from_name)?;
    let mac = if cipher.is_aead() {
        None
    } else {
        Some(choose("MAC", macs[0], macs[1], MacName::from_name)?)
    };
    let compression = choose(
        "compression",
        compression[0],
        compression[1],
        |name| match name {
            "none" => Some(Compression::Off),
            ZLIB_DELAYED => Some(Compression::Delayed),
            ZLIB => Some(Compression::Immediate),
            _ => None,
        },
    )?;
    Ok(DirectionChoice {
        cipher,
        mac,
        compression,
    })
}

fn choose<T>(
    kind: &str,
    client: &[String],
    server: &[String],
    parse: impl Fn(&str) -> Option<T>,
) -> Result<T, Error> {
    client
        .iter()
        .filter(|name| server.contains(name))
        .find_map(|name| parse(name))
        .ok_or_else(|| {
            Error::PeerIncompatible(format!(
                "no matching {kind} found: client offers {}; server offers {}",
                shown(client),
                shown(server)
            ))
        })
}

/// An offer for a message, cut short: it may be as long as a packet.
fn shown(names: &[String]) -> String {
    peer_text::description(&names.join(",")).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offers() -> (KexInit, KexInit) {
        let a = Algorithms::default();
        (
            a.offer(Side::Client, [0; 16], FirstExchange::Yes),
            a.offer(Side::Server, [0; 16], FirstExchange::Yes),
        )
    }

    #[test]
    fn client_preference_decides() {
        let (mut client, server) = offers();
        client.kex_algorithms = vec![
            "unknown".into(),
            "ecdh-sha2-nistp256".into(),
            "curve25519-sha256".into(),
        ];
        let chosen = negotiate(&client, &server, Side::Client).unwrap();
        assert_eq!(chosen.kex.as_str(), "ecdh-sha2-nistp256");
        assert_eq!(negotiate(&server, &client, Side::Server), Ok(chosen));
    }

    #[test]
    fn zlib_is_chosen_if_client_prefers_it_and_server_has_it() {
        let offer = |side, compression| {
            let algorithms = Algorithms {
                compression,
                ..Algorithms::default()
            };
            algorithms.offer(side, [0; 16], FirstExchange::Yes)
        };
        use Compression::{Delayed, Off};
        for (wanted, had) in [
            (Off, Off),
            (Off, Delayed),
            (Delayed, Off),
            (Delayed, Delayed),
        ] {
            let client = offer(Side::Client, wanted);
            let server = offer(Side::Server, had);
            let chosen = negotiate(&client, &server, Side::Client).unwrap();
            let expected = match (wanted, had) {
                (Delayed, Delayed) => Delayed,
                _ => Off,
            };
            assert_eq!(chosen.client_to_server.compression, expected);
            assert_eq!(chosen.server_to_client.compression, expected);
        }
    }

    #[test]
    fn zlib_is_chosen_without_request_if_server_has_nothing_else() {
        for (has, expected) in [
            ("zlib@openssh.com", Compression::Delayed),
            ("zlib", Compression::Immediate),
            ("zlib,zlib@openssh.com", Compression::Delayed),
            ("zlib,none", Compression::Off),
        ] {
            let (client, mut server) = offers();
            server.compression_client_to_server = has.split(',').map(str::to_owned).collect();
            let chosen = negotiate(&client, &server, Side::Client).unwrap();
            assert_eq!(chosen.client_to_server.compression, expected, "{has}");
            assert_eq!(chosen.server_to_client.compression, Compression::Off);
        }
    }

    #[test]
    fn choice_is_printed_in_format_of_openssh() {
        let mut choice = DirectionChoice {
            cipher: CipherName::Aes256Gcm,
            mac: None,
            compression: Compression::Off,
        };
        assert_eq!(
            choice.to_string(),
            "cipher: aes256-gcm@openssh.com MAC: <implicit> compression: none"
        );
        choice.cipher = CipherName::Aes256Ctr;
        choice.mac = Some(MacName::HmacSha256Etm);
        choice.compression = Compression::Delayed;
        assert_eq!(
            choice.to_string(),
            "cipher: aes256-ctr MAC: hmac-sha2-256-etm@openssh.com compression: zlib@openssh.com"
        );
    }

    #[test]
    fn long_offer_is_cut_short_in_messages() {
        let (mut client, server) = offers();
        client.kex_algorithms = vec!["x".repeat(300); 100];
        let error = negotiate(&client, &server, Side::Server).unwrap_err();
        assert!(error.to_string().len() < 1000, "{error}");
    }

    #[test]
    fn error_of_failed_negotiation_names_both_offers() {
        let (mut client, server) = offers();
        client.encryption_client_to_server = vec!["3des-cbc".into()];
        let error = negotiate(&client, &server, Side::Server)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("no matching cipher") && error.contains("3des-cbc"),
            "{error}"
        );
    }

    #[test]
    fn wrong_guess_is_detected() {
        let (ours, mut theirs) = offers();
        theirs.first_kex_packet_follows = true;
        theirs.kex_algorithms.insert(0, "other".into());
        assert!(
            negotiate(&ours, &theirs, Side::Client)
                .unwrap()
                .guess_was_wrong
        );
    }
}

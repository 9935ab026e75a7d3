//! Messages of the key exchange (RFC 4253 §7.1 and §8, RFC 5656 §4, RFC 4419 §3).

use super::{names, number};
use crate::wire::{Reader, WireError, Writer};

/// SSH_MSG_KEXINIT (RFC 4253 §7.1): what one side offers, most preferred first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KexInit {
    /// Random bytes that make each exchange hash fresh.
    pub cookie: [u8; 16],
    /// Key exchange methods, and the pseudo-methods that announce extensions.
    pub kex_algorithms: Vec<String>,
    /// Signature algorithms of the server's host keys.
    pub server_host_key_algorithms: Vec<String>,
    /// Ciphers, client to server.
    pub encryption_client_to_server: Vec<String>,
    /// Ciphers, server to client.
    pub encryption_server_to_client: Vec<String>,
    /// MACs, client to server.
    pub mac_client_to_server: Vec<String>,
    /// MACs, server to client.
    pub mac_server_to_client: Vec<String>,
    /// Compression, client to server.
    pub compression_client_to_server: Vec<String>,
    /// Compression, server to client.
    pub compression_server_to_client: Vec<String>,
    /// True if the sender has already sent its guess of the first key exchange packet.
    pub first_kex_packet_follows: bool,
}

impl KexInit {
    /// Reads the message.
    pub fn parse(payload: &[u8]) -> Result<Self, WireError> {
        let mut r = Reader::new(payload);
        r.u8("message number")?;
        let mut cookie = [0; 16];
        cookie.copy_from_slice(r.bytes(16, "cookie")?);
        let init = Self {
            cookie,
            kex_algorithms: names(&mut r, "kex_algorithms")?,
            server_host_key_algorithms: names(&mut r, "server_host_key_algorithms")?,
            encryption_client_to_server: names(&mut r, "encryption_algorithms")?,
            encryption_server_to_client: names(&mut r, "encryption_algorithms")?,
            mac_client_to_server: names(&mut r, "mac_algorithms")?,
            mac_server_to_client: names(&mut r, "mac_algorithms")?,
            compression_client_to_server: names(&mut r, "compression_algorithms")?,
            compression_server_to_client: names(&mut r, "compression_algorithms")?,
            first_kex_packet_follows: {
                r.name_list("languages_client_to_server")?;
                r.name_list("languages_server_to_client")?;
                r.boolean("first_kex_packet_follows")?
            },
        };
        r.u32("reserved")?;
        r.finish()?;
        Ok(init)
    }

    /// The message as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::message(number::KEXINIT);
        w.raw(&self.cookie);
        for list in [
            &self.kex_algorithms,
            &self.server_host_key_algorithms,
            &self.encryption_client_to_server,
            &self.encryption_server_to_client,
            &self.mac_client_to_server,
            &self.mac_server_to_client,
            &self.compression_client_to_server,
            &self.compression_server_to_client,
        ] {
            w.name_list(list);
        }
        w.string("").string("");
        w.boolean(self.first_kex_packet_follows).u32(0);
        w.into_vec()
    }
}

/// SSH_MSG_KEX_ECDH_INIT (RFC 5656 §4): the client's public value. SSH_MSG_KEXDH_INIT (RFC 4253 §8) is the same, with the
/// content of an `mpint` for the string's.
pub fn parse_ecdh_init(payload: &[u8]) -> Result<&[u8], WireError> {
    let mut r = Reader::new(payload);
    r.u8("message number")?;
    let value = r.string("Q_C")?;
    r.finish()?;
    Ok(value)
}

/// SSH_MSG_KEX_ECDH_INIT as bytes.
pub fn encode_ecdh_init(client_init: &[u8]) -> Vec<u8> {
    let mut w = Writer::message(number::KEX_ECDH_INIT);
    w.string(client_init);
    w.into_vec()
}

/// SSH_MSG_KEX_ECDH_REPLY (RFC 5656 §4); SSH_MSG_KEXDH_REPLY and SSH_MSG_KEX_DH_GEX_REPLY are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EcdhReply<'a> {
    /// K_S, the server's public host key.
    pub host_key: &'a [u8],
    /// Q_S, the server's public value.
    pub server_reply: &'a [u8],
    /// The signature over the exchange hash.
    pub signature: &'a [u8],
}

impl<'a> EcdhReply<'a> {
    /// Reads the message.
    pub fn parse(payload: &'a [u8]) -> Result<Self, WireError> {
        let mut r = Reader::new(payload);
        r.u8("message number")?;
        let reply = Self {
            host_key: r.string("K_S")?,
            server_reply: r.string("Q_S")?,
            signature: r.string("signature")?,
        };
        r.finish()?;
        Ok(reply)
    }

    /// The message as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::message(number::KEX_ECDH_REPLY);
        w.string(self.host_key)
            .string(self.server_reply)
            .string(self.signature);
        w.into_vec()
    }
}

/// Sizes of the group that a client asks for, in bits: the least, the wanted, the most.
pub type GroupSizes = [u32; 3];

/// SSH_MSG_KEX_DH_GEX_REQUEST as bytes (RFC 4419 §3).
pub fn encode_group_request(sizes: GroupSizes) -> Vec<u8> {
    let mut w = Writer::message(number::KEX_DH_GEX_REQUEST);
    for size in sizes {
        w.u32(size);
    }
    w.into_vec()
}

/// SSH_MSG_KEX_DH_GEX_GROUP (RFC 4419 §3): the group that the server chose, as unsigned numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DhGroup<'a> {
    /// The prime.
    pub p: &'a [u8],
    /// The generator.
    pub g: &'a [u8],
}

impl<'a> DhGroup<'a> {
    /// Reads the message.
    pub fn parse(payload: &'a [u8]) -> Result<Self, WireError> {
        let mut r = Reader::new(payload);
        r.u8("message number")?;
        let group = Self {
            p: r.unsigned_mpint("p")?,
            g: r.unsigned_mpint("g")?,
        };
        r.finish()?;
        Ok(group)
    }

    /// Bytes of it that the exchange hash covers, with the sizes that were asked for.
    pub fn hashed(&self, sizes: GroupSizes) -> Vec<u8> {
        let mut w = Writer::new();
        for size in sizes {
            w.u32(size);
        }
        w.unsigned_mpint(self.p).unsigned_mpint(self.g);
        w.into_vec()
    }
}

/// SSH_MSG_KEX_DH_GEX_INIT as bytes (RFC 4419 §3): the client's public value, the content of an `mpint`.
pub fn encode_group_init(public: &[u8]) -> Vec<u8> {
    let mut w = Writer::message(number::KEX_DH_GEX_INIT);
    w.string(public);
    w.into_vec()
}

#[cfg(test)]
mod tests {
    use super::super::MAX_NAMES;
    use super::*;

    #[test]
    fn kexinit_round_trips() {
        let init = KexInit {
            cookie: [7; 16],
            kex_algorithms: vec!["curve25519-sha256".into(), "ext-info-c".into()],
            encryption_client_to_server: vec!["aes256-gcm@openssh.com".into()],
            first_kex_packet_follows: true,
            ..KexInit::default()
        };
        assert_eq!(KexInit::parse(&init.encode()), Ok(init));
    }

    #[test]
    fn kexinit_with_a_flood_of_names_is_refused() {
        let init = KexInit {
            kex_algorithms: vec!["x".into(); MAX_NAMES + 1],
            ..KexInit::default()
        };
        assert_eq!(
            KexInit::parse(&init.encode()),
            Err(WireError::BadValue("kex_algorithms"))
        );
    }

    #[test]
    fn truncated_kexinit_is_refused_at_every_length() {
        let bytes = KexInit::default().encode();
        for n in 0..bytes.len() {
            assert!(KexInit::parse(&bytes[..n]).is_err(), "{n} bytes");
        }
    }
}

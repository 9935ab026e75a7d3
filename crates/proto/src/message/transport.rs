//! Messages of the transport layer outside the key exchange (RFC 4253 §11, RFC 8308).

use super::private::EARLY_DATA;
use super::{names, number};
use crate::peer_text;
use crate::wire::{Reader, WireError, Writer};

/// Reason code of a DISCONNECT (RFC 4253 §11.1). Numbers that have no name here keep their value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DisconnectReason(pub u32);

#[allow(missing_docs)]
impl DisconnectReason {
    pub const HOST_NOT_ALLOWED_TO_CONNECT: Self = Self(1);
    pub const PROTOCOL_ERROR: Self = Self(2);
    pub const KEY_EXCHANGE_FAILED: Self = Self(3);
    pub const MAC_ERROR: Self = Self(5);
    pub const COMPRESSION_ERROR: Self = Self(6);
    pub const SERVICE_NOT_AVAILABLE: Self = Self(7);
    pub const PROTOCOL_VERSION_NOT_SUPPORTED: Self = Self(8);
    pub const HOST_KEY_NOT_VERIFIABLE: Self = Self(9);
    pub const CONNECTION_LOST: Self = Self(10);
    pub const BY_APPLICATION: Self = Self(11);
    pub const TOO_MANY_CONNECTIONS: Self = Self(12);
    pub const NO_MORE_AUTH_METHODS_AVAILABLE: Self = Self(14);
}

/// SSH_MSG_DISCONNECT (RFC 4253 §11.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disconnect {
    /// The reason code.
    pub reason: DisconnectReason,
    /// A sentence for a person.
    pub description: String,
}

impl Disconnect {
    /// Reads the message; of the description as much is kept as is ever shown, and as far as it is UTF-8.
    pub fn parse(payload: &[u8]) -> Result<Self, WireError> {
        let mut r = Reader::new(payload);
        r.u8("message number")?;
        let reason = DisconnectReason(r.u32("reason code")?);
        let description = peer_text::keep(r.string("description")?);
        Ok(Self {
            reason,
            description,
        })
    }

    /// The message as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::message(number::DISCONNECT);
        w.u32(self.reason.0).string(&self.description).string("");
        w.into_vec()
    }
}

/// SSH_MSG_DEBUG (RFC 4253 §11.3): the beginning of the text only; the display flag and language are of no use here.
pub fn parse_debug(payload: &[u8]) -> Result<String, WireError> {
    let mut r = Reader::new(payload);
    r.u8("message number")?;
    r.boolean("always_display")?;
    Ok(peer_text::keep(r.string("message")?))
}

/// SSH_MSG_DEBUG as bytes.
pub fn encode_debug(message: &str) -> Vec<u8> {
    let mut w = Writer::message(number::DEBUG);
    w.boolean(false).string(message).string("");
    w.into_vec()
}

/// SSH_MSG_UNIMPLEMENTED (RFC 4253 §11.4) for the packet with this sequence number.
pub fn encode_unimplemented(sequence_number: u32) -> Vec<u8> {
    let mut w = Writer::message(number::UNIMPLEMENTED);
    w.u32(sequence_number);
    w.into_vec()
}

/// The extensions of SSH_MSG_EXT_INFO (RFC 8308) that this implementation acts on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExtInfo {
    /// `server-sig-algs`: signature algorithms that the server takes for user authentication.
    pub server_sig_algs: Option<Vec<String>>,
    /// `ping@openssh.com`: the peer answers SSH2_MSG_PING.
    pub ping: bool,
    /// [`EARLY_DATA`]: bytes of data that the peer takes of a channel before it confirms it.
    pub early_data: Option<u32>,
}

impl ExtInfo {
    /// Reads the message; extensions that are not known are passed over. Of `server-sig-algs` no more names are taken than
    /// of a list in KEXINIT: whoever sends it has not logged in yet.
    pub fn parse(payload: &[u8]) -> Result<Self, WireError> {
        let mut r = Reader::new(payload);
        r.u8("message number")?;
        let count = r.u32("nr-extensions")?;
        let mut info = Self::default();
        for _ in 0..count {
            match r.string("extension-name")? {
                b"server-sig-algs" => {
                    info.server_sig_algs = Some(names(&mut r, "server-sig-algs")?);
                }
                name if name == EARLY_DATA.as_bytes() => {
                    // A value that is no number announces nothing.
                    info.early_data = r.text("early-data")?.parse().ok();
                }
                name => {
                    r.string("extension-value")?;
                    info.ping |= name == b"ping@openssh.com";
                }
            }
        }
        r.finish()?;
        Ok(info)
    }

    /// The message as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::message(number::EXT_INFO);
        let values = [
            self.server_sig_algs
                .as_ref()
                .map(|names| ("server-sig-algs", names.join(","))),
            self.ping.then(|| ("ping@openssh.com", "0".to_owned())),
            self.early_data
                .map(|window| (EARLY_DATA, window.to_string())),
        ];
        let values: Vec<_> = values.into_iter().flatten().collect();
        w.u32(u32::try_from(values.len()).expect("there are three in all"));
        for (name, value) in values {
            w.string(name).string(&value);
        }
        w.into_vec()
    }
}

/// SSH_MSG_SERVICE_REQUEST or SSH_MSG_SERVICE_ACCEPT (RFC 4253 §10): the name of the service.
pub fn parse_service(payload: &[u8]) -> Result<&str, WireError> {
    let mut r = Reader::new(payload);
    r.u8("message number")?;
    let service = r.text("service name")?;
    r.finish()?;
    Ok(service)
}

/// SSH_MSG_SERVICE_REQUEST or SSH_MSG_SERVICE_ACCEPT as bytes.
pub fn encode_service(number: u8, service: &str) -> Vec<u8> {
    let mut w = Writer::message(number);
    w.string(service);
    w.into_vec()
}

/// SSH2_MSG_PING or SSH2_MSG_PONG (OpenSSH PROTOCOL §1.9): the opaque data.
pub fn parse_ping(payload: &[u8]) -> Result<&[u8], WireError> {
    let mut r = Reader::new(payload);
    r.u8("message number")?;
    let data = r.string("ping data")?;
    r.finish()?;
    Ok(data)
}

/// SSH2_MSG_PING or SSH2_MSG_PONG as bytes.
pub fn encode_ping(number: u8, data: &[u8]) -> Vec<u8> {
    let mut w = Writer::message(number);
    w.string(data);
    w.into_vec()
}

#[cfg(test)]
mod tests {
    use super::super::MAX_NAMES;
    use super::*;

    #[test]
    fn disconnect_round_trips() {
        let message = Disconnect {
            reason: DisconnectReason::BY_APPLICATION,
            description: "done".into(),
        };
        assert_eq!(Disconnect::parse(&message.encode()), Ok(message));
    }

    #[test]
    fn ext_info_keeps_what_it_knows_and_passes_over_the_rest() {
        let mut w = Writer::message(number::EXT_INFO);
        w.u32(4)
            .string(EARLY_DATA)
            .string("1000")
            .string("no-flow-control")
            .string("p")
            .string("server-sig-algs")
            .string("ssh-ed25519,rsa-sha2-256")
            .string("ping@openssh.com")
            .string("0");
        let info = ExtInfo::parse(w.as_slice()).unwrap();
        assert!(info.ping);
        assert_eq!(info.early_data, Some(1000));
        assert_eq!(info.server_sig_algs.unwrap().len(), 2);
    }

    #[test]
    fn ext_info_with_a_flood_of_names_is_refused_and_commas_are_no_names() {
        let parse = |list: &str| {
            let mut w = Writer::message(number::EXT_INFO);
            w.u32(1).string("server-sig-algs").string(list);
            ExtInfo::parse(w.as_slice()).map(|info| info.server_sig_algs.unwrap().len())
        };
        assert_eq!(parse(&"x,".repeat(MAX_NAMES)), Ok(MAX_NAMES));
        let flood = parse(&"x,".repeat(MAX_NAMES + 1));
        assert_eq!(flood, Err(WireError::BadValue("server-sig-algs")));
        assert_eq!(parse(&",".repeat(250_000)), Ok(0));
    }

    #[test]
    fn ext_info_that_claims_more_than_it_holds_is_refused() {
        let mut w = Writer::message(number::EXT_INFO);
        w.u32(u32::MAX).string("a").string("b");
        assert!(ExtInfo::parse(w.as_slice()).is_err());
    }
}

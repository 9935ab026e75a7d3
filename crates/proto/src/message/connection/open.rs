//! Opening of channels: their types, and the question with its two answers (RFC 4254 §5.1).

use super::{MAX_TYPE_LEN, place, port};
use crate::message::number;
use crate::peer_text;
use crate::wire::{Reader, WireError, Writer};

/// Purpose of a channel: its type with the fields of that type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChannelType {
    /// `direct-tcpip` (RFC 4254 §7.2): connect to a host and port.
    DirectTcpip(TcpAddresses),
    /// `forwarded-tcpip` (RFC 4254 §7.2): a connection came to a forwarded port.
    ForwardedTcpip(TcpAddresses),
    /// `direct-streamlocal@openssh.com`: connect to a unix socket.
    DirectStreamLocal {
        /// The path of the socket.
        socket_path: String,
    },
    /// `forwarded-streamlocal@openssh.com`: a connection came to a forwarded unix socket.
    ForwardedStreamLocal {
        /// The path of the socket.
        socket_path: String,
    },
    /// `session` (RFC 4254 §6.1): a shell, a command or a subsystem.
    Session,
    /// Any other type, by name.
    Other(String),
}

/// The two address pairs of the TCP channel types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpAddresses {
    /// `host to connect` of direct-tcpip, `address that was connected` of forwarded-tcpip.
    pub host: String,
    /// The port that goes with `host`.
    pub port: u16,
    /// Address that the connection came from, as text.
    pub originator_address: String,
    /// The port that goes with `originator_address`.
    pub originator_port: u16,
}

impl ChannelType {
    /// The name of the type on the wire.
    pub fn name(&self) -> &str {
        match self {
            ChannelType::DirectTcpip(_) => "direct-tcpip",
            ChannelType::ForwardedTcpip(_) => "forwarded-tcpip",
            ChannelType::DirectStreamLocal { .. } => "direct-streamlocal@openssh.com",
            ChannelType::ForwardedStreamLocal { .. } => "forwarded-streamlocal@openssh.com",
            ChannelType::Session => "session",
            ChannelType::Other(name) => name,
        }
    }

    fn parse(name: &str, r: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(match name {
            "direct-tcpip" => ChannelType::DirectTcpip(TcpAddresses::parse(r)?),
            "forwarded-tcpip" => ChannelType::ForwardedTcpip(TcpAddresses::parse(r)?),
            "direct-streamlocal@openssh.com" => ChannelType::DirectStreamLocal {
                socket_path: place(r, "socket path")?,
            },
            "forwarded-streamlocal@openssh.com" => ChannelType::ForwardedStreamLocal {
                socket_path: place(r, "socket path")?,
            },
            "session" => ChannelType::Session,
            other if other.len() > MAX_TYPE_LEN => return Err(WireError::BadValue("channel type")),
            other => ChannelType::Other(other.to_owned()),
        })
    }

    fn encode(&self, w: &mut Writer) {
        match self {
            ChannelType::DirectTcpip(a) | ChannelType::ForwardedTcpip(a) => a.encode(w),
            ChannelType::DirectStreamLocal { socket_path } => {
                w.string(socket_path).string("").u32(0);
            }
            ChannelType::ForwardedStreamLocal { socket_path } => {
                w.string(socket_path).string("");
            }
            ChannelType::Session | ChannelType::Other(_) => {}
        }
    }
}

impl TcpAddresses {
    fn parse(r: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            host: place(r, "host")?,
            port: port(r, "port")?,
            // Some peers put garbage here; it is only ever shown.
            originator_address: peer_text::name(r.string("originator address")?).to_string(),
            originator_port: u16::try_from(r.u32("originator port")?).unwrap_or(0),
        })
    }

    fn encode(&self, w: &mut Writer) {
        w.string(&self.host)
            .u32(self.port.into())
            .string(&self.originator_address)
            .u32(self.originator_port.into());
    }
}

/// SSH_MSG_CHANNEL_OPEN (RFC 4254 §5.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// The type and its fields.
    pub channel_type: ChannelType,
    /// The sender's number of the channel.
    pub sender_channel: u32,
    /// Bytes that may be sent to the sender before it grants more.
    pub initial_window_size: u32,
    /// The most data bytes of one packet to the sender.
    pub maximum_packet_size: u32,
}

impl Open {
    /// Reads the message. `Err` with the sender's channel number where only the type's own fields are bad,
    /// so that the open can be refused instead of the connection ended.
    pub fn parse(payload: &[u8]) -> Result<Result<Self, (u32, WireError)>, WireError> {
        let mut r = Reader::new(payload);
        r.u8("message number")?;
        let name = r.text("channel type")?;
        let sender_channel = r.u32("sender channel")?;
        let initial_window_size = r.u32("initial window size")?;
        let maximum_packet_size = r.u32("maximum packet size")?;
        Ok(ChannelType::parse(name, &mut r)
            .map(|channel_type| Self {
                channel_type,
                sender_channel,
                initial_window_size,
                maximum_packet_size,
            })
            .map_err(|e| (sender_channel, e)))
    }

    /// The message as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::message(number::CHANNEL_OPEN);
        w.string(self.channel_type.name())
            .u32(self.sender_channel)
            .u32(self.initial_window_size)
            .u32(self.maximum_packet_size);
        self.channel_type.encode(&mut w);
        w.into_vec()
    }
}

/// SSH_MSG_CHANNEL_OPEN_CONFIRMATION (RFC 4254 §5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenConfirmation {
    /// The receiver's number of the channel.
    pub recipient_channel: u32,
    /// The sender's number of the channel.
    pub sender_channel: u32,
    /// Bytes that may be sent to the sender before it grants more.
    pub initial_window_size: u32,
    /// The most data bytes of one packet to the sender.
    pub maximum_packet_size: u32,
}

impl OpenConfirmation {
    /// Reads the message.
    pub fn parse(payload: &[u8]) -> Result<Self, WireError> {
        let mut r = Reader::new(payload);
        r.u8("message number")?;
        Ok(Self {
            recipient_channel: r.u32("recipient channel")?,
            sender_channel: r.u32("sender channel")?,
            initial_window_size: r.u32("initial window size")?,
            maximum_packet_size: r.u32("maximum packet size")?,
        })
    }

    /// The message as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::message(number::CHANNEL_OPEN_CONFIRMATION);
        w.u32(self.recipient_channel)
            .u32(self.sender_channel)
            .u32(self.initial_window_size)
            .u32(self.maximum_packet_size);
        w.into_vec()
    }
}

/// Reason code for a channel that was not opened (RFC 4254 §5.1). Other numbers keep their value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenFailureReason(pub u32);

#[allow(missing_docs)]
impl OpenFailureReason {
    pub const ADMINISTRATIVELY_PROHIBITED: Self = Self(1);
    pub const CONNECT_FAILED: Self = Self(2);
    pub const UNKNOWN_CHANNEL_TYPE: Self = Self(3);
    pub const RESOURCE_SHORTAGE: Self = Self(4);
}

impl std::fmt::Display for OpenFailureReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            1 => write!(f, "administratively prohibited"),
            2 => write!(f, "connect failed"),
            3 => write!(f, "unknown channel type"),
            4 => write!(f, "resource shortage"),
            n => write!(f, "reason {n}"),
        }
    }
}

/// Refusal of a channel, as SSH_MSG_CHANNEL_OPEN_FAILURE says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenFailure {
    /// The reason code.
    pub reason: OpenFailureReason,
    /// A sentence for a person.
    pub description: String,
}

impl OpenFailure {
    /// Reads the message: our number of the channel, and the failure.
    pub fn parse(payload: &[u8]) -> Result<(u32, Self), WireError> {
        let mut r = Reader::new(payload);
        r.u8("message number")?;
        let recipient_channel = r.u32("recipient channel")?;
        let reason = OpenFailureReason(r.u32("reason code")?);
        let description = peer_text::keep(r.string("description")?);
        Ok((
            recipient_channel,
            Self {
                reason,
                description,
            },
        ))
    }

    /// The message as bytes, for the peer's channel number.
    pub fn encode(&self, recipient_channel: u32) -> Vec<u8> {
        let mut w = Writer::message(number::CHANNEL_OPEN_FAILURE);
        w.u32(recipient_channel)
            .u32(self.reason.0)
            .string(&self.description)
            .string("");
        w.into_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses() -> TcpAddresses {
        TcpAddresses {
            host: "db".into(),
            port: 5432,
            originator_address: "127.0.0.1".into(),
            originator_port: 51000,
        }
    }

    #[test]
    fn open_round_trips_for_each_type() {
        for channel_type in [
            ChannelType::DirectTcpip(addresses()),
            ChannelType::ForwardedTcpip(addresses()),
            ChannelType::DirectStreamLocal {
                socket_path: "/run/x".into(),
            },
            ChannelType::ForwardedStreamLocal {
                socket_path: "/run/x".into(),
            },
            ChannelType::Session,
            ChannelType::Other("x11".into()),
        ] {
            let open = Open {
                channel_type,
                sender_channel: 1,
                initial_window_size: 2,
                maximum_packet_size: 3,
            };
            assert_eq!(Open::parse(&open.encode()), Ok(Ok(open)));
        }
    }

    #[test]
    fn open_to_an_impossible_port_can_be_refused_by_number() {
        let mut w = Writer::message(number::CHANNEL_OPEN);
        w.string("direct-tcpip").u32(9).u32(1).u32(1);
        w.string("h").u32(70_000).string("o").u32(1);
        assert_eq!(
            Open::parse(w.as_slice()),
            Ok(Err((9, WireError::BadValue("port"))))
        );
    }

    #[test]
    fn host_that_would_write_to_a_terminal_or_fill_memory_is_refused() {
        for host in ["a\nb".to_owned(), "\x1b[2J".to_owned(), "x".repeat(1025)] {
            let mut addresses = addresses();
            addresses.host = host;
            let open = Open {
                channel_type: ChannelType::DirectTcpip(addresses),
                sender_channel: 9,
                initial_window_size: 2,
                maximum_packet_size: 3,
            };
            let refused = Err((9, WireError::BadValue("host")));
            assert_eq!(Open::parse(&open.encode()), Ok(refused));
        }
    }

    #[test]
    fn originator_is_kept_as_far_as_it_can_be_shown() {
        let parse = |originator: &[u8]| {
            let mut w = Writer::new();
            w.string("a").u32(1).string(originator).u32(2);
            let parsed = TcpAddresses::parse(&mut Reader::new(w.as_slice()));
            parsed.unwrap().originator_address
        };
        assert_eq!(
            parse(b"10.0.0.1\x1b\n\xff"),
            "10.0.0.1\\u{1b}\\u{a}\u{fffd}"
        );
        assert!(parse(&[b'x'; 5000]).ends_with("xx…"));
    }
}

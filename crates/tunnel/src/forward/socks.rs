//! The server side of SOCKS4, SOCKS4a and SOCKS5 (RFC 1928) as a state machine without I/O.
//!
//! ```text
//!            ┌─ 4 ─▶ request ──────────────────────────▶ Request
//!  first byte┤
//!            └─ 5 ─▶ methods ─▶ Reply(05 00) ─▶ request ─▶ Request
//! ```
//!
//! The caller gives its bytes to [`Socks::handle`]. On [`Progress::Reply`] and [`Progress::Request`] it drops the first
//! `consumed` bytes, and gives or keeps the rest; on [`Progress::NeedMore`] all were consumed. After a request it
//! dials, and answers with [`Version::reply`]. After an error it sends [`SocksError::reply`] and closes.
//!
//! At most [`MAX_MESSAGE`] bytes are kept between two calls. There is no clock here: the caller, `conversation`, limits
//! the time of a handshake for both kinds of forward.

pub(crate) mod conversation;
mod outcome;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use outcome::Outcome;

/// The longest handshake message, in bytes: a SOCKS4a request of 8 bytes, a user and a name of
/// 255 bytes each, and the two NULs that end them.
pub const MAX_MESSAGE: usize = 8 + 2 * (MAX_TEXT + 1);

/// The longest name and the longest SOCKS4 user, in bytes.
const MAX_TEXT: usize = 255;

/// SOCKS5 method: no authentication.
const METHOD_NONE: u8 = 0;

/// First bytes of HTTP requests. None of them is a SOCKS version.
const HTTP_METHODS: [&[u8]; 8] = [
    b"GET ",
    b"CONNECT ",
    b"POST ",
    b"HEAD ",
    b"PUT ",
    b"DELETE ",
    b"OPTIONS ",
    b"PATCH ",
];

/// One SOCKS handshake, seen from the server.
#[derive(Debug, Default)]
pub struct Socks {
    phase: Phase,
    /// Beginning of an incomplete message; never more than [`MAX_MESSAGE`].
    pending: Vec<u8>,
}

/// Result of [`Socks::handle`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// All bytes were consumed and the message is not complete: read more.
    NeedMore,
    /// Send `bytes` to the application, then continue after the first `consumed` bytes.
    Reply {
        /// Bytes to send.
        bytes: Vec<u8>,
        /// Length of the answered message in this call's input.
        consumed: usize,
    },
    /// The application requests a connection. The handshake is complete.
    Request {
        /// The request.
        request: Request,
        /// Length of the request in this call's input. The bytes after it are early data of the connection.
        consumed: usize,
    },
}

/// A CONNECT request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Version of the request, and of its reply.
    pub version: Version,
    /// The host to connect to.
    pub host: Host,
    /// The TCP port to connect to.
    pub port: u16,
}

/// Host of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// An address; also one that the application sent as a name.
    Address(IpAddr),
    /// A name of 1 to 255 bytes, without spaces, controls or invisible characters. Not resolved.
    Name(String),
}

/// Protocol version of the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// SOCKS4, or its extension SOCKS4a.
    V4,
    /// SOCKS5 (RFC 1928).
    V5,
}

/// Command of a request (RFC 1928 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Connect to the host.
    Connect,
    /// Wait for a connection from the host.
    Bind,
    /// Carry datagrams.
    UdpAssociate,
}

/// Reason why a handshake failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SocksError {
    /// The first byte is no version of SOCKS.
    UnknownVersion(u8),
    /// The application expects an HTTP proxy or a web server here.
    Http,
    /// The SOCKS5 request does not begin with 5.
    BadRequestVersion(u8),
    /// The application offers only authentication methods that we do not support (SOCKS5).
    NoAcceptableMethod,
    /// The command is known but not supported.
    UnsupportedCommand(Version, Command),
    /// The command is unknown.
    UnknownCommand(Version, u8),
    /// The address type is unknown (SOCKS5).
    UnknownAddressType(u8),
    /// The host's name is empty, too long, or not printable text.
    BadName(Version),
    /// The user of a SOCKS4 request is longer than 255 bytes.
    LongUser,
    /// More bytes were given after the end of the handshake.
    Over,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Waits for the first byte, which is the version.
    #[default]
    Opening,
    /// The SOCKS5 method is chosen.
    Request,
    Over,
}

/// A complete message, and its result.
enum Message {
    Methods,
    Request(Request),
}

/// A parsed message with its length in bytes, or none while it is incomplete.
type Parsed<T> = Result<Option<(T, usize)>, SocksError>;

impl Socks {
    /// A handshake that waits for its first byte.
    pub fn new() -> Self {
        Self::default()
    }

    /// Handles the next bytes of the application, as many or few as have arrived.
    ///
    /// # Errors
    /// The handshake has failed: send [`SocksError::reply`], then close. All later calls return [`SocksError::Over`],
    /// as they do after a request.
    pub fn handle(&mut self, input: &[u8]) -> Result<Progress, SocksError> {
        let before = self.pending.len();
        let room = MAX_MESSAGE.saturating_sub(before);
        let taken = &input[..input.len().min(room)];
        self.pending.extend_from_slice(taken);
        let Some((message, len)) = self.parse().inspect_err(|_| self.end())? else {
            return Ok(Progress::NeedMore);
        };
        // The bytes of earlier calls did not complete the message, so it ends in this input.
        let consumed = len - before;
        match message {
            Message::Methods => {
                self.pending.clear();
                self.phase = Phase::Request;
                Ok(Progress::Reply {
                    bytes: vec![5, METHOD_NONE],
                    consumed,
                })
            }
            Message::Request(request) => {
                self.end();
                Ok(Progress::Request { request, consumed })
            }
        }
    }

    fn parse(&self) -> Parsed<Message> {
        let bytes = &self.pending[..];
        match (self.phase, bytes.first()) {
            (Phase::Over, _) => Err(SocksError::Over),
            (_, None) => Ok(None),
            (Phase::Request, _) => map(parse_v5_request(bytes)?, Message::Request),
            (Phase::Opening, Some(4)) => map(parse_v4_request(bytes)?, Message::Request),
            (Phase::Opening, Some(5)) => map(parse_v5_methods(bytes)?, |()| Message::Methods),
            (Phase::Opening, Some(&first)) => match http_request(bytes) {
                Some(true) => Err(SocksError::Http),
                Some(false) => Err(SocksError::UnknownVersion(first)),
                None => Ok(None),
            },
        }
    }

    fn end(&mut self) {
        self.phase = Phase::Over;
        self.pending = Vec::new();
    }
}

impl SocksError {
    /// Reply to send before closing; none if the version of the application is unknown.
    pub fn reply(&self) -> Option<Vec<u8>> {
        match self {
            Self::UnknownVersion(_) | Self::Over => None,
            Self::Http => Some(HTTP_REPLY.to_vec()),
            Self::NoAcceptableMethod => Some(vec![5, 0xff]),
            Self::BadRequestVersion(_) => Some(Version::V5.reply(Outcome::GeneralFailure)),
            Self::UnsupportedCommand(version, _) | Self::UnknownCommand(version, _) => {
                Some(version.reply(Outcome::CommandNotSupported))
            }
            Self::UnknownAddressType(_) => {
                Some(Version::V5.reply(Outcome::AddressTypeNotSupported))
            }
            Self::BadName(version) => Some(version.reply(Outcome::GeneralFailure)),
            Self::LongUser => Some(Version::V4.reply(Outcome::GeneralFailure)),
        }
    }
}

const HTTP_REPLY: &[u8] = b"HTTP/1.1 501 Not Implemented\r\nContent-Type: text/plain\r\n\
    Content-Length: 57\r\nConnection: close\r\n\r\n\
    This port is a SOCKS proxy (4, 4a, 5), not an HTTP proxy\n";

impl fmt::Display for SocksError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownVersion(0x16) => {
                write!(f, "a TLS handshake arrived, but this port is a SOCKS proxy")
            }
            Self::UnknownVersion(byte) => write!(
                f,
                "the first byte is {byte:#04x}, but this port is a SOCKS proxy, whose versions are 4 and 5"
            ),
            Self::Http => write!(
                f,
                "an HTTP request arrived, but this port is a SOCKS proxy, not an HTTP proxy"
            ),
            Self::BadRequestVersion(byte) => {
                write!(f, "a SOCKS5 request begins with {byte:#04x} instead of 5")
            }
            Self::NoAcceptableMethod => write!(
                f,
                "the application does not offer SOCKS5 without authentication, the only method here"
            ),
            Self::UnsupportedCommand(_, command) => {
                write!(
                    f,
                    "cannot serve the SOCKS command {command}: only CONNECT is"
                )
            }
            Self::UnknownCommand(_, byte) => write!(f, "unknown SOCKS command {byte}"),
            Self::UnknownAddressType(byte) => write!(f, "unknown SOCKS5 address type {byte}"),
            Self::BadName(_) => write!(
                f,
                "the host name of the SOCKS request is not 1 to 255 bytes of printable text"
            ),
            Self::LongUser => write!(f, "the user of the SOCKS4 request exceeds 255 bytes"),
            Self::Over => write!(f, "the SOCKS handshake is over"),
        }
    }
}

impl std::error::Error for SocksError {}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "CONNECT",
            Self::Bind => "BIND",
            Self::UdpAssociate => "UDP ASSOCIATE",
        })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl Command {
    /// Checks that we support the command.
    fn parse(version: Version, byte: u8) -> Result<Self, SocksError> {
        let command = match (version, byte) {
            (_, 1) => Self::Connect,
            (_, 2) => Self::Bind,
            (Version::V5, 3) => Self::UdpAssociate,
            _ => return Err(SocksError::UnknownCommand(version, byte)),
        };
        match command {
            Self::Connect => Ok(command),
            Self::Bind | Self::UdpAssociate => {
                Err(SocksError::UnsupportedCommand(version, command))
            }
        }
    }
}

impl Host {
    /// Parses the name of a host.
    ///
    /// An address written as text becomes an address, so that rules about addresses apply to it.
    fn parse(version: Version, bytes: &[u8]) -> Result<Self, SocksError> {
        let printable = |c: char| c.is_ascii_graphic() || (!c.is_ascii() && c.is_alphanumeric());
        let text = std::str::from_utf8(bytes).unwrap_or_default();
        if text.is_empty() || text.len() > MAX_TEXT || !text.chars().all(printable) {
            return Err(SocksError::BadName(version));
        }
        // Some applications put an IPv6 address in brackets, as in a URL.
        let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
        if let Some(address) = bare.and_then(|bare| bare.parse().ok()) {
            return Ok(Self::Address(IpAddr::V6(address)));
        }
        Ok(match text.parse() {
            Ok(address) => Self::Address(address),
            Err(_) => Self::Name(text.to_owned()),
        })
    }
}

/// `VER, NMETHODS, METHODS[NMETHODS]` (RFC 1928 §3).
fn parse_v5_methods(bytes: &[u8]) -> Parsed<()> {
    let Some((&count, methods)) = bytes.get(1..).and_then(<[u8]>::split_first) else {
        return Ok(None);
    };
    match methods.get(..usize::from(count)) {
        None => Ok(None),
        Some(offered) if offered.contains(&METHOD_NONE) => Ok(Some(((), 2 + offered.len()))),
        Some(_) => Err(SocksError::NoAcceptableMethod),
    }
}

/// `VER, CMD, RSV, ATYP, DST.ADDR, DST.PORT` (RFC 1928 §4).
///
/// The command is checked only when the request is complete: closing a socket with unread bytes resets it, and the
/// application would not get the reply.
fn parse_v5_request(bytes: &[u8]) -> Parsed<Request> {
    let version = Version::V5;
    if let Some(&first) = bytes.first().filter(|&&first| first != 5) {
        return Err(SocksError::BadRequestVersion(first));
    }
    let [_, command, _, kind, rest @ ..] = bytes else {
        return Ok(None);
    };
    let (start, len) = match (kind, rest.first()) {
        (1, _) => (4, 4),
        (4, _) => (4, 16),
        (3, Some(&len)) => (5, usize::from(len)),
        (3, None) => return Ok(None),
        (other, _) => return Err(SocksError::UnknownAddressType(*other)),
    };
    let end = start + len;
    let (Some(address), Some(&[high, low])) = (bytes.get(start..end), bytes.get(end..end + 2))
    else {
        return Ok(None);
    };
    Command::parse(version, *command)?;
    let host = match (
        kind,
        <[u8; 4]>::try_from(address),
        <[u8; 16]>::try_from(address),
    ) {
        (1, Ok(octets), _) => Host::Address(Ipv4Addr::from(octets).into()),
        (4, _, Ok(octets)) => Host::Address(Ipv6Addr::from(octets).into()),
        _ => Host::parse(version, address)?,
    };
    let port = u16::from_be_bytes([high, low]);
    Ok(Some((
        Request {
            version,
            host,
            port,
        },
        end + 2,
    )))
}

/// `VN, CD, DSTPORT, DSTIP, USERID, NUL`, and in SOCKS4a, whose DSTIP is 0.0.0.x with x not zero, `NAME, NUL`. The user
/// is ignored, as it is not authenticated.
fn parse_v4_request(bytes: &[u8]) -> Parsed<Request> {
    let version = Version::V4;
    let [_, command, high, low, a, b, c, d, rest @ ..] = bytes else {
        return Ok(None);
    };
    let Some(user) = until_nul(rest).ok_or(SocksError::LongUser)? else {
        return Ok(None);
    };
    let mut len = 8 + user.len() + 1;
    let port = u16::from_be_bytes([*high, *low]);
    let host = match [*a, *b, *c, *d] {
        [0, 0, 0, last] if last != 0 => {
            let name = until_nul(&bytes[len..]).ok_or(SocksError::BadName(version))?;
            let Some(name) = name else {
                return Ok(None);
            };
            len += name.len() + 1;
            Command::parse(version, *command)?;
            Host::parse(version, name)?
        }
        octets => {
            Command::parse(version, *command)?;
            Host::Address(Ipv4Addr::from(octets).into())
        }
    };
    Ok(Some((
        Request {
            version,
            host,
            port,
        },
        len,
    )))
}

/// Text before the first NUL: `Some(None)` if it is incomplete, `None` if it is longer than [`MAX_TEXT`].
fn until_nul(bytes: &[u8]) -> Option<Option<&[u8]>> {
    match bytes.iter().take(MAX_TEXT + 1).position(|&byte| byte == 0) {
        Some(end) => Some(Some(&bytes[..end])),
        None if bytes.len() > MAX_TEXT => None,
        None => Some(None),
    }
}

/// True if the bytes begin an HTTP request; `None` if they are a part of such a beginning.
fn http_request(bytes: &[u8]) -> Option<bool> {
    if HTTP_METHODS.iter().any(|method| bytes.starts_with(method)) {
        return Some(true);
    }
    let possible = HTTP_METHODS.iter().any(|method| method.starts_with(bytes));
    (!possible).then_some(false)
}

fn map<T>(parsed: Option<(T, usize)>, into: impl FnOnce(T) -> Message) -> Parsed<Message> {
    Ok(parsed.map(|(value, len)| (into(value), len)))
}

#[cfg(test)]
mod tests;

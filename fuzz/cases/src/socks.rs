//! The SOCKS handshake: bytes in pieces of any size, and requests that every client could send.

use std::net::IpAddr;

use adit_tunnel::forward::socks::{
    Host, MAX_MESSAGE, Outcome, Progress, Request, Socks, SocksError, Version,
};
use arbitrary::{Result, Unstructured};

use crate::payloads::piece;

/// Any bytes, or a good request; in three ways of arriving.
pub fn socks(data: &[u8]) {
    match data.split_first() {
        None => {}
        Some((0, data)) => {
            let (sizes, stream) = data.split_at(data.len().min(8));
            check_stream(stream, sizes);
        }
        // Too few bytes are a short program, not a failure.
        Some((_, program)) => drop(good_request(&mut Unstructured::new(program))),
    }
}

/// Record of a handshake.
#[derive(Debug, PartialEq)]
struct Heard {
    /// Bytes that the application was sent on the way.
    replies: Vec<u8>,
    end: End,
}

#[derive(Debug, PartialEq)]
enum End {
    /// All bytes were taken.
    Waiting,
    /// Offset at which the application's own data begin.
    Request(Request, usize),
    Failed(SocksError),
}

fn check_stream(stream: &[u8], sizes: &[u8]) -> Heard {
    let heard = hear(stream, &[]);
    assert_eq!(heard, hear(stream, sizes), "it depends on the pieces");
    assert_eq!(heard, hear(stream, &[0]), "it depends on the pieces");
    match &heard.end {
        End::Waiting => {}
        End::Request(request, end) => check_request(request, &stream[..*end], &heard.replies),
        End::Failed(error) => check_failure(error, stream, &heard.replies),
    }
    heard
}

/// Runs a handshake in pieces of these sizes less one, over and over; without sizes, in one piece.
fn hear(stream: &[u8], sizes: &[u8]) -> Heard {
    let mut socks = Socks::new();
    let mut sizes = sizes.iter().cycle();
    let (mut at, mut kept) = (0, 0);
    let mut replies = Vec::new();
    let end = loop {
        let len = sizes
            .next()
            .map_or(usize::MAX, |&size| usize::from(size) + 1);
        let input = &stream[at..][..len.min(stream.len() - at)];
        if input.is_empty() {
            break End::Waiting;
        }
        match socks.handle(input) {
            Ok(Progress::NeedMore) => {
                at += input.len();
                kept += input.len();
                assert!(kept < MAX_MESSAGE, "{kept} bytes are kept, or lost");
            }
            Ok(Progress::Reply { bytes, consumed }) => {
                assert!((1..=input.len()).contains(&consumed));
                replies.extend(bytes);
                at += consumed;
                kept = 0;
            }
            Ok(Progress::Request { request, consumed }) => {
                assert!((1..=input.len()).contains(&consumed));
                break End::Request(request, at + consumed);
            }
            Err(error) => break End::Failed(error),
        }
    };
    if end != End::Waiting {
        let more = socks.handle(b"\x05\x01\x00");
        assert_eq!(more, Err(SocksError::Over), "it goes on after its end");
    }
    Heard { replies, end }
}

/// The request says what its bytes say (RFC 1928 §3 and §4; SOCKS4a).
fn check_request(request: &Request, bytes: &[u8], replies: &[u8]) {
    let (port, named) = match request.version {
        Version::V5 => {
            assert_eq!(replies, [5, 0], "no method was agreed");
            let (methods, message) = bytes[2..].split_at(usize::from(bytes[1]));
            assert!(bytes[0] == 5 && methods.contains(&0));
            assert_eq!(message[..2], [5, 1], "not CONNECT");
            let (body, port) = message[4..].split_at(message.len() - 6);
            (port, host_of_v5(message[3], body))
        }
        Version::V4 => {
            assert_eq!(replies, [], "SOCKS4 has nothing to agree on");
            assert_eq!(bytes[..2], [4, 1], "not CONNECT");
            (&bytes[2..4], host_of_v4(bytes))
        }
    };
    assert_eq!(request.port.to_be_bytes(), port);
    match &request.host {
        Host::Address(address) => assert_eq!(named.parse(), Ok(*address)),
        Host::Name(name) => {
            assert_eq!(*name, named);
            assert!((1..=255).contains(&name.len()));
            assert!(!name.contains(|c: char| c.is_control() || c.is_whitespace()));
            assert!(name.parse::<IpAddr>().is_err(), "rules see no address");
        }
    }
    for outcome in [Outcome::Succeeded, Outcome::ConnectionRefused] {
        check_reply(&request.version.reply(outcome), request.version, outcome);
    }
}

/// The host in a SOCKS5 request, as text.
fn host_of_v5(kind: u8, body: &[u8]) -> String {
    match kind {
        1 => IpAddr::from(<[u8; 4]>::try_from(body).unwrap()).to_string(),
        4 => IpAddr::from(<[u8; 16]>::try_from(body).unwrap()).to_string(),
        3 => {
            let (&len, name) = body.split_first().unwrap();
            assert_eq!(usize::from(len), name.len());
            String::from_utf8(name.to_vec()).unwrap()
        }
        other => panic!("address type {other}"),
    }
}

/// The host in a SOCKS4 or SOCKS4a request, as text.
fn host_of_v4(bytes: &[u8]) -> String {
    let texts: Vec<&[u8]> = bytes[8..].split(|&b| b == 0).collect();
    let octets = <[u8; 4]>::try_from(&bytes[4..8]).unwrap();
    match (is_socks4a(octets), texts.as_slice()) {
        (true, [_, name, []]) => String::from_utf8(name.to_vec()).unwrap(),
        (false, [_, []]) => IpAddr::from(octets).to_string(),
        other => panic!("{other:?} is no request"),
    }
}

/// Asserts that a refused application gets an answer of its own protocol, and never a success.
fn check_failure(error: &SocksError, stream: &[u8], replies: &[u8]) {
    let reply = error.reply();
    match (stream[0], replies, reply.as_deref()) {
        (5, [], Some(reply)) => assert_eq!(reply, [5, 0xff], "{error}"),
        (5, [5, 0], Some(reply)) => check_reply(reply, Version::V5, Outcome::GeneralFailure),
        (4, [], Some(reply)) => check_reply(reply, Version::V4, Outcome::GeneralFailure),
        (b'A'..=b'Z', [], Some(reply)) => assert!(reply.starts_with(b"HTTP/1.1 501 ")),
        (first, [], None) => assert!(!matches!(first, 4 | 5), "{error} in silence"),
        other => panic!("{error}: {other:?}"),
    }
    assert!(!error.to_string().is_empty());
}

/// A reply has the version's layout, and says success only for success (RFC 1928 §6).
fn check_reply(reply: &[u8], version: Version, outcome: Outcome) {
    let success = outcome == Outcome::Succeeded;
    match version {
        Version::V5 => {
            let [5, code, 0, 1, _, _, _, _, _, _] = *reply else {
                panic!("{reply:?} is no SOCKS5 reply");
            };
            assert!(code <= 8 && (code == 0) == success);
        }
        Version::V4 => {
            let [0, code, _, _, _, _, _, _] = *reply else {
                panic!("{reply:?} is no SOCKS4 reply");
            };
            assert_eq!(code, if success { 90 } else { 91 });
        }
    }
}

/// A request that a client could send is understood, whatever stands around it.
fn good_request(u: &mut Unstructured<'_>) -> Result<()> {
    let sizes: [u8; 4] = u.arbitrary()?;
    let port: u16 = u.arbitrary()?;
    let host = match u.int_in_range(0..=3)? {
        0 => Host::Address(IpAddr::from(u.arbitrary::<[u8; 4]>()?)),
        1 => Host::Address(IpAddr::from(u.arbitrary::<[u8; 16]>()?)),
        _ => Host::Name(name(u)?),
    };
    let (version, mut stream) = match (u.arbitrary()?, &host) {
        (true, _) | (_, Host::Address(IpAddr::V6(_))) => (Version::V5, v5(&host, port, u)?),
        (false, _) => (Version::V4, v4(&host, port, u)?),
    };
    let len = stream.len();
    stream.extend_from_slice(piece(u)?);
    let end = match &host {
        // SOCKS4 has no way to write such an address: it announces a name.
        Host::Address(IpAddr::V4(ip)) if version == Version::V4 && is_socks4a(ip.octets()) => {
            return Ok(());
        }
        _ => End::Request(
            Request {
                version,
                host,
                port,
            },
            len,
        ),
    };
    assert_eq!(check_stream(&stream, &sizes).end, end);
    let text = String::from_utf8_lossy(piece(u)?);
    let outcome = Outcome::of_open_failure(u.int_in_range(0..=5)?, &text);
    check_reply(&version.reply(outcome), version, outcome);
    assert_ne!(outcome, Outcome::Succeeded, "a refusal is no success");
    Ok(())
}

fn is_socks4a(octets: [u8; 4]) -> bool {
    octets[..3] == [0; 3] && octets[3] != 0
}

fn v5(host: &Host, port: u16, u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let mut methods = piece(u)?.to_vec();
    methods.push(0);
    methods.extend_from_slice(piece(u)?);
    let mut stream = vec![5, u8::try_from(methods.len()).unwrap()];
    stream.extend(methods);
    stream.extend([5, 1, u.arbitrary()?]);
    match host {
        Host::Address(IpAddr::V4(ip)) => {
            stream.push(1);
            stream.extend(ip.octets());
        }
        Host::Address(IpAddr::V6(ip)) => {
            stream.push(4);
            stream.extend(ip.octets());
        }
        Host::Name(name) => {
            stream.extend([3, u8::try_from(name.len()).unwrap()]);
            stream.extend(name.bytes());
        }
    }
    stream.extend(port.to_be_bytes());
    Ok(stream)
}

fn v4(host: &Host, port: u16, u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let mut stream = vec![4, 1];
    stream.extend(port.to_be_bytes());
    match host {
        Host::Address(IpAddr::V4(ip)) => stream.extend(ip.octets()),
        _ => stream.extend([0, 0, 0, u.int_in_range(1..=255)?]),
    }
    let user = match u.ratio(1, 8)? {
        true => vec![b'u'; 255],
        false => piece(u)?.iter().copied().filter(|&b| b != 0).collect(),
    };
    stream.extend(user);
    stream.push(0);
    if let Host::Name(name) = host {
        stream.extend(name.bytes());
        stream.push(0);
    }
    Ok(stream)
}

/// A name of 1 to 255 bytes that is no address.
fn name(u: &mut Unstructured<'_>) -> Result<String> {
    const CHARS: [char; 8] = ['a', 'Z', '0', '-', '.', '_', ':', 'ü'];
    let len = match u.ratio(1, 8)? {
        true => 255,
        false => u.int_in_range(1..=20)?,
    };
    let mut name = String::from("n");
    while name.len() + 2 <= len {
        name.push(*u.choose(&CHARS)?);
    }
    name.extend(std::iter::repeat_n('x', len - name.len()));
    Ok(name)
}

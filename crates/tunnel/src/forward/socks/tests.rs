//! Tests of the SOCKS handshake, with the bytes of curl 7.88 where curl can make them.

use super::*;

const V5_METHODS: &[u8] = &[5, 2, 0, 1];
const V5_IPV4: &[u8] = b"\x05\x01\x00\x01\x7f\x00\x00\x01\x1f\x90";
const V5_NAME: &[u8] = b"\x05\x01\x00\x03\x0bdb.internal\x158";
const V5_IPV6: &[u8] = b"\x05\x01\x00\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x00P";
const V4_IPV4: &[u8] = b"\x04\x01\x1f\x90\x7f\x00\x00\x01\x00";
const V4A_NAME: &[u8] = b"\x04\x01\x158\x00\x00\x00\x01\x00db.internal\x00";
const V4A_USER: &[u8] = b"\x04\x01\x158\x00\x00\x00\x01me\x00db.internal\x00";

fn localhost() -> Host {
    Host::Address(Ipv4Addr::LOCALHOST.into())
}

fn db() -> Host {
    Host::Name("db.internal".to_owned())
}

fn curl_requests() -> Vec<(Vec<u8>, Request)> {
    let v5 = |bytes: &[u8]| [V5_METHODS, bytes].concat();
    let request = |version, host, port| Request {
        version,
        host,
        port,
    };
    let ipv6 = Host::Address(Ipv6Addr::LOCALHOST.into());
    vec![
        (v5(V5_IPV4), request(Version::V5, localhost(), 8080)),
        (v5(V5_NAME), request(Version::V5, db(), 5432)),
        (v5(V5_IPV6), request(Version::V5, ipv6, 80)),
        (V4_IPV4.to_vec(), request(Version::V4, localhost(), 8080)),
        (V4A_NAME.to_vec(), request(Version::V4, db(), 5432)),
        (V4A_USER.to_vec(), request(Version::V4, db(), 5432)),
    ]
}

/// Replies, request, and bytes after it.
type Heard = (Vec<u8>, Option<Request>, Vec<u8>);

/// Runs a handshake in pieces of `piece` bytes.
fn run(stream: &[u8], piece: usize) -> Result<Heard, SocksError> {
    let mut socks = Socks::new();
    let mut replies = Vec::new();
    let mut at = 0;
    while at < stream.len() {
        let input = &stream[at..stream.len().min(at + piece)];
        match socks.handle(input)? {
            Progress::NeedMore => at += input.len(),
            Progress::Reply { bytes, consumed } => {
                replies.extend(bytes);
                at += consumed;
            }
            Progress::Request { request, consumed } => {
                return Ok((replies, Some(request), stream[at + consumed..].to_vec()));
            }
        }
    }
    Ok((replies, None, Vec::new()))
}

/// Error of a SOCKS5 request after valid methods, given whole and byte by byte.
fn v5_error(request: &[u8]) -> SocksError {
    error(&[V5_METHODS, request].concat())
}

fn error(stream: &[u8]) -> SocksError {
    let whole = run(stream, usize::MAX / 2).unwrap_err();
    assert_eq!(run(stream, 1).unwrap_err(), whole);
    whole
}

#[test]
fn curl_is_understood_in_pieces_of_any_size() {
    for (bytes, expected) in curl_requests() {
        let stream = [&bytes[..], b"early data"].concat();
        for piece in 1..=stream.len() {
            let (replies, request, rest) = run(&stream, piece).unwrap();
            assert_eq!(request.as_ref(), Some(&expected), "pieces of {piece}");
            assert_eq!(rest, b"early data", "pieces of {piece}");
            let wanted: &[u8] = match expected.version {
                Version::V4 => &[],
                Version::V5 => &[5, 0],
            };
            assert_eq!(replies, wanted);
        }
    }
}

#[test]
fn a_request_cut_short_anywhere_waits_for_more() {
    for (bytes, _) in curl_requests() {
        for len in 0..bytes.len() {
            let (_, request, _) = run(&bytes[..len], usize::MAX / 2).unwrap();
            assert_eq!(request, None, "{len} bytes of {bytes:?}");
        }
    }
}

#[test]
fn megabytes_after_a_request_are_not_kept() {
    let mut socks = Socks::new();
    let stream = [V4_IPV4, &vec![7; 1 << 20]].concat();
    let Progress::Request { consumed, .. } = socks.handle(&stream).unwrap() else {
        panic!("a whole request is a request");
    };
    assert_eq!(consumed, V4_IPV4.len());
    assert_eq!(socks.pending.capacity(), 0);
}

#[test]
fn the_longest_messages_fit_the_bound() {
    let user = vec![b'u'; MAX_TEXT];
    let name = vec![b'n'; MAX_TEXT];
    let v4a = [&[4, 1, 0, 80, 0, 0, 0, 1], &user[..], &[0], &name[..], &[0]].concat();
    assert_eq!(v4a.len(), MAX_MESSAGE);
    let v5 = [V5_METHODS, &[5, 1, 0, 3, 255], &name[..], &[0, 80]].concat();
    for stream in [v4a, v5] {
        let (_, request, _) = run(&stream, 1).unwrap();
        let name = String::from_utf8(name.clone()).unwrap();
        assert_eq!(request.unwrap().host, Host::Name(name));
    }
    let methods: Vec<u8> = [5, 255].into_iter().chain((0..255).rev()).collect();
    assert_eq!(run(&methods, 1).unwrap().0, [5, 0]);
}

#[test]
fn texts_without_end_are_refused() {
    let mut user = vec![4, 1, 0, 80, 127, 0, 0, 1];
    user.resize(user.len() + 256, b'u');
    assert_eq!(error(&user), SocksError::LongUser);
    let mut name = vec![4, 1, 0, 80, 0, 0, 0, 1, 0];
    name.resize(name.len() + 256, b'n');
    assert_eq!(error(&name), SocksError::BadName(Version::V4));
}

#[test]
fn unsupported_methods_are_refused_with_ff() {
    for methods in [&[5, 0][..], &[5, 1, 2], &[5, 2, 1, 2]] {
        let error = error(methods);
        assert_eq!(error, SocksError::NoAcceptableMethod);
        assert_eq!(error.reply().unwrap(), [5, 0xff]);
    }
}

#[test]
fn bind_and_udp_are_refused_with_7() {
    for (byte, command) in [(2, Command::Bind), (3, Command::UdpAssociate)] {
        let error = v5_error(&[5, byte, 0, 1, 127, 0, 0, 1, 0, 80]);
        assert_eq!(error, SocksError::UnsupportedCommand(Version::V5, command));
        assert_eq!(error.reply().unwrap()[..2], [5, 7]);
    }
    let error = error(&[4, 2, 0, 80, 127, 0, 0, 1, 0]);
    assert_eq!(
        error,
        SocksError::UnsupportedCommand(Version::V4, Command::Bind)
    );
    assert_eq!(error.reply().unwrap()[..2], [0, 91]);
}

#[test]
fn unknown_commands_are_refused_with_7() {
    let v5 = v5_error(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 80]);
    assert_eq!(v5, SocksError::UnknownCommand(Version::V5, 0));
    assert_eq!(v5.reply().unwrap()[..2], [5, 7]);
    let v4 = error(&[4, 3, 0, 80, 127, 0, 0, 1, 0]);
    assert_eq!(v4, SocksError::UnknownCommand(Version::V4, 3));
}

#[test]
fn unknown_address_types_are_refused_with_8() {
    for kind in [0, 2, 5, 255] {
        let error = v5_error(&[5, 1, 0, kind]);
        assert_eq!(error, SocksError::UnknownAddressType(kind));
        assert_eq!(error.reply().unwrap()[..2], [5, 8]);
    }
}

#[test]
fn names_that_are_not_printable_are_refused() {
    let names: [&[u8]; 6] = [
        b"",
        b"a\0b",
        b"a b",
        b"a\nb",
        b"a\xffb",
        "a\u{202e}b".as_bytes(),
    ];
    for name in names {
        let len = u8::try_from(name.len()).unwrap();
        let error = v5_error(&[&[5, 1, 0, 3, len], name, &[0, 80]].concat());
        assert_eq!(error, SocksError::BadName(Version::V5), "{name:?}");
        assert_eq!(error.reply().unwrap()[..2], [5, 1]);
    }
    let empty = error(b"\x04\x01\x00P\0\0\0\x01\0\0");
    assert_eq!(empty, SocksError::BadName(Version::V4));
}

#[test]
fn names_of_other_scripts_are_kept() {
    let name = "bücher.example";
    let stream = [b"\x04\x01\x00P\0\0\0\x01\0", name.as_bytes(), &[0]].concat();
    let (_, request, _) = run(&stream, 1).unwrap();
    assert_eq!(request.unwrap().host, Host::Name(name.to_owned()));
}

#[test]
fn an_address_in_the_place_of_a_name_is_an_address() {
    for (text, address) in [
        ("127.0.0.1", localhost()),
        ("::1", Host::Address(Ipv6Addr::LOCALHOST.into())),
        ("[::1]", Host::Address(Ipv6Addr::LOCALHOST.into())),
        ("[127.0.0.1]", Host::Name("[127.0.0.1]".into())),
    ] {
        let stream = [b"\x04\x01\x00P\0\0\0\x01\0", text.as_bytes(), &[0]].concat();
        let (_, request, _) = run(&stream, usize::MAX / 2).unwrap();
        assert_eq!(request.unwrap().host, address);
    }
}

#[test]
fn address_zero_is_not_taken_for_socks4a() {
    let (_, request, rest) = run(b"\x04\x01\x00P\0\0\0\0\0name\0", 64).unwrap();
    assert_eq!(
        request.unwrap().host,
        Host::Address(Ipv4Addr::UNSPECIFIED.into())
    );
    assert_eq!(rest, b"name\0");
}

#[test]
fn http_request_is_answered_with_a_hint_at_socks() {
    let requests: [&[u8]; 3] = [
        b"GET http://db.internal:5432/ HTTP/1.1\r\nHost: db.internal:5432\r\n\r\n",
        b"CONNECT db.internal:5432 HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.0\r\n",
    ];
    for request in requests {
        let error = error(request);
        assert_eq!(error, SocksError::Http);
        assert!(error.to_string().contains("SOCKS proxy"));
        let reply = String::from_utf8(error.reply().unwrap()).unwrap();
        let (head, body) = reply.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 501 "));
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())));
        assert!(body.contains("SOCKS proxy"));
    }
}

#[test]
fn other_protocols_are_refused_without_reply() {
    for (bytes, first) in [
        (&b"SSH-2.0-x"[..], b'S'),
        (b"\x16\x03\x01", 0x16),
        (b"\0", 0),
        (b"GETX", b'G'),
    ] {
        let error = error(bytes);
        assert_eq!(error, SocksError::UnknownVersion(first));
        assert_eq!(error.reply(), None);
        assert!(error.to_string().contains("SOCKS proxy"));
    }
}

#[test]
fn a_v5_request_with_another_version_is_refused() {
    let error = v5_error(&[4, 1]);
    assert_eq!(error, SocksError::BadRequestVersion(4));
    assert_eq!(error.reply().unwrap()[..2], [5, 1]);
}

#[test]
fn no_bytes_are_accepted_after_the_handshake() {
    let mut done = Socks::new();
    assert!(matches!(done.handle(V4_IPV4), Ok(Progress::Request { .. })));
    assert_eq!(done.handle(b"x"), Err(SocksError::Over));
    let mut failed = Socks::new();
    assert_eq!(failed.handle(&[9]), Err(SocksError::UnknownVersion(9)));
    assert_eq!(failed.handle(V4_IPV4), Err(SocksError::Over));
}

#[test]
fn arbitrary_bytes_never_panic_and_use_bounded_memory() {
    // A small generator (xorshift) with a fixed seed, so that a failure can be repeated.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..20_000 {
        let mut socks = Socks::new();
        for turn in 0..4 {
            let len = usize::try_from(next() % 700).unwrap();
            let mut input: Vec<u8> = (0..len).map(|_| (next() % 7) as u8).collect();
            if let (0, Some(first)) = (turn, input.first_mut()) {
                *first = 4 + (next() % 2) as u8;
            }
            match socks.handle(&input) {
                Ok(Progress::NeedMore) => assert!(socks.pending.len() <= MAX_MESSAGE),
                Ok(Progress::Reply { consumed, .. } | Progress::Request { consumed, .. }) => {
                    assert!(consumed <= input.len());
                }
                Err(_) => break,
            }
        }
    }
}

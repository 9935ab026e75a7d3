//! `authorized_keys`: a line lets in only its key, and only as its options say.

mod model;

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use adit_tunnel::authorized_keys::{
    Authorized, Clock, KeyOptions, LocalZone, Lookup, UnixTime, lookup,
};
use adit_tunnel::policy::{Forwarding, HostPortRule, PortRule, RuleList};
use arbitrary::{Result, Unstructured};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::ends;

/// Stands in a file for the key that is asked for, which no fuzzer finds by itself.
const KEY_BYTE: u8 = 0x80;

/// Stands in a file for another key.
const OTHER_BYTE: u8 = 0x81;

/// The most bytes of a file that are looked at.
const LONGEST: usize = 4096;

/// Any text as a file; or a line whose meaning is known.
pub fn authorized_keys(data: &[u8]) {
    let mut u = Unstructured::new(data);
    // Too few bytes are a short program, not a failure.
    let _ = match u.arbitrary() {
        Ok(0_u8) => any_file(&mut u),
        _ => model::known_line(&mut u),
    };
}

/// A key as it stands in a file, and its blob.
struct Key {
    text: String,
    blob: Vec<u8>,
}

/// The key that is asked for, and another.
static KEYS: LazyLock<[Key; 2]> = LazyLock::new(|| {
    [1, 2].map(|seed| {
        let blob = ends::key(seed).public_key().blob().to_vec();
        let text = format!("ssh-ed25519 {}", STANDARD.encode(&blob));
        Key { text, blob }
    })
});

/// A moment, on clocks that are so many seconds ahead of UTC.
struct Moment {
    now: UnixTime,
    ahead: i32,
    zone: LocalZone,
}

impl Moment {
    /// Around the times that the lines speak of, but anywhere.
    fn arbitrary(u: &mut Unstructured<'_>) -> Result<Self> {
        let now = UnixTime(u.int_in_range(-1_000..=260_000_000_000)?);
        let ahead = u.int_in_range(-86_400..=86_400)?;
        let zone = LocalZone::fixed(ahead).expect("a zone of at most a day");
        Ok(Self { now, ahead, zone })
    }

    fn clock(&self) -> Clock<'_> {
        Clock {
            now: self.now,
            zone: &self.zone,
        }
    }
}

fn peer(u: &mut Unstructured<'_>) -> Result<Option<IpAddr>> {
    Ok(match u.int_in_range(0..=4)? {
        0 => None,
        1 => Some(Ipv4Addr::new(192, 0, 2, u.arbitrary()?).into()),
        2 => Some(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, u.arbitrary()?).into()),
        3 => Some(IpAddr::from(u.arbitrary::<[u8; 4]>()?)),
        _ => Some(IpAddr::from(u.arbitrary::<[u8; 16]>()?)),
    })
}

/// One question: everything but the file.
struct Ask {
    key: &'static Key,
    moment: Moment,
    peer: Option<IpAddr>,
}

impl Ask {
    fn of(&self, text: &[u8]) -> Lookup {
        lookup(text, &self.key.blob, self.moment.clock(), self.peer)
    }
}

fn any_file(u: &mut Unstructured<'_>) -> Result<()> {
    let [key, other] = &*KEYS;
    let ask = Ask {
        key,
        moment: Moment::arbitrary(u)?,
        peer: peer(u)?,
    };
    let mut text = Vec::new();
    for &byte in u.bytes(u.len().min(LONGEST))? {
        match byte {
            KEY_BYTE => text.extend_from_slice(key.text.as_bytes()),
            OTHER_BYTE => text.extend_from_slice(other.text.as_bytes()),
            _ => text.push(byte),
        }
    }
    let answer = ask.of(&text);
    let lines: Vec<&[u8]> = text.split(|&b| b == b'\n').collect();
    check_lines(&ask, &answer, &lines);
    if let Some(authorized) = &answer.authorized {
        check_authorized(&ask, authorized, lines[authorized.line - 1]);
        let upto = lines[..authorized.line].join(&b'\n');
        assert_eq!(ask.of(&upto), answer, "later lines change the answer");
    }
    if let Some(IpAddr::V4(v4)) = ask.peer {
        let peer = Some(v4.to_ipv6_mapped().into());
        let mapped = lookup(&text, &key.blob, ask.moment.clock(), peer);
        assert_eq!(
            mapped.authorized, answer.authorized,
            "one peer, two answers"
        );
    }
    Ok(())
}

/// Only lines with the key are spoken of, in order, and what they come to is theirs alone.
fn check_lines(ask: &Ask, answer: &Lookup, lines: &[&[u8]]) {
    assert!(answer.skipped.len() <= 32, "a report without bound");
    let skipped = answer.skipped.iter().map(|skipped| skipped.line);
    let spoken_of: Vec<usize> = skipped
        .chain(answer.authorized.iter().map(|authorized| authorized.line))
        .collect();
    assert!(spoken_of.is_sorted_by(|a, b| a < b), "{spoken_of:?}");
    let base64 = ask.key.text.split(' ').nth(1).unwrap().as_bytes();
    for (number, line) in (1..).zip(lines) {
        let holds = line.windows(base64.len()).any(|part| part == base64);
        assert!(
            holds || !spoken_of.contains(&number),
            "line {number} lacks the key"
        );
        let alone = ask.of(line);
        if spoken_of.contains(&number) {
            let lets_in = answer.authorized.as_ref().is_some_and(|a| a.line == number);
            assert_eq!(alone.authorized.is_some(), lets_in, "line {number}");
        }
        // What adit does not know might restrict: no option that it does know makes up for that.
        for unknown in ["nonsense,", "nonsense=\"x y\","] {
            let spoilt = [unknown.as_bytes(), line].concat();
            assert_eq!(ask.of(&spoilt).authorized, None, "line {number}");
        }
        if alone.authorized.is_none() {
            let later = Clock {
                now: UnixTime(ask.moment.now.0 + 1_000_000_000),
                ..ask.moment.clock()
            };
            let later = lookup(line, &ask.key.blob, later, ask.peer);
            assert_eq!(
                later.authorized, None,
                "line {number} comes alive with time"
            );
        }
    }
}

/// Asserts that the options of a line, written anew, say the same.
fn check_authorized(ask: &Ask, authorized: &Authorized, line: &[u8]) {
    let alone = ask.of(line).authorized.unwrap();
    assert_eq!((alone.line, &alone.options), (1, &authorized.options));
    let written = write(&authorized.options);
    let again = ask.of(format!("{written} {}", ask.key.text).as_bytes());
    let again = again.authorized.map(|authorized| authorized.options);
    assert_eq!(again.as_ref(), Some(&authorized.options), "{written}");
}

/// Options as they could stand in a line.
fn write(options: &KeyOptions) -> String {
    let mut text = match options.rules.port_forwarding {
        Forwarding::Allowed => "port-forwarding",
        Forwarding::Disabled => "restrict",
    }
    .to_owned();
    for (name, list) in [
        ("permitopen", &options.rules.permit_open),
        ("permitlisten", &options.rules.permit_listen),
    ] {
        match list {
            RuleList::Any => {}
            RuleList::None => panic!("{name} has no word for nothing"),
            RuleList::Only(rules) => {
                for rule in rules {
                    write!(text, ",{name}=\"{}\"", quoted(&host_port(rule))).unwrap();
                }
            }
        }
    }
    for (name, permission) in [("pty", options.terminal), ("user-rc", options.user_rc)] {
        let no = if permission.is_granted() { "" } else { "no-" };
        write!(text, ",{no}{name}").unwrap();
    }
    if let Some(command) = &options.command {
        write!(text, ",command=\"{}\"", quoted(command)).unwrap();
    }
    for (name, value) in &options.environment {
        write!(text, ",environment=\"{name}={}\"", quoted(value)).unwrap();
    }
    text
}

fn host_port(rule: &HostPortRule) -> String {
    let host = &rule.host;
    let port = match rule.port {
        PortRule::Any => "*".to_owned(),
        PortRule::Exactly(port) => port.to_string(),
    };
    match host.contains(':') || host.starts_with('[') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}

/// A value as it stands between quotes. One that ends in a backslash can be neither written nor read.
fn quoted(value: &str) -> String {
    value.replace('"', "\\\"")
}

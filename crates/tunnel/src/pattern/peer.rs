//! Addresses of peers, as `from=`, `AllowUsers` and `DenyUsers` write them.
//!
//! Addresses and networks are compared as numbers, however they are written. Everything else is a
//! pattern on the address in its usual writing, as in OpenSSH without look-ups of names. Text that
//! looks like an address and is none would match nobody, and a rule against somebody would let him
//! in: it is refused where it is read.

use std::net::{IpAddr, Ipv6Addr};

use super::{Case, ListMatch, Network, Pattern, Sense, has_wildcard, match_list, wildcard};

/// Entries separated by commas, each of which may have a `!` in front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerList(Vec<(Sense, PeerPattern)>);

/// One entry without its `!`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum PeerPattern {
    Network(Network),
    Text(Pattern),
}

/// Reason why an entry cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadPeer {
    /// It is empty, or longer than a pattern may be.
    Length,
    /// A network with an impossible length, or with bits beyond it.
    Network,
    /// Other programs take it for an address, or it can match none: `127.1`, `10.0.0.256`, `[::1]`.
    Lookalike,
    /// An IPv4 address in IPv6's clothes: peers are compared in their IPv4 form.
    Mapped,
}

impl BadPeer {
    /// The words for "expected …".
    pub(crate) fn expected(self) -> &'static str {
        match self {
            Self::Length => "an address, a network or a pattern",
            Self::Network => "ADDRESS/LENGTH without bits beyond the length",
            Self::Lookalike => "an address in its usual writing, without a scope, or a pattern",
            Self::Mapped => "an IPv4 address without ::ffff: in front",
        }
    }

    /// The words for "it …".
    pub(crate) fn why(self) -> &'static str {
        match self {
            Self::Length => "has an entry that is empty or too long",
            Self::Network => "has a network with an impossible length, or with bits beyond it",
            Self::Lookalike => "has an entry that looks like an address and is none",
            Self::Mapped => "has an IPv4 address with ::ffff: in front, which would match nobody",
        }
    }
}

impl PeerList {
    /// Reads a list separated by commas.
    pub(crate) fn parse(list: &str) -> Result<Self, BadPeer> {
        let entry = |text| {
            let (sense, text) = Sense::split(text);
            PeerPattern::parse(text).map(|pattern| (sense, pattern))
        };
        list.split(',')
            .map(entry)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// True if an entry matches and none with `!`.
    pub(crate) fn matches(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        let text = peer.to_string();
        let entries = self.0.iter().map(|(sense, pattern)| (*sense, pattern));
        let found = match_list(entries, |pattern| match pattern {
            PeerPattern::Network(network) => network.contains(peer),
            PeerPattern::Text(pattern) => wildcard(pattern.as_str(), &text, Case::Insensitive),
        });
        found == ListMatch::Matches
    }
}

impl PeerPattern {
    fn parse(text: &str) -> Result<Self, BadPeer> {
        if text.is_empty() {
            return Err(BadPeer::Length);
        }
        match Network::parse(text) {
            Some(Ok(network)) if network.is_mapped() => return Err(BadPeer::Mapped),
            Some(Ok(network)) => return Ok(Self::Network(network)),
            Some(Err(_)) => return Err(BadPeer::Network),
            None if text.contains('/') => return Err(BadPeer::Network),
            None => {}
        }
        // A peer's scope is not part of its address here, so that a rule with one would match nobody.
        let has_scope = text.contains(':') && text.contains('%');
        if has_scope || looks_like_an_address(text) {
            return Err(BadPeer::Lookalike);
        }
        if has_wildcard(text) && is_numeric_pattern(text) {
            check_numeric(text)?;
        }
        Pattern::new(text)
            .map(Self::Text)
            .map_err(|_| BadPeer::Length)
    }
}

/// True if two hosts are the same address, whatever their writing. Not if one of them is a name.
pub(crate) fn same_address(a: &str, b: &str) -> bool {
    match (a.parse::<IpAddr>(), b.parse::<IpAddr>()) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

/// True if text that is a rule's host looks like an address without being one.
///
/// - Colons are in addresses only; a scope (`fe80::1%eth0`) may stand behind one.
/// - A name whose last label is a number is none: the C library takes `127.1`, `0x7f.0.0.1` and
///   `127.0.0.01` for addresses.
/// - A pattern with a group such as `01` matches no address: none is written so.
pub(crate) fn looks_like_an_address(text: &str) -> bool {
    if text.parse::<IpAddr>().is_ok() {
        return false;
    }
    if has_wildcard(text) {
        return is_numeric_pattern(text) && text.split([':', '.']).any(has_leading_zero);
    }
    if text.contains(':') {
        let address = text.split_once('%').map_or("", |(address, _)| address);
        return address.parse::<Ipv6Addr>().is_err();
    }
    let last = text.trim_end_matches('.').rsplit('.').next();
    last.is_some_and(is_number)
}

/// True if it is a number as the C library reads one, decimal, octal or hexadecimal.
fn is_number(label: &str) -> bool {
    let hexadecimal = label.strip_prefix("0x").or(label.strip_prefix("0X"));
    match hexadecimal {
        Some(digits) => digits.bytes().all(|b| b.is_ascii_hexdigit()),
        None => !label.is_empty() && label.bytes().all(|b| b.is_ascii_digit()),
    }
}

/// True if it can match addresses only. With a letter, it needs a colon.
fn is_numeric_pattern(text: &str) -> bool {
    let colon = text.contains(':');
    text.bytes()
        .all(|b| b.is_ascii_digit() || b":.*?".contains(&b) || (colon && b.is_ascii_hexdigit()))
}

/// True if a pattern on addresses can match one in its usual writing. Three dots and no colon are in one of IPv4, two
/// colons at least and no dot in one of IPv6. A `?` may stand for a colon; for a dot, if it has digits on both sides.
fn check_numeric(text: &str) -> Result<(), BadPeer> {
    let count = |wanted| text.chars().filter(|&c| c == wanted).count();
    let (colons, dots, any) = (count(':'), count('.'), count('?'));
    if text.to_ascii_lowercase().starts_with("::ffff:") {
        return Err(BadPeer::Mapped);
    }
    let is_inner = |w: &&[u8]| w[1] == b'?' && w[0] != b'.' && w[2] != b'.';
    let may_be_dots = text.as_bytes().windows(3).filter(is_inner).count();
    let is_long = text.contains('*');
    let ipv4 = colons == 0 && dots <= 3 && (is_long || dots + may_be_dots >= 3);
    let ipv6 = dots == 0 && (is_long || colons + any >= 2);
    match ipv4 || ipv6 {
        true => Ok(()),
        false => Err(BadPeer::Lookalike),
    }
}

fn has_leading_zero(group: &str) -> bool {
    let mut bytes = group.bytes();
    bytes.next() == Some(b'0') && bytes.next().is_some_and(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_compared_as_numbers() {
        for (list, peer, expected) in [
            ("0:0:0:0:0:0:0:1", "::1", true),
            ("0000::0001", "::1", true),
            ("::0.0.0.1", "::1", true),
            ("2001:DB8::A", "2001:db8::a", true),
            ("2001:db8::b", "2001:db8::a", false),
            ("10.0.0.7", "10.0.0.7", true),
            ("10.0.0.7", "10.0.0.70", false),
            ("!0:0::1,*", "::1", false),
            ("!0:0::1,*", "::2", true),
            ("10.0.0.*", "10.0.0.200", true),
            ("10.*,!10.1.0.0/16", "10.1.2.3", false),
            ("2001:db8:*", "2001:db8::a", true),
            ("0*", "0.0.0.1", true),
            ("10.0.0.7", "::ffff:10.0.0.7", true),
            ("10.0.0.0/8", "::ffff:10.0.0.7", true),
            ("::/0", "10.0.0.7", false),
            ("fe80::/10", "fe80::1", true),
            ("host.example", "10.0.0.7", false),
        ] {
            let parsed = PeerList::parse(list).unwrap();
            assert_eq!(
                parsed.matches(peer.parse().unwrap()),
                expected,
                "{list} {peer}"
            );
        }
    }

    #[test]
    fn what_only_looks_like_an_address_is_refused() {
        use BadPeer::{Length, Lookalike, Mapped, Network};
        for (list, expected) in [
            ("127.1", Lookalike),
            ("!127.1,*", Lookalike),
            ("!0x7f.0.0.1,*", Lookalike),
            ("127.0.0.0x1", Lookalike),
            ("127.0.0.01", Lookalike),
            ("10.0.0.256", Lookalike),
            ("127.0.0.1.", Lookalike),
            ("2130706433", Lookalike),
            ("10.0.0", Lookalike),
            ("host.1", Lookalike),
            ("[::1]", Lookalike),
            ("::1::", Lookalike),
            ("1:2:3", Lookalike),
            ("fe80::x%eth0", Lookalike),
            ("fe80::1%eth0", Lookalike),
            ("!fe80::*%eth0", Lookalike),
            ("127.0.0.01?", Lookalike),
            ("2001:0db8:*", Lookalike),
            ("1.2.?", Lookalike),
            ("1.2.34?", Lookalike),
            ("10?", Lookalike),
            ("1.2.3.4.*", Lookalike),
            ("::127.*", Lookalike),
            ("1:*.2", Lookalike),
            ("2001:db8*.1", Lookalike),
            ("::ffff:127.*", Mapped),
            ("!::FFFF:7f00:*,*", Mapped),
            ("1.2.3/33", Network),
            ("1.2.3.4/33", Network),
            ("10.0.0.1/8", Network),
            ("10.0.0.*/24", Network),
            ("host/8", Network),
            ("::ffff:127.0.0.1", Mapped),
            ("::ffff:7f00:1", Mapped),
            ("::ffff:10.0.0.0/104", Mapped),
            ("::ffff:0:0/96", Mapped),
            ("a,,b", Length),
            ("!", Length),
            ("", Length),
        ] {
            assert_eq!(PeerList::parse(list), Err(expected), "{list}");
        }
    }

    #[test]
    fn names_and_patterns_that_no_address_is_written_like_are_taken() {
        for fine in [
            "host",
            "db1",
            "1db.example",
            "*",
            "10.0.0.?",
            "10?0?0?1",
            "1.2.???",
            "10.*",
            "127*",
            "*.1",
            "::*",
            "???",
            "1:?:*",
            "a-1",
            "db?",
            "::/0",
        ] {
            assert!(PeerList::parse(fine).is_ok(), "{fine}");
        }
    }

    #[test]
    fn hosts_are_the_same_address_in_any_writing() {
        assert!(same_address("::1", "0:0:0:0:0:0:0:1"));
        assert!(same_address("::1", "::1"));
        assert!(!same_address("127.0.0.1", "::ffff:127.0.0.1"));
        assert!(!same_address("127.0.0.1", "127.1"));
        assert!(!same_address("db", "db"));
    }
}

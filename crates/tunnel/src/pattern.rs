//! Shell-like patterns and networks, as OpenSSH's files use them.

use std::net::IpAddr;

/// Whether `pattern` matches the whole of `text`: `*` is any run of characters, `?` any one.
///
/// Compares bytes and case-sensitively; the time is at most the product of the two lengths.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Where to resume when a mismatch follows a `*`: the star, and one more byte given to it.
    let mut resume: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                resume = Some((p, t));
                p += 1;
            }
            Some(&b) if b == b'?' || b == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match resume {
                None => return false,
                Some((star, taken)) => {
                    resume = Some((star, taken + 1));
                    p = star + 1;
                    t = taken + 1;
                }
            },
        }
    }
    pattern[p..].iter().all(|&b| b == b'*')
}

/// What a comma-separated list of patterns says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListMatch {
    /// A positive pattern matches, and no negated one.
    Yes,
    /// No pattern matches.
    No,
    /// A negated pattern (`!`) matches: this outweighs every other.
    Negated,
}

/// Asks a comma-separated pattern list; `matches_one` decides about one pattern without its `!`.
pub(crate) fn match_list(list: &str, matches_one: impl Fn(&str) -> bool) -> ListMatch {
    let mut answer = ListMatch::No;
    for pattern in list.split(',') {
        match pattern.strip_prefix('!') {
            Some(negated) if matches_one(negated) => return ListMatch::Negated,
            Some(_) => {}
            None if matches_one(pattern) => answer = ListMatch::Yes,
            None => {}
        }
    }
    answer
}

/// A network in CIDR notation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network {
    address: IpAddr,
    prefix: u8,
}

/// Why text with a `/` is no network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadNetwork;

impl Network {
    /// Parses `address` or `address/prefix`; `None` if the text is not meant as one.
    ///
    /// Fails if the prefix is no number or too long, or if bits are set beyond it, as in OpenSSH.
    pub(crate) fn parse(text: &str) -> Option<Result<Self, BadNetwork>> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let width = match address {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        let Some(prefix) = prefix else {
            let prefix = width;
            return Some(Ok(Self { address, prefix }));
        };
        let prefix = match prefix.parse::<u8>() {
            Ok(n) if n <= width && prefix.bytes().all(|b| b.is_ascii_digit()) => n,
            _ => return Some(Err(BadNetwork)),
        };
        let network = Self { address, prefix };
        match network.host_bits(address) {
            0 => Some(Ok(network)),
            _ => Some(Err(BadNetwork)),
        }
    }

    /// Whether `ip` is in the network; an IPv4-mapped IPv6 address counts as IPv4.
    pub(crate) fn contains(&self, ip: IpAddr) -> bool {
        match (self.address, ip.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => {
                leading(net.to_bits().into(), 32, self.prefix)
                    == leading(ip.to_bits().into(), 32, self.prefix)
            }
            (IpAddr::V6(net), IpAddr::V6(ip)) => {
                leading(net.to_bits(), 128, self.prefix) == leading(ip.to_bits(), 128, self.prefix)
            }
            _ => false,
        }
    }

    fn host_bits(&self, address: IpAddr) -> u128 {
        let (bits, width) = match address {
            IpAddr::V4(v4) => (v4.to_bits().into(), 32),
            IpAddr::V6(v6) => (v6.to_bits(), 128),
        };
        let host_width = u32::from(width - self.prefix);
        bits & !u128::MAX.checked_shl(host_width).unwrap_or(0)
    }
}

/// The first `prefix` bits of a number that is `width` bits wide.
fn leading(bits: u128, width: u8, prefix: u8) -> u128 {
    bits.checked_shr(u32::from(width - prefix)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_texts() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "abc", true),
            ("a*c", "abbc", true),
            ("a*c", "abcd", false),
            ("*.example.com", "a.b.example.com", true),
            ("*.example.com", "example.com", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("**a**", "bab", true),
            ("*a*b*c", "xaybzc", true),
            ("*a*b*c", "xaybz", false),
            ("abc", "ABC", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn hostile_patterns_end_soon() {
        let pattern = "*a".repeat(500) + "b";
        assert!(!matches(&pattern, &"a".repeat(2000)));
    }

    #[test]
    fn negation_outweighs_matches_on_either_side() {
        let ask = |list| match_list(list, |pattern| matches(pattern, "a.x"));
        assert_eq!(ask("*.x"), ListMatch::Yes);
        assert_eq!(ask("*.x,!a.x"), ListMatch::Negated);
        assert_eq!(ask("!a.x,*.x"), ListMatch::Negated);
        assert_eq!(ask("!b.x"), ListMatch::No);
        assert_eq!(ask("!b.x,*"), ListMatch::Yes);
    }

    #[test]
    fn networks_contain_their_addresses() {
        for (network, ip, expected) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.7", "10.0.0.7", true),
            ("10.0.0.7", "10.0.0.8", false),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "::1", true),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("10.0.0.0/8", "::ffff:10.1.1.1", true),
        ] {
            let parsed = Network::parse(network).unwrap().unwrap();
            assert_eq!(
                parsed.contains(ip.parse().unwrap()),
                expected,
                "{network} {ip}"
            );
        }
    }

    #[test]
    fn networks_with_impossible_prefixes_are_refused() {
        for bad in [
            "10.0.0.1/8",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "2001:db8::1/64",
        ] {
            assert_eq!(Network::parse(bad), Some(Err(BadNetwork)), "{bad}");
        }
        for other in ["host.example", "10.0.0.*", "", "10.0.0/8"] {
            assert_eq!(Network::parse(other), None, "{other}");
        }
    }
}

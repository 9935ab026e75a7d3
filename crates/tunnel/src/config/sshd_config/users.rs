//! `AllowUsers` and `DenyUsers`: `USER` or `USER@HOST`, where `HOST` may be a network.

use std::net::IpAddr;

use crate::config::pattern::{Case, Pattern, PatternList};

const EXPECTED: &str =
    "USER or USER@HOST, where HOST is a pattern or ADDRESS/LENGTH without host bits";

/// One pattern for users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserPattern {
    user: Pattern,
    from: From,
}

/// Where a user comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum From {
    Anywhere,
    Hosts(Vec<HostEntry>),
}

/// One entry of the comma-separated list after the `@`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct HostEntry {
    negated: bool,
    place: HostPlace,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum HostPlace {
    Network { address: IpAddr, length: u8 },
    Name(PatternList),
}

impl UserPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What was expected: in particular, a network whose address has bits beyond its length is refused.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (user, from) = match text.rsplit_once('@') {
            None => (text, From::Anywhere),
            Some((_, "")) => return Err(EXPECTED),
            Some((user, hosts)) => {
                let entries = hosts
                    .split(',')
                    .map(HostEntry::parse)
                    .collect::<Result<_, _>>()?;
                (user, From::Hosts(entries))
            }
        };
        if user.is_empty() {
            return Err(EXPECTED);
        }
        Ok(Self {
            user: Pattern::new(user)?,
            from,
        })
    }

    /// Does the pattern match this user, coming from this address?
    ///
    /// An unknown address (a pipe) is matched by patterns without a host only.
    pub fn matches(&self, user: &str, address: Option<IpAddr>) -> bool {
        self.user.matches(user)
            && match (&self.from, address) {
                (From::Anywhere, _) => true,
                (From::Hosts(_), None) => false,
                (From::Hosts(entries), Some(address)) => {
                    comes_from(entries, address.to_canonical())
                }
            }
    }
}

/// As in every pattern list: an entry with `!` beats the others.
fn comes_from(entries: &[HostEntry], address: IpAddr) -> bool {
    let mut found = false;
    for entry in entries {
        if entry.place.covers(address) {
            if entry.negated {
                return false;
            }
            found = true;
        }
    }
    found
}

impl HostEntry {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let (negated, text) = match text.strip_prefix('!') {
            Some(text) => (true, text),
            None => (false, text),
        };
        if text.is_empty() {
            return Err(EXPECTED);
        }
        let place = match text.split_once('/') {
            Some((address, length)) => HostPlace::network(address, length).ok_or(EXPECTED)?,
            None => HostPlace::Name(PatternList::from_words([text], Case::Insensitive)?),
        };
        Ok(Self { negated, place })
    }
}

impl HostPlace {
    fn network(address: &str, length: &str) -> Option<Self> {
        let address: IpAddr = address.parse().ok()?;
        let length: u8 = length.parse().ok()?;
        let (_, host_bits) = split_bits(address, length)?;
        // Peers are compared in their IPv4 form, so a network of mapped addresses is turned into one too.
        let (address, length) = match (address.to_canonical(), address) {
            (IpAddr::V4(v4), IpAddr::V6(_)) if length >= 96 => (IpAddr::V4(v4), length - 96),
            _ => (address, length),
        };
        (host_bits == 0).then_some(Self::Network { address, length })
    }

    fn covers(&self, address: IpAddr) -> bool {
        match self {
            // The address in its usual writing; names are never looked up.
            Self::Name(list) => list.matches(&address.to_string()),
            Self::Network {
                address: network,
                length,
            } => {
                let same_family = network.is_ipv4() == address.is_ipv4();
                let prefix = |address| split_bits(address, *length).map(|(prefix, _)| prefix);
                same_family && prefix(*network) == prefix(address)
            }
        }
    }
}

/// The bits of an address before and after a prefix length, both left-aligned in 128 bits.
fn split_bits(address: IpAddr, length: u8) -> Option<(u128, u128)> {
    let (bits, width) = match address {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()) << 96, 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    };
    if length > width {
        return None;
    }
    let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
    Some((bits & mask, bits & !mask))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_where_they_come_from() {
        let table = [
            ("eve", "eve", "10.0.0.1", true),
            ("eve", "Eve", "10.0.0.1", false),
            ("e*", "eve", "10.0.0.1", true),
            ("eve@10.0.0.1", "eve", "10.0.0.1", true),
            ("eve@10.0.0.*", "eve", "10.0.0.200", true),
            ("eve@10.0.0.*", "eve", "10.0.1.1", false),
            ("*@10.0.0.0/8", "eve", "10.9.9.9", true),
            ("*@10.0.0.0/8", "eve", "11.0.0.0", false),
            ("*@0.0.0.0/0", "eve", "11.0.0.0", true),
            ("*@0.0.0.0/0", "eve", "::1", false),
            ("*@10.0.0.0/8,!10.1.0.0/16", "eve", "10.1.0.1", false),
            ("*@!10.1.0.0/16,10.0.0.0/8", "eve", "10.2.0.1", true),
            ("*@fe80::/10", "eve", "fe80::1", true),
            ("*@fe80::/10", "eve", "2001::1", false),
            ("*@::1/128", "eve", "::1", true),
            // A socket for both families reports IPv4 peers as mapped addresses.
            ("*@10.0.0.0/8", "eve", "::ffff:10.0.0.1", true),
            ("*@::ffff:10.0.0.0/104", "eve", "10.0.0.1", true),
            ("a@b@10.0.0.1", "a@b", "10.0.0.1", true),
        ];
        for (pattern, user, address, expected) in table {
            let address = Some(address.parse().unwrap());
            let pattern_value = UserPattern::parse(pattern).unwrap();
            assert_eq!(pattern_value.matches(user, address), expected, "{pattern}");
        }
    }

    #[test]
    fn an_unknown_address_matches_no_host() {
        assert!(!UserPattern::parse("*@*").unwrap().matches("eve", None));
        assert!(UserPattern::parse("*").unwrap().matches("eve", None));
    }

    #[test]
    fn networks_with_host_bits_and_nonsense_are_refused() {
        for text in [
            "a@10.0.0.1/8",
            "a@10.0.0.0/33",
            "a@::1/64",
            "a@host/8",
            "a@",
            "@h",
            "",
            "a@1.1.1.1/",
            "a@!",
        ] {
            assert!(UserPattern::parse(text).is_err(), "{text}");
        }
    }
}

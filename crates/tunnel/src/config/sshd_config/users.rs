//! `AllowUsers` and `DenyUsers`: `USER` or `USER@HOST`, where `HOST` may be a network.

use std::net::IpAddr;

use crate::pattern::{Case, Network, Pattern, Sense, Verdict, verdict, wildcard};

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
    Hosts(Vec<(Sense, Host)>),
}

/// One entry of the comma-separated list after the `@`, without its `!`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Network(Network),
    Name(Pattern),
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
                    .map(Host::parse)
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

fn comes_from(entries: &[(Sense, Host)], address: IpAddr) -> bool {
    // The address in its usual writing; names are never looked up.
    let text = address.to_string();
    let entries = entries.iter().map(|(sense, host)| (*sense, host));
    let found = verdict(entries, |host| match host {
        Host::Network(network) => network.contains(address),
        Host::Name(pattern) => wildcard(pattern.as_str(), &text, Case::Insensitive),
    });
    found == Verdict::Matches
}

impl Host {
    fn parse(text: &str) -> Result<(Sense, Self), &'static str> {
        let (sense, text) = Sense::split(text);
        let host = match Network::parse(text) {
            // An address alone is a pattern: it is compared as it is written.
            Some(Ok(network)) if text.contains('/') => Self::Network(network),
            _ if text.is_empty() || text.contains('/') => return Err(EXPECTED),
            _ => Self::Name(Pattern::new(text)?),
        };
        Ok((sense, host))
    }
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

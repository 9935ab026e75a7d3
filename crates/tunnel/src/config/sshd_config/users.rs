//! `AllowUsers` and `DenyUsers`: `USER` or `USER@HOST`, where `HOST` may be a network.

use std::net::IpAddr;

use crate::pattern::{BadPeer, Pattern, PeerList};

const EXPECTED: &str = "USER or USER@HOST, where HOST is an address, ADDRESS/LENGTH or a pattern";

/// One pattern for users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserPattern {
    user: Pattern,
    from: From,
}

/// Origin that a user has to come from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum From {
    Anywhere,
    Hosts(PeerList),
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
                let hosts = PeerList::parse(hosts).map_err(BadPeer::expected)?;
                (user, From::Hosts(hosts))
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

    /// True if the pattern matches this user, coming from this address.
    ///
    /// An unknown address (a pipe) is matched by patterns without a host only.
    pub fn matches(&self, user: &str, address: Option<IpAddr>) -> bool {
        self.user.matches(user)
            && match (&self.from, address) {
                (From::Anywhere, _) => true,
                (From::Hosts(_), None) => false,
                (From::Hosts(hosts), Some(address)) => hosts.matches(address),
            }
    }
}

/// `AllowUsers` and `DenyUsers` together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserRules {
    /// `AllowUsers`; empty: everybody.
    pub allow: Vec<UserPattern>,
    /// `DenyUsers`.
    pub deny: Vec<UserPattern>,
}

impl UserRules {
    /// True if they let this user in from this address, where it is known.
    pub fn admit(&self, user: &str, address: Option<IpAddr>) -> bool {
        let listed = |patterns: &[UserPattern]| {
            patterns
                .iter()
                .any(|pattern| pattern.matches(user, address))
        };
        !listed(&self.deny) && (self.allow.is_empty() || listed(&self.allow))
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
            ("eve@0:0:0:0:0:0:0:1", "eve", "::1", true),
            ("eve@0000::0001", "eve", "::1", true),
            ("*@2001:DB8::1", "eve", "2001:db8::1", true),
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
            "a@127.0.0.01",
            "a@127.1",
            "a@10.0.0.256",
            "a@::ffff:10.0.0.1",
            "a@fe80::1%eth0",
        ] {
            assert!(UserPattern::parse(text).is_err(), "{text}");
        }
    }
}

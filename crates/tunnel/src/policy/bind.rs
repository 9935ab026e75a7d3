//! Addresses that a forward listens on: `GatewayPorts` and the bind address, both ends.
//!
//! The two matrices are OpenSSH's, seen live. Where OpenSSH changes the client's wish in silence,
//! [`BindOutcome`] says so, and the caller says it aloud.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use adit_proto::peer_text;

use super::GatewayPorts;

/// One address to bind; IPv6 sockets are bound for IPv6 only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BindHost {
    /// This address.
    Address(IpAddr),
    /// Every address this name resolves to, on this machine; also addresses with a zone.
    Name(String),
}

impl fmt::Display for BindHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BindHost::Address(address) => write!(f, "[{address}]"),
            BindHost::Name(name) => write!(f, "{name}"),
        }
    }
}

/// Opening of a server's notice that the listener is another than the client asked for: by this the client knows what
/// to show to its user.
pub const LISTEN_NOTICE: &str = "Forwarding listen address";

/// Result of the client's wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BindOutcome {
    /// It is honoured.
    AsAsked,
    /// `GatewayPorts no` put loopback in its place; OpenSSH reports plain success.
    LoopbackInstead,
    /// `GatewayPorts yes` put the wildcard address in its place.
    WildcardInstead,
}

/// The addresses of a remote forward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteBind {
    /// Addresses to bind, in this order. Success is at least one of them.
    pub hosts: Vec<BindHost>,
    /// Result of the client's wish.
    pub outcome: BindOutcome,
}

impl RemoteBind {
    /// Notice to the client about a changed wish, in OpenSSH's words for one of the two cases.
    pub fn notice(&self, requested: &str) -> Option<String> {
        let requested = peer_text::name(requested);
        match self.outcome {
            BindOutcome::AsAsked => None,
            BindOutcome::WildcardInstead => Some(format!(
                "{LISTEN_NOTICE} \"{requested}\" overridden by server GatewayPorts"
            )),
            BindOutcome::LoopbackInstead => Some(format!(
                "{LISTEN_NOTICE} \"{requested}\" overridden by server GatewayPorts: \
                 listening on loopback only"
            )),
        }
    }
}

/// Addresses that the server listens on for `-R`, given the address in `tcpip-forward` as the client sent it.
///
/// The client sends `localhost` when the user named no address, and the empty string for `*`.
pub fn remote_bind(gateway: GatewayPorts, requested: &str) -> RemoteBind {
    let wish = Wish::parse(requested);
    let (hosts, outcome) = match (gateway, wish) {
        (GatewayPorts::Yes, Wish::Wildcard) => (wildcard(), BindOutcome::AsAsked),
        // 0.0.0.0 is a wildcard already; OpenSSH does not call it overridden either.
        (GatewayPorts::Yes, Wish::Exactly(BindHost::Address(ip)))
            if ip == IpAddr::V4(Ipv4Addr::UNSPECIFIED) =>
        {
            (wildcard(), BindOutcome::AsAsked)
        }
        (GatewayPorts::Yes, _) => (wildcard(), BindOutcome::WildcardInstead),
        (_, Wish::Localhost) => (loopback(), BindOutcome::AsAsked),
        (GatewayPorts::ClientSpecified, Wish::Wildcard) => (wildcard(), BindOutcome::AsAsked),
        (GatewayPorts::ClientSpecified, Wish::Exactly(host)) => (vec![host], BindOutcome::AsAsked),
        (GatewayPorts::No, Wish::Exactly(BindHost::Address(ip))) if is_the_loopback(ip) => {
            (vec![BindHost::Address(ip)], BindOutcome::AsAsked)
        }
        (GatewayPorts::No, _) => (loopback(), BindOutcome::LoopbackInstead),
    };
    RemoteBind { hosts, outcome }
}

/// Addresses that the client listens on for `-L` and `-D`; `requested` is `None` if the user named no address.
///
/// `gateway` is `Yes` for `-g` and the client's `GatewayPorts yes`; every other value means no.
pub fn local_bind(gateway: GatewayPorts, requested: Option<&str>) -> Vec<BindHost> {
    match (requested.map(Wish::parse), gateway) {
        (None, GatewayPorts::Yes) | (Some(Wish::Wildcard), _) => wildcard(),
        (None, GatewayPorts::No | GatewayPorts::ClientSpecified) => loopback(),
        (Some(Wish::Localhost), _) => loopback(),
        (Some(Wish::Exactly(host)), _) => vec![host],
    }
}

/// A bind address as written.
enum Wish {
    Wildcard,
    Localhost,
    Exactly(BindHost),
}

impl Wish {
    fn parse(requested: &str) -> Self {
        match requested {
            "" | "*" => Wish::Wildcard,
            "localhost" => Wish::Localhost,
            _ => Wish::Exactly(match requested.parse() {
                Ok(ip) => BindHost::Address(ip),
                Err(_) => BindHost::Name(requested.to_owned()),
            }),
        }
    }
}

fn is_the_loopback(ip: IpAddr) -> bool {
    ip == IpAddr::V4(Ipv4Addr::LOCALHOST) || ip == IpAddr::V6(Ipv6Addr::LOCALHOST)
}

fn loopback() -> Vec<BindHost> {
    vec![
        BindHost::Address(Ipv4Addr::LOCALHOST.into()),
        BindHost::Address(Ipv6Addr::LOCALHOST.into()),
    ]
}

fn wildcard() -> Vec<BindHost> {
    vec![
        BindHost::Address(Ipv4Addr::UNSPECIFIED.into()),
        BindHost::Address(Ipv6Addr::UNSPECIFIED.into()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: &[&str] = &["127.0.0.1", "::1"];
    const WILDCARD: &[&str] = &["0.0.0.0", "::"];

    fn hosts(names: &[&str]) -> Vec<BindHost> {
        let host = |name: &&str| match name.parse() {
            Ok(ip) => BindHost::Address(ip),
            Err(_) => BindHost::Name((*name).to_owned()),
        };
        names.iter().map(host).collect()
    }

    #[test]
    fn remote_bind_follows_the_matrix_of_sshd() {
        use BindOutcome::{AsAsked, LoopbackInstead, WildcardInstead};
        use GatewayPorts::{ClientSpecified, No, Yes};
        let table: &[(GatewayPorts, &str, &[&str], BindOutcome)] = &[
            (No, "localhost", LOOPBACK, AsAsked),
            (Yes, "localhost", WILDCARD, WildcardInstead),
            (ClientSpecified, "localhost", LOOPBACK, AsAsked),
            (No, "", LOOPBACK, LoopbackInstead),
            (Yes, "", WILDCARD, AsAsked),
            (ClientSpecified, "", WILDCARD, AsAsked),
            (No, "*", LOOPBACK, LoopbackInstead),
            (Yes, "*", WILDCARD, AsAsked),
            (ClientSpecified, "*", WILDCARD, AsAsked),
            (No, "127.0.0.1", &["127.0.0.1"], AsAsked),
            (Yes, "127.0.0.1", WILDCARD, WildcardInstead),
            (ClientSpecified, "127.0.0.1", &["127.0.0.1"], AsAsked),
            (No, "::1", &["::1"], AsAsked),
            (Yes, "::1", WILDCARD, WildcardInstead),
            (ClientSpecified, "::1", &["::1"], AsAsked),
            (No, "127.0.0.2", LOOPBACK, LoopbackInstead),
            (Yes, "127.0.0.2", WILDCARD, WildcardInstead),
            (ClientSpecified, "127.0.0.2", &["127.0.0.2"], AsAsked),
            (No, "0.0.0.0", LOOPBACK, LoopbackInstead),
            (Yes, "0.0.0.0", WILDCARD, AsAsked),
            (ClientSpecified, "0.0.0.0", &["0.0.0.0"], AsAsked),
            (No, "::", LOOPBACK, LoopbackInstead),
            (ClientSpecified, "::", &["::"], AsAsked),
            (No, "192.0.2.77", LOOPBACK, LoopbackInstead),
            (Yes, "192.0.2.77", WILDCARD, WildcardInstead),
            (ClientSpecified, "192.0.2.77", &["192.0.2.77"], AsAsked),
            (No, "fe80::1%eth0", LOOPBACK, LoopbackInstead),
            (ClientSpecified, "fe80::1%eth0", &["fe80::1%eth0"], AsAsked),
            (ClientSpecified, "gw.example", &["gw.example"], AsAsked),
        ];
        for &(gateway, requested, expected, outcome) in table {
            let bind = remote_bind(gateway, requested);
            assert_eq!(bind.hosts, hosts(expected), "{gateway:?} {requested:?}");
            assert_eq!(bind.outcome, outcome, "{gateway:?} {requested:?}");
            assert_eq!(bind.notice(requested).is_some(), outcome != AsAsked);
        }
    }

    #[test]
    fn local_bind_follows_the_matrix_of_ssh() {
        use GatewayPorts::{No, Yes};
        let table: &[(GatewayPorts, Option<&str>, &[&str])] = &[
            (No, None, LOOPBACK),
            (Yes, None, WILDCARD),
            (No, Some(""), WILDCARD),
            (Yes, Some(""), WILDCARD),
            (No, Some("*"), WILDCARD),
            (Yes, Some("*"), WILDCARD),
            (No, Some("localhost"), LOOPBACK),
            (Yes, Some("localhost"), LOOPBACK),
            (No, Some("127.0.0.2"), &["127.0.0.2"]),
            (Yes, Some("127.0.0.1"), &["127.0.0.1"]),
            (Yes, Some("::1"), &["::1"]),
            (No, Some("0.0.0.0"), &["0.0.0.0"]),
            (No, Some("::"), &["::"]),
            (No, Some("lan.example"), &["lan.example"]),
        ];
        for &(gateway, requested, expected) in table {
            let bound = local_bind(gateway, requested);
            assert_eq!(bound, hosts(expected), "{gateway:?} {requested:?}");
        }
    }
}

//! The vocabulary of forwarding rules: what sshd_config and authorized_keys can say.

/// Directions in which forwarding is allowed (`AllowTcpForwarding`, `AllowStreamLocalForwarding`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AllowForwarding {
    /// Both directions.
    Yes,
    /// None.
    No,
    /// Only local forwarding (`-L`, `-D`).
    Local,
    /// Only remote forwarding (`-R`).
    Remote,
}

/// Rule for the address that a remote forward listens on (`GatewayPorts`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GatewayPorts {
    /// Loopback only.
    No,
    /// The wildcard address always.
    Yes,
    /// The address that the client asked for.
    ClientSpecified,
}

/// A port in a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortRule {
    /// Every port (`*`).
    Any,
    /// One port.
    Exactly(u16),
}

/// One `host:port` of `PermitOpen`, `permitopen=`, `PermitListen` or `permitlisten=`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPortRule {
    /// The host as written, brackets removed; `*` stands for every host.
    pub host: String,
    /// The port.
    pub port: PortRule,
}

/// A list of `host:port` rules with the two words that may stand in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleList {
    /// `any`: no restriction.
    Any,
    /// `none`: nothing is permitted.
    None,
    /// Only what one of these matches.
    Only(Vec<HostPortRule>),
}

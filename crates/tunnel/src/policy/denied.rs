//! Refusals: the rule that said no, as one line for the log and for the peer.

use std::fmt;
use std::net::SocketAddr;

use adit_proto::peer_text;

/// The rule that refused; `Display` is one line for the log and for the peer.
///
/// Hosts and paths come from the peer: they are shown with control characters escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denied {
    /// `DisableForwarding yes`.
    ForwardingDisabled,
    /// The key's `no-port-forwarding` or `restrict`.
    KeyForbidsForwarding,
    /// `AllowTcpForwarding` excludes this direction.
    TcpNotAllowed(ForwardDirection),
    /// `AllowStreamLocalForwarding` excludes this direction.
    StreamLocalNotAllowed(ForwardDirection),
    /// `AllowTcpForwarding` excludes this direction, and with it unix sockets.
    StreamLocalNeedsTcp(ForwardDirection),
    /// No entry of an open list matches.
    OpenNotListed {
        /// Owner of the list.
        list: ListOwner,
        /// The host asked for.
        host: String,
        /// The port asked for.
        port: u16,
    },
    /// An open list is in force, and lists cannot name unix sockets.
    UnixNotListed {
        /// Owner of the list.
        list: ListOwner,
        /// The path asked for.
        path: String,
    },
    /// No entry of a listen list matches.
    ListenNotListed {
        /// Owner of the list.
        list: ListOwner,
        /// The address to bind asked for.
        host: String,
        /// The port asked for.
        port: u16,
    },
    /// Only root may listen there.
    PrivilegedPort {
        /// The port asked for.
        port: u16,
        /// The lowest port this account may use.
        first_unprivileged_port: u16,
    },
    /// The client asked for an address and another one was about to be dialled.
    OtherAddress {
        /// The address asked for.
        host: String,
        /// The address that was to be dialled.
        addr: SocketAddr,
    },
    /// A permitted name resolved to an address that the list does not permit by itself.
    ResolvedToReserved {
        /// Owner of the list.
        list: ListOwner,
        /// The name asked for.
        host: String,
        /// The address it resolved to.
        addr: SocketAddr,
        /// Reason in words why that address is reserved, such as `the server itself`.
        kind: &'static str,
    },
}

/// Author of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListOwner {
    /// The administrator, in `sshd_config`.
    Server,
    /// The user, in `authorized_keys`.
    Key,
}

/// The direction of a forward, as `AllowTcpForwarding` counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardDirection {
    /// The client listens, the server connects (`-L`, `-D`, `-W`).
    Local,
    /// The server listens, the client connects (`-R`).
    Remote,
}

impl fmt::Display for ForwardDirection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ForwardDirection::Local => "local",
            ForwardDirection::Remote => "remote",
        })
    }
}

impl ListOwner {
    fn open(self) -> &'static str {
        match self {
            ListOwner::Server => "the server's PermitOpen",
            ListOwner::Key => "the key's permitopen",
        }
    }

    fn listen(self) -> &'static str {
        match self {
            ListOwner::Server => "the server's PermitListen",
            ListOwner::Key => "the key's permitlisten",
        }
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Denied::ForwardingDisabled => f.write_str("DisableForwarding is set on the server"),
            Denied::KeyForbidsForwarding => {
                f.write_str("the key's options do not allow port forwarding")
            }
            Denied::TcpNotAllowed(direction) => {
                write!(f, "AllowTcpForwarding excludes {direction} forwarding")
            }
            Denied::StreamLocalNotAllowed(direction) => write!(
                f,
                "AllowStreamLocalForwarding excludes {direction} forwarding"
            ),
            Denied::StreamLocalNeedsTcp(direction) => write!(
                f,
                "AllowTcpForwarding excludes {direction} forwarding, of unix sockets too"
            ),
            Denied::OpenNotListed { list, host, port } => not_listed(f, list.open(), host, *port),
            Denied::ListenNotListed { list, host, port } => {
                not_listed(f, list.listen(), host, *port)
            }
            Denied::UnixNotListed { list, path } => write!(
                f,
                "{} is set, so that unix sockets like {} are refused",
                list.open(),
                peer_text::name(path)
            ),
            Denied::PrivilegedPort {
                port,
                first_unprivileged_port: first,
            } => write!(f, "only root may listen on port {port}, below {first}"),
            Denied::OtherAddress { host, addr } => {
                let host = peer_text::name(host);
                write!(f, "asked for {host}, not for {}", addr.ip())
            }
            Denied::ResolvedToReserved {
                list,
                host,
                addr,
                kind,
            } => write!(
                f,
                "{} resolved to {}, {kind}, which {} does not list by itself",
                peer_text::name(host),
                addr.ip(),
                list.open()
            ),
        }
    }
}

fn not_listed(f: &mut fmt::Formatter<'_>, list: &str, host: &str, port: u16) -> fmt::Result {
    write!(f, "{list} does not list {}", HostPort { host, port })
}

impl std::error::Error for Denied {}

/// `host:port` with brackets where they are needed.
struct HostPort<'a> {
    host: &'a str,
    port: u16,
}

impl fmt::Display for HostPort<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = peer_text::name(&self.host);
        match self.host.contains(':') {
            true => write!(f, "[{host}]:{}", self.port),
            false => write!(f, "{host}:{}", self.port),
        }
    }
}

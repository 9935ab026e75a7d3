//! Policy: the acts that one authenticated connection may do. Pure, deny by default, asked at the moment of the act.
//!
//! Three nouns: an [`Ask`] is what the peer wants now, a [`Grant`] is what its login allows, a
//! [`Denied`] names the rule that refused. Nothing here reads a file, a clock or a socket.
//!
//! An act passes only if *all* of these agree, as in OpenSSH: `DisableForwarding`, the key's
//! `port-forwarding` flag, `AllowTcpForwarding` for the direction, for unix sockets
//! `AllowStreamLocalForwarding` besides, the server's list (`PermitOpen`, `PermitListen`) and the
//! key's list (`permitopen=`, `permitlisten=`).
//!
//! | ask | direction | lists |
//! |---|---|---|
//! | [`Ask::Listen`] | remote | `PermitListen`, `permitlisten=`: addresses, or patterns in upper and lower case alike |
//! | [`Ask::ListenUnix`] | remote | none |
//! | [`Ask::Connect`], [`Ask::Dial`] | local | `PermitOpen`, `permitopen=`: equal addresses, equal strings, or `*` |
//! | [`Ask::ConnectUnix`] | local | refused by every open list that lacks `*:*` |

mod bind;
mod denied;
mod dial;
mod rules;

use std::net::SocketAddr;

use crate::pattern::{Case, same_address, wildcard};

pub use bind::{BindHost, BindOutcome, LISTEN_NOTICE, RemoteBind, local_bind, remote_bind};
pub use denied::{Denied, ForwardDirection, ListOwner};
pub use rules::{AllowForwarding, GatewayPorts, HostPortRule, PortRule, RuleList};

/// Act that a peer wants to do, at the moment of doing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask<'a> {
    /// Listen on a TCP port: `tcpip-forward` (RFC 4254 §7.1).
    Listen {
        /// The address to bind as the client sent it: `localhost`, the empty string, an address, a name.
        host: &'a str,
        /// The port; 0 lets the server choose.
        port: u16,
    },
    /// Listen on a unix socket: `streamlocal-forward@openssh.com`.
    ListenUnix {
        /// The path as the client sent it.
        path: &'a str,
    },
    /// Connect to a TCP port: `direct-tcpip` (RFC 4254 §7.2), before the name is resolved.
    Connect {
        /// The host as the client sent it.
        host: &'a str,
        /// The port.
        port: u16,
    },
    /// Connect to one of the addresses that a name resolved to.
    ///
    /// Includes all that [`Ask::Connect`] checks; see `dial.rs` for what an address may be.
    Dial {
        /// The host as the client sent it.
        host: &'a str,
        /// The address about to be connected to, with the port asked for.
        addr: SocketAddr,
    },
    /// Connect to a unix socket: `direct-streamlocal@openssh.com`.
    ConnectUnix {
        /// The path as the client sent it.
        path: &'a str,
    },
}

/// Permission to forward anything at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forwarding {
    /// Other rules decide.
    Allowed,
    /// Nothing may be forwarded, whatever other rules say.
    Disabled,
}

/// Permission for one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// It may be.
    Granted,
    /// It may not.
    Refused,
}

impl Permission {
    /// The permission of an option that is `yes` where nothing says `no`.
    pub fn unless_no(option: Option<bool>) -> Self {
        match option {
            Some(false) => Permission::Refused,
            _ => Permission::Granted,
        }
    }

    /// Granted where both are.
    pub fn and(self, other: Permission) -> Self {
        match self {
            Permission::Granted => other,
            Permission::Refused => Permission::Refused,
        }
    }

    /// True where it is granted.
    pub fn is_granted(self) -> bool {
        self == Permission::Granted
    }
}

/// The account that the connection acts for: who may bind privileged ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Account {
    /// The superuser: every port.
    Root,
    /// Everybody else.
    Ordinary {
        /// The lowest port that needs no privilege (`net.ipv4.ip_unprivileged_port_start`).
        first_unprivileged_port: u16,
    },
}

impl Account {
    /// An ordinary account on a system with the customary limit, 1024.
    pub const ORDINARY: Account = Account::Ordinary {
        first_unprivileged_port: 1024,
    };
}

/// Rules of `sshd_config` about forwarding, after its Match blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerRules {
    /// `AllowTcpForwarding`: unix sockets need it, too.
    pub allow_tcp: AllowForwarding,
    /// `AllowStreamLocalForwarding`.
    pub allow_stream_local: AllowForwarding,
    /// `DisableForwarding`.
    pub disable_forwarding: Forwarding,
    /// `PermitOpen`.
    pub permit_open: RuleList,
    /// `PermitListen`.
    pub permit_listen: RuleList,
    /// `GatewayPorts`.
    pub gateway_ports: GatewayPorts,
}

impl ServerRules {
    /// The rules of an `sshd_config` that says nothing about forwarding.
    pub fn openssh_defaults() -> Self {
        Self {
            allow_tcp: AllowForwarding::Yes,
            allow_stream_local: AllowForwarding::Yes,
            disable_forwarding: Forwarding::Allowed,
            permit_open: RuleList::Any,
            permit_listen: RuleList::Any,
            gateway_ports: GatewayPorts::No,
        }
    }
}

/// Rules about forwarding in the line of `authorized_keys` that let the user in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRules {
    /// `port-forwarding`, `no-port-forwarding`, `restrict`: TCP and unix sockets alike.
    pub port_forwarding: Forwarding,
    /// All `permitopen=` of the line.
    pub permit_open: RuleList,
    /// All `permitlisten=` of the line.
    pub permit_listen: RuleList,
}

impl KeyRules {
    /// The rules of a key without options, or of a login without a key.
    pub fn unrestricted() -> Self {
        Self {
            port_forwarding: Forwarding::Allowed,
            permit_open: RuleList::Any,
            permit_listen: RuleList::Any,
        }
    }
}

/// Permissions of one authenticated connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    server: ServerRules,
    key: KeyRules,
    account: Account,
}

impl Grant {
    /// The grant of a login: the server's rules, the key's rules, the account.
    pub fn new(server: ServerRules, key: KeyRules, account: Account) -> Self {
        Self {
            server,
            key,
            account,
        }
    }

    /// The server's `GatewayPorts`, for [`remote_bind`].
    pub fn gateway_ports(&self) -> GatewayPorts {
        self.server.gateway_ports
    }

    /// Permits `ask` to be done now.
    ///
    /// # Errors
    /// The first rule that refuses.
    pub fn permit(&self, ask: &Ask<'_>) -> Result<(), Denied> {
        self.permit_any_forwarding()?;
        match *ask {
            Ask::Listen { host, port } => {
                self.permit_tcp(ForwardDirection::Remote)?;
                self.permit_listen_lists(host, port)?;
                self.permit_port(port)
            }
            Ask::ListenUnix { .. } => self.permit_stream_local(ForwardDirection::Remote),
            Ask::Connect { host, port } => {
                self.permit_tcp(ForwardDirection::Local)?;
                self.permit_open_lists(host, port)
            }
            Ask::Dial { host, addr } => {
                self.permit_tcp(ForwardDirection::Local)?;
                self.permit_open_lists(host, addr.port())?;
                self.open_lists()
                    .try_for_each(|(owner, list)| dial::permit(owner, list, host, addr))
            }
            Ask::ConnectUnix { path } => {
                self.permit_stream_local(ForwardDirection::Local)?;
                self.permit_unix_beside_lists(path)
            }
        }
    }

    fn permit_any_forwarding(&self) -> Result<(), Denied> {
        if self.server.disable_forwarding == Forwarding::Disabled {
            return Err(Denied::ForwardingDisabled);
        }
        if self.key.port_forwarding == Forwarding::Disabled {
            return Err(Denied::KeyForbidsForwarding);
        }
        Ok(())
    }

    fn permit_tcp(&self, direction: ForwardDirection) -> Result<(), Denied> {
        match allows(self.server.allow_tcp, direction) {
            true => Ok(()),
            false => Err(Denied::TcpNotAllowed(direction)),
        }
    }

    /// A unix socket is as good a way in as a port: who allows no forwarding in a direction means both.
    fn permit_stream_local(&self, direction: ForwardDirection) -> Result<(), Denied> {
        if !allows(self.server.allow_stream_local, direction) {
            return Err(Denied::StreamLocalNotAllowed(direction));
        }
        match allows(self.server.allow_tcp, direction) {
            true => Ok(()),
            false => Err(Denied::StreamLocalNeedsTcp(direction)),
        }
    }

    fn open_lists(&self) -> impl Iterator<Item = (ListOwner, &RuleList)> {
        [
            (ListOwner::Server, &self.server.permit_open),
            (ListOwner::Key, &self.key.permit_open),
        ]
        .into_iter()
    }

    fn permit_open_lists(&self, host: &str, port: u16) -> Result<(), Denied> {
        match self.open_lists().find(|(_, l)| !l.permits_open(host, port)) {
            None => Ok(()),
            Some((list, _)) => Err(Denied::OpenNotListed {
                list,
                host: host.to_owned(),
                port,
            }),
        }
    }

    fn permit_unix_beside_lists(&self, path: &str) -> Result<(), Denied> {
        match self.open_lists().find(|(_, l)| !l.permits_everything()) {
            None => Ok(()),
            Some((list, _)) => Err(Denied::UnixNotListed {
                list,
                path: path.to_owned(),
            }),
        }
    }

    fn permit_listen_lists(&self, host: &str, port: u16) -> Result<(), Denied> {
        let lists = [
            (ListOwner::Server, &self.server.permit_listen),
            (ListOwner::Key, &self.key.permit_listen),
        ];
        match lists.iter().find(|(_, l)| !l.permits_listen(host, port)) {
            None => Ok(()),
            Some(&(list, _)) => Err(Denied::ListenNotListed {
                list,
                host: host.to_owned(),
                port,
            }),
        }
    }

    /// Port 0 is no privilege: the system chooses an ordinary port.
    fn permit_port(&self, port: u16) -> Result<(), Denied> {
        match self.account {
            Account::Ordinary {
                first_unprivileged_port,
            } if port != 0 && port < first_unprivileged_port => Err(Denied::PrivilegedPort {
                port,
                first_unprivileged_port,
            }),
            Account::Root | Account::Ordinary { .. } => Ok(()),
        }
    }
}

fn allows(rule: AllowForwarding, direction: ForwardDirection) -> bool {
    match rule {
        AllowForwarding::Yes => true,
        AllowForwarding::No => false,
        AllowForwarding::Local => direction == ForwardDirection::Local,
        AllowForwarding::Remote => direction == ForwardDirection::Remote,
    }
}

impl RuleList {
    /// True if some rule matches under `host_matches(rule's host)` and the port.
    fn permits(&self, port: u16, host_matches: impl Fn(&str) -> bool) -> bool {
        match self {
            RuleList::Any => true,
            RuleList::None => false,
            RuleList::Only(rules) => rules.iter().any(|rule| {
                let port_matches = match rule.port {
                    PortRule::Any => true,
                    PortRule::Exactly(only) => only == port,
                };
                port_matches && host_matches(&rule.host)
            }),
        }
    }

    /// `PermitOpen` compares addresses as numbers and names as strings: `localhost` is not `127.0.0.1`,
    /// nor is it `LOCALHOST`.
    /// `PermitRemoteOpen` is read the same way, on the client.
    pub(crate) fn permits_open(&self, host: &str, port: u16) -> bool {
        self.permits(port, |rule| {
            rule == "*" || rule == host || same_address(rule, host)
        })
    }

    /// `PermitListen` hosts are addresses or patterns.
    fn permits_listen(&self, host: &str, port: u16) -> bool {
        self.permits(port, |rule| {
            wildcard(rule, host, Case::Insensitive) || same_address(rule, host)
        })
    }

    /// True if the list restricts nothing: `any`, or an entry `*:*`.
    fn permits_everything(&self) -> bool {
        match self {
            RuleList::Any => true,
            RuleList::None => false,
            RuleList::Only(rules) => rules
                .iter()
                .any(|rule| rule.host == "*" && rule.port == PortRule::Any),
        }
    }
}

#[cfg(test)]
mod tests;

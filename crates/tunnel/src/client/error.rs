//! Errors of connections and forwards: what was attempted, on what, why it failed, and a hint.

use std::fmt;
use std::io;

use adit_proto::peer_text;

use crate::forward::dial::resolve_reason;
use crate::net::Ended;
use crate::net::listener::{BindError, describe};
use crate::status::ForwardId;

/// Text of OpenSSH that scripts search for.
const NOT_TRUSTED: &str = "forwarding disabled due to host key check failure";

/// Reason why there is no connection.
#[derive(Debug)]
pub enum ConnectError {
    /// The name could not be resolved.
    Resolve {
        /// The name.
        host: String,
        /// Cause.
        source: io::Error,
    },
    /// No address accepted the connection.
    Connect {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// Cause of the last attempt.
        source: io::Error,
    },
    /// The first key exchange did not succeed.
    Handshake {
        /// The host.
        host: String,
        /// Cause.
        why: String,
    },
    /// The connection ended before the login.
    Ended {
        /// The host.
        host: String,
        /// Cause.
        ended: Ended,
    },
    /// The server ended the login after several keys of the agent.
    TooManyKeys {
        /// The host.
        host: String,
        /// Cause.
        ended: Ended,
        /// Keys of the agent that were tried.
        keys: usize,
    },
    /// The host key was refused.
    HostKey {
        /// Description of the problem, with a hint.
        message: String,
        /// Hint, if the message has none.
        hint: Option<&'static str>,
    },
    /// The host key changed, and the purpose of the connection needs a trusted key.
    NotTrusted {
        /// Description of the problem, with a hint.
        message: String,
    },
    /// No method of authentication succeeded.
    Denied {
        /// The account.
        user: String,
        /// The host.
        host: String,
        /// Methods that the server would accept.
        methods: Vec<String>,
    },
    /// A file or an agent could not be used.
    Local(String),
    /// The route has no host.
    NoRoute,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolve { host, source } => {
                write!(
                    f,
                    "Could not resolve hostname {host}: {}",
                    resolve_reason(source)
                )
            }
            Self::Connect { host, port, source } => {
                write!(
                    f,
                    "connect to host {host} port {port}: {}",
                    describe(source)
                )
            }
            Self::Handshake { host, why } => write!(f, "{host}: {why}"),
            Self::Ended { host, ended } => match ended {
                Ended::ClosedByPeer => write!(f, "Connection to {host} closed by remote host."),
                ended => write!(f, "{host}: {ended}"),
            },
            Self::TooManyKeys { host, ended, keys } => {
                write!(f, "{host}: {ended} (after {keys} keys of the agent)")
            }
            Self::HostKey { message, .. } => write!(f, "{message}\nHost key verification failed."),
            Self::NotTrusted { message } => write!(f, "{message}\nError: {NOT_TRUSTED}"),
            Self::Denied {
                user,
                host,
                methods,
            } => {
                let methods = match methods.is_empty() {
                    true => "no method is left".to_owned(),
                    false => peer_text::description(&methods.join(",")).to_string(),
                };
                write!(f, "{user}@{host}: Permission denied ({methods}).")
            }
            Self::Local(what) => write!(f, "{what}"),
            Self::NoRoute => write!(f, "no host to connect to"),
        }
    }
}

impl std::error::Error for ConnectError {}

impl ConnectError {
    /// Hint for the user.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Resolve { .. } => Some("is the name right, and is there a network?"),
            Self::Connect { source, .. } => match source.kind() {
                io::ErrorKind::ConnectionRefused => Some(
                    "nothing listens there: is the SSH server running, and is the port (-p) right?",
                ),
                _ => None,
            },
            Self::HostKey { hint, .. } => *hint,
            Self::TooManyKeys { .. } => Some(
                "the agent has more keys than the server lets anybody try (MaxAuthTries): name the right one with -i KEY -o IdentitiesOnly=yes",
            ),
            Self::Denied { .. } => Some(
                "name the key with -i, and see that its .pub is in the server's authorized_keys; -v shows what was tried",
            ),
            _ => None,
        }
    }
}

/// Reason why there is no forward.
#[derive(Debug)]
pub enum ForwardError {
    /// The listener could not be bound.
    Bind {
        /// Name of the forward in messages.
        label: String,
        /// Cause.
        source: BindError,
    },
    /// The server refused to listen.
    Refused {
        /// Name of the forward in messages.
        label: String,
        /// `port 9000` or `path /run/x`.
        what: String,
        /// The port, unless it is a path.
        port: Option<u16>,
        /// Texts of the server about it, without control characters; most servers send none.
        said: Vec<String>,
    },
    /// The host key is not trusted.
    NotTrusted,
    /// More remote forwards were requested than a connection may have.
    TooMany,
    /// The server still listens for a forward that was cancelled.
    NotCancelled {
        /// Name of the forward in messages.
        label: String,
    },
    /// The tunnel has no such forward.
    Unknown(ForwardId),
    /// The connection has ended.
    Ended(Ended),
}

impl fmt::Display for ForwardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind { label, source } => write!(f, "{label}: {source}"),
            Self::Refused {
                label, what, said, ..
            } => {
                write!(
                    f,
                    "remote port forwarding failed for listen {what} ({label})"
                )?;
                said.iter()
                    .try_for_each(|text| write!(f, "\nthe server says: {text}"))
            }
            Self::NotTrusted => write!(f, "{NOT_TRUSTED}"),
            Self::TooMany => write!(f, "too many remote forwards are asked for at once"),
            Self::NotCancelled { label } => {
                write!(f, "cannot cancel {label}: the server goes on listening")
            }
            Self::Unknown(id) => write!(f, "the tunnel has no forward {id}"),
            Self::Ended(ended) => write!(f, "{ended}"),
        }
    }
}

impl std::error::Error for ForwardError {}

impl ForwardError {
    /// Hint for the user.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Bind { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied => {
                    Some("low ports, most often those below 1024, need root; choose a higher one")
                }
                io::ErrorKind::AddrInUse => {
                    Some("another program listens there; choose another port")
                }
                io::ErrorKind::AddrNotAvailable => Some(
                    "this machine does not have that address; leave it out to listen on loopback",
                ),
                _ => None,
            },
            Self::Refused { port, said, .. } if said.is_empty() && is_privileged(*port) => Some(
                "ports below 1024 are root's at most servers: choose a higher one, or log in as root; else the port is in use there, or the server's rules (AllowTcpForwarding, PermitListen, authorized_keys) forbid it",
            ),
            Self::Refused { said, .. } if said.is_empty() => Some(
                "the port is in use at the server, or its rules (AllowTcpForwarding, PermitListen, authorized_keys) forbid it; the server's log has the reason",
            ),
            Self::Refused { .. } => {
                Some("choose another port or path, or have the server's rules changed")
            }
            _ => None,
        }
    }
}

/// True for a port on which most systems let only root listen; 0 is any port.
fn is_privileged(port: Option<u16>) -> bool {
    port.is_some_and(|port| (1..1024).contains(&port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_port_is_the_likely_cause_of_a_refusal_without_a_reason() {
        let hint = |port, said: &[&str]| {
            let error = ForwardError::Refused {
                label: "forward -R 80 → h:1".into(),
                what: "port 80".into(),
                port,
                said: said.iter().map(|&text| text.to_owned()).collect(),
            };
            error.hint().unwrap()
        };
        assert!(hint(Some(80), &[]).starts_with("ports below 1024"));
        for port in [Some(1024), Some(0), None] {
            assert!(
                hint(port, &[]).starts_with("the port is in use"),
                "{port:?}"
            );
        }
        assert!(hint(Some(80), &["no"]).starts_with("choose another"));
    }
}

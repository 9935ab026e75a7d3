//! Forwards that a test asks of a client, in the one grammar that all command-line clients share.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// One end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// An IP address and a port.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

impl Address {
    /// `127.0.0.1:port`.
    pub fn loopback(port: u16) -> Self {
        Self::at(Ipv4Addr::LOCALHOST, port)
    }

    /// `ip:port`.
    pub fn at(ip: impl Into<IpAddr>, port: u16) -> Self {
        Self::Tcp(SocketAddr::new(ip.into(), port))
    }

    /// A unix socket.
    pub fn unix(path: &Path) -> Self {
        Self::Unix(path.to_path_buf())
    }

    /// The port, 0 for a unix socket.
    pub fn port(&self) -> u16 {
        match self {
            Self::Tcp(addr) => addr.port(),
            Self::Unix(_) => 0,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => write!(f, "{addr}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// A forward: a listener at one end, a dialer at the other.
#[derive(Debug, Clone)]
pub enum Forward {
    /// `-L`: the client listens, the server dials.
    Local {
        /// Address that the client listens on.
        listen: Address,
        /// Address that the server dials.
        target: Address,
    },
    /// `-R`: the server listens, the client dials.
    Remote {
        /// Address that the server listens on.
        listen: Address,
        /// Address that the client dials.
        target: Address,
    },
    /// `-D`: the client listens and speaks SOCKS.
    Dynamic {
        /// Address that the client listens on.
        listen: Address,
    },
    /// `-R` without a destination: the server listens, the client speaks SOCKS.
    RemoteDynamic {
        /// Address that the server listens on.
        listen: Address,
    },
}

impl Forward {
    /// `-L` from `listen` to `target`.
    pub fn local(listen: Address, target: Address) -> Self {
        Self::Local { listen, target }
    }

    /// `-R` from `listen` to `target`.
    pub fn remote(listen: Address, target: Address) -> Self {
        Self::Remote { listen, target }
    }

    /// `-D` on `listen`.
    pub fn dynamic(listen: Address) -> Self {
        Self::Dynamic { listen }
    }

    /// Address that it listens on, at whichever end.
    pub fn listen(&self) -> &Address {
        match self {
            Self::Local { listen, .. }
            | Self::Remote { listen, .. }
            | Self::Dynamic { listen }
            | Self::RemoteDynamic { listen } => listen,
        }
    }

    /// The flag and its value.
    pub fn args(&self) -> [String; 2] {
        let (flag, value) = match self {
            Self::Local { listen, target } => ("-L", format!("{listen}:{target}")),
            Self::Remote { listen, target } => ("-R", format!("{listen}:{target}")),
            Self::Dynamic { listen } => ("-D", listen.to_string()),
            Self::RemoteDynamic { listen } => ("-R", listen.to_string()),
        };
        [flag.to_owned(), value]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_those_of_ssh() {
        let tcp = Forward::local(
            Address::loopback(1),
            "[::1]:2".parse().map(Address::Tcp).unwrap(),
        );
        assert_eq!(tcp.args(), ["-L", "127.0.0.1:1:[::1]:2"]);
        let unix = Forward::remote(
            Address::unix(Path::new("/a")),
            Address::unix(Path::new("/b")),
        );
        assert_eq!(unix.args(), ["-R", "/a:/b"]);
    }
}

//! The remote forwards of one connection: what the client asked for, and what listens for it at the server.

use std::fmt;
use std::sync::Arc;

use adit_proto::peer_text;

use crate::config::spec::Endpoint;
use crate::status::{ForwardCounters, ForwardId};

/// The most remote forwards of one connection.
pub const MAX_REMOTE_FORWARDS: usize = 1024;

/// Address at which a remote forward listens, in the words of its request: the peer compares strings.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RemoteAddress {
    /// `tcpip-forward`.
    Tcp {
        /// The address to bind, as it stood in the request.
        address: String,
        /// The port that is bound.
        port: u16,
    },
    /// `streamlocal-forward@openssh.com`.
    Unix(String),
}

impl fmt::Display for RemoteAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { address, port } if address.contains(':') => {
                write!(f, "[{}]:{port}", peer_text::name(address))
            }
            Self::Tcp { address, port } => write!(f, "{}:{port}", peer_text::name(address)),
            Self::Unix(path) => write!(f, "{}", peer_text::name(path)),
        }
    }
}

/// Target of the connections of a remote forward, at the client.
#[derive(Debug, Clone)]
pub enum RemoteTarget {
    /// To one place.
    Fixed(Endpoint),
    /// The one that the application names in SOCKS.
    Dynamic,
}

/// One remote forward of a client.
#[derive(Debug, Clone)]
pub struct RemoteForward {
    /// Its number in the tunnel.
    pub id: ForwardId,
    /// Its name in messages.
    pub label: String,
    /// Its target.
    pub target: RemoteTarget,
    /// Counters of what it has carried.
    pub counters: Arc<ForwardCounters>,
}

/// The remote forwards of one connection, by where they listen.
#[derive(Debug)]
pub struct Registry<T> {
    entries: Vec<(RemoteAddress, T)>,
}

impl<T> Default for Registry<T> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
        }
    }
}

impl<T> Registry<T> {
    /// Adds one; gives it back where there are too many.
    pub fn insert(&mut self, address: RemoteAddress, entry: T) -> Result<(), T> {
        if self.entries.len() >= MAX_REMOTE_FORWARDS {
            return Err(entry);
        }
        self.entries.push((address, entry));
        Ok(())
    }

    /// The one that listens there.
    pub fn get(&self, address: &RemoteAddress) -> Option<&T> {
        self.entries
            .iter()
            .find(|(a, _)| a == address)
            .map(|(_, entry)| entry)
    }

    /// The address of the one that is meant.
    pub fn address_of(&self, is_it: impl Fn(&T) -> bool) -> Option<&RemoteAddress> {
        let mut entries = self.entries.iter();
        entries.find(|(_, entry)| is_it(entry)).map(|(a, _)| a)
    }

    /// Takes out the first that listens there and is the one that is meant.
    pub fn remove_one(&mut self, address: &RemoteAddress, is_it: impl Fn(&T) -> bool) -> Option<T> {
        let mut entries = self.entries.iter();
        let index = entries.position(|(a, entry)| a == address && is_it(entry))?;
        Some(self.entries.remove(index).1)
    }

    /// Takes out the one that listens there.
    pub fn remove(&mut self, address: &RemoteAddress) -> Option<T> {
        let index = self.entries.iter().position(|(a, _)| a == address)?;
        Some(self.entries.swap_remove(index).1)
    }
}

//! Remote forwards of one connection: the requests of the client, and the listeners of the server.

use std::fmt;
use std::sync::Arc;

use adit_proto::peer_text;

use crate::config::spec::Endpoint;
use crate::status::{ForwardCounters, ForwardId};

/// Limit of the remote forwards of one connection.
pub const MAX_REMOTE_FORWARDS: usize = 1024;

/// Listening address of a remote forward, exactly as in its request: the peer compares strings.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RemoteAddress {
    /// `tcpip-forward`.
    Tcp {
        /// Address to bind, as in the request.
        address: String,
        /// Port that is bound.
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

/// Target of a remote forward's connections.
#[derive(Debug, Clone)]
pub enum RemoteTarget {
    /// The same target for all.
    Fixed(Endpoint),
    /// The target that the application names in SOCKS.
    Dynamic,
}

/// One remote forward of a client.
#[derive(Debug, Clone)]
pub struct RemoteForward {
    /// Number of the forward in the tunnel.
    pub id: ForwardId,
    /// Name in messages.
    pub label: String,
    /// Target of its connections.
    pub target: RemoteTarget,
    /// Counters of the forward.
    pub counters: Arc<ForwardCounters>,
}

/// Remote forwards of one connection, by their listening address.
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
    /// Adds an entry; gives it back if the limit is reached.
    pub fn insert(&mut self, address: RemoteAddress, entry: T) -> Result<(), T> {
        if self.entries.len() >= MAX_REMOTE_FORWARDS {
            return Err(entry);
        }
        self.entries.push((address, entry));
        Ok(())
    }

    /// The entry of this address.
    pub fn get(&self, address: &RemoteAddress) -> Option<&T> {
        self.entries
            .iter()
            .find(|(a, _)| a == address)
            .map(|(_, entry)| entry)
    }

    /// The address of the entry for which `is_it` is true.
    pub fn address_of(&self, is_it: impl Fn(&T) -> bool) -> Option<&RemoteAddress> {
        let mut entries = self.entries.iter();
        entries.find(|(_, entry)| is_it(entry)).map(|(a, _)| a)
    }

    /// Removes the first entry of this address for which `is_it` is true.
    pub fn remove_one(&mut self, address: &RemoteAddress, is_it: impl Fn(&T) -> bool) -> Option<T> {
        let mut entries = self.entries.iter();
        let index = entries.position(|(a, entry)| a == address && is_it(entry))?;
        Some(self.entries.remove(index).1)
    }

    /// Removes the entry of this address.
    pub fn remove(&mut self, address: &RemoteAddress) -> Option<T> {
        let index = self.entries.iter().position(|(a, _)| a == address)?;
        Some(self.entries.swap_remove(index).1)
    }
}

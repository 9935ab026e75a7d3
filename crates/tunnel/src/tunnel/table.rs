//! Table of a tunnel: its forwards, and how far each has come.

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::news::{News, Started};
use crate::client::{ForwardError, RemoteAsk};
use crate::config::spec::Forward;
use crate::forward::registry::{RemoteForward, RemoteTarget};
use crate::status::{ForwardCounters, ForwardId, ForwardState, ForwardStatus};

/// The outcome of a forward, for whoever waits for it.
pub(super) type Outcome = Result<Started, ForwardError>;

/// The forwards of a tunnel.
#[derive(Debug, Default)]
pub(super) struct Table {
    entries: Vec<Entry>,
    last_id: u64,
}

/// One forward.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: ForwardId,
    pub(super) label: String,
    forward: Forward,
    counters: Arc<ForwardCounters>,
    pub(super) listener: ListensAt,
}

/// The end at which a forward listens.
#[derive(Debug)]
pub(super) enum ListensAt {
    /// Here: its accept loops, which end with it.
    Client(JoinSet<()>),
    /// At the server.
    Server(Remote),
}

/// A remote forward's way to its answer, on one connection after the other.
#[derive(Debug)]
pub(super) struct Remote {
    state: ForwardState,
    /// It has been up: a later refusal does not take it out.
    has_been_up: bool,
    /// Task that waits for its answer; without one, the answer is news.
    awaited_by: Option<oneshot::Sender<Outcome>>,
}

impl Table {
    /// A number for a new forward.
    pub(super) fn new_id(&mut self) -> ForwardId {
        self.last_id += 1;
        ForwardId(self.last_id)
    }

    /// Adds a forward that listens here.
    pub(super) fn add_local(
        &mut self,
        forward: &Forward,
        counters: Arc<ForwardCounters>,
        accepting: JoinSet<()>,
    ) -> Started {
        let (id, label) = (self.new_id(), label(forward));
        self.entries.push(Entry {
            id,
            label: label.clone(),
            forward: forward.clone(),
            counters,
            listener: ListensAt::Client(accepting),
        });
        Started {
            id,
            label,
            allocated_port: None,
        }
    }

    /// Adds a forward that the server has yet to be asked for.
    pub(super) fn add_remote(
        &mut self,
        forward: &Forward,
        awaited_by: Option<oneshot::Sender<Outcome>>,
    ) -> ForwardId {
        let id = self.new_id();
        self.entries.push(Entry {
            id,
            label: label(forward),
            forward: forward.clone(),
            counters: Arc::default(),
            listener: ListensAt::Server(Remote {
                state: ForwardState::Waiting,
                has_been_up: false,
                awaited_by,
            }),
        });
        id
    }

    /// The remote forwards that a new connection is to be asked for, in their order; they count as asked for.
    pub(super) fn ask_waiting(&mut self) -> Vec<RemoteAsk> {
        let entries = self.entries.iter_mut();
        entries.filter_map(Entry::ask_if_waiting).collect()
    }

    /// The connection is over: the next is asked for all remote forwards.
    pub(super) fn lose_remote(&mut self) {
        for entry in &mut self.entries {
            if let ListensAt::Server(remote) = &mut entry.listener {
                remote.state = ForwardState::Waiting;
            }
        }
    }

    /// Enters the server's answer; gives the news that it makes, if it is news.
    pub(super) fn settle(
        &mut self,
        id: ForwardId,
        answer: Result<Option<u16>, ForwardError>,
    ) -> Option<News> {
        if matches!(answer, Err(ForwardError::Ended(_))) {
            // No answer: the next connection is asked, if there is one.
            return None;
        }
        // One that was cancelled meanwhile is no more.
        let index = self.entries.iter().position(|entry| entry.id == id)?;
        let entry = &mut self.entries[index];
        let ListensAt::Server(remote) = &mut entry.listener else {
            return None;
        };
        let outcome = answer.map(|allocated_port| Started {
            id,
            label: entry.label.clone(),
            allocated_port,
        });
        let forward = entry.forward.clone();
        let awaited_by = remote.awaited_by.take();
        match &outcome {
            Ok(started) => {
                remote.has_been_up = true;
                let allocated_port = started.allocated_port;
                remote.state = ForwardState::Up { allocated_port };
            }
            Err(error) if remote.has_been_up => {
                let why = error.to_string();
                remote.state = ForwardState::Refused { why };
            }
            Err(_) => drop(self.entries.remove(index)),
        }
        let outcome = match awaited_by {
            None => outcome,
            // It comes back where nobody waits any more.
            Some(waiter) => waiter.send(outcome).err()?,
        };
        Some(News::Forward(forward, outcome))
    }

    /// Takes a forward out.
    pub(super) fn remove(&mut self, id: ForwardId) -> Option<Entry> {
        let index = self.entries.iter().position(|entry| entry.id == id)?;
        Some(self.entries.remove(index))
    }

    /// Takes all listeners of this end down, and leaves alone those who wait for an answer.
    pub(super) fn end(&mut self) {
        for entry in &mut self.entries {
            match &mut entry.listener {
                ListensAt::Client(accepting) => *accepting = JoinSet::new(),
                ListensAt::Server(remote) => remote.awaited_by = None,
            }
        }
    }

    pub(super) fn status(&self) -> Vec<ForwardStatus> {
        self.entries.iter().map(Entry::status).collect()
    }
}

impl Entry {
    fn ask_if_waiting(&mut self) -> Option<RemoteAsk> {
        let ListensAt::Server(remote) = &mut self.listener else {
            return None;
        };
        if remote.state != ForwardState::Waiting {
            return None;
        }
        remote.state = ForwardState::Asked;
        let target = match &self.forward {
            Forward::Remote { target, .. } => RemoteTarget::Fixed(target.clone()),
            _ => RemoteTarget::Dynamic,
        };
        Some(RemoteAsk {
            listen: self.forward.listen().clone(),
            forward: RemoteForward {
                id: self.id,
                label: self.label.clone(),
                target,
                counters: self.counters.clone(),
            },
        })
    }

    fn status(&self) -> ForwardStatus {
        let state = match &self.listener {
            ListensAt::Client(_) => ForwardState::Up {
                allocated_port: None,
            },
            ListensAt::Server(remote) => remote.state.clone(),
        };
        ForwardStatus {
            id: self.id,
            label: self.label.clone(),
            state,
            carried: self.counters.status(),
        }
    }
}

/// Name of a forward in messages: `forward -L 9000 → db:5432`.
pub(super) fn label(forward: &Forward) -> String {
    match forward {
        Forward::Local { listen, target } => format!("forward -L {listen} → {target}"),
        Forward::Remote { listen, target } => format!("forward -R {listen} → {target}"),
        Forward::Dynamic { listen } => format!("forward -D {listen}"),
        Forward::RemoteDynamic { listen } => format!("forward -R {listen} (SOCKS)"),
    }
}

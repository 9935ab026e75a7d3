//! Requests for remote forwards. All are sent at once, and their answers, which come in the same order (RFC 4254 §4),
//! are handled while connections are served.
//!
//! A forward counts from its request on: a server may open its channels before the answer, and some servers never
//! answer. Only a forward with port 0 waits for the answer, which has the port of its channels. A cancelled forward
//! counts until the server confirms that it no longer listens.

use std::collections::VecDeque;
use std::time::Duration;

use adit_proto::connection::{GlobalReply, RequestRefused};
use adit_proto::message::connection::GlobalRequest;
use log::{Level, log};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::ClientNews;
use super::error::ForwardError;
use super::serving::Serving;
use crate::config::spec::{BindAddress, ListenSpec};
use crate::forward::registry::{RemoteAddress, RemoteForward};
use crate::policy::LISTEN_NOTICE;
use crate::status::ForwardId;

/// Time for an answer, after which the user is told that it is missing.
pub(crate) const SOON: Duration = Duration::from_secs(5);
/// Limit of the server's texts that are kept for one answer.
const MAX_SAID: usize = 16;

/// A remote forward as it is requested on each connection.
#[derive(Debug, Clone)]
pub(crate) struct RemoteAsk {
    /// Address on which the server shall listen.
    pub(crate) listen: ListenSpec,
    /// The forward that gets the connections.
    pub(crate) forward: RemoteForward,
}

/// Answer of the server to the end of a remote forward.
pub(crate) type Cancelled = Result<(), RequestRefused>;

/// Requests without an answer, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Asks {
    waiting: VecDeque<Ask>,
    /// Texts of the server since the last answer. They belong to the next answer.
    said: Vec<String>,
    /// Time at which the user is told that an answer is missing; none after that.
    patience: Option<Instant>,
}

/// A request without an answer.
#[derive(Debug)]
enum Ask {
    Listen {
        ask: RemoteAsk,
        /// None if only the answer has the port.
        address: Option<RemoteAddress>,
        /// Sender for the task that cancelled the forward, if the answer is needed to know its address.
        cancelled: Option<oneshot::Sender<Cancelled>>,
    },
    Cancel {
        id: ForwardId,
        address: RemoteAddress,
        done: oneshot::Sender<Cancelled>,
    },
}

impl Asks {
    /// Keeps a text for the next answer. Gives it back if no answer is missing.
    pub(super) fn keep(&mut self, said: String) -> Option<String> {
        if self.waiting.is_empty() || self.said.len() >= MAX_SAID {
            return Some(said);
        }
        self.said.push(said);
        None
    }

    /// Waits until an answer has been missing for too long.
    pub(super) async fn silence(&self) {
        match self.patience {
            Some(end) => sleep_until(end).await,
            None => std::future::pending().await,
        }
    }

    /// Message about the forwards whose answers are missing; none if only ends of forwards have none.
    pub(super) fn tell_silence(&mut self) -> Option<ClientNews> {
        self.patience = None;
        let waiting = self.waiting.iter().filter_map(|ask| match ask {
            Ask::Listen { ask, .. } => Some(ask.forward.label.clone()),
            Ask::Cancel { .. } => None,
        });
        let labels: Vec<_> = waiting.collect();
        (!labels.is_empty()).then_some(ClientNews::Silence(labels))
    }

    fn push(&mut self, ask: Ask) {
        self.patience = Some(Instant::now() + SOON);
        self.waiting.push_back(ask);
    }

    /// Removes the oldest request, and returns it with the server's texts about it.
    fn pop(&mut self) -> Option<(Ask, Vec<String>)> {
        let ask = self.waiting.pop_front()?;
        self.patience = match self.waiting.is_empty() {
            true => None,
            false => Some(Instant::now() + SOON),
        };
        Some((ask, std::mem::take(&mut self.said)))
    }
}

impl Serving {
    /// Requests a remote forward. Returns the outcome, if it is known already.
    pub(super) fn ask(&mut self, ask: RemoteAsk) -> Option<ClientNews> {
        let RemoteAsk { listen, forward } = &ask;
        let id = forward.id;
        let address = announced_at(listen, None);
        if let Some(address) = &address
            && self
                .remote
                .insert(address.clone(), forward.clone())
                .is_err()
        {
            let error = refused(forward.label.clone(), listen, Vec::new());
            return Some(ClientNews::Answer(id, Err(error)));
        }
        if let Err(ended) = self.handle.send_global_request(request(listen)) {
            self.forget(id, address.as_ref());
            return Some(ClientNews::Answer(id, Err(ForwardError::Ended(ended))));
        }
        self.asks.push(Ask::Listen {
            ask,
            address,
            cancelled: None,
        });
        None
    }

    /// Requests that the server no longer listens for a forward.
    pub(super) fn cancel(&mut self, id: ForwardId, done: oneshot::Sender<Cancelled>) {
        if let Some(address) = self.remote.address_of(|forward| forward.id == id) {
            let address = address.clone();
            return self.send_cancel(id, address, done);
        }
        let mut waiting = self.asks.waiting.iter_mut();
        let cancelled = waiting.find_map(|waiting| match waiting {
            Ask::Listen { ask, cancelled, .. } if ask.forward.id == id => Some(cancelled),
            _ => None,
        });
        match cancelled {
            Some(cancelled) => *cancelled = Some(done),
            // The server does not listen for it. The task that cancelled it may be gone.
            None => drop(done.send(Ok(()))),
        }
    }

    fn send_cancel(
        &mut self,
        id: ForwardId,
        address: RemoteAddress,
        done: oneshot::Sender<Cancelled>,
    ) {
        if self
            .handle
            .send_global_request(cancel_request(&address))
            .is_ok()
        {
            self.asks.push(Ask::Cancel { id, address, done });
        }
    }

    /// Handles the answer to the oldest request.
    pub(super) fn take_answer(&mut self, reply: GlobalReply) -> Option<ClientNews> {
        let (ask, said) = self.asks.pop()?;
        match ask {
            Ask::Listen {
                ask,
                address,
                cancelled,
            } => {
                let outcome = self.listens(&ask, address, said, reply);
                if let Some(done) = cancelled {
                    self.cancel(ask.forward.id, done);
                }
                Some(ClientNews::Answer(ask.forward.id, outcome))
            }
            Ask::Cancel { id, address, done } => {
                said.iter().for_each(|said| log::debug!("Remote: {said}"));
                // Also if the server goes on listening: its connections would have no target.
                self.forget(id, Some(&address));
                let _ = done.send(reply.map(|_| ()));
                None
            }
        }
    }

    /// Outcome of a request to listen: the port that the server chose, or the reason of the refusal.
    fn listens(
        &mut self,
        ask: &RemoteAsk,
        address: Option<RemoteAddress>,
        said: Vec<String>,
        reply: GlobalReply,
    ) -> Result<Option<u16>, ForwardError> {
        let label = &ask.forward.label;
        let Some(allocated_port) = self.settled(ask, address, reply) else {
            return Err(refused(label.clone(), &ask.listen, said));
        };
        for said in said {
            log!(loudness(&said), "{label}: the server says: {said}");
        }
        Ok(allocated_port)
    }

    /// Updates the registry with the answer: sets the port that the server chose, or removes the forward.
    fn settled(
        &mut self,
        ask: &RemoteAsk,
        address: Option<RemoteAddress>,
        reply: GlobalReply,
    ) -> Option<Option<u16>> {
        let Ok(allocated) = reply else {
            self.forget(ask.forward.id, address.as_ref());
            return None;
        };
        if address.is_some() {
            return Some(None);
        }
        let address = announced_at(&ask.listen, allocated)?;
        self.remote.insert(address, ask.forward.clone()).ok()?;
        Some(allocated)
    }

    /// Removes a forward that was refused or cancelled. Another forward with the same address may be up.
    fn forget(&mut self, id: ForwardId, address: Option<&RemoteAddress>) {
        if let Some(address) = address {
            self.remote.remove_one(address, |forward| forward.id == id);
        }
    }
}

/// Sentence about forwards whose answers are missing.
pub fn silence(labels: &[String]) -> String {
    let first = labels.first().map_or("", String::as_str);
    let more = match labels.len() {
        0 | 1 => String::new(),
        many => format!(" and {} more", many - 1),
    };
    let seconds = SOON.as_secs();
    format!(
        "{first}{more}: the server has not answered for {seconds} seconds; still waiting, and serving what it forwards"
    )
}

/// A refusal with the server's reason. sshd sends `PATH:LINE: key options: …` right after the login, which is not such
/// a reason.
fn refused(label: String, listen: &ListenSpec, mut said: Vec<String>) -> ForwardError {
    said.retain(|text| !text.contains(": key options:"));
    let (what, port) = match listen {
        ListenSpec::Tcp { port, .. } => (format!("port {port}"), Some(*port)),
        ListenSpec::Unix(path) => (format!("path {}", path.to_string_lossy()), None),
    };
    ForwardError::Refused {
        label,
        what,
        port,
        said,
    }
}

/// Log level of a server's text about a forward that is up: a warning if the server listens on another address,
/// otherwise debug.
fn loudness(said: &str) -> Level {
    match said.starts_with(LISTEN_NOTICE) {
        true => Level::Warn,
        false => Level::Debug,
    }
}

/// Global request that asks the server to listen.
fn request(listen: &ListenSpec) -> GlobalRequest {
    match listen {
        ListenSpec::Tcp { bind, port } => GlobalRequest::TcpipForward {
            address_to_bind: wire_address(bind),
            port: *port,
        },
        ListenSpec::Unix(path) => GlobalRequest::StreamLocalForward {
            socket_path: path.to_string_lossy().into_owned(),
        },
    }
}

/// Global request that ends the forward of [`request`].
fn cancel_request(address: &RemoteAddress) -> GlobalRequest {
    match address {
        RemoteAddress::Tcp { address, port } => GlobalRequest::CancelTcpipForward {
            address_to_bind: address.clone(),
            port: *port,
        },
        RemoteAddress::Unix(path) => GlobalRequest::CancelStreamLocalForward {
            socket_path: path.clone(),
        },
    }
}

fn wire_address(bind: &BindAddress) -> String {
    match bind {
        BindAddress::Default => "localhost".into(),
        BindAddress::Any => String::new(),
        BindAddress::Host(host) => host.clone(),
    }
}

/// Address that the server names when it opens channels; none until the port is known.
fn announced_at(listen: &ListenSpec, allocated: Option<u16>) -> Option<RemoteAddress> {
    Some(match listen {
        ListenSpec::Tcp { bind, port } => RemoteAddress::Tcp {
            address: wire_address(bind),
            port: match port {
                0 => allocated?,
                port => *port,
            },
        },
        ListenSpec::Unix(path) => RemoteAddress::Unix(path.to_string_lossy().into_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_another_listen_address_is_a_warning() {
        let notice = "Forwarding listen address \"a\" overridden by server GatewayPorts";
        assert_eq!(loudness(notice), Level::Warn);
        let key_options = "/home/u/.ssh/authorized_keys:1: key options: port-forwarding";
        assert_eq!(loudness(key_options), Level::Debug);
        assert_eq!(loudness("hello"), Level::Debug);
    }
}

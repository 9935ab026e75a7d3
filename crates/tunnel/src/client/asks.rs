//! Remote forwards between their requests and the answers: all are asked for at once, and the answers, which come in the
//! order of the requests (RFC 4254 §4), are taken while connections are served.
//!
//! A forward counts from its request on: a server may announce connections first, and some never answer. Only what is
//! asked for with port 0 waits for the answer, which says how its connections will be announced. One that is cancelled
//! counts until the server says that it listens no more.

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

/// Time for an answer, after which the user hears what is awaited.
pub(crate) const SOON: Duration = Duration::from_secs(5);
/// The most texts of a server that are kept for one answer.
const MAX_SAID: usize = 16;

/// A remote forward, as each connection is asked for it.
#[derive(Debug, Clone)]
pub(crate) struct RemoteAsk {
    /// Place at which the server shall listen.
    pub(crate) listen: ListenSpec,
    /// Way of the connections that come.
    pub(crate) forward: RemoteForward,
}

/// The server's answer to the end of a remote forward.
pub(crate) type Cancelled = Result<(), RequestRefused>;

/// The requests that wait for their answers, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Asks {
    waiting: VecDeque<Ask>,
    /// Texts of the server since the last answer: they are about the next.
    said: Vec<String>,
    /// Time at which the user hears what is awaited; none once that has been said.
    patience: Option<Instant>,
}

/// One request that waits for its answer.
#[derive(Debug)]
enum Ask {
    Listen {
        ask: RemoteAsk,
        /// None where the answer will say it.
        address: Option<RemoteAddress>,
        /// Caller who has cancelled it meanwhile: only the answer will say what to cancel.
        cancelled: Option<oneshot::Sender<Cancelled>>,
    },
    Cancel {
        id: ForwardId,
        address: RemoteAddress,
        done: oneshot::Sender<Cancelled>,
    },
}

impl Asks {
    /// Keeps a text for the next answer; gives it back where none is awaited.
    pub(super) fn keep(&mut self, said: String) -> Option<String> {
        if self.waiting.is_empty() || self.said.len() >= MAX_SAID {
            return Some(said);
        }
        self.said.push(said);
        None
    }

    /// Waits until the server has taken its time over an answer.
    pub(super) async fn silence(&self) {
        match self.patience {
            Some(end) => sleep_until(end).await,
            None => std::future::pending().await,
        }
    }

    /// The forwards that are awaited; none where only ends of forwards are.
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

    /// Takes out the oldest, with what the server has said about it.
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
    /// Asks for a remote forward; gives what has become of it already.
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

    /// Asks the server to listen no more for a forward.
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
            // The server does not listen for it. Who asked may have gone.
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

    /// The answer to the oldest request came.
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
                // Also where the server goes on: nobody wants its connections any more.
                self.forget(id, Some(&address));
                let _ = done.send(reply.map(|_| ()));
                None
            }
        }
    }

    /// A server listens, or does not: the port that it chose, or why not.
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

    /// Enters the answer in the registry: the port that the server chose, or none at all of the forward.
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

    /// Takes out a forward that is not to be. Another may have the same address, and be up.
    fn forget(&mut self, id: ForwardId, address: Option<&RemoteAddress>) {
        if let Some(address) = address {
            self.remote.remove_one(address, |forward| forward.id == id);
        }
    }
}

/// The sentence about forwards that the server takes its time over.
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

/// A refusal with the server's reason. sshd says `PATH:LINE: key options: …` right after the login, in time to be
/// taken for one.
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

/// Level of a server's words about a forward that is up: only another address than the one asked for is a warning.
fn loudness(said: &str) -> Level {
    match said.starts_with(LISTEN_NOTICE) {
        true => Level::Warn,
        false => Level::Debug,
    }
}

/// The request on the wire.
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

/// The request that ends what [`request`] began.
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

/// The name under which the server announces connections; none as long as nobody knows the port.
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
    fn only_another_listen_address_is_worth_a_warning() {
        let notice = "Forwarding listen address \"a\" overridden by server GatewayPorts";
        assert_eq!(loudness(notice), Level::Warn);
        let key_options = "/home/u/.ssh/authorized_keys:1: key options: port-forwarding";
        assert_eq!(loudness(key_options), Level::Debug);
        assert_eq!(loudness("hello"), Level::Debug);
    }
}

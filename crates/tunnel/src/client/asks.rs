//! Remote forwards between their requests and the answers: all are asked for at once, and the answers, which come in the
//! order of the requests (RFC 4254 §4), are taken while connections are served.
//!
//! A forward counts from its request on: a server may announce connections first, and some never answer. Only what is
//! asked for with port 0 waits for the answer, which says how its connections will be announced.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use adit_proto::connection::RequestRefused;
use adit_proto::message::connection::GlobalRequest;
use log::{Level, log};
use tokio::time::{Instant, timeout_at};

use super::error::ForwardError;
use super::{Client, Started, label};
use crate::config::spec::{BindAddress, Forward, ListenSpec};
use crate::forward::registry::{RemoteAddress, RemoteForward, RemoteTarget};
use crate::net::Ended;
use crate::policy::LISTEN_NOTICE;

/// How long an answer may take before the user hears what is awaited.
const SOON: Duration = Duration::from_secs(5);
/// The most texts of a server that are kept for one answer.
const MAX_SAID: usize = 16;

/// Something that [`Client::news`] tells.
#[derive(Debug)]
pub enum News {
    /// The server's answer to a forward.
    Forward(Forward, Result<Started, ForwardError>),
    /// The server takes its time over these forwards. Their connections are served, except where it chooses the port.
    Silence(Vec<String>),
    /// The connection has ended.
    Ended(Ended),
}

/// The forwards that wait for their answers, the oldest first, and what came of others.
#[derive(Debug, Default)]
pub(super) struct Asks {
    waiting: VecDeque<Ask>,
    answered: VecDeque<(Forward, Result<Started, ForwardError>)>,
    /// Texts of the server since the last answer: they are about the next.
    said: Vec<String>,
    /// When the user hears what is awaited; none once that has been said.
    patience: Option<Instant>,
}

/// One request that waits for its answer.
#[derive(Debug)]
struct Ask {
    forward: Forward,
    entry: RemoteForward,
    /// None where the answer will say it.
    address: Option<RemoteAddress>,
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
}

impl Client {
    /// Starts a forward, or asks the server for it: its answer comes out of [`news`](Self::news), and more can be asked for
    /// meanwhile.
    ///
    /// # Errors
    /// Why it could not be started or asked for; the connection and the other forwards live on.
    pub async fn request(&mut self, forward: &Forward) -> Result<Option<Started>, ForwardError> {
        self.check_trust()?;
        match forward {
            Forward::Local { .. } | Forward::Dynamic { .. } => {
                self.start_local(forward).await.map(Some)
            }
            Forward::Remote { listen, target } => self
                .ask(forward, listen, RemoteTarget::Fixed(target.clone()))
                .map(|()| None),
            Forward::RemoteDynamic { listen } => self
                .ask(forward, listen, RemoteTarget::Dynamic)
                .map(|()| None),
        }
    }

    /// The number of forwards whose answers are awaited.
    pub fn awaited(&self) -> usize {
        self.asks.waiting.len() + self.asks.answered.len()
    }

    /// Serves remote forwards until there is news. May be called again, and dropped at any time.
    pub async fn news(&mut self) -> News {
        loop {
            if let Some((forward, outcome)) = self.asks.answered.pop_front() {
                return News::Forward(forward, outcome);
            }
            let event = match self.asks.patience {
                None => self.incoming.recv().await,
                Some(until) => match timeout_at(until, self.incoming.recv()).await {
                    Ok(event) => event,
                    Err(_) => return News::Silence(self.tell_silence()),
                },
            };
            match event {
                Some(event) => self.handle_event(event),
                None => return News::Ended(self.handle.why_ended()),
            }
        }
    }

    fn tell_silence(&mut self) -> Vec<String> {
        self.asks.patience = None;
        let waiting = self.asks.waiting.iter();
        waiting.map(|ask| ask.entry.label.clone()).collect()
    }

    fn ask(
        &mut self,
        forward: &Forward,
        listen: &ListenSpec,
        target: RemoteTarget,
    ) -> Result<(), ForwardError> {
        // What the server has said so far is about something else.
        while let Ok(event) = self.incoming.try_recv() {
            self.handle_event(event);
        }
        let label = label(forward);
        let entry = RemoteForward {
            counters: self.counters(&label),
            label,
            target,
        };
        let address = announced_at(listen, None);
        if let Some(address) = &address
            && self.remote.insert(address.clone(), entry.clone()).is_err()
        {
            self.forget(&entry, None);
            return Err(refused(entry.label, listen, Vec::new()));
        }
        if let Err(ended) = self.handle.ask_in_turn(request(listen)) {
            self.forget(&entry, address.as_ref());
            return Err(ForwardError::Ended(ended));
        }
        self.asks.patience = Some(Instant::now() + SOON);
        self.asks.waiting.push_back(Ask {
            forward: forward.clone(),
            entry,
            address,
        });
        Ok(())
    }

    /// The answer to the oldest request came.
    pub(super) fn take_answer(&mut self, reply: Result<Option<u16>, RequestRefused>) {
        let Some(ask) = self.asks.waiting.pop_front() else {
            return;
        };
        self.asks.patience = match self.asks.waiting.is_empty() {
            true => None,
            false => Some(Instant::now() + SOON),
        };
        let said = std::mem::take(&mut self.asks.said);
        let (Forward::Remote { listen, .. } | Forward::RemoteDynamic { listen }) = &ask.forward
        else {
            return;
        };
        let label = ask.entry.label.clone();
        let outcome = match self.settled(&ask, listen, reply) {
            Some(allocated_port) => {
                for said in said {
                    log!(loudness(&said), "{label}: the server says: {said}");
                }
                Ok(Started {
                    label,
                    allocated_port,
                })
            }
            None => Err(refused(label, listen, said)),
        };
        self.asks.answered.push_back((ask.forward, outcome));
    }

    /// What the registry makes of an answer: the port that the server chose, or none at all of the forward.
    fn settled(
        &mut self,
        ask: &Ask,
        listen: &ListenSpec,
        reply: Result<Option<u16>, RequestRefused>,
    ) -> Option<Option<u16>> {
        let Ok(allocated) = reply else {
            self.forget(&ask.entry, ask.address.as_ref());
            return None;
        };
        if ask.address.is_some() {
            return Some(None);
        }
        let inserted = announced_at(listen, allocated)
            .is_some_and(|address| self.remote.insert(address, ask.entry.clone()).is_ok());
        if !inserted {
            self.forget(&ask.entry, None);
            return None;
        }
        Some(allocated)
    }

    /// A forward that is not to be. Another may have the same address, and be up.
    fn forget(&mut self, entry: &RemoteForward, address: Option<&RemoteAddress>) {
        if let Some(address) = address {
            let same = |other: &RemoteForward| Arc::ptr_eq(&other.counters, &entry.counters);
            self.remote.remove_one(address, same);
        }
        self.forwards
            .retain(|(_, counters)| !Arc::ptr_eq(counters, &entry.counters));
    }

    /// Waits for the answer to one forward; what is said of others waits for [`news`](Self::news).
    pub(super) async fn answer_to(&mut self, forward: &Forward) -> Result<Started, ForwardError> {
        let mut others = VecDeque::new();
        let outcome = loop {
            match self.news().await {
                News::Forward(answered, outcome) if answered == *forward => break outcome,
                News::Forward(other, outcome) => others.push_back((other, outcome)),
                News::Silence(labels) => log::warn!("{}", silence(&labels)),
                News::Ended(ended) => break Err(ForwardError::Ended(ended)),
            }
        };
        others.append(&mut self.asks.answered);
        self.asks.answered = others;
        outcome
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

/// How loud a server's words about a forward that is up are: only another address than the one asked for is a warning.
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
mod tests;

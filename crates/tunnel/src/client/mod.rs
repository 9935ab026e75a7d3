//! The client: connect, check the host key, log in, start forwards, serve them until the connection ends.
//!
//! ```text
//!   Client::connect ─▶ connect (directly, or through hops) ─▶ host_key ─▶ auth
//!   Client::forward ─▶ local (listeners here) / remote (listeners there)
//!   Client::request ─▶ the same, and asks: the answers come out of Client::news
//!   Client::run     ─▶ connections of remote forwards, until the end
//! ```
//!
//! It prints nothing: what a user must hear goes to `log`, questions go through [`Prompts`].

mod asks;
mod auth;
mod connect;
mod error;
mod host_key;
mod local;
mod prompts;
mod remote;
pub mod settings;

use std::io;
use std::sync::Arc;

use adit_proto::peer_text;
use host_key::Role;
use tokio::sync::mpsc::Receiver;
use tokio::task::JoinSet;

use crate::config::spec::Forward;
use crate::forward::dial::Dials;
use crate::forward::registry::{Registry, RemoteForward};
use crate::net::{Ended, Handle, Incoming};
use crate::status::{ForwardCounters, ForwardStatus};

use asks::Asks;
pub use asks::{News, silence};
pub use error::{ConnectError, ForwardError};
pub use prompts::{Echo, Prompts, Question, Subject};
pub use settings::ClientSettings;

/// A logged-in connection with its forwards.
#[derive(Debug)]
pub struct Client {
    settings: Arc<ClientSettings>,
    handle: Handle,
    incoming: Receiver<Incoming>,
    /// The connections to the hosts on the way; they live as long as this one.
    hops: Vec<Hop>,
    trust: Trust,
    listening: JoinSet<()>,
    remote: Registry<RemoteForward>,
    forwards: Vec<(String, Arc<ForwardCounters>)>,
    dials: Arc<Dials>,
    asks: Asks,
}

/// The connection to a host on the way. It is served like any other: what nobody took would stop it.
#[derive(Debug)]
struct Hop {
    handle: Handle,
    host: String,
    /// Ends the connection when it is dropped.
    _serving: JoinSet<Ended>,
}

impl Hop {
    fn serve(mut client: Client) -> Self {
        let (handle, host) = (client.handle.clone(), client.settings.host.clone());
        let mut serving = JoinSet::new();
        serving.spawn(async move { client.run().await });
        Self {
            handle,
            host,
            _serving: serving,
        }
    }
}

/// How far the server's host key is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// It is the right one.
    Full,
    /// It changed, and the user goes on all the same: no passwords, no forwards. Never that of a host on the way, whose
    /// use is a forward.
    NoForwarding,
}

/// A forward that is up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// How messages name it.
    pub label: String,
    /// The port that the server chose, where the user asked for port 0.
    pub allocated_port: Option<u16>,
}

impl Client {
    /// Connects to the last of `route` through those before it, and logs in.
    ///
    /// # Errors
    /// What was attempted, on what, and why it failed.
    pub async fn connect(
        route: Vec<ClientSettings>,
        prompts: &Prompts,
    ) -> Result<Self, ConnectError> {
        let mut hops: Vec<Hop> = Vec::new();
        let mut route = route.into_iter().peekable();
        while let Some(settings) = route.next() {
            let settings = Arc::new(settings);
            let role = match route.peek() {
                Some(_) => Role::Hop,
                None => Role::Target,
            };
            let (handle, incoming, trust) =
                connect::establish(&settings, hops.last(), role, prompts).await?;
            let mut client = Self {
                settings,
                handle,
                incoming,
                hops: Vec::new(),
                trust,
                listening: JoinSet::new(),
                remote: Registry::default(),
                forwards: Vec::new(),
                dials: Arc::default(),
                asks: Asks::default(),
            };
            if route.peek().is_none() {
                client.hops = hops;
                return Ok(client);
            }
            hops.push(Hop::serve(client));
        }
        Err(ConnectError::NoRoute)
    }

    /// Starts one forward.
    ///
    /// # Errors
    /// Why it could not be started; the connection and the other forwards live on.
    pub async fn forward(&mut self, forward: &Forward) -> Result<Started, ForwardError> {
        match self.request(forward).await? {
            Some(started) => Ok(started),
            None => self.answer_to(forward).await,
        }
    }

    fn check_trust(&self) -> Result<(), ForwardError> {
        match self.trust {
            Trust::Full => Ok(()),
            Trust::NoForwarding => Err(ForwardError::NotTrusted),
        }
    }

    /// Serves remote forwards until the connection ends; gives the reason. What becomes of those that were asked for with
    /// [`request`](Self::request) goes to the log.
    pub async fn run(&mut self) -> Ended {
        loop {
            match self.news().await {
                News::Forward(_, Ok(started)) => log::debug!("{}: up", started.label),
                News::Forward(_, Err(error)) => log::warn!("{error}"),
                News::Silence(labels) => log::warn!("{}", silence(&labels)),
                News::Ended(ended) => return ended,
            }
        }
    }

    /// Does what an event asks for.
    fn handle_event(&mut self, event: Incoming) {
        match event {
            Incoming::Open(asked) => self.serve_remote(asked),
            Incoming::Global {
                want_reply: true, ..
            } => {
                // A server has nothing to ask of a client; the connection may be over.
                let _ = self
                    .handle
                    .reply_global(Err(adit_proto::connection::RequestRefused));
            }
            Incoming::Answer(reply) => self.take_answer(reply),
            Incoming::Debug(text) => {
                let said = peer_text::description(&text).to_string();
                if let Some(said) = self.asks.keep(said) {
                    log::debug!("Remote: {said}");
                }
            }
            _ => {}
        }
    }

    /// The connection, for ending it from elsewhere.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// What each forward has carried, by its label.
    pub fn status(&self) -> Vec<(String, ForwardStatus)> {
        let forwards = self.forwards.iter();
        forwards
            .map(|(label, counters)| (label.clone(), counters.status()))
            .collect()
    }

    fn counters(&mut self, label: &str) -> Arc<ForwardCounters> {
        let counters: Arc<ForwardCounters> = Arc::default();
        self.forwards.push((label.to_owned(), counters.clone()));
        counters
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.handle.end("disconnected by user");
    }
}

/// Does what may wait for a disk, or compute for a while, on another thread: this one listens for signals.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(io::Error::other)
}

/// How messages name a forward: `forward -L 9000 → db:5432`.
fn label(forward: &Forward) -> String {
    match forward {
        Forward::Local { listen, target } => format!("forward -L {listen} → {target}"),
        Forward::Remote { listen, target } => format!("forward -R {listen} → {target}"),
        Forward::Dynamic { listen } => format!("forward -D {listen}"),
        Forward::RemoteDynamic { listen } => format!("forward -R {listen} (SOCKS)"),
    }
}

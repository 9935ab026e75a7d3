//! The client: one connection. Connect, check the host key, log in, then serve it until it ends.
//!
//! ```text
//!   Client::connect ─▶ connect (directly, or through hops) ─▶ host_key ─▶ auth
//!                  ─▶ serving (a task of its own: takes what the server sends, and our commands)
//!   Client::ask     ─▶ serving ─▶ asks (remote forwards between request and answer) ─▶ Client::news
//!                      serving ─▶ remote (connections of remote forwards)
//! ```
//!
//! The user's forwards and their listeners belong to the [`tunnel`](crate::tunnel), which outlives a connection. The
//! client prints nothing: messages for the user go to `log`, questions go through [`Prompts`].

mod asks;
mod auth;
mod connect;
mod error;
mod host_key;
mod prompts;
mod remote;
mod serving;
pub mod settings;
#[cfg(test)]
pub(crate) mod stand;

use std::io;
use std::sync::Arc;

use host_key::Role;
use tokio::sync::{Mutex, mpsc, oneshot, watch};

use crate::net::{Ended, Handle, Inbox};
use crate::status::{ConnectionStatus, ForwardId};

pub use asks::silence;
pub(crate) use asks::{Cancelled, RemoteAsk, SOON};
pub use error::{ConnectError, ForwardError};
pub use prompts::{Echo, Prompts, Question, Subject};
use serving::{Command, Serving};
pub use settings::ClientSettings;

/// A logged-in connection: a handle to the task that serves it. The connection ends when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Client(Arc<Owner>);

#[derive(Debug)]
struct Owner {
    settings: Arc<ClientSettings>,
    handle: Handle,
    /// Connections to the hops, which live as long as this one.
    _hops: Vec<Client>,
    trust: Trust,
    commands: mpsc::Sender<Command>,
    news: Mutex<mpsc::Receiver<ClientNews>>,
    ended: watch::Receiver<Option<Ended>>,
}

/// A connection after its login, which is not served yet.
#[derive(Debug)]
struct LoggedIn {
    handle: Handle,
    incoming: Inbox,
    trust: Trust,
}

/// Trust in the server's host key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// The key is the right one.
    Full,
    /// The key changed, and the user continues nevertheless: without passwords and forwards. Not possible for a hop,
    /// whose only use is a forward.
    NoForwarding,
}

/// Event of a connection, for its tunnel.
#[derive(Debug)]
pub(crate) enum ClientNews {
    /// Answer of the server to a remote forward: the port that the server chose, if it had to choose.
    Answer(ForwardId, Result<Option<u16>, ForwardError>),
    /// No answer for these forwards yet, which are named by their labels.
    Silence(Vec<String>),
}

impl Client {
    /// Connects to the last destination of `route` through the ones before it, and logs in. Must be called within a
    /// runtime.
    ///
    /// # Errors
    /// The failed step, its object, and the cause.
    pub async fn connect(
        route: Vec<ClientSettings>,
        prompts: &Prompts,
    ) -> Result<Self, ConnectError> {
        let mut hops: Vec<Client> = Vec::new();
        let mut route = route.into_iter().peekable();
        while let Some(settings) = route.next() {
            let settings = Arc::new(settings);
            let role = match route.peek() {
                Some(_) => Role::Hop,
                None => Role::Target,
            };
            let logged_in = connect::establish(&settings, hops.last(), role, prompts).await?;
            if role == Role::Target {
                return Ok(Self::serve(settings, logged_in, hops));
            }
            hops.push(Self::serve(settings, logged_in, Vec::new()));
        }
        Err(ConnectError::NoRoute)
    }

    /// Starts the task of a connection. A hop needs one, too, because its queue of events must not fill up.
    fn serve(settings: Arc<ClientSettings>, logged_in: LoggedIn, hops: Vec<Self>) -> Self {
        let LoggedIn {
            handle,
            incoming,
            trust,
        } = logged_in;
        let (commands, queue) = mpsc::channel(serving::COMMANDS);
        let (news_sender, news) = mpsc::channel(serving::NEWS);
        let (end, ended) = watch::channel(None);
        let serving = Serving::new(settings.clone(), handle.clone(), incoming, queue);
        tokio::spawn(async move {
            let ended = serving.run(news_sender).await;
            end.send_replace(Some(ended));
        });
        Self(Arc::new(Owner {
            settings,
            handle,
            _hops: hops,
            trust,
            commands,
            news: Mutex::new(news),
            ended,
        }))
    }

    /// Settings of the connection, resolved.
    pub fn settings(&self) -> &Arc<ClientSettings> {
        &self.0.settings
    }

    /// Handle of the connection, to open channels.
    pub fn handle(&self) -> &Handle {
        &self.0.handle
    }

    /// Ends the connection with DISCONNECT, for all clones.
    pub fn end(&self) {
        self.0.handle.end("disconnected by user");
    }

    /// Waits for the end of the connection, and returns the reason. All that the server had sent is handled by then.
    pub async fn ended(&self) -> Ended {
        let mut ended = self.0.ended.clone();
        match ended.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(ended)) => ended.clone(),
            // The task ended without a reason: the runtime is shutting down.
            _ => self.0.handle.why_ended(),
        }
    }

    /// Counters of the connection.
    pub fn status(&self) -> ConnectionStatus {
        let settings = &self.0.settings;
        ConnectionStatus {
            host: settings.host.clone(),
            port: settings.port,
            user: settings.user.clone(),
            wire: self.0.handle.counters().status(),
        }
    }

    /// # Errors
    /// The host key is not trusted with forwards.
    pub(crate) fn check_trust(&self) -> Result<(), ForwardError> {
        match self.0.trust {
            Trust::Full => Ok(()),
            Trust::NoForwarding => Err(ForwardError::NotTrusted),
        }
    }

    /// Requests a remote forward. The answer comes from [`news`](Self::news), in the order of the requests.
    ///
    /// # Errors
    /// The connection has ended, or has too many remote forwards.
    pub(crate) fn ask(&self, ask: RemoteAsk) -> Result<(), ForwardError> {
        let sent = self.0.commands.try_send(Command::Ask(ask));
        sent.map_err(|error| self.not_commanded(error))
    }

    /// Requests that the server no longer listens for a remote forward; the receiver gets the answer. Open channels
    /// continue.
    ///
    /// # Errors
    /// The connection has ended, or too many commands wait.
    pub(crate) fn cancel(
        &self,
        id: ForwardId,
    ) -> Result<oneshot::Receiver<Cancelled>, ForwardError> {
        let (sender, answer) = oneshot::channel();
        let sent = self.0.commands.try_send(Command::Cancel(id, sender));
        sent.map_err(|error| self.not_commanded(error))?;
        Ok(answer)
    }

    fn not_commanded(&self, error: mpsc::error::TrySendError<Command>) -> ForwardError {
        match error {
            mpsc::error::TrySendError::Closed(_) => ForwardError::Ended(self.0.handle.why_ended()),
            mpsc::error::TrySendError::Full(_) => ForwardError::TooMany,
        }
    }

    /// Waits for the next event; none after the end of the connection. Cancel safe.
    pub(crate) async fn news(&self) -> Option<ClientNews> {
        self.0.news.lock().await.recv().await
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.handle.end("disconnected by user");
    }
}

/// Runs work that waits for a disk or computes for long on another thread, because this one handles signals.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(io::Error::other)
}

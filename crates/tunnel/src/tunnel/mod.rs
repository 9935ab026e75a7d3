//! Tunnel: what the user asked for. It outlives the connection that carries it.
//!
//! ```text
//!   Tunnel::forward ─▶ listening (listeners here) ─▶ Ingress ─▶ uplink ─▶ the connection, or the next
//!                  └─▶ table (remote forwards) ─▶ Client::ask ─▶ the server, on each connection
//!   Client::news ─▶ attend ─▶ table ─▶ whoever waits in Tunnel::forward, or NewsReader
//!   Tunnel::set_uplink, Tunnel::lost: connections come and go
//! ```
//!
//! A tunnel is told what to do, and says how it is, from any task while it runs. What ssh does is a tunnel that ends with
//! its first connection: [`Tunnel::over`].

mod listening;
mod news;
mod table;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::client::{Client, ClientNews, ClientSettings, ForwardError, SOON};
use crate::config::spec::Forward;
use crate::forward::uplink::{ChangingUplink, Uplink, WaitingBounds};
use crate::net::Ended;
use crate::status::{ForwardCounters, ForwardId, TunnelStatus, UplinkStatus};

use news::NewsWriter;
pub use news::{News, NewsReader, Started};
use table::{ListensAt, Outcome, Table};

/// The forwards of a user, and the connection that carries them. It ends with the last clone of this handle.
#[derive(Debug, Clone)]
pub struct Tunnel(Arc<Owner>);

#[derive(Debug)]
struct Owner(Arc<Shared>);

/// Life of a tunnel, if nobody ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// As long as its first connection, as in ssh.
    FirstConnection,
    /// Over any number of connections.
    Unlimited,
}

/// A forward that the tunnel was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requested {
    /// It is up.
    Up(Started),
    /// The server was asked for it, or will be once there is a connection.
    Asked(ForwardId),
}

#[derive(Debug)]
struct Shared {
    settings: Arc<ClientSettings>,
    lifetime: Lifetime,
    uplink: Arc<ChangingUplink>,
    state: Mutex<State>,
    news: NewsWriter,
}

/// State that the tunnel's callers and its connections change. The uplink changes only while this is locked.
#[derive(Debug, Default)]
struct State {
    table: Table,
    /// The connection, where there is one.
    client: Option<Client>,
    /// Connections that there have been: the number of the last.
    connections: u64,
}

impl Tunnel {
    /// A tunnel without a connection yet. Forwards may be added to it; `settings` say how they listen.
    pub fn new(
        settings: Arc<ClientSettings>,
        lifetime: Lifetime,
        bounds: WaitingBounds,
    ) -> (Self, NewsReader) {
        let (news, reader) = NewsWriter::new();
        let shared = Arc::new(Shared {
            settings,
            lifetime,
            uplink: ChangingUplink::new(bounds, "not connected yet"),
            state: Mutex::default(),
            news,
        });
        (Self(Arc::new(Owner(shared))), reader)
    }

    /// A tunnel over one connection, which ends with it. Must be called within a runtime.
    pub fn over(client: Client) -> (Self, NewsReader) {
        let settings = client.settings().clone();
        let bounds = WaitingBounds::default();
        let (tunnel, news) = Self::new(settings, Lifetime::FirstConnection, bounds);
        tunnel.set_uplink(client);
        (tunnel, news)
    }

    /// Carries everything over this connection from now on: applications that wait go on, and the server is asked for all
    /// remote forwards. The connection before it ends. Must be called within a runtime.
    pub fn set_uplink(&self, client: Client) {
        Shared::set_uplink(&self.0.0, client);
    }

    /// There is no connection at present, and why: applications that come wait for the next. One that there was ends.
    /// A tunnel that lives as long as its first connection ends with that.
    pub fn lost(&self, why: &str) {
        let shared = self.shared();
        let mut state = shared.state();
        match (shared.lifetime, &state.client) {
            (Lifetime::FirstConnection, Some(_)) => {
                shared.end(&mut state, Ended::Broken(why.to_owned()));
            }
            _ => shared.lose(&mut state, why),
        }
    }

    /// Starts a forward and waits until it is up.
    ///
    /// # Errors
    /// Why it could not be started; the tunnel and the other forwards live on.
    pub async fn forward(&self, forward: &Forward) -> Result<Started, ForwardError> {
        let shared = self.shared();
        if is_local(forward) {
            return shared.listen(forward).await;
        }
        let (sender, answer) = oneshot::channel();
        let id = shared.ask(forward, Some(sender))?;
        answer.await.unwrap_or_else(|_| {
            let ended = shared.news.why_ended();
            Err(ended.map_or(ForwardError::Unknown(id), ForwardError::Ended))
        })
    }

    /// Starts a forward, or asks the server for it: the answer is [`News`], and more can be asked for meanwhile.
    ///
    /// # Errors
    /// Why it could not be started or asked for; the tunnel and the other forwards live on.
    pub async fn request(&self, forward: &Forward) -> Result<Requested, ForwardError> {
        let shared = self.shared();
        match is_local(forward) {
            true => shared.listen(forward).await.map(Requested::Up),
            false => shared.ask(forward, None).map(Requested::Asked),
        }
    }

    /// Ends a forward: once this returns, nobody listens for it. Its open connections go on.
    ///
    /// # Errors
    /// There is none of this number, or the server does not confirm that it has stopped. It is taken out all the same.
    pub async fn cancel(&self, id: ForwardId) -> Result<(), ForwardError> {
        let (entry, client) = {
            let mut state = self.shared().state();
            let entry = state.table.remove(id).ok_or(ForwardError::Unknown(id))?;
            (entry, state.client.clone())
        };
        let confirmed = match (entry.listener, client) {
            (ListensAt::Client(mut accepting), _) => {
                accepting.shutdown().await;
                return Ok(());
            }
            (ListensAt::Server(_), None) => return Ok(()),
            (ListensAt::Server(_), Some(client)) => client.cancel(id),
        };
        // Where the connection has ended, so has the listener.
        let confirmed = match confirmed {
            Err(ForwardError::Ended(_)) => return Ok(()),
            confirmed => confirmed?,
        };
        match timeout(SOON, confirmed).await {
            Ok(Ok(Ok(())) | Err(_)) => Ok(()),
            Ok(Ok(Err(_))) | Err(_) => Err(ForwardError::NotCancelled { label: entry.label }),
        }
    }

    /// State of the tunnel at this moment.
    pub fn status(&self) -> TunnelStatus {
        let shared = self.shared();
        let state = shared.state();
        let uplink = match (shared.news.why_ended(), &state.client) {
            (Some(ended), _) => UplinkStatus::Over {
                why: ended.to_string(),
            },
            (None, Some(client)) => UplinkStatus::Up(client.status()),
            (None, None) => UplinkStatus::Down {
                why: shared.uplink.why_not(),
                waiting: shared.uplink.waiting(),
            },
        };
        TunnelStatus {
            uplink,
            forwards: state.table.status(),
        }
    }

    /// Ends the tunnel and its connection, for every clone.
    pub fn end(&self) {
        self.shared().end(&mut self.shared().state(), Ended::ByUs);
    }

    /// Waits for the end of the tunnel; gives its reason.
    pub async fn ended(&self) -> Ended {
        self.shared().news.ended().await
    }

    fn shared(&self) -> &Shared {
        &self.0.0
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.end(&mut self.0.state(), Ended::ByUs);
    }
}

impl Shared {
    /// The state. A panic elsewhere does not make it wrong, so poisoning is passed over.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_uplink(self: &Arc<Self>, client: Client) {
        let mut state = self.state();
        if self.news.why_ended().is_some() {
            return client.end();
        }
        self.lose(&mut state, "another connection takes over");
        state.connections += 1;
        state.client = Some(client.clone());
        tokio::spawn(attend(self.clone(), client.clone(), state.connections));
        if let Err(error) = client.check_trust() {
            return self.uplink.set_down(&error.to_string());
        }
        self.ask_waiting(&mut state);
        self.uplink.set_up(client.handle().clone());
    }

    /// Gives up the connection, where there is one.
    fn lose(&self, state: &mut State, why: &str) {
        if let Some(client) = state.client.take() {
            client.end();
            state.table.lose_remote();
        }
        self.uplink.set_down(why);
    }

    async fn listen(&self, forward: &Forward) -> Result<Started, ForwardError> {
        self.state().check()?;
        let counters: Arc<ForwardCounters> = Arc::default();
        let uplink = Uplink::Changing(self.uplink.clone());
        let accepting = listening::listen(&self.settings, uplink, forward, &counters).await?;
        let mut state = self.state();
        if let Some(ended) = self.news.why_ended() {
            return Err(ForwardError::Ended(ended));
        }
        Ok(state.table.add_local(forward, counters, accepting))
    }

    fn ask(
        &self,
        forward: &Forward,
        awaited_by: Option<oneshot::Sender<Outcome>>,
    ) -> Result<ForwardId, ForwardError> {
        let mut state = self.state();
        if let Some(ended) = self.news.why_ended() {
            return Err(ForwardError::Ended(ended));
        }
        state.check()?;
        let id = state.table.add_remote(forward, awaited_by);
        self.ask_waiting(&mut state);
        Ok(id)
    }

    /// Asks the server, where there is a connection, for the remote forwards that it has not been asked for.
    fn ask_waiting(&self, state: &mut State) {
        let Some(client) = state.client.clone() else {
            return;
        };
        for ask in state.table.ask_waiting() {
            let id = ask.forward.id;
            if let Err(error) = client.ask(ask) {
                self.settle(state, id, Err(error));
            }
        }
    }

    fn settle(&self, state: &mut State, id: ForwardId, answer: Result<Option<u16>, ForwardError>) {
        if let Some(news) = state.table.settle(id, answer) {
            self.news.write(news);
        }
    }

    fn end(&self, state: &mut State, why: Ended) {
        self.news.end(why.clone());
        self.uplink.set_over(why);
        if let Some(client) = state.client.take() {
            client.end();
        }
        state.table.end();
    }

    /// Takes an event of a connection, unless another has taken its place.
    fn take_news(&self, connection: u64, news: ClientNews) {
        let mut state = self.state();
        if !state.is_current(connection) {
            return;
        }
        match news {
            ClientNews::Answer(id, answer) => self.settle(&mut state, id, answer),
            ClientNews::Silence(labels) => self.news.write(News::Silence(labels)),
        }
    }

    /// A connection has ended: so does the tunnel, or it waits for the next.
    fn connection_ended(&self, connection: u64, ended: Ended) {
        let mut state = self.state();
        if !state.is_current(connection) {
            return;
        }
        match self.lifetime {
            Lifetime::FirstConnection => self.end(&mut state, ended),
            Lifetime::Unlimited => {
                self.lose(&mut state, &ended.to_string());
                self.news.write(News::Lost(ended));
            }
        }
    }
}

impl State {
    /// # Errors
    /// The connection is not to be trusted with forwards.
    fn check(&self) -> Result<(), ForwardError> {
        self.client.as_ref().map_or(Ok(()), Client::check_trust)
    }

    fn is_current(&self, connection: u64) -> bool {
        self.client.is_some() && self.connections == connection
    }
}

/// Listens to a connection until it ends.
async fn attend(shared: Arc<Shared>, client: Client, connection: u64) {
    while let Some(news) = client.news().await {
        shared.take_news(connection, news);
    }
    shared.connection_ended(connection, client.ended().await);
}

/// True where a forward listens at this end.
fn is_local(forward: &Forward) -> bool {
    matches!(forward, Forward::Local { .. } | Forward::Dynamic { .. })
}

#[cfg(test)]
mod tests;

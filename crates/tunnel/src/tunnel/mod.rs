//! Tunnel: what the user asked for, and its connection to the server.
//!
//! ```text
//!   Tunnel::forward ─▶ listening (listeners here)
//!                  └─▶ table (remote forwards) ─▶ Client::ask ─▶ the server
//!   Client::news ─▶ attend ─▶ table ─▶ whoever waits in Tunnel::forward, or NewsReader
//! ```
//!
//! A tunnel is told what to do, and says how it is, from any task while it runs.

mod listening;
mod news;
mod table;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::client::{Client, ClientNews, ForwardError, SOON};
use crate::config::spec::Forward;
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

#[derive(Debug)]
struct Shared {
    client: Client,
    table: Mutex<Table>,
    news: NewsWriter,
}

/// A forward that the tunnel was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requested {
    /// It is up.
    Up(Started),
    /// The server was asked for it.
    Asked(ForwardId),
}

impl Tunnel {
    /// A tunnel over one connection, which ends with it. Must be called within a runtime.
    pub fn over(client: Client) -> (Self, NewsReader) {
        let (news, reader) = NewsWriter::new();
        let shared = Arc::new(Shared {
            client: client.clone(),
            table: Mutex::default(),
            news,
        });
        tokio::spawn(attend(shared.clone(), client));
        (Self(Arc::new(Owner(shared))), reader)
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
        let shared = self.shared();
        let entry = shared.table().remove(id).ok_or(ForwardError::Unknown(id))?;
        let confirmed = match entry.listener {
            ListensAt::Client(mut accepting) => {
                accepting.shutdown().await;
                return Ok(());
            }
            ListensAt::Server(_) => shared.client.cancel(id)?,
        };
        match timeout(SOON, confirmed).await {
            // Where the connection has ended, so has the listener.
            Ok(Ok(Ok(())) | Err(_)) => Ok(()),
            Ok(Ok(Err(_))) | Err(_) => Err(ForwardError::NotCancelled { label: entry.label }),
        }
    }

    /// State of the tunnel at this moment.
    pub fn status(&self) -> TunnelStatus {
        let shared = self.shared();
        let uplink = match shared.news.why_ended() {
            None => UplinkStatus::Up(shared.client.status()),
            Some(ended) => UplinkStatus::Over {
                why: ended.to_string(),
            },
        };
        TunnelStatus {
            uplink,
            forwards: shared.table().status(),
        }
    }

    /// Ends the tunnel and its connection, for every clone.
    pub fn end(&self) {
        self.shared().end(Ended::ByUs);
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
        self.0.end(Ended::ByUs);
    }
}

impl Shared {
    /// The table. A panic elsewhere does not make it wrong, so poisoning is passed over.
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn listen(&self, forward: &Forward) -> Result<Started, ForwardError> {
        self.client.check_trust()?;
        let counters: Arc<ForwardCounters> = Arc::default();
        let (settings, handle) = (self.client.settings(), self.client.handle());
        let accepting = listening::listen(settings, handle, forward, &counters).await?;
        let mut table = self.table();
        if let Some(ended) = self.news.why_ended() {
            return Err(ForwardError::Ended(ended));
        }
        Ok(table.add_local(forward, counters, accepting))
    }

    fn ask(
        &self,
        forward: &Forward,
        awaited_by: Option<oneshot::Sender<Outcome>>,
    ) -> Result<ForwardId, ForwardError> {
        self.client.check_trust()?;
        let mut table = self.table();
        if let Some(ended) = self.news.why_ended() {
            return Err(ForwardError::Ended(ended));
        }
        let id = table.add_remote(forward, awaited_by);
        for ask in table.ask_waiting() {
            if let Err(error) = self.client.ask(ask) {
                table.remove(id);
                return Err(error);
            }
        }
        Ok(id)
    }

    fn settle(&self, id: ForwardId, answer: Result<Option<u16>, ForwardError>) {
        let news = self.table().settle(id, answer);
        if let Some(news) = news {
            self.news.write(news);
        }
    }

    fn end(&self, why: Ended) {
        // Who takes the table later finds that it has ended.
        self.news.end(why);
        self.client.end();
        self.table().end();
    }
}

/// Listens to a connection until it ends, and the tunnel with it.
async fn attend(shared: Arc<Shared>, client: Client) {
    while let Some(news) = client.news().await {
        match news {
            ClientNews::Answer(id, answer) => shared.settle(id, answer),
            ClientNews::Silence(labels) => shared.news.write(News::Silence(labels)),
        }
    }
    shared.end(client.ended().await);
}

/// True where a forward listens at this end.
fn is_local(forward: &Forward) -> bool {
    matches!(forward, Forward::Local { .. } | Forward::Dynamic { .. })
}

#[cfg(test)]
mod tests;

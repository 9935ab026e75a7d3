//! News of a tunnel: a bounded stream for whoever started it.

use tokio::sync::{mpsc, watch};

use crate::client::{ForwardError, silence};
use crate::config::spec::Forward;
use crate::net::Ended;
use crate::status::ForwardId;

/// News that wait for their reader. Answers of a server are the most of it, one for each remote forward of a connection.
const WAITING: usize = 4096;

/// A forward that is up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// Its number in the tunnel.
    pub id: ForwardId,
    /// Its name in messages.
    pub label: String,
    /// The port that the server chose, where the user asked for port 0.
    pub allocated_port: Option<u16>,
}

/// Something that happens to a tunnel.
#[derive(Debug)]
pub enum News {
    /// The server's answer to a forward that was [requested](super::Tunnel::request).
    Forward(Forward, Result<Started, ForwardError>),
    /// The server takes its time over these forwards. Their connections are served, except where it chooses the port.
    Silence(Vec<String>),
    /// The connection has ended, and the tunnel waits for the next.
    Lost(Ended),
    /// The tunnel has ended.
    Ended(Ended),
}

impl News {
    /// Writes to the log what nobody reads.
    fn log(&self) {
        match self {
            Self::Forward(_, Ok(started)) => log::debug!("{}: up", started.label),
            Self::Forward(_, Err(error)) => log::warn!("{error}"),
            Self::Silence(labels) => log::warn!("{}", silence(labels)),
            Self::Lost(ended) | Self::Ended(ended) => log::debug!("{ended}"),
        }
    }
}

/// Reader of a tunnel's news. News that it has no room for, and all once it is dropped, go to the log.
#[derive(Debug)]
pub struct NewsReader {
    queue: mpsc::Receiver<News>,
    ended: watch::Receiver<Option<Ended>>,
}

impl NewsReader {
    /// Waits for the next. The last is the tunnel's end, again and again. May be dropped at any time.
    pub async fn next(&mut self) -> News {
        tokio::select! {
            biased;
            Some(news) = self.queue.recv() => news,
            ended = end_of(&mut self.ended) => News::Ended(ended),
        }
    }
}

/// Writer of the news, and keeper of the tunnel's end.
#[derive(Debug)]
pub(super) struct NewsWriter {
    queue: mpsc::Sender<News>,
    ended: watch::Sender<Option<Ended>>,
}

impl NewsWriter {
    /// Both ends of the stream.
    pub(super) fn new() -> (Self, NewsReader) {
        let (sender, queue) = mpsc::channel(WAITING);
        let (end, ended) = watch::channel(None);
        let writer = Self {
            queue: sender,
            ended: end,
        };
        (writer, NewsReader { queue, ended })
    }

    pub(super) fn write(&self, news: News) {
        if let Err(
            mpsc::error::TrySendError::Full(news) | mpsc::error::TrySendError::Closed(news),
        ) = self.queue.try_send(news)
        {
            news.log();
        }
    }

    /// Says that the tunnel has ended; the first reason counts.
    pub(super) fn end(&self, why: Ended) {
        self.ended.send_if_modified(|ended| {
            let is_first = ended.is_none();
            ended.get_or_insert(why);
            is_first
        });
    }

    /// The reason of the tunnel's end, once that has come.
    pub(super) fn why_ended(&self) -> Option<Ended> {
        self.ended.borrow().clone()
    }

    /// Waits for the tunnel's end.
    pub(super) async fn ended(&self) -> Ended {
        end_of(&mut self.ended.subscribe()).await
    }
}

async fn end_of(ended: &mut watch::Receiver<Option<Ended>>) -> Ended {
    match ended.wait_for(Option::is_some).await.as_deref() {
        Ok(Some(ended)) => ended.clone(),
        // The tunnel was dropped.
        _ => Ended::ByUs,
    }
}

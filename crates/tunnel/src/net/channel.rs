//! One channel, as a relay holds it: bytes in both directions, credit that follows consumption.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use adit_proto::channels::{ChannelId, PeerClose};

use super::outcome::Ended;
use super::state::Shared;
use super::stream::Stream;
use super::turn::{ConnectionFailed, Turn};
use crate::status::ForwardCounters;

/// A channel that is open, or being opened. Dropping it closes the channel.
#[derive(Debug)]
pub struct Channel {
    shared: Arc<Shared>,
    id: ChannelId,
    /// Tells this channel from later ones of the same number.
    token: u64,
}

/// The outcome of one `pump_from`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pumped {
    /// So many bytes went from the application into the channel.
    Bytes(usize),
    /// The application sends no more.
    AppEof,
    /// The channel takes no more.
    ChannelClosed,
}

/// The next of what the peer sent, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// Data; tell with `taken` once it is consumed.
    Data(Vec<u8>),
    /// The peer sends no more data.
    Eof,
    /// The peer closed the channel.
    Closed(PeerClose),
    /// The connection is over.
    Ended(Ended),
}

impl Channel {
    pub(super) fn new(shared: Arc<Shared>, id: ChannelId, token: u64) -> Self {
        Self { shared, id, token }
    }

    pub(super) fn id(&self) -> ChannelId {
        self.id
    }

    pub(super) fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }

    /// From now on the driver writes what arrives straight to `app`, as long as it has room.
    pub fn attach(&self, app: Arc<Stream>, counters: Arc<ForwardCounters>) {
        if let Some(io) = self.shared.state().io(self.id) {
            io.sink = Some((app, counters));
        }
    }

    /// Moves what the application has to say into the channel: one read, as many packets as it fills, and one write, which
    /// short turns share.
    pub async fn pump_from(&self, app: &Stream) -> io::Result<Pumped> {
        loop {
            app.readable().await?;
            match poll_fn(|cx| self.poll_pump(cx, app)).await {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    pub(super) fn poll_pump(&self, cx: &mut Context<'_>, app: &Stream) -> Poll<io::Result<Pumped>> {
        let Some(turn) = ready!(Turn::poll_begin(&self.shared, self.id, u32::MAX, cx)) else {
            return Poll::Ready(Ok(Pumped::ChannelClosed));
        };
        Poll::Ready(match turn.send_from(app) {
            Ok(Ok(0)) => Ok(Pumped::AppEof),
            Ok(Ok(n)) => Ok(Pumped::Bytes(n)),
            Ok(Err(error)) => Err(error),
            // That is not the application's fault: `receive` tells of it, behind what the peer had sent.
            Err(ConnectionFailed) => Ok(Pumped::ChannelClosed),
        })
    }

    /// True once the peer has closed the channel, or the connection is over.
    pub fn is_closed_by_peer(&self) -> bool {
        let mut state = self.shared.state();
        state.ended.is_some() || state.io(self.id).is_none_or(|io| io.closed.is_some())
    }

    /// Sends bytes that are in memory already: for protocols that are spoken before a relay begins.
    pub async fn send(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let n = poll_fn(|cx| self.poll_send(cx, bytes)).await?;
            bytes = &bytes[n..];
        }
        Ok(())
    }

    pub(super) fn poll_send(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let want = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let turn = ready!(Turn::poll_begin(&self.shared, self.id, want, cx));
        let sent = turn.and_then(|turn| turn.send(bytes).ok());
        Poll::Ready(sent.ok_or_else(|| io::ErrorKind::BrokenPipe.into()))
    }

    /// Takes the next of what did not go straight to the sink. The error is the sink's.
    pub async fn receive(&self) -> io::Result<Received> {
        poll_fn(|cx| self.poll_receive(cx)).await
    }

    fn poll_receive(&self, cx: &mut Context<'_>) -> Poll<io::Result<Received>> {
        let mut state = self.shared.state();
        let ended = state.ended.clone();
        let Some(io) = state.io(self.id) else {
            return Poll::Ready(Ok(Received::Closed(PeerClose::Orderly)));
        };
        if let Some(kind) = io.sink_error {
            return Poll::Ready(Err(kind.into()));
        }
        if let Some(data) = io.queue.take() {
            return Poll::Ready(Ok(Received::Data(data)));
        }
        match (io.closed, io.eof, ended) {
            (Some(close), _, _) => Poll::Ready(Ok(Received::Closed(close))),
            (None, true, None) => {
                io.eof = false;
                Poll::Ready(Ok(Received::Eof))
            }
            (None, _, Some(ended)) => Poll::Ready(Ok(Received::Ended(ended))),
            (None, false, None) => {
                io.recv_waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// The consumer took `len` bytes of what `receive` gave: the peer may send as many more.
    pub fn taken(&self, len: usize) {
        let mut state = self.shared.state();
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        state
            .connection
            .channels()
            .taken(self.id, len, Instant::now());
        if state.connection.has_transmit() {
            drop(state);
            self.shared.kick();
        }
    }

    /// Nothing more goes straight to an application, nor is it known what became of the one there was.
    pub fn detach(&self) {
        if let Some(io) = self.shared.state().io(self.id) {
            (io.sink, io.sink_error) = (None, None);
        }
    }

    /// Waits for the end of the connection.
    pub async fn over(&self) {
        self.shared.over().await;
    }

    /// Ends our data; the other direction goes on.
    pub fn send_eof(&self) {
        self.shared.state().connection.channels().send_eof(self.id);
        self.shared.kick();
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        let mut outbound = self.shared.outbound();
        let mut state = self.shared.state();
        if let Some(io) = state.io(self.id)
            && io.token == self.token
        {
            outbound.leave(&mut io.place);
            state.remove_io(self.id);
            state.connection.channels().release(self.id);
        }
        drop((state, outbound));
        // It may have been its turn to send: the driver passes the turn on.
        self.shared.kick();
    }
}

#[cfg(test)]
mod tests {
    use adit_proto::message::connection::{ChannelType, OpenFailureReason};

    use super::super::pair::{Pair, asked};
    use super::*;

    fn somewhere() -> ChannelType {
        ChannelType::DirectStreamLocal {
            socket_path: "/somewhere".into(),
        }
    }

    #[tokio::test]
    async fn refusal_wakes_a_sender_that_waits_for_window() {
        let (client, _server, mut incoming) = Pair::new().await.into_client_and_server();
        let (channel, mut verdict) = client.begin_open(somewhere()).unwrap();
        let more_than_is_taken_early = vec![0; 40_000];
        let refuse = async {
            let asked = asked(&mut incoming).await;
            asked.refuse(OpenFailureReason::CONNECT_FAILED, "no");
        };
        let (sent, ()) = tokio::join!(channel.send(&more_than_is_taken_early), refuse);
        assert_eq!(sent.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert!(verdict.given().await.is_err());
    }

    #[tokio::test]
    async fn words_of_a_refused_channel_do_not_reach_the_next() {
        let (client, _server, mut incoming) = Pair::new().await.into_client_and_server();
        let (refused, mut verdict) = client.begin_open(somewhere()).unwrap();
        let no = asked(&mut incoming).await;
        no.refuse(OpenFailureReason::CONNECT_FAILED, "no");
        assert!(verdict.given().await.is_err());

        let (next, mut verdict) = client.begin_open(somewhere()).unwrap();
        assert_ne!(next.id(), refused.id());
        assert!(refused.send(b"secret").await.is_err());
        let at_the_server = asked(&mut incoming).await.accept();
        verdict.given().await.unwrap();
        next.send(b"hello").await.unwrap();
        let came = at_the_server.receive().await.unwrap();
        assert_eq!(came, Received::Data(b"hello".to_vec()));

        drop(refused);
        let (last, _verdict) = client.begin_open(somewhere()).unwrap();
        assert_ne!(last.id(), next.id());
    }
}

//! Our end of one stream of a channel: bytes in both directions, credit that follows consumption.
//!
//! The streams of a channel share its window and its end. Each has a sink, a queue, a reader and a sender of its own, with its
//! own place in the line: none waits in another's stead.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use adit_proto::channels::{ChannelStream, PeerClose};

use super::channel::Channel;
use super::outcome::Ended;
use super::stream::Stream;
use super::turn::{ConnectionFailed, Turn};
use crate::status::ForwardCounters;

/// What one turn of `pump_from` gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pumped {
    /// So many bytes went from the application into the channel.
    Bytes(usize),
    /// The application sends no more.
    AppEof,
    /// The channel takes no more.
    ChannelClosed,
}

/// What the peer sent next.
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

/// Our end of one stream of a channel. One task at a time may send on it, and one receive.
#[derive(Debug, Clone, Copy)]
pub struct StreamEnd<'a> {
    channel: &'a Channel,
    stream: ChannelStream,
}

impl<'a> StreamEnd<'a> {
    pub(super) fn new(channel: &'a Channel, stream: ChannelStream) -> Self {
        Self { channel, stream }
    }

    /// The channel.
    pub fn channel(&self) -> &'a Channel {
        self.channel
    }

    /// From now on the driver writes what arrives straight to `app`, as long as it has room.
    pub fn attach(&self, app: Arc<Stream>, counters: Arc<ForwardCounters>) {
        let mut state = self.channel.shared.state();
        if let Some(io) = state.stream(self.channel.id, self.stream) {
            io.sink = Some((app, counters));
        }
    }

    /// Nothing more goes straight to an application, nor is it known what became of the one there was.
    pub fn detach(&self) {
        let mut state = self.channel.shared.state();
        if let Some(io) = state.stream(self.channel.id, self.stream) {
            (io.sink, io.sink_error) = (None, None);
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
        let Some(turn) = ready!(self.poll_turn(u32::MAX, cx)) else {
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

    fn poll_turn(&self, most: u32, cx: &mut Context<'_>) -> Poll<Option<Turn<'a>>> {
        let stream = (self.channel.id, self.stream);
        Turn::poll_begin(&self.channel.shared, stream, most, cx)
    }

    /// Sends bytes that are in memory already: for protocols that are spoken before a relay begins, and for short words.
    pub async fn send(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let n = poll_fn(|cx| self.poll_send(cx, bytes)).await?;
            bytes = &bytes[n..];
        }
        Ok(())
    }

    pub(super) fn poll_send(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let want = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let turn = ready!(self.poll_turn(want, cx));
        let sent = turn.and_then(|turn| turn.send(bytes).ok());
        Poll::Ready(sent.ok_or_else(|| io::ErrorKind::BrokenPipe.into()))
    }

    /// What arrived and did not go straight to the sink. The error is the sink's.
    pub fn receive(&self) -> impl Future<Output = io::Result<Received>> {
        poll_fn(move |cx| self.poll_receive(cx))
    }

    fn poll_receive(&self, cx: &mut Context<'_>) -> Poll<io::Result<Received>> {
        let mut state = self.channel.shared.state();
        let ended = state.ended.clone();
        let Some(channel) = state.io(self.channel.id) else {
            return Poll::Ready(Ok(Received::Closed(PeerClose::Orderly)));
        };
        let closed = channel.closed;
        let Some(io) = channel.stream(self.stream) else {
            return Poll::Ready(Ok(Received::Closed(PeerClose::Orderly)));
        };
        if let Some(kind) = io.sink_error {
            return Poll::Ready(Err(kind.into()));
        }
        if let Some(data) = io.queue.take() {
            return Poll::Ready(Ok(Received::Data(data)));
        }
        match (closed, io.eof, ended) {
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
        self.channel.taken(len);
    }
}

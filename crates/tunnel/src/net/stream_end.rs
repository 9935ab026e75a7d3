//! Our end of one stream of a channel: bytes in both directions, credit that follows consumption.
//!
//! The streams of a channel share its window and its end. Each has its own sink, queue, reader and sender, and its own
//! place in the line, so none waits for another.

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

/// Result of one turn of `pump_from`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pumped {
    /// Number of bytes copied from the application to the channel.
    Bytes(usize),
    /// The application's EOF.
    AppEof,
    /// The channel accepts no more data.
    ChannelClosed,
}

/// Next item of the peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// Data; call `taken` after it is consumed.
    Data(Vec<u8>),
    /// The peer sends no more data.
    Eof,
    /// The peer closed the channel.
    Closed(PeerClose),
    /// The connection has ended.
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

    /// Makes the driver write arriving data straight to `app`, as long as it fits.
    pub fn attach(&self, app: Arc<Stream>, counters: Arc<ForwardCounters>) {
        let mut state = self.channel.shared.state();
        if let Some(io) = state.stream(self.channel.id, self.stream) {
            io.sink = Some((app, counters));
        }
    }

    /// Ends direct writes to an application. The result of earlier ones is dropped.
    pub fn detach(&self) {
        let mut state = self.channel.shared.state();
        if let Some(io) = state.stream(self.channel.id, self.stream) {
            (io.sink, io.sink_error) = (None, None);
        }
    }

    /// Copies from the application to the channel: one read, as many packets as it fills, and one write, which short
    /// turns share.
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
            // Not an error of the application: `receive` reports it, after the peer's data.
            Err(ConnectionFailed) => Ok(Pumped::ChannelClosed),
        })
    }

    fn poll_turn(&self, most: u32, cx: &mut Context<'_>) -> Poll<Option<Turn<'a>>> {
        let stream = (self.channel.id, self.stream);
        Turn::poll_begin(&self.channel.shared, stream, most, cx)
    }

    /// Sends bytes that are in memory: for protocols before a relay begins, and for short messages.
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

    /// Waits for the next data that did not go straight to the sink, or for the end. An error is that of the sink.
    pub fn receive(&self) -> impl Future<Output = io::Result<Received>> {
        poll_fn(move |cx| self.poll_receive(cx))
    }

    pub(super) fn poll_receive(&self, cx: &mut Context<'_>) -> Poll<io::Result<Received>> {
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

    /// Notes that the consumer took `len` bytes from `receive`: the peer may send as many more.
    pub fn taken(&self, len: usize) {
        self.channel.taken(len);
    }
}

#[cfg(test)]
mod tests;

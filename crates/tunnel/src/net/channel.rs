//! A channel, as its owner holds it. `stream_end` has its bytes, `requests` its requests.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use adit_proto::channels::{ChannelId, ChannelStream};

use super::state::Shared;
use super::stream::Stream;
use super::stream_end::StreamEnd;
pub use super::stream_end::{Pumped, Received};
use crate::status::ForwardCounters;

/// A channel that is open, or being opened. Dropping it closes the channel.
#[derive(Debug)]
pub struct Channel {
    pub(super) shared: Arc<Shared>,
    pub(super) id: ChannelId,
    /// Distinguishes this channel from later ones with the same number.
    token: u64,
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

    /// Our end of the channel's data.
    pub fn data(&self) -> StreamEnd<'_> {
        StreamEnd::new(self, ChannelStream::Data)
    }

    /// Our end of the channel's stderr; only a session has one.
    pub fn stderr(&self) -> StreamEnd<'_> {
        StreamEnd::new(self, ChannelStream::Stderr)
    }

    /// [`StreamEnd::attach`] of the channel's data.
    pub fn attach(&self, app: Arc<Stream>, counters: Arc<ForwardCounters>) {
        self.data().attach(app, counters);
    }

    /// [`StreamEnd::detach`] of the channel's data.
    pub fn detach(&self) {
        self.data().detach();
    }

    /// [`StreamEnd::pump_from`] of the channel's data.
    pub async fn pump_from(&self, app: &Stream) -> io::Result<Pumped> {
        self.data().pump_from(app).await
    }

    /// [`StreamEnd::send`] of the channel's data.
    pub async fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.data().send(bytes).await
    }

    /// [`StreamEnd::receive`] of the channel's data.
    pub fn receive(&self) -> impl Future<Output = io::Result<Received>> {
        let data = self.data();
        poll_fn(move |cx| data.poll_receive(cx))
    }

    /// Notes that the consumer took `len` bytes from `receive`: the peer may send as many more.
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

    /// True after the peer's CLOSE, or the end of the connection.
    pub fn is_closed_by_peer(&self) -> bool {
        let mut state = self.shared.state();
        state.ended.is_some() || state.io(self.id).is_none_or(|io| io.closed.is_some())
    }

    /// Waits for the end of the connection.
    pub async fn over(&self) {
        self.shared.over().await;
    }

    /// Sends EOF for data and stderr. The other direction stays open, and requests may follow.
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
            io.streams()
                .for_each(|stream| outbound.leave(&mut stream.place));
            state.remove_io(self.id);
            state.connection.channels().release(self.id);
        }
        drop((state, outbound));
        // The channel may have had the right to send next: the driver passes it on.
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
    async fn data_of_a_refused_channel_does_not_reach_the_next() {
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

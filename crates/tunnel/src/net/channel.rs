//! One channel, as a relay holds it: bytes in both directions, credit that follows consumption.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use adit_proto::channels::{ChannelId, ChannelStream, PeerClose, Reserved};

use super::outbound::Outbound;
use super::outcome::Ended;
use super::state::Shared;
use super::stream::Stream;
use crate::status::ForwardCounters;

/// A channel that is open, or being opened. Dropping it closes the channel.
#[derive(Debug)]
pub struct Channel {
    shared: Arc<Shared>,
    id: ChannelId,
    /// Tells this channel from later ones of the same number.
    token: u64,
}

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

    fn poll_pump(&self, cx: &mut Context<'_>, app: &Stream) -> Poll<io::Result<Pumped>> {
        let mut outbound = self.shared.outbound();
        let reserved = match ready!(self.poll_reserve(cx, &mut outbound, u32::MAX)) {
            Ok(Some(reserved)) => reserved,
            Ok(None) => {
                // It may have been woken for its turn: that is the next one's then.
                outbound.wake_next();
                return Poll::Ready(Ok(Pumped::ChannelClosed));
            }
            Err(error) => {
                drop(outbound);
                return Poll::Ready(Ok(self.broken(&error)));
            }
        };
        let read = match outbound.seal_from(app, reserved) {
            // Sealing failed, and not the application, whose errors have kinds.
            Err(error) if error.kind() == io::ErrorKind::Other => {
                drop(outbound);
                return Poll::Ready(Ok(self.broken(&error)));
            }
            read => read,
        };
        let sent = *read.as_ref().unwrap_or(&0);
        self.settle_turn(&outbound, reserved, sent);
        if outbound.end_turn(sent)
            && let Err(error) = outbound.write(&self.shared.socket)
        {
            drop(outbound);
            return Poll::Ready(Ok(self.broken(&error)));
        }
        outbound.wake_next();
        if outbound.pending() > 0 {
            // The driver writes it, or waits for room.
            self.shared.kick();
        }
        Poll::Ready(read.map(|n| match n {
            0 => Pumped::AppEof,
            n => Pumped::Bytes(n),
        }))
    }

    /// Ends the connection, whose socket or keys failed: that is not the application's fault, which is told by `receive`, behind
    /// what the peer had sent.
    fn broken(&self, error: &io::Error) -> Pumped {
        self.shared.end(Ended::Broken(error.to_string()));
        Pumped::ChannelClosed
    }

    /// True once the peer has closed the channel, or the connection is over.
    pub fn is_closed_by_peer(&self) -> bool {
        let mut state = self.shared.state();
        state.ended.is_some() || state.io(self.id).is_none_or(|io| io.closed.is_some())
    }

    /// Waits for its turn to send, and for window: up to `most` bytes of it, none where the channel takes no more data.
    fn poll_reserve(
        &self,
        cx: &mut Context<'_>,
        outbound: &mut Outbound,
        most: u32,
    ) -> Poll<io::Result<Option<Reserved>>> {
        let mut state = self.shared.state();
        if state.ended.is_some() {
            // Why is told by `receive`, behind what the peer had sent.
            return Poll::Ready(Ok(None));
        }
        // Control messages go first; NEWKEYS among them changes the key that data is sealed with.
        outbound.seal_control(&mut state.connection)?;
        let may_send = state.connection.may_send_data() && outbound.takes_data();
        let Some(io) = state.io(self.id) else {
            return Poll::Ready(Ok(None));
        };
        if !may_send {
            outbound.wait(&mut io.place, cx.waker());
            drop(state);
            self.shared.kick();
            return Poll::Pending;
        }
        outbound.leave(&mut io.place);
        let most = most.min(outbound.begin_turn(self.id, state.opened_usage));
        let reserved = state
            .connection
            .channels()
            .reserve(self.id, ChannelStream::Data, most);
        if reserved.is_some_and(|r| r.bytes == 0) {
            if let Some(io) = state.io(self.id) {
                io.send_waker = Some(cx.waker().clone());
            }
            drop(state);
            outbound.wake_next();
            return Poll::Pending;
        }
        Poll::Ready(Ok(reserved))
    }

    /// After a turn: gives back unused window, and only now asks whether new keys are due, so that the smallest
    /// RekeyLimit still lets every exchange carry something.
    fn settle_turn(&self, outbound: &Outbound, reserved: Reserved, sent: usize) {
        let unused = reserved.bytes - u32::try_from(sent).unwrap_or(reserved.bytes);
        let mut state = self.shared.state();
        if unused > 0 {
            state.connection.channels().refund(self.id, unused);
        }
        let opened = state.opened_usage;
        state.connection.note_usage(outbound.usage(), opened);
        if state.connection.has_transmit() {
            drop(state);
            self.shared.kick();
        }
    }

    /// Sends bytes that are in memory already: for protocols that are spoken before a relay begins.
    pub async fn send(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let n = poll_fn(|cx| self.poll_send(cx, bytes)).await?;
            bytes = &bytes[n..];
        }
        Ok(())
    }

    fn poll_send(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut outbound = self.shared.outbound();
        let want = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let Some(reserved) = ready!(self.poll_reserve(cx, &mut outbound, want))? else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        let sent = outbound.seal_bytes(bytes, reserved)?;
        self.settle_turn(&outbound, reserved, sent);
        self.shared.kick();
        Poll::Ready(Ok(sent))
    }

    /// What arrived and did not go straight to the sink. The error is the sink's.
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
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::{Wake, Waker};

    use adit_proto::message::connection::{ChannelType, OpenFailureReason};
    use tokio::net::UnixStream;

    use super::super::outbound::SHORT_TURN;
    use super::super::pair::{Pair, asked};
    use super::*;

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    /// One task that sends on a channel of its own.
    struct Sender {
        channel: Channel,
        woken: Arc<Woken>,
    }

    impl Sender {
        fn poll(&self) -> Poll<io::Result<usize>> {
            self.poll_send(b"x")
        }

        fn poll_send(&self, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.woken.0.store(false, Ordering::Relaxed);
            let waker = Waker::from(self.woken.clone());
            self.channel
                .poll_send(&mut Context::from_waker(&waker), bytes)
        }

        /// Sends what `app` has to say.
        fn relay(&self, app: &Stream) {
            let mut context = Context::from_waker(Waker::noop());
            let pumped = self.channel.poll_pump(&mut context, app);
            assert!(matches!(pumped, Poll::Ready(Ok(Pumped::Bytes(1)))));
        }

        /// Sends until others have to wait for the driver.
        fn fill(&self) {
            while self.channel.shared.outbound().takes_data() {
                assert!(self.poll_send(&[b'x'; SHORT_TURN]).is_ready());
            }
        }

        fn is_woken(&self) -> bool {
            self.woken.0.load(Ordering::Relaxed)
        }
    }

    /// An application that has said one byte, and then went.
    async fn app_that_speaks() -> Stream {
        let (app, application) = UnixStream::pair().unwrap();
        application.try_write(b"x").unwrap();
        app.readable().await.unwrap();
        app.into()
    }

    /// Four senders, with the other ends of their channels.
    async fn four_senders(pair: &mut Pair) -> (Vec<Sender>, Vec<Channel>) {
        let mut senders = Vec::new();
        let mut served = Vec::new();
        for _ in 0..4 {
            let (channel, other_end) = pair.open().await;
            let woken = Arc::default();
            senders.push(Sender { channel, woken });
            served.push(other_end);
        }
        (senders, served)
    }

    /// More, and longer ones, than the outbound buffer holds at once.
    #[tokio::test]
    async fn long_messages_wait_for_room() {
        let pair = Pair::new().await;
        for _ in 0..12 {
            pair.client.debug(&"x".repeat(150_000)).unwrap();
        }
        pair.settle().await;
    }

    #[tokio::test]
    async fn short_turns_of_several_channels_share_a_write() {
        let mut pair = Pair::new().await;
        let (senders, _served) = four_senders(&mut pair).await;
        let shared = senders[0].channel.shared();
        shared.flush().unwrap();

        // Nothing is awaited from here on, so the driver does not run in between.
        for sender in &senders {
            assert!(sender.poll().is_ready());
        }
        let gathered = shared.outbound().pending();
        assert!(gathered >= 4 * b"x".len());
        shared.flush().unwrap();
        assert_eq!(shared.outbound().pending(), 0);
    }

    #[tokio::test]
    async fn answer_leaves_at_once_while_nobody_else_speaks() {
        let mut pair = Pair::new().await;
        let (senders, _served) = four_senders(&mut pair).await;
        let shared = senders[0].channel.shared();
        let pending = || shared.outbound().pending();
        let mut apps = Vec::new();
        for _ in 0..5 {
            apps.push(app_that_speaks().await);
        }
        shared.flush().unwrap();

        // The driver runs only where something is awaited. The peer has opened the channels.
        senders[0].relay(&apps[0]);
        assert_eq!(pending(), 0);
        senders[1].relay(&apps[1]);
        senders[2].relay(&apps[2]);
        assert!(pending() > 0, "nothing was heard since");

        pair.settle().await;
        senders[0].relay(&apps[3]);
        assert!(pending() > 0, "two spoke at once before");

        pair.settle().await;
        senders[0].relay(&apps[4]);
        assert_eq!(pending(), 0);
    }

    #[tokio::test]
    async fn turn_is_not_lost_on_a_channel_that_is_gone() {
        let mut pair = Pair::new().await;
        let (mut senders, _served) = four_senders(&mut pair).await;
        let shared = senders[0].channel.shared();
        shared.flush().unwrap();

        // Nothing is awaited from here on, so the driver does not run in between.
        senders[0].fill();
        assert!(senders[1].poll().is_pending() && senders[2].poll().is_pending());
        drop(senders.remove(1));
        shared.flush().unwrap();

        assert!(
            senders[1].is_woken(),
            "nobody else will wake those who wait"
        );
    }

    #[tokio::test]
    async fn turn_is_not_lost_on_a_sender_that_has_had_its_turn() {
        let mut pair = Pair::new().await;
        let (senders, _served) = four_senders(&mut pair).await;
        let [first, second, third, fourth] = &senders[..] else {
            unreachable!("four were made")
        };
        let shared = first.channel.shared();
        shared.flush().unwrap();

        // Nothing is awaited from here on, so the driver does not run in between.
        first.fill();
        assert!(second.poll().is_pending() && third.poll().is_pending());
        assert!(fourth.poll().is_pending());
        shared.flush().unwrap();
        assert!(second.is_woken());
        // The third comes first: what arrived on its channel has woken its task, too.
        third.fill();
        assert!(second.poll().is_pending());
        shared.flush().unwrap();

        assert!(fourth.is_woken(), "nobody else will wake those who wait");
    }

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

//! Tests of the turns of several channels: shared writes, and the order of wake-ups.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;

use super::super::channel::{Channel, Pumped};
use super::super::outbound::SHORT_TURN;
use super::super::pair::Pair;
use super::*;

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A task that sends on a channel of its own.
struct Sender {
    channel: Channel,
    shared: Arc<Shared>,
    woken: Arc<Woken>,
}

impl Sender {
    fn poll(&self) -> Poll<io::Result<usize>> {
        self.poll_send(b"x")
    }

    fn poll_send(&self, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.woken.0.store(false, Ordering::Relaxed);
        let waker = Waker::from(self.woken.clone());
        let data = self.channel.data();
        data.poll_send(&mut Context::from_waker(&waker), bytes)
    }

    /// Sends the data of `app`.
    fn relay(&self, app: &Stream) {
        let mut context = Context::from_waker(Waker::noop());
        let pumped = self.channel.data().poll_pump(&mut context, app);
        assert!(matches!(pumped, Poll::Ready(Ok(Pumped::Bytes(1)))));
    }

    /// Sends until the others have to wait for the driver.
    fn fill(&self) {
        while self.shared.outbound().takes_data() {
            assert!(self.poll_send(&[b'x'; SHORT_TURN]).is_ready());
        }
    }

    fn is_woken(&self) -> bool {
        self.woken.0.load(Ordering::Relaxed)
    }
}

/// An application that has sent one byte, and closed.
async fn app_that_speaks() -> Stream {
    let (app, application) = UnixStream::pair().unwrap();
    application.try_write(b"x").unwrap();
    app.readable().await.unwrap();
    app.into()
}

/// Four senders, and the other ends of their channels.
async fn four_senders(pair: &mut Pair) -> (Vec<Sender>, Vec<Channel>) {
    let mut senders = Vec::new();
    let mut served = Vec::new();
    for _ in 0..4 {
        let (channel, other_end) = pair.open().await;
        let woken = Arc::default();
        let shared = channel.shared();
        senders.push(Sender {
            channel,
            shared,
            woken,
        });
        served.push(other_end);
    }
    (senders, served)
}

/// More and longer messages than the outbound buffer holds.
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
async fn answer_is_written_at_once_while_no_other_channel_sends() {
    let mut pair = Pair::new().await;
    let (senders, _served) = four_senders(&mut pair).await;
    let shared = senders[0].channel.shared();
    let pending = || shared.outbound().pending();
    let mut apps = Vec::new();
    for _ in 0..5 {
        apps.push(app_that_speaks().await);
    }
    shared.flush().unwrap();

    // The driver runs only when something is awaited. The peer has opened the channels.
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
    // The third comes first, because data that arrived on its channel has woken its task, too. That makes the line
    // shorter.
    assert!(third.poll().is_ready());
    assert!(fourth.is_woken());
    third.fill();
    assert!(second.poll().is_pending() && fourth.poll().is_pending());
    shared.flush().unwrap();
    assert!(second.is_woken());
    assert!(second.poll().is_ready());

    assert!(fourth.is_woken(), "nobody else will wake those who wait");
}

/// A turn of `sender`, if it gets one now.
fn begin(sender: &Sender) -> Option<Turn<'_>> {
    let mut context = Context::from_waker(Waker::noop());
    let (shared, id) = (&sender.shared, sender.channel.id());
    match Turn::poll_begin(shared, (id, ChannelStream::Data), u32::MAX, &mut context) {
        Poll::Ready(turn) => turn,
        Poll::Pending => None,
    }
}

#[tokio::test]
async fn turn_without_data_gives_its_window_back_and_wakes_the_next() {
    let mut pair = Pair::new().await;
    let (senders, _served) = four_senders(&mut pair).await;
    let shared = senders[0].channel.shared();
    shared.flush().unwrap();

    // More than the window of the channel.
    for _ in 0..1000 {
        drop(begin(&senders[0]).expect("there is window"));
    }
    senders[0].fill();
    assert!(senders[1].poll().is_pending() && senders[2].poll().is_pending());
    shared.flush().unwrap();
    assert!(senders[1].is_woken() && !senders[2].is_woken());
    drop(begin(&senders[1]).expect("it is its turn"));
    assert!(senders[2].is_woken());
}

#[tokio::test]
async fn turn_of_a_closed_channel_is_passed_on() {
    let mut pair = Pair::new().await;
    let (senders, _served) = four_senders(&mut pair).await;
    let shared = senders[0].channel.shared();
    shared.flush().unwrap();

    senders[0].fill();
    assert!(senders[1].poll().is_pending() && senders[2].poll().is_pending());
    shared.flush().unwrap();
    senders[1].channel.send_eof();
    assert!(matches!(senders[1].poll(), Poll::Ready(Err(_))));
    assert!(senders[2].is_woken());
}

#[tokio::test]
async fn failed_write_ends_the_connection_and_wakes_all_waiting_tasks() {
    let mut pair = Pair::new().await;
    let (senders, _served) = four_senders(&mut pair).await;
    let shared = senders[0].channel.shared();
    let (app, mut application) = UnixStream::pair().unwrap();
    application.write_all(&[b'x'; SHORT_TURN]).await.unwrap();
    app.readable().await.unwrap();
    shared.flush().unwrap();
    let turn = begin(&senders[0]).expect("nobody else speaks");
    shared.socket.shutdown_write().unwrap();

    assert!(turn.send_from(&app.into()).is_err());
    assert!(matches!(shared.state().ended, Some(Ended::Broken(_))));
    assert!(matches!(senders[1].poll(), Poll::Ready(Err(_))));
}

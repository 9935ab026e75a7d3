//! Tests of a forward whose server is the test.

use std::time::Duration;

use adit_proto::message::connection::OpenFailureReason;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::forward::descriptors::Pool;
use crate::net::Inbox;
use crate::net::channel::Received;
use crate::net::incoming::IncomingChannel;
use crate::net::listener::{LOOPBACK, bind_tcp};
use crate::net::pair::{self, Pair};

/// A forward whose server is the test.
struct Forward {
    ingress: Arc<Ingress>,
    listener: TcpListener,
    _server: Handle,
    asked: Inbox,
}

impl Forward {
    async fn new(route: Route) -> Self {
        let (client, _server, asked) = Pair::new().await.into_client_and_server();
        let ingress = Arc::new(Ingress {
            label: "test".into(),
            peer_name: "the test".into(),
            uplink: Uplink::Fixed(client),
            route,
            counters: Arc::default(),
            recent_targets: RecentTargets::default(),
            descriptors: Share::unlimited(),
        });
        Self {
            ingress,
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            _server,
            asked,
        }
    }

    async fn to_a_path() -> Self {
        let path = "/target".into();
        Self::new(Route::Fixed(FixedRoute::DirectStreamLocal { path })).await
    }

    /// Connects an application.
    async fn app(&self) -> TcpStream {
        let address = self.listener.local_addr().unwrap();
        let (app, accepted) = tokio::join!(TcpStream::connect(address), self.listener.accept());
        let (accepted, origin) = accepted.unwrap();
        let ingress = self.ingress.clone();
        tokio::spawn(async move { ingress.carry(accepted.into(), Some(origin)).await });
        app.unwrap()
    }

    /// Next channel that the server is asked to open.
    async fn asked(&mut self) -> IncomingChannel {
        pair::asked(&mut self.asked).await
    }

    /// Writes, and returns when the bytes were read from the application, with or without a confirmed channel.
    async fn say(&self, app: &mut TcpStream, bytes: &[u8]) {
        let sent = &self.ingress.counters.sent;
        let before = sent.value();
        app.write_all(bytes).await.unwrap();
        while sent.value() < before + bytes.len() as u64 {
            tokio::task::yield_now().await;
        }
    }
}

fn refuse(asked: IncomingChannel) {
    asked.refuse(OpenFailureReason::CONNECT_FAILED, "Connection refused");
}

async fn is_reset(app: &mut TcpStream) -> bool {
    let end = app.read(&mut [0]).await;
    end.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset)
}

#[tokio::test]
async fn early_data_is_sent_before_the_channel_is_confirmed() {
    let mut forward = Forward::to_a_path().await;
    let mut app = forward.app().await;
    let asked = forward.asked().await;
    forward.say(&mut app, b"hello").await;
    app.shutdown().await.unwrap();

    let channel = asked.accept();

    let came = channel.receive().await.unwrap();
    assert_eq!(came, Received::Data(b"hello".to_vec()));
    channel.taken(5);
    assert_eq!(channel.receive().await.unwrap(), Received::Eof);
    channel.send(b"and goodbye").await.unwrap();
    channel.send_eof();
    let mut answer = String::new();
    app.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "and goodbye");
}

#[tokio::test]
async fn refusal_resets_an_application_that_has_sent_data() {
    let mut forward = Forward::to_a_path().await;
    let mut app = forward.app().await;
    let asked = forward.asked().await;
    forward.say(&mut app, b"hello").await;

    refuse(asked);

    assert!(is_reset(&mut app).await);
    assert_eq!(forward.ingress.counters.failed.value(), 1);
    assert_eq!(forward.ingress.counters.opened.value(), 0);
}

#[tokio::test]
async fn refusal_is_an_orderly_end_for_an_application_that_has_sent_nothing() {
    let mut forward = Forward::to_a_path().await;
    let mut app = forward.app().await;
    refuse(forward.asked().await);
    assert_eq!(app.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn connections_wait_while_the_share_is_full() {
    let mut forward = Forward::to_a_path().await;
    let share = Pool::new(4).share("");
    // Room for two more connections is left.
    let _held = share.take(1).unwrap();
    let ingress = Arc::get_mut(&mut forward.ingress).unwrap();
    ingress.descriptors = share.clone();
    let (listeners, port) = bind_tcp(&LOOPBACK[..1], 0).unwrap();
    let serving = listeners
        .into_iter()
        .map(|listener| tokio::spawn(forward.ingress.clone().serve(listener)));
    let _serving: Vec<_> = serving.collect();
    let mut apps = Vec::new();
    for _ in 0..3 {
        apps.push(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
    }
    let (first, _second) = (forward.asked().await, forward.asked().await);
    assert!(share.take(1).is_err());
    refuse(first);
    forward.asked().await;
}

#[tokio::test]
async fn application_that_leaves_before_the_channel_is_confirmed_counts_as_failed() {
    let mut forward = Forward::to_a_path().await;
    let mut app = forward.app().await;
    let _asked = forward.asked().await;
    forward.say(&mut app, b"hello").await;
    let at_once = Some(Duration::ZERO);
    socket2::SockRef::from(&app).set_linger(at_once).unwrap();
    drop(app);
    while forward.ingress.counters.failed.value() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(forward.ingress.counters.opened.value(), 0);
}

/// SOCKS4 request for port 80 of 127.0.0.1, and its two replies.
const CONNECT: &[u8] = b"\x04\x01\0\x50\x7f\0\0\x01\0";
const GRANTED: [u8; 8] = *b"\0\x5a\0\0\0\0\0\0";
const REJECTED: [u8; 8] = *b"\0\x5b\0\0\0\0\0\0";

async fn socks_reply(app: &mut TcpStream) -> [u8; 8] {
    let mut reply = [0; 8];
    app.read_exact(&mut reply).await.unwrap();
    reply
}

#[tokio::test]
async fn socks_reply_waits_for_the_target_unless_it_answered_a_moment_ago() {
    let mut forward = Forward::new(Route::Socks).await;
    async fn connect(forward: &mut Forward) -> (TcpStream, IncomingChannel) {
        let mut app = forward.app().await;
        app.write_all(CONNECT).await.unwrap();
        (app, forward.asked().await)
    }

    let (mut app, asked) = connect(&mut forward).await;
    refuse(asked);
    assert_eq!(socks_reply(&mut app).await, REJECTED);
    let (mut app, asked) = connect(&mut forward).await;
    let _channel = asked.accept();
    assert_eq!(socks_reply(&mut app).await, GRANTED);

    let (mut app, asked) = connect(&mut forward).await;
    assert_eq!(socks_reply(&mut app).await, GRANTED, "before the verdict");
    forward.say(&mut app, b"hello").await;
    refuse(asked);
    assert!(is_reset(&mut app).await);

    let (mut app, asked) = connect(&mut forward).await;
    refuse(asked);
    assert_eq!(socks_reply(&mut app).await, REJECTED);
}

#[tokio::test]
async fn data_after_a_socks_request_is_sent_and_counted() {
    let mut forward = Forward::new(Route::Socks).await;
    let mut app = forward.app().await;
    app.write_all(&[CONNECT, b"hello"].concat()).await.unwrap();
    let channel = forward.asked().await.accept();
    let came = channel.receive().await.unwrap();
    assert_eq!(came, Received::Data(b"hello".to_vec()));
    assert_eq!(socks_reply(&mut app).await, GRANTED);
    while forward.ingress.counters.sent.value() < 5 {
        tokio::task::yield_now().await;
    }
}

//! A tunnel whose connections come and go.

use adit_proto::message::connection::OpenFailureReason;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::client::Trust;
use crate::client::stand::with_trust;
use crate::net::channel::Received;
use crate::net::pair;

/// A tunnel that waits for its connections, with one forward here; and the port that it listens on.
struct Stand {
    tunnel: Tunnel,
    news: NewsReader,
    port: u16,
}

impl Stand {
    async fn new(applications: usize) -> Self {
        Self::with(applications, |listen| Forward::Local {
            listen,
            target: target(9),
        })
        .await
    }

    async fn with(applications: usize, forward: impl Fn(ListenSpec) -> Forward) -> Self {
        let (client, _server) = logged_in().await;
        let bounds = WaitingBounds {
            applications,
            ..WaitingBounds::default()
        };
        let settings = client.settings().clone();
        let (tunnel, news) = Tunnel::new(settings, Lifetime::Unlimited, bounds);
        let (any_local, port) = local().await;
        let forward = forward(any_local.listen().clone());
        tunnel.forward(&forward).await.unwrap();
        Self { tunnel, news, port }
    }

    /// A new connection; its server.
    async fn connect(&self) -> Server {
        let (client, server) = logged_in().await;
        self.tunnel.set_uplink(client);
        server
    }

    /// Ends the connection, and waits until the tunnel knows.
    async fn cut(&mut self, server: &Server) {
        server.handle.end("enough");
        let lost = timeout(LIMIT, self.news.next()).await.unwrap();
        assert!(matches!(lost, News::Lost(Ended::Protocol(_))), "{lost:?}");
    }

    /// An application that has connected, and the number of those that wait by then.
    async fn app(&self, waiting: usize) -> TcpStream {
        let app = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        self.until(|status| waits(status) == Some(waiting)).await;
        app
    }

    async fn until(&self, is_so: impl Fn(&TunnelStatus) -> bool) {
        let waiting = async {
            while !is_so(&self.tunnel.status()) {
                tokio::task::yield_now().await;
            }
        };
        let limit = timeout(LIMIT, waiting).await;
        limit.unwrap_or_else(|_| panic!("{:?}", self.tunnel.status()));
    }

    fn carried(&self) -> crate::status::Carried {
        self.tunnel.status().forwards[0].carried
    }
}

/// Number of those that wait, where there is no connection.
fn waits(status: &TunnelStatus) -> Option<usize> {
    match status.uplink {
        UplinkStatus::Down { waiting, .. } => Some(waiting),
        _ => None,
    }
}

/// Accepts the next channel at the server, and checks that what the application says comes through it.
async fn greeted(app: &mut TcpStream, server: &mut Server) {
    let asked = timeout(LIMIT, pair::asked(&mut server.incoming));
    let channel = asked.await.unwrap().accept();
    app.write_all(b"hello").await.unwrap();
    let came = channel.receive().await.unwrap();
    assert_eq!(came, Received::Data(b"hello".to_vec()));
    channel.send(b"welcome").await.unwrap();
    let mut answer = [0; 7];
    app.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"welcome");
}

/// Both ends of such a close tell the application no more than that.
async fn is_closed(app: &mut TcpStream) -> bool {
    let end = timeout(LIMIT, app.read(&mut [0])).await.unwrap();
    matches!(end, Ok(0) | Err(_))
}

#[tokio::test]
async fn an_uplink_that_goes_and_comes_lets_those_who_waited_go_on() {
    let mut stand = Stand::new(8).await;
    let mut early = stand.app(1).await;
    let mut server = stand.connect().await;
    greeted(&mut early, &mut server).await;
    assert_eq!(stand.carried().opened, 1);

    stand.cut(&server).await;
    assert!(
        is_closed(&mut early).await,
        "it was carried by what is gone"
    );
    let mut late = stand.app(1).await;
    let mut server = stand.connect().await;
    greeted(&mut late, &mut server).await;
    let carried = stand.carried();
    assert_eq!((carried.opened, carried.failed), (2, 0));
    assert_eq!(carried.sent_bytes, 10, "counters go on");
    let mut next = TcpStream::connect(("127.0.0.1", stand.port)).await.unwrap();
    greeted(&mut next, &mut server).await;
}

#[tokio::test]
async fn an_uplink_that_goes_and_comes_finds_what_was_said_meanwhile() {
    let mut stand = Stand::new(8).await;
    let mut app = stand.app(1).await;
    app.write_all(b"all of it").await.unwrap();
    app.shutdown().await.unwrap();
    let mut server = stand.connect().await;
    let channel = pair::asked(&mut server.incoming).await.accept();
    let came = channel.receive().await.unwrap();
    assert_eq!(came, Received::Data(b"all of it".to_vec()));
    channel.taken(9);
    assert_eq!(channel.receive().await.unwrap(), Received::Eof);
    stand.cut(&server).await;
}

#[tokio::test]
async fn application_beyond_the_bound_is_refused() {
    let stand = Stand::new(1).await;
    let mut first = stand.app(1).await;
    let mut second = TcpStream::connect(("127.0.0.1", stand.port)).await.unwrap();
    assert!(is_closed(&mut second).await);
    assert_eq!(stand.carried().failed, 1);
    assert_eq!(waits(&stand.tunnel.status()), Some(1));
    let mut server = stand.connect().await;
    greeted(&mut first, &mut server).await;
}

#[tokio::test]
async fn application_that_waits_too_long_is_refused() {
    let stand = Stand::new(1).await;
    let mut app = stand.app(1).await;
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    assert_eq!(app.read(&mut [0]).await.unwrap(), 0);
    assert!(begun.elapsed() >= WaitingBounds::default().time);
    assert_eq!(stand.carried().failed, 1);
    assert_eq!(waits(&stand.tunnel.status()), Some(0));
}

#[tokio::test]
async fn application_that_goes_away_frees_its_place() {
    let stand = Stand::new(1).await;
    let reset = stand.app(1).await;
    let at_once = Some(std::time::Duration::ZERO);
    socket2::SockRef::from(&reset).set_linger(at_once).unwrap();
    drop(reset);
    stand.until(|status| waits(status) == Some(0)).await;
    // Of one that has ended its direction nobody knows whether it still listens.
    let mut may_listen = stand.app(1).await;
    may_listen.shutdown().await.unwrap();
    // Its place is free as soon as that is known.
    let mut other = loop {
        let mut other = TcpStream::connect(("127.0.0.1", stand.port)).await.unwrap();
        let closed = is_closed(&mut other);
        let settled = stand.until(|status| waits(status) == Some(2));
        tokio::select! {
            _ = closed => {}
            () = settled => break other,
        }
    };
    let mut server = stand.connect().await;
    for _ in 0..2 {
        let channel = pair::asked(&mut server.incoming).await.accept();
        channel.send(b"both").await.unwrap();
        tokio::spawn(async move { channel.receive().await });
    }
    for app in [&mut may_listen, &mut other] {
        let mut answer = [0; 4];
        app.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"both");
    }
}

#[tokio::test]
async fn application_that_closes_its_unix_socket_frees_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let stand = Stand::with(1, |_| Forward::Local {
        listen: ListenSpec::Unix(path.clone()),
        target: target(9),
    })
    .await;
    let app = tokio::net::UnixStream::connect(&path).await.unwrap();
    stand.until(|status| waits(status) == Some(1)).await;
    drop(app);
    stand.until(|status| waits(status) == Some(0)).await;
    assert_eq!(stand.carried().failed, 1);
}

/// SOCKS4: to port 80 of 127.0.0.1, and its two answers.
const CONNECT: &[u8] = b"\x04\x01\0\x50\x7f\0\0\x01\0";
const GRANTED: [u8; 8] = *b"\0\x5a\0\0\0\0\0\0";
const REJECTED: [u8; 8] = *b"\0\x5b\0\0\0\0\0\0";

#[tokio::test]
async fn socks_is_answered_once_there_is_a_connection_or_will_be_none() {
    let stand = Stand::with(8, |listen| Forward::Dynamic { listen }).await;
    let mut apps = Vec::new();
    for _ in 0..2 {
        let mut app = TcpStream::connect(("127.0.0.1", stand.port)).await.unwrap();
        app.write_all(CONNECT).await.unwrap();
        apps.push(app);
    }
    stand.until(|status| waits(status) == Some(2)).await;
    let mut server = stand.connect().await;
    // In any order.
    let mut channels = Vec::new();
    for _ in &apps {
        channels.push(pair::asked(&mut server.incoming).await.accept());
    }
    for app in &mut apps {
        assert_eq!(reply(app).await, GRANTED);
    }
    stand.tunnel.lost("no route to host");
    let mut late = TcpStream::connect(("127.0.0.1", stand.port)).await.unwrap();
    late.write_all(CONNECT).await.unwrap();
    stand.until(|status| waits(status) == Some(1)).await;
    stand.tunnel.end();
    assert_eq!(reply(&mut late).await, REJECTED);
}

async fn reply(app: &mut TcpStream) -> [u8; 8] {
    let mut reply = [0; 8];
    timeout(LIMIT, app.read_exact(&mut reply))
        .await
        .unwrap()
        .unwrap();
    reply
}

#[tokio::test]
async fn remote_forwards_are_asked_for_again_on_each_connection() {
    let mut stand = Stand::new(1).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let states = |stand: &Stand| -> Vec<ForwardState> {
        let forwards = stand.tunnel.status().forwards.into_iter();
        forwards.skip(1).map(|f| f.state).collect()
    };
    for port in [0, 2222] {
        let forward = remote(port, port_of(&listener));
        let requested = stand.tunnel.request(&forward).await.unwrap();
        assert!(matches!(requested, Requested::Asked(_)));
    }
    assert_eq!(
        states(&stand),
        [ForwardState::Waiting, ForwardState::Waiting]
    );
    let up = |allocated_port| ForwardState::Up { allocated_port };
    for allocated in [1001, 1002] {
        let mut server = stand.connect().await;
        for port in [0, 2222] {
            assert_eq!(server.asked().await, port);
        }
        server.answer(Ok(Some(allocated)));
        server.answer(Ok(None));
        assert_eq!(outcome(&mut stand.news).await.unwrap(), Some(allocated));
        assert_eq!(outcome(&mut stand.news).await.unwrap(), None);
        assert_eq!(states(&stand), [up(Some(allocated)), up(None)]);
        for port in [allocated, 2222] {
            assert!(server.announce(port).await);
        }
        stand.cut(&server).await;
    }
    let opened = |f: &crate::status::ForwardStatus| f.carried.opened;
    let forwards = stand.tunnel.status().forwards;
    assert_eq!(forwards[1..].iter().map(opened).collect::<Vec<_>>(), [2, 2]);
}

/// One that has been up stays; one that never was is none.
#[tokio::test]
async fn refusal_on_a_later_connection_leaves_a_forward_for_the_next() {
    let mut stand = Stand::new(1).await;
    let mut server = stand.connect().await;
    stand.tunnel.request(&remote(1, 9)).await.unwrap();
    server.asked().await;
    server.answer(Ok(None));
    outcome(&mut stand.news).await.unwrap();
    stand.cut(&server).await;

    stand.tunnel.request(&remote(2, 9)).await.unwrap();
    let mut server = stand.connect().await;
    for port in [1, 2] {
        assert_eq!(server.asked().await, port);
        server.answer(Err(RequestRefused));
        outcome(&mut stand.news).await.unwrap_err();
    }
    let forwards = stand.tunnel.status().forwards;
    assert_eq!(forwards.len(), 2);
    let ForwardState::Refused { why } = &forwards[1].state else {
        panic!("{forwards:?}");
    };
    assert!(why.starts_with("remote port forwarding failed"), "{why}");
    stand.cut(&server).await;
    let mut server = stand.connect().await;
    assert_eq!(server.asked().await, 1);
}

#[tokio::test]
async fn forward_that_is_waited_for_is_asked_for_by_the_connection_that_comes() {
    let mut stand = Stand::new(1).await;
    let waiting = tokio::spawn({
        let tunnel = stand.tunnel.clone();
        async move { tunnel.forward(&remote(2222, 9)).await }
    });
    let mut unheard = stand.connect().await;
    assert_eq!(unheard.asked().await, 2222);
    stand.cut(&unheard).await;
    let mut server = stand.connect().await;
    assert_eq!(server.asked().await, 2222);
    server.answer(Ok(None));
    let started = timeout(LIMIT, waiting).await.unwrap().unwrap().unwrap();
    assert_eq!(started.label, "forward -R 2222 → 127.0.0.1:9");
}

#[tokio::test]
async fn connection_with_an_untrusted_host_key_carries_nothing() {
    let stand = Stand::new(1).await;
    let mut app = stand.app(1).await;
    let (client, mut server) = with_trust(Trust::NoForwarding).await;
    stand.tunnel.set_uplink(client);
    let refused = stand.tunnel.forward(&remote(1, 9)).await;
    assert!(matches!(refused, Err(ForwardError::NotTrusted)));
    // The next one is a right one again, and ends it.
    let mut trusted = stand.connect().await;
    greeted(&mut app, &mut trusted).await;
    while let Some(event) = timeout(LIMIT, server.incoming.recv()).await.unwrap() {
        assert!(!matches!(event, crate::net::Incoming::Open(_)));
    }
}

#[tokio::test]
async fn connection_that_takes_over_ends_the_one_before() {
    let stand = Stand::new(1).await;
    let mut before = stand.connect().await;
    let mut after = stand.connect().await;
    while timeout(LIMIT, before.incoming.recv())
        .await
        .unwrap()
        .is_some()
    {}
    let mut app = TcpStream::connect(("127.0.0.1", stand.port)).await.unwrap();
    greeted(&mut app, &mut after).await;
    assert!(matches!(stand.tunnel.status().uplink, UplinkStatus::Up(_)));
}

#[tokio::test]
async fn application_is_refused_by_the_server_as_ever() {
    let stand = Stand::new(1).await;
    let mut server = stand.connect().await;
    let mut app = TcpStream::connect(("127.0.0.1", stand.port)).await.unwrap();
    let asked = pair::asked(&mut server.incoming).await;
    asked.refuse(OpenFailureReason::CONNECT_FAILED, "Connection refused");
    assert!(is_closed(&mut app).await);
    assert_eq!(stand.carried().failed, 1);
}

#[tokio::test]
async fn status_is_plain_data() {
    let stand = Stand::new(1).await;
    stand.tunnel.lost("connect to host: no route");
    let UplinkStatus::Down { why, waiting } = stand.tunnel.status().uplink else {
        panic!("there is no connection");
    };
    assert_eq!((why.as_str(), waiting), ("connect to host: no route", 0));
    assert_eq!(
        stand.tunnel.status().forwards[0].state,
        ForwardState::Up {
            allocated_port: None
        }
    );
}

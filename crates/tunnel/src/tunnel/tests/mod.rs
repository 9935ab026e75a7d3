//! A tunnel whose server answers late, out of what it announces, or not at all.

mod uplink;

use adit_proto::connection::RequestRefused;
use adit_proto::message::connection::GlobalRequest;
use tokio::net::TcpListener;

use super::*;
use crate::client::silence;
use crate::client::stand::{LIMIT, Server, logged_in};
use crate::config::spec::{BindAddress, Endpoint, ListenSpec};
use crate::status::ForwardState;

const KEY_OPTIONS: &str = "/home/u/.ssh/authorized_keys:1: key options: port-forwarding";

/// A tunnel over a connection whose server is the test.
async fn tunnel() -> (Tunnel, NewsReader, Server) {
    let (client, server) = logged_in().await;
    let (tunnel, news) = Tunnel::over(client);
    (tunnel, news, server)
}

fn listen(port: u16) -> ListenSpec {
    ListenSpec::Tcp {
        bind: BindAddress::Default,
        port,
    }
}

fn target(port: u16) -> Endpoint {
    Endpoint::Tcp {
        host: "127.0.0.1".into(),
        port,
    }
}

/// `-R port:127.0.0.1:target`.
fn remote(port: u16, to: u16) -> Forward {
    Forward::Remote {
        listen: listen(port),
        target: target(to),
    }
}

/// `-L port:127.0.0.1:9`, on a port that is free.
async fn local() -> (Forward, u16) {
    let port = port_of(&TcpListener::bind("127.0.0.1:0").await.unwrap());
    let forward = Forward::Local {
        listen: ListenSpec::Tcp {
            bind: BindAddress::Host("127.0.0.1".into()),
            port,
        },
        target: target(9),
    };
    (forward, port)
}

fn port_of(listener: &TcpListener) -> u16 {
    listener.local_addr().unwrap().port()
}

/// Requests a remote forward, and waits until the server has heard of it.
async fn request(tunnel: &Tunnel, server: &mut Server, forward: &Forward) -> ForwardId {
    let requested = tunnel.request(forward).await.unwrap();
    server.asked().await;
    match requested {
        Requested::Asked(id) => id,
        Requested::Up(started) => panic!("{started:?}"),
    }
}

/// The next answer: the port that the server chose.
async fn outcome(news: &mut NewsReader) -> Result<Option<u16>, ForwardError> {
    match timeout(LIMIT, news.next()).await.unwrap() {
        News::Forward(_, outcome) => outcome.map(|started| started.allocated_port),
        other => panic!("{other:?}"),
    }
}

/// Number of forwards that the server has not answered.
fn asked(tunnel: &Tunnel) -> usize {
    let forwards = tunnel.status().forwards.into_iter();
    forwards.filter(|f| f.state == ForwardState::Asked).count()
}

#[tokio::test]
async fn forty_forwards_are_one_round_trip() {
    let (tunnel, mut news, mut server) = tunnel().await;
    for port in 1..=40 {
        tunnel.request(&remote(port, 9)).await.unwrap();
    }
    // Were the next sent only after an answer, these would not all come.
    for port in 1..=40 {
        assert_eq!(server.asked().await, port);
    }
    (1..=40).for_each(|_| server.answer(Ok(None)));
    for _ in 1..=40 {
        outcome(&mut news).await.unwrap();
    }
    assert_eq!(asked(&tunnel), 0);
}

#[tokio::test]
async fn answers_are_taken_in_the_order_of_the_requests() {
    let (tunnel, mut news, mut server) = tunnel().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    for (port, to) in [(0, 1), (9, 1), (8, 1), (0, port_of(&listener))] {
        request(&tunnel, &mut server, &remote(port, to)).await;
    }
    server.answer(Ok(Some(1001)));
    server.answer(Err(RequestRefused));
    server.answer(Ok(None));
    server.answer(Ok(Some(1002)));
    // Right behind the answer that names its port; the target of the others refuses.
    let taken = (server.announce(1002).await, server.announce(9).await);
    assert_eq!(taken, (true, false));
    let mut chosen = Vec::new();
    while chosen.len() < 4 {
        chosen.push(outcome(&mut news).await.ok());
    }
    let expected = [Some(Some(1001)), None, Some(None), Some(Some(1002))];
    assert_eq!(chosen, expected);
    let forwards = tunnel.status().forwards;
    assert_eq!(forwards.len(), 3, "the refused one is gone");
}

#[tokio::test]
async fn forward_is_served_before_a_server_that_never_answers_does() {
    let (tunnel, mut news, mut server) = tunnel().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = port_of(&listener);
    request(&tunnel, &mut server, &remote(9, port)).await;
    // Time passes whenever nothing else happens.
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    let News::Silence(labels) = news.next().await else {
        panic!("it is silent");
    };
    tokio::time::resume();
    assert!(begun.elapsed() > SOON / 2);
    let said = silence(&labels);
    let start = format!("forward -R 9 → 127.0.0.1:{port}: the server has not answered");
    assert!(said.starts_with(&start), "{said}");
    assert!(server.announce(9).await);
    assert_eq!(asked(&tunnel), 1);
}

#[tokio::test]
async fn refused_forward_leaves_one_of_the_same_address_alone() {
    let (tunnel, mut news, mut server) = tunnel().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    for to in [port_of(&listener), 1] {
        request(&tunnel, &mut server, &remote(9, to)).await;
    }
    server.answer(Ok(None));
    server.answer(Err(RequestRefused));
    outcome(&mut news).await.unwrap();
    outcome(&mut news).await.unwrap_err();
    assert!(server.announce(9).await);
}

/// Parts of a refused forward's error that the server said between the request and its answer.
async fn said_of(words: &[&str]) -> Vec<String> {
    let (tunnel, _news, mut server) = tunnel().await;
    let refusing = async {
        server.asked().await;
        words
            .iter()
            .for_each(|text| server.handle.debug(text).unwrap());
        server.answer(Err(RequestRefused));
    };
    let forward = remote(9, 9);
    match tokio::join!(tunnel.forward(&forward), refusing).0 {
        Err(ForwardError::Refused { said, .. }) => said,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn options_of_the_login_key_are_no_reason_for_a_refusal() {
    const REASON: &str = "Server has disabled port forwarding.";
    assert!(said_of(&[KEY_OPTIONS]).await.is_empty());
    assert_eq!(said_of(&[KEY_OPTIONS, REASON]).await, [REASON]);
}

#[tokio::test]
async fn words_are_about_the_answer_behind_them() {
    let (tunnel, mut news, mut server) = tunnel().await;
    for port in [1, 2] {
        request(&tunnel, &mut server, &remote(port, 9)).await;
    }
    for text in ["first", "second"] {
        server.handle.debug(text).unwrap();
        server.answer(Err(RequestRefused));
    }
    for text in ["first", "second"] {
        match outcome(&mut news).await {
            Err(ForwardError::Refused { said, .. }) => assert_eq!(said, [text]),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_forward_is_added_and_a_status_read_while_a_client_runs() {
    let (tunnel, _news, mut server) = tunnel().await;
    let (first, first_port) = local().await;
    tunnel.forward(&first).await.unwrap();
    // From now on somebody waits for its end, and somebody else for an answer.
    let waiting = tokio::spawn({
        let tunnel = tunnel.clone();
        async move { tunnel.ended().await }
    });
    let adding = tokio::spawn({
        let tunnel = tunnel.clone();
        async move { tunnel.forward(&remote(0, 9)).await }
    });
    assert_eq!(server.asked().await, 0);
    let (second, second_port) = local().await;
    tunnel.forward(&second).await.unwrap();

    assert!(matches!(tunnel.status().uplink, UplinkStatus::Up(c) if c.host == "h"));
    let states = |tunnel: &Tunnel| {
        let forwards = tunnel.status().forwards.into_iter();
        let states = forwards.map(|f| (f.label, f.state));
        states.collect::<Vec<_>>()
    };
    let up = |allocated_port| ForwardState::Up { allocated_port };
    let expected = |remote| {
        let local = |port| format!("forward -L 127.0.0.1:{port} → 127.0.0.1:9");
        vec![
            (local(first_port), up(None)),
            ("forward -R 0 → 127.0.0.1:9".to_owned(), remote),
            (local(second_port), up(None)),
        ]
    };
    assert_eq!(states(&tunnel), expected(ForwardState::Asked));
    server.answer(Ok(Some(1001)));
    let started = timeout(LIMIT, adding).await.unwrap().unwrap().unwrap();
    assert_eq!(started.allocated_port, Some(1001));
    assert_eq!(states(&tunnel), expected(up(Some(1001))));
    tunnel.end();
    assert_eq!(timeout(LIMIT, waiting).await.unwrap().unwrap(), Ended::ByUs);
    assert!(matches!(tunnel.status().uplink, UplinkStatus::Over { .. }));
}

#[tokio::test]
async fn cancelled_local_forward_leaves_its_port_free_at_once() {
    let (tunnel, _news, _server) = tunnel().await;
    let (forward, port) = local().await;
    let started = tunnel.forward(&forward).await.unwrap();
    let address = ("127.0.0.1", port);
    assert!(TcpListener::bind(address).await.is_err());
    tunnel.cancel(started.id).await.unwrap();
    TcpListener::bind(address).await.unwrap();
    assert!(tunnel.status().forwards.is_empty());
    let again = tunnel.cancel(started.id).await.unwrap_err();
    assert_eq!(again.to_string(), "the tunnel has no forward 1");
}

/// A cancelled forward is served until the server says that it listens no more.
#[tokio::test]
async fn cancelled_remote_forward_ends_with_the_server_s_answer() {
    let (tunnel, _news, mut server) = tunnel().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let forward = remote(0, port_of(&listener));
    let starting = async {
        server.asked().await;
        server.answer(Ok(Some(1001)));
    };
    let (started, ()) = tokio::join!(tunnel.forward(&forward), starting);
    let id = started.unwrap().id;
    let cancelled = async {
        let request = server.request().await;
        let expected = GlobalRequest::CancelTcpipForward {
            address_to_bind: "localhost".into(),
            port: 1001,
        };
        assert_eq!(request, expected);
        assert!(server.announce(1001).await);
        server.answer(Ok(None));
    };
    tokio::join!(tunnel.cancel(id), cancelled).0.unwrap();
    assert!(!server.announce(1001).await);
}

#[tokio::test]
async fn forward_that_is_cancelled_before_its_answer_is_cancelled_behind_it() {
    let (tunnel, mut news, mut server) = tunnel().await;
    let id = request(&tunnel, &mut server, &remote(0, 9)).await;
    let cancelling = tunnel.cancel(id);
    let answering = async {
        server.answer(Ok(Some(1001)));
        let request = server.request().await;
        assert!(matches!(
            request,
            GlobalRequest::CancelTcpipForward { port: 1001, .. }
        ));
        server.answer(Err(RequestRefused));
    };
    let error = tokio::join!(cancelling, answering).0.unwrap_err();
    assert!(matches!(error, ForwardError::NotCancelled { .. }));
    assert!(!server.announce(1001).await);
    // Nothing of it was news.
    tunnel.end();
    assert!(matches!(news.next().await, News::Ended(Ended::ByUs)));
}

#[tokio::test]
async fn tunnel_ends_with_its_connection_and_takes_its_listeners_along() {
    let (tunnel, mut news, server) = tunnel().await;
    let (forward, port) = local().await;
    tunnel.forward(&forward).await.unwrap();
    server.handle.end("enough");
    assert!(matches!(
        timeout(LIMIT, news.next()).await.unwrap(),
        News::Ended(Ended::Protocol(_))
    ));
    let late = tunnel.forward(&remote(9, 9)).await;
    assert!(matches!(late, Err(ForwardError::Ended(_))));
    while TcpListener::bind(("127.0.0.1", port)).await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn connection_ends_with_the_last_handle_to_its_tunnel() {
    let (tunnel, news, server) = tunnel().await;
    let other = tunnel.clone();
    drop(tunnel);
    assert!(matches!(other.status().uplink, UplinkStatus::Up(_)));
    drop(other);
    drop(news);
    let mut incoming = server.incoming;
    while timeout(LIMIT, incoming.recv()).await.unwrap().is_some() {}
}

//! A server that answers late, out of what it announces, or not at all.

use std::time::Duration;

use adit_proto::message::connection::{ChannelType, TcpAddresses};
use adit_proto::userauth::client::ClientAuthEvent;
use tokio::net::TcpListener;
use tokio::sync::mpsc::Receiver;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::*;
use crate::client::{ClientSettings, Trust};
use crate::config::spec::Endpoint;
use crate::config::ssh_config::ClientOptions;
use crate::forward::registry::Registry;
use crate::net::pair::ends;
use crate::net::{Handle, Incoming};

const KEY_OPTIONS: &str = "/home/u/.ssh/authorized_keys:1: key options: port-forwarding";
/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(20);

/// The server's end of a connection.
struct Server {
    handle: Handle,
    incoming: Receiver<Incoming>,
}

impl Server {
    /// Waits for the next request; the port that it names.
    async fn asked(&mut self) -> u16 {
        loop {
            match timeout(LIMIT, self.incoming.recv()).await.unwrap().unwrap() {
                Incoming::Global {
                    request: GlobalRequest::TcpipForward { port, .. },
                    ..
                } => return port,
                Incoming::Global { .. } => panic!("another request"),
                _ => {}
            }
        }
    }

    fn answer(&self, reply: Result<Option<u16>, RequestRefused>) {
        self.handle.reply_global(reply).unwrap();
    }

    /// Announces a connection that came to a port; true if the client takes it.
    async fn announce(&self, port: u16) -> bool {
        let addresses = TcpAddresses {
            host: "localhost".into(),
            port,
            originator_address: "127.0.0.1".into(),
            originator_port: 2,
        };
        let opening = self.handle.open(ChannelType::ForwardedTcpip(addresses));
        timeout(LIMIT, opening).await.unwrap().is_ok()
    }
}

/// A client that is logged in, and its server.
async fn logged_in() -> (Client, Server) {
    let ((handle, mut incoming), (server, mut requests)) = ends();
    let let_in = async {
        while !matches!(requests.recv().await, Some(Incoming::AuthRequest(_))) {}
        server.accept_user().unwrap();
    };
    let log_in = async {
        loop {
            match incoming.recv().await.unwrap() {
                Incoming::HostKey(_) => handle.accept_host_key(),
                Incoming::Auth(ClientAuthEvent::Success) => break,
                _ => {}
            }
        }
    };
    tokio::join!(let_in, log_in);
    let options = ClientOptions::default();
    let settings = ClientSettings::new("h", "u", "/nonexistent".into(), options);
    let client = Client {
        settings: Arc::new(settings),
        handle,
        incoming,
        hops: Vec::new(),
        trust: Trust::Full,
        listening: JoinSet::new(),
        remote: Registry::default(),
        forwards: Vec::new(),
        dials: Arc::default(),
        asks: Asks::default(),
    };
    let server = Server {
        handle: server,
        incoming: requests,
    };
    (client, server)
}

/// `-R port:127.0.0.1:target`.
fn forward(port: u16, target: u16) -> Forward {
    Forward::Remote {
        listen: ListenSpec::Tcp {
            bind: BindAddress::Default,
            port,
        },
        target: Endpoint::Tcp {
            host: "127.0.0.1".into(),
            port: target,
        },
    }
}

/// The next answer: the port that the server chose.
async fn outcome(client: &mut Client) -> Result<Option<u16>, ForwardError> {
    match timeout(LIMIT, client.news()).await.unwrap() {
        News::Forward(_, outcome) => outcome.map(|started| started.allocated_port),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn forty_forwards_are_one_round_trip() {
    let (mut client, mut server) = logged_in().await;
    for port in 1..=40 {
        client.request(&forward(port, 9)).await.unwrap();
    }
    // Were the next sent only after an answer, these would not all come.
    for port in 1..=40 {
        assert_eq!(server.asked().await, port);
    }
    (1..=40).for_each(|_| server.answer(Ok(None)));
    for _ in 1..=40 {
        outcome(&mut client).await.unwrap();
    }
    assert_eq!(client.awaited(), 0);
}

#[tokio::test]
async fn answers_are_taken_in_the_order_of_the_requests() {
    let (mut client, mut server) = logged_in().await;
    let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = target.local_addr().unwrap().port();
    for (port, target) in [(0, 1), (9, 1), (8, 1), (0, target)] {
        client.request(&forward(port, target)).await.unwrap();
        server.asked().await;
    }
    server.answer(Ok(Some(1001)));
    server.answer(Err(RequestRefused));
    server.answer(Ok(None));
    server.answer(Ok(Some(1002)));
    // Right behind the answer that names its port; the target of the others refuses.
    let announced = async { (server.announce(1002).await, server.announce(9).await) };
    let mut chosen = Vec::new();
    let heard = async {
        while chosen.len() < 4 {
            chosen.push(outcome(&mut client).await.ok());
        }
        client.run().await
    };
    let taken = tokio::select! {
        taken = announced => taken,
        ended = heard => panic!("{ended}"),
    };
    assert_eq!(taken, (true, false));
    let expected = [Some(Some(1001)), None, Some(None), Some(Some(1002))];
    assert_eq!(chosen, expected);
    assert_eq!(client.status().len(), 3, "the refused one is gone");
}

#[tokio::test]
async fn forward_is_served_before_a_server_that_never_answers_does() {
    let (mut client, mut server) = logged_in().await;
    let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = target.local_addr().unwrap().port();
    client.request(&forward(9, port)).await.unwrap();
    server.asked().await;
    client.asks.patience = Some(Instant::now());
    let News::Silence(labels) = client.news().await else {
        panic!("it is silent");
    };
    let said = silence(&labels);
    let start = format!("forward -R 9 → 127.0.0.1:{port}: the server has not answered");
    assert!(said.starts_with(&start), "{said}");
    let taken = tokio::select! {
        taken = server.announce(9) => taken,
        ended = client.run() => panic!("{ended}"),
    };
    assert!(taken);
    assert_eq!(client.awaited(), 1);
}

#[tokio::test]
async fn refused_forward_leaves_one_of_the_same_address_alone() {
    let (mut client, mut server) = logged_in().await;
    let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = target.local_addr().unwrap().port();
    for target in [port, 1] {
        client.request(&forward(9, target)).await.unwrap();
        server.asked().await;
    }
    server.answer(Ok(None));
    server.answer(Err(RequestRefused));
    outcome(&mut client).await.unwrap();
    outcome(&mut client).await.unwrap_err();
    let taken = tokio::select! {
        taken = server.announce(9) => taken,
        ended = client.run() => panic!("{ended}"),
    };
    assert!(taken);
}

/// What a refused forward's error holds of what a server said between the request and its answer.
async fn said_of(words: &[&str]) -> Vec<String> {
    let (mut client, mut server) = logged_in().await;
    let refusing = async {
        server.asked().await;
        words
            .iter()
            .for_each(|text| server.handle.debug(text).unwrap());
        server.answer(Err(RequestRefused));
    };
    let forward = forward(9, 9);
    match tokio::join!(client.forward(&forward), refusing).0 {
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
    let (mut client, mut server) = logged_in().await;
    for port in [1, 2] {
        client.request(&forward(port, 9)).await.unwrap();
        server.asked().await;
    }
    for text in ["first", "second"] {
        server.handle.debug(text).unwrap();
        server.answer(Err(RequestRefused));
    }
    for text in ["first", "second"] {
        match outcome(&mut client).await {
            Err(ForwardError::Refused { said, .. }) => assert_eq!(said, [text]),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn only_another_listen_address_is_worth_a_warning() {
    let notice = "Forwarding listen address \"a\" overridden by server GatewayPorts";
    assert_eq!(loudness(notice), Level::Warn);
    assert_eq!(loudness(KEY_OPTIONS), Level::Debug);
    assert_eq!(loudness("hello"), Level::Debug);
}

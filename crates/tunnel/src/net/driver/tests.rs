//! Bursts: more requests than may wait for the owner at once.

use adit_proto::message::connection::{ChannelType, GlobalRequest};

use super::super::incoming::INCOMING;
use super::super::pair::{Pair, asked};
use super::*;

/// More than the owner's queue holds, as a client sends them that was stopped for a while.
const BURST: usize = 3 * INCOMING;

fn path() -> ChannelType {
    ChannelType::DirectStreamLocal {
        socket_path: "/target".into(),
    }
}

#[tokio::test]
async fn burst_of_opens_waits_and_is_served() {
    let (client, _server, mut incoming) = Pair::new().await.into_client_and_server();
    let burst: Vec<_> = (0..BURST)
        .map(|_| client.begin_open(path()).unwrap())
        .collect();

    let mut served = Vec::new();
    for _ in 0..BURST {
        served.push(asked(&mut incoming).await.accept());
    }
    for (_channel, mut verdict) in burst {
        verdict.given().await.unwrap();
    }
}

#[tokio::test]
async fn burst_of_global_requests_waits_and_is_answered() {
    let (client, server, mut incoming) = Pair::new().await.into_client_and_server();
    let ask = |n| {
        let client = client.clone();
        let request = GlobalRequest::StreamLocalForward {
            socket_path: format!("/{n}"),
        };
        tokio::spawn(async move { client.ask_global(request).await })
    };
    let burst: Vec<_> = (0..BURST).map(ask).collect();

    for _ in 0..BURST {
        let event = incoming.recv().await.unwrap();
        assert!(matches!(event, Incoming::Global { .. }));
        server.reply_global(Ok(None)).unwrap();
    }
    for answer in burst {
        assert_eq!(answer.await.unwrap(), Ok(Ok(None)));
    }
}

#[tokio::test]
async fn owner_that_has_gone_holds_up_nobody() {
    let (client, _server, incoming) = Pair::new().await.into_client_and_server();
    drop(incoming);
    for _ in 0..BURST {
        let (_channel, mut verdict) = client.begin_open(path()).unwrap();
        assert!(verdict.given().await.is_err());
    }
}

#[tokio::test]
async fn news_that_nobody_takes_stops_no_connection() {
    let mut pair = Pair::new().await;
    let (theirs, ours) = pair.open().await;
    let counters = Arc::default();
    let (app, _application) = tokio::net::UnixStream::pair().unwrap();
    ours.attach(Arc::new(app.into()), counters);
    for _ in 0..2 * INCOMING {
        pair.client.debug("news").unwrap();
        tokio::task::yield_now().await;
    }
    theirs.send(b"hello").await.unwrap();
    // Would wait for ever behind them.
    pair.settle().await;
}

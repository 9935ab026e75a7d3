//! Tests of bursts: more requests at once than the owner's queue holds.

use adit_proto::connection::{GlobalReply, RequestRefused};
use adit_proto::message::connection::{ChannelType, GlobalRequest};

use super::super::incoming::INCOMING;
use super::super::pair::{Pair, asked};
use super::super::{Inbox, Incoming, PendingReply};
use super::*;

/// More than the owner's queue holds, as from a client that was stopped for a while.
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
    let (client, _server, mut incoming) = Pair::new().await.into_client_and_server();
    let ask = |n| {
        let client = client.clone();
        let request = GlobalRequest::StreamLocalForward {
            socket_path: format!("/{n}"),
        };
        tokio::spawn(async move { client.global_request(request).await })
    };
    let burst: Vec<_> = (0..BURST).map(ask).collect();

    for _ in 0..BURST {
        let Some(Incoming::GlobalRequest(asked)) = incoming.recv().await else {
            panic!("no request");
        };
        asked.reply.unwrap().send(Ok(None)).unwrap();
    }
    for answer in burst {
        assert_eq!(answer.await.unwrap(), Ok(Ok(None)));
    }
}

#[tokio::test]
async fn owner_that_is_gone_delays_nothing() {
    let (client, _server, incoming) = Pair::new().await.into_client_and_server();
    drop(incoming);
    for _ in 0..BURST {
        let (_channel, mut verdict) = client.begin_open(path()).unwrap();
        assert!(verdict.given().await.is_err());
    }
}

#[tokio::test]
async fn events_that_the_owner_does_not_take_stop_no_connection() {
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
    // Would wait forever after them.
    pair.settle().await;
}

/// The pending replies to this many requests, and the client's tasks that wait for them.
async fn asked_for(
    client: &Handle,
    incoming: &mut Inbox,
    requests: usize,
) -> (
    Vec<PendingReply>,
    Vec<tokio::task::JoinHandle<Result<GlobalReply, Ended>>>,
) {
    let (mut replies, mut waiting) = (Vec::new(), Vec::new());
    for _ in 0..requests {
        let client = client.clone();
        waiting.push(tokio::spawn(async move {
            let socket_path = "/target".into();
            let request = GlobalRequest::StreamLocalForward { socket_path };
            client.global_request(request).await
        }));
        while replies.len() < waiting.len() {
            if let Some(Incoming::GlobalRequest(asked)) = incoming.recv().await {
                replies.extend(asked.reply);
            }
        }
    }
    (replies, waiting)
}

#[tokio::test]
async fn dropped_reply_refuses_its_request_in_order() {
    let (client, _server, mut incoming) = Pair::new().await.into_client_and_server();
    let (mut replies, waiting) = asked_for(&client, &mut incoming, 3).await;
    for answer in [Some(Ok(Some(3))), None, Some(Ok(Some(1)))] {
        let reply = replies.pop().unwrap();
        if let Some(answer) = answer {
            reply.send(answer).unwrap();
        }
    }
    let mut answers = Vec::new();
    for waiting in waiting {
        answers.push(waiting.await.unwrap().unwrap());
    }
    assert_eq!(answers, [Ok(Some(1)), Err(RequestRefused), Ok(Some(3))]);
}

#[tokio::test]
async fn request_without_an_owner_is_refused() {
    let (client, _server, incoming) = Pair::new().await.into_client_and_server();
    drop(incoming);
    let socket_path = "/target".into();
    let request = GlobalRequest::StreamLocalForward { socket_path };
    let refused = client.global_request(request).await;
    assert_eq!(refused, Ok(Err(RequestRefused)));
}

#[tokio::test]
async fn dropped_reply_after_the_end_sends_nothing() {
    let (client, server, mut incoming) = Pair::new().await.into_client_and_server();
    let (replies, _waiting) = asked_for(&client, &mut incoming, 1).await;
    server.end("the test is over");
    drop(replies);
    assert!(!server.inspect(Connection::has_transmit));
}

//! Global requests and their answers.

use std::time::Duration;

use adit_proto::connection::{Event, RequestRefused};
use adit_proto::message::connection::GlobalRequest;

use super::pair::{Pair, Setup};

fn listen(port: u16) -> GlobalRequest {
    GlobalRequest::TcpipForward {
        address_to_bind: "localhost".into(),
        port,
    }
}

fn replies(pair: &Pair) -> Vec<Result<Option<u16>, RequestRefused>> {
    let replies = pair.client.log.iter().filter_map(|event| match event {
        Event::GlobalReply(reply) => Some(*reply),
        _ => None,
    });
    replies.collect()
}

/// RFC 4254 §4: answers have the order of the questions.
#[test]
fn request_that_is_refused_at_once_is_answered_behind_one_that_takes_long() {
    let mut pair = Setup::default().connect();
    let other = GlobalRequest::Other("unknown@example.com".into());
    for request in [listen(0), other, listen(80)] {
        pair.client.connection().ask_global(request).unwrap();
    }
    pair.run_for(Duration::from_secs(1));
    assert_eq!(replies(&pair), []);
    let server = pair.server.connection();
    server.reply_global(Ok(Some(40_000))).unwrap();
    server.reply_global(Ok(None)).unwrap();
    pair.run_for(Duration::from_secs(1));
    let expected = [Ok(Some(40_000)), Err(RequestRefused), Ok(None)];
    assert_eq!(replies(&pair), expected);
}

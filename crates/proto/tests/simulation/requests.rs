//! Global requests and their answers.

use std::time::Duration;

use adit_proto::connection::{Connection, Event, KeepAlive, RequestRefused};
use adit_proto::message::connection::{
    GlobalRequest, Open, OpenConfirmation, encode_request_success,
};
use adit_proto::message::number;
use adit_proto::message::transport::encode_unimplemented;
use adit_proto::transport::Transmit;

use super::pair::{Pair, Setup, direct_tcpip};

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
        pair.client
            .connection()
            .send_global_request(request)
            .unwrap();
    }
    pair.run_for(Duration::from_secs(1));
    assert_eq!(replies(&pair), []);
    let [first, third] = <[_; 2]>::try_from(std::mem::take(&mut pair.server.owed)).unwrap();
    let server = pair.server.connection();
    server.reply_global(third, Ok(None)).unwrap();
    server.reply_global(first, Ok(Some(40_000))).unwrap();
    pair.run_for(Duration::from_secs(1));
    let expected = [Ok(Some(40_000)), Err(RequestRefused), Ok(None)];
    assert_eq!(replies(&pair), expected);
}

const INTERVAL: Duration = Duration::from_secs(10);

/// A client that asks for signs of life, with no question open.
fn connected() -> Pair {
    let keep_alive = KeepAlive {
        interval: INTERVAL,
        count_max: 3,
    };
    let mut pair = Setup::default().keep_alive(keep_alive).connect();
    pair.run_for(Duration::from_secs(1));
    pair
}

/// Global requests that want to leave.
fn questions(connection: &mut Connection) -> usize {
    std::iter::from_fn(|| connection.poll_transmit())
        .filter(|t| matches!(t, Transmit::Packet(p) if p[0] == number::GLOBAL_REQUEST))
        .count()
}

/// libssh 0.7.5 does not know `keepalive@openssh.com`, and gives `tcpip-forward` to its application.
#[test]
fn question_that_the_peer_does_not_implement_takes_nobody_elses_answer() {
    for owner_first in [false, true] {
        let mut pair = connected();
        let now = pair.now + INTERVAL;
        let client = pair.client.connection();
        if owner_first {
            client.send_global_request(listen(0)).unwrap();
        }
        client.handle_timeout(now).unwrap();
        if !owner_first {
            client.send_global_request(listen(0)).unwrap();
        }
        assert_eq!(questions(client), 2);
        for answer in [
            encode_unimplemented(7),
            encode_request_success(Some(40_000)),
        ] {
            client.handle_packet(&answer, 0, now).unwrap();
        }
        let reply = Event::GlobalReply(Ok(Some(40_000)));
        assert_eq!(client.poll_event(), Some(reply));
        let unasked = encode_request_success(None);
        let refused = client.handle_packet(&unasked, 0, now).is_err();
        assert!(refused, "a question is left");
    }
}

#[test]
fn request_that_the_peer_does_not_implement_is_refused() {
    let mut pair = connected();
    let now = pair.now;
    let client = pair.client.connection();
    client.send_global_request(listen(0)).unwrap();
    let unimplemented = encode_unimplemented(7);
    for _ in 0..2 {
        client.handle_packet(&unimplemented, 0, now).unwrap();
    }
    let refused = Event::GlobalReply(Err(RequestRefused));
    assert_eq!(client.poll_event(), Some(refused));
    assert_eq!(client.poll_event(), None, "nothing was asked twice");
}

#[test]
fn peer_that_implements_no_sign_of_life_lives_on() {
    let mut pair = connected();
    let mut now = pair.now;
    let client = pair.client.connection();
    for n in 0..10_000 {
        now += INTERVAL;
        client.handle_timeout(now).unwrap();
        assert_eq!(questions(client), 1);
        client
            .handle_packet(&encode_unimplemented(n), n, now)
            .unwrap();
    }
}

#[test]
fn round_trip_is_probed_again_after_a_probe_that_the_peer_does_not_implement() {
    let mut pair = connected();
    let mut now = pair.now;
    let client = pair.client.connection();
    for sender_channel in 0..3 {
        now += Duration::from_secs(1);
        let open = Open {
            channel_type: direct_tcpip(),
            sender_channel,
            initial_window_size: 1,
            maximum_packet_size: 1,
        };
        client.handle_packet(&open.encode(), 0, now).unwrap();
        assert_eq!(questions(client), 1);
        client
            .handle_packet(&encode_unimplemented(7), 0, now)
            .unwrap();
    }
}

/// A backlog may follow the confirmation, and a later probe's answer would queue behind it.
#[test]
fn round_trip_is_probed_when_the_peer_confirms_a_channel() {
    let mut pair = connected();
    let now = pair.now + Duration::from_secs(1);
    let client = pair.client.connection();
    let id = client.channels().open(direct_tcpip(), now).unwrap();
    assert_eq!(questions(client), 0);
    let confirmation = OpenConfirmation {
        recipient_channel: id.0,
        sender_channel: 0,
        initial_window_size: 1,
        maximum_packet_size: 1,
    };
    client
        .handle_packet(&confirmation.encode(), 0, now)
        .unwrap();
    assert_eq!(questions(client), 1);
}

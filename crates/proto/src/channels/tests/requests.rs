//! Tests of channel requests: their order, their limits, and their state after the end of a channel.

use super::super::requests::{MAX_ASKED, MAX_OWED};
use super::*;
use crate::message::connection::ChannelRequest;

const SUCCESS: u8 = number::CHANNEL_SUCCESS;
const FAILURE: u8 = number::CHANNEL_FAILURE;

fn asks(id: ChannelId, request_type: &str, want_reply: bool) -> Vec<u8> {
    ChannelRequest {
        recipient_channel: id.0,
        request_type,
        want_reply,
        data: b"fields",
    }
    .encode()
}

/// An open channel whose owner accepts requests.
fn session(c: &mut Channels, now: Instant) -> ChannelId {
    let id = accepted(c, now);
    c.take_requests(id);
    id
}

/// The peer sends a request that wants a reply.
fn asked(c: &mut Channels, id: ChannelId, request_type: &str) -> ChannelReplyToken {
    let now = Instant::now();
    c.recv(&asks(id, request_type, true), now).unwrap();
    match c.poll_event() {
        Some(ChannelEvent::Request {
            request_type: name,
            reply: Some(token),
            ..
        }) if name == request_type => token,
        other => panic!("{other:?} instead of a request"),
    }
}

/// Numbers of the waiting messages.
fn sent(c: &mut Channels) -> Vec<u8> {
    std::iter::from_fn(|| c.poll_message())
        .map(|message| message[0])
        .collect()
}

fn answer(number: u8, id: ChannelId) -> Vec<u8> {
    message::encode_channel_only(number, id.0)
}

#[test]
fn replies_of_channel_requests_leave_in_order() {
    let (mut c, now) = table();
    let id = session(&mut c, now);
    let [first, second, third] = ["pty-req", "env", "shell"].map(|name| asked(&mut c, id, name));
    c.answer_request(third, RequestOutcome::Success);
    assert_eq!(sent(&mut c), [], "two before it are not answered");
    c.answer_request(first, RequestOutcome::Failure);
    assert_eq!(sent(&mut c), [FAILURE]);
    c.answer_request(second, RequestOutcome::Success);
    assert_eq!(sent(&mut c), [SUCCESS, SUCCESS]);
}

#[test]
fn request_that_wants_no_reply_is_an_event_without_a_token() {
    let (mut c, now) = table();
    let id = session(&mut c, now);
    c.recv(&asks(id, "window-change", false), now).unwrap();
    assert_eq!(
        c.poll_event(),
        Some(ChannelEvent::Request {
            id,
            request_type: "window-change".into(),
            data: b"fields".to_vec(),
            reply: None,
        })
    );
    assert_eq!(sent(&mut c), []);
}

#[test]
fn keepalive_is_answered_in_order_without_the_owner() {
    let (mut c, now) = table();
    let id = session(&mut c, now);
    c.recv(&request(id), now).unwrap();
    assert_eq!(sent(&mut c), [FAILURE]);
    let token = asked(&mut c, id, "shell");
    c.recv(&request(id), now).unwrap();
    assert_eq!(c.poll_event(), None);
    assert_eq!(sent(&mut c), [], "behind the shell");
    c.answer_request(token, RequestOutcome::Success);
    assert_eq!(sent(&mut c), [SUCCESS, FAILURE]);
}

#[test]
fn requests_of_a_forward_are_refused_at_once_and_not_stored() {
    let (mut c, now) = table();
    let id = accepted(&mut c, now);
    for _ in 0..2 * MAX_OWED {
        c.recv(&asks(id, "shell", true), now).unwrap();
        c.recv(&asks(id, "env", false), now).unwrap();
        assert_eq!(sent(&mut c), [FAILURE]);
    }
    assert_eq!(c.poll_event(), None);
    assert!(c.channel(id).unwrap().requests.is_none());
}

#[test]
fn request_with_an_invalid_name_is_refused_without_an_event() {
    let (mut c, now) = table();
    let id = session(&mut c, now);
    for name in ["a\nb".to_owned(), "x".repeat(257)] {
        c.recv(&asks(id, &name, true), now).unwrap();
        assert_eq!((c.poll_event(), sent(&mut c)), (None, vec![FAILURE]));
    }
}

#[test]
fn more_waiting_requests_than_the_limit_are_misbehaviour() {
    let (mut c, now) = table();
    let id = session(&mut c, now);
    let _tokens: Vec<_> = (0..MAX_OWED).map(|_| asked(&mut c, id, "shell")).collect();
    assert_eq!(
        c.recv(&asks(id, "shell", true), now),
        Err(Misbehaviour::AsksFasterThanItReads)
    );
}

#[test]
fn our_requests_follow_our_eof_and_not_our_close() {
    let (mut c, now) = table();
    let id = session(&mut c, now);
    c.send_eof(id);
    c.send_request(id, "exit-status", &[0; 4], WantReply::No)
        .unwrap();
    c.release(id);
    let refused = c.send_request(id, "exit-status", &[0; 4], WantReply::No);
    assert_eq!(refused, Err(RequestError::NotOpen));
    assert_eq!(
        sent(&mut c),
        [
            number::CHANNEL_EOF,
            number::CHANNEL_REQUEST,
            number::CHANNEL_CLOSE
        ]
    );
}

#[test]
fn replies_are_matched_in_order_and_others_are_misbehaviour() {
    let (mut c, now) = table();
    let id = session(&mut c, now);
    for name in ["pty-req", "shell"] {
        c.send_request(id, name, b"", WantReply::Yes).unwrap();
    }
    c.send_request(id, "env", b"", WantReply::No).unwrap();
    for (number, outcome) in [
        (FAILURE, RequestOutcome::Failure),
        (SUCCESS, RequestOutcome::Success),
    ] {
        c.recv(&answer(number, id), now).unwrap();
        assert_eq!(c.poll_event(), Some(ChannelEvent::Reply { id, outcome }));
    }
    assert_eq!(
        c.recv(&answer(SUCCESS, id), now),
        Err(Misbehaviour::UnexpectedReply)
    );
}

#[test]
fn our_requests_are_limited_in_number_and_length() {
    let (mut c, now) = table();
    let id = session(&mut c, now);
    let mut ask = |len| c.send_request(id, "exec", &vec![0; len], WantReply::Yes);
    assert_eq!(ask(300_000), Err(RequestError::TooLong));
    (0..MAX_ASKED).for_each(|_| ask(1).unwrap());
    assert_eq!(ask(1), Err(RequestError::TooMany));
}

#[test]
fn unconfirmed_channel_takes_no_request() {
    let (mut c, now) = table();
    let id = c.open(ChannelType::Session, now).unwrap();
    let refused = c.send_request(id, "shell", b"", WantReply::Yes);
    assert_eq!(refused, Err(RequestError::NotOpen));
}

#[test]
fn late_replies_are_ignored_in_both_directions() {
    let (mut c, now) = table();
    let id = session(&mut c, now);
    let token = asked(&mut c, id, "shell");
    c.send_request(id, "x", b"", WantReply::Yes).unwrap();
    c.recv(&close(id), now).unwrap();
    while c.poll_event().is_some() {}
    sent(&mut c);
    c.recv(&answer(SUCCESS, id), now).unwrap();
    assert_eq!(c.poll_event(), None, "closed");
    c.release(id);
    c.recv(&answer(SUCCESS, id), now).unwrap();

    let later = session(&mut c, now);
    assert_eq!(later, id, "the number is used again");
    let theirs = asked(&mut c, later, "shell");
    c.answer_request(token, RequestOutcome::Failure);
    assert_eq!(sent(&mut c), [], "it was for the channel before");
    c.answer_request(theirs, RequestOutcome::Success);
    assert_eq!(sent(&mut c), [SUCCESS]);
}

#[test]
fn reply_that_crosses_our_close_is_no_misbehaviour() {
    let (mut c, now) = table();
    let id = session(&mut c, now);
    c.send_request(id, "shell", b"", WantReply::Yes).unwrap();
    c.release(id);
    c.recv(&answer(SUCCESS, id), now).unwrap();
    assert_eq!(c.poll_event(), None);
    c.recv(&close(id), now).unwrap();
    assert!(c.is_empty());
}

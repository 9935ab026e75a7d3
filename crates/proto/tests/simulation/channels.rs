//! Promises of the design about channels: credit, neighbours, half-close, resets, bounds.

use std::time::Duration;

use adit_proto::channels::{PeerClose, RequestOutcome, WantReply, WindowLimits};
use adit_proto::connection::{Event, KeepAlive};
use adit_proto::error::{Error, Misbehaviour};
use adit_proto::message::{number, transport};

use super::pair::{Pace, Setup};

const MIB: u64 = 1 << 20;

#[test]
fn credit_follows_consumption() {
    let mut pair = Setup::default().connect();
    let ids = pair.open();
    pair.server.flow(ids.server).pace = Pace::Stalled;
    pair.client.flow(ids.client).to_send = 64 * MIB;
    pair.run_for(Duration::from_secs(5));
    let window = u64::from(WindowLimits::GENEROUS.initial);
    assert_eq!(pair.client.flow(ids.client).sent, window);
    pair.server.flow(ids.server).pace = Pace::Rate(10 * MIB);
    pair.run_for(Duration::from_secs(1));
    let taken = pair.server.flow(ids.server).taken;
    let sent = pair.client.flow(ids.client).sent;
    assert!(taken >= 9 * MIB, "the reader gets what it can take");
    assert!(sent <= taken + 4 * window, "{sent} sent, {taken} taken");
}

#[test]
fn stalled_channels_delay_neither_neighbour_nor_keep_alive_nor_rekeying() {
    let mut setup = Setup::default().keep_alive(KeepAlive {
        interval: Duration::from_secs(1),
        count_max: 1,
    });
    setup.client.transport.rekey.interval = Some(Duration::from_secs(2));
    let mut pair = setup.connect();
    let stalled: Vec<_> = (0..20).map(|_| pair.open()).collect();
    for ids in &stalled {
        pair.server.flow(ids.server).pace = Pace::Stalled;
        pair.client.flow(ids.client).to_send = 64 * MIB;
    }
    pair.run_for(Duration::from_secs(1));
    let neighbour = pair.open();
    let start = pair.now;
    pair.client.flow(neighbour.client).to_send = 64 * MIB;
    pair.run_until(|p| p.server.flows[&neighbour.server].received == 64 * MIB);
    assert!(pair.now - start < Duration::from_millis(200));
    pair.run_for(Duration::from_secs(10));
    assert!(pair.client.exchanges() >= 5);
    assert_eq!((&pair.client.error, &pair.server.error), (&None, &None));
}

#[test]
fn eof_ends_one_direction_and_close_after_it_is_orderly() {
    let mut pair = Setup::default().connect();
    let ids = pair.open();
    pair.client.connection().channels().send_eof(ids.client);
    pair.run_until(|p| p.server.flows[&ids.server].eof);
    pair.server.flow(ids.server).to_send = MIB;
    pair.run_until(|p| p.client.flows[&ids.client].received == MIB);
    pair.server.connection().channels().send_eof(ids.server);
    pair.server.close(ids.server);
    pair.run_until(|p| p.client.flows[&ids.client].closed == Some(PeerClose::Orderly));
    pair.client.close(ids.client);
    pair.run_for(Duration::from_secs(1));
    assert!(pair.client.connection().channels().is_empty());
    assert!(pair.server.connection().channels().is_empty());
}

#[test]
fn close_without_eof_is_a_reset_even_under_load() {
    let mut pair = Setup::default().connect();
    let ids = pair.open();
    pair.client.flow(ids.client).to_send = 1 << 40;
    pair.server.flow(ids.server).to_send = 1 << 40;
    pair.run_for(Duration::from_millis(50));
    pair.server.close(ids.server);
    pair.run_until(|p| p.client.flows[&ids.client].closed == Some(PeerClose::Reset));
    pair.client.close(ids.client);
    pair.run_for(Duration::from_secs(1));
    assert!(pair.server.connection().channels().is_empty());
    pair.open();
}

/// Both let go at the same time, at every stage of a busy channel: the other's messages are still on their way.
#[test]
fn channels_that_both_ends_let_go_of_leave_the_connection_alive() {
    let mut pair = Setup::default().connect();
    for step in 0..40 {
        let ids = pair.open();
        pair.client.flow(ids.client).to_send = 1 << 40;
        pair.server.flow(ids.server).to_send = 1 << 40;
        pair.run_for(Duration::from_micros(50 * step));
        pair.client.close(ids.client);
        pair.run_for(Duration::from_micros(step * 13 % 250));
        pair.server.close(ids.server);
    }
    pair.run_for(Duration::from_secs(1));
    assert_eq!((&pair.client.error, &pair.server.error), (&None, &None));
    assert!(pair.client.connection().channels().is_empty());
    assert!(pair.server.connection().channels().is_empty());
}

#[test]
fn peer_that_asks_and_does_not_read_is_cut_off() {
    let ping = transport::encode_ping(number::PING, &[0; 100]);
    let keep_alive = [&[number::GLOBAL_REQUEST, 0, 0, 0, 1][..], b"x", &[1]].concat();
    for question in [ping, keep_alive] {
        let mut pair = Setup::default().connect();
        let now = pair.now;
        let server = pair.server.connection();
        let refused = (0..1_000_000).find_map(|n| server.handle_packet(&question, n, now).err());
        assert_eq!(
            refused,
            Some(Error::PeerMisbehaved(Misbehaviour::AsksFasterThanItReads))
        );
        let waiting = std::iter::from_fn(|| server.poll_transmit()).count();
        assert!(waiting < 70_000, "{waiting} answers wait");
    }
}

#[test]
fn debug_text_reaches_the_other_end() {
    let mut pair = Setup::default().connect();
    pair.server.connection().debug("hello").unwrap();
    pair.run_until(|p| p.client.log.contains(&Event::Debug("hello".into())));
}

#[test]
fn stalled_reader_of_one_stream_holds_the_other_within_one_window() {
    let mut pair = Setup::default().connect();
    let ids = pair.open();
    pair.client.flow(ids.client).pace = Pace::Stalled;
    let server = pair.server.flow(ids.server);
    (server.to_send, server.stderr_to_send) = (64 * MIB, 64 * MIB);
    pair.run_for(Duration::from_secs(5));
    let server = pair.server.flow(ids.server);
    let window = u64::from(WindowLimits::GENEROUS.initial);
    assert_eq!(server.sent + server.stderr_sent, window);
    pair.client.flow(ids.client).pace = Pace::AtOnce;
    let all = |received| received == 64 * MIB;
    pair.run_until(|p| {
        let client = &p.client.flows[&ids.client];
        all(client.received) && all(client.stderr_received)
    });
}

#[test]
fn requests_keep_their_place_between_data_and_the_end() {
    let mut pair = Setup::default().connect();
    let ids = pair.open();
    let client = pair.client.connection().channels();
    for name in ["pty-req", "shell"] {
        client
            .send_request(ids.client, name, b"", WantReply::Yes)
            .unwrap();
    }
    pair.run_until(|p| p.server.flows[&ids.server].requests.len() == 2);
    let requests = std::mem::take(&mut pair.server.flow(ids.server).requests);
    // The later answer is found first.
    for (name, token) in requests.into_iter().rev() {
        let outcome = match name.as_str() {
            "shell" => RequestOutcome::Success,
            _ => RequestOutcome::Failure,
        };
        let server = pair.server.connection().channels();
        server.answer_request(token.unwrap(), outcome);
    }
    pair.server.flow(ids.server).to_send = MIB;
    pair.run_until(|p| p.client.flows[&ids.client].received == MIB);
    let replies = &pair.client.flows[&ids.client].replies;
    assert_eq!(
        replies[..],
        [RequestOutcome::Failure, RequestOutcome::Success]
    );

    pair.client
        .connection()
        .channels()
        .take_requests(ids.client);
    let server = pair.server.connection().channels();
    server.send_eof(ids.server);
    server
        .send_request(ids.server, "exit-status", &[0; 4], WantReply::No)
        .unwrap();
    pair.server.close(ids.server);
    pair.run_until(|p| p.client.flows[&ids.client].closed == Some(PeerClose::Orderly));
    let requests = &pair.client.flows[&ids.client].requests;
    assert_eq!(requests[..], [("exit-status".to_owned(), None)]);
}

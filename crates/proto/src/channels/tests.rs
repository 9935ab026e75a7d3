//! Tests of the table with scripted peers: each is a short conversation.

use super::interactive::{AFTER_ITS_END, INTERACTIVE, SHARING_LASTS};
use super::window::Sharing;
use super::*;
use crate::message::connection::TcpAddresses;

mod early;
mod requests;
mod streams;

fn table() -> (Channels, Instant) {
    (
        Channels::new(
            WindowLimits::OPENSSH,
            PLAIN_PACKET_SIZE,
            WindowPool::new(u64::MAX),
        ),
        Instant::now(),
    )
}

fn tcp() -> ChannelType {
    ChannelType::DirectTcpip(TcpAddresses {
        host: "db".into(),
        port: 5432,
        originator_address: "127.0.0.1".into(),
        originator_port: 1,
    })
}

fn peer_open(window: u32) -> Vec<u8> {
    Open {
        channel_type: tcp(),
        sender_channel: 77,
        initial_window_size: window,
        maximum_packet_size: 1000,
    }
    .encode()
}

fn data(id: ChannelId, len: usize) -> Vec<u8> {
    let mut header = [0; message::DATA_HEADER_LEN];
    message::write_data_header(&mut header, id.0, u32::try_from(len).unwrap());
    [&header[..], &vec![b'x'; len]].concat()
}

/// An open channel that the peer opened, with no message waiting.
fn accepted(c: &mut Channels, now: Instant) -> ChannelId {
    c.recv_open(&peer_open(5000), now).unwrap();
    let Some(ChannelEvent::Asked { id, .. }) = c.poll_event() else {
        panic!("no Asked event");
    };
    c.accept(id);
    while c.poll_message().is_some() {}
    id
}

fn refusal() -> OpenFailure {
    OpenFailure {
        reason: OpenFailureReason::CONNECT_FAILED,
        description: "refused".into(),
    }
}

fn request(id: ChannelId) -> Vec<u8> {
    let mut w = crate::wire::Writer::message(number::CHANNEL_REQUEST);
    w.u32(id.0).string("keepalive@openssh.com").boolean(true);
    w.into_vec()
}

fn eof(id: ChannelId) -> Vec<u8> {
    message::encode_channel_only(number::CHANNEL_EOF, id.0)
}

fn close(id: ChannelId) -> Vec<u8> {
    message::encode_channel_only(number::CHANNEL_CLOSE, id.0)
}

#[test]
fn credit_is_sent_only_after_the_reader_took_the_bytes() {
    let (mut c, now) = table();
    let id = accepted(&mut c, now);
    for _ in 0..64 {
        c.recv_data(&data(id, 32 << 10), now).unwrap().unwrap();
    }
    assert_eq!(c.poll_message(), None);
    assert_eq!(
        c.recv_data(&data(id, 1), now),
        Err(Misbehaviour::WindowExceeded),
        "the window is used up"
    );
    c.taken(id, 2 << 20, now);
    assert_eq!(
        c.poll_message(),
        Some(message::encode_window_adjust(77, 2 << 20))
    );
}

#[test]
fn stalled_channel_does_not_change_its_neighbours_window() {
    let (mut c, now) = table();
    let stalled = accepted(&mut c, now);
    let busy = accepted(&mut c, now);
    for _ in 0..64 {
        c.recv_data(&data(stalled, 32 << 10), now).unwrap();
    }
    for _ in 0..1000 {
        c.recv_data(&data(busy, 32 << 10), now).unwrap().unwrap();
        c.taken(busy, 32 << 10, now);
        while c.poll_message().is_some() {}
    }
}

#[test]
fn small_packet_makes_a_channel_interactive_unless_it_carries_bulk() {
    let (mut c, start) = table();
    let one = accepted(&mut c, start);
    let other = accepted(&mut c, start);
    let mut other_is_shared = |len, after| {
        let now = start + after;
        c.recv_data(&data(one, len), now).unwrap();
        c.path_of(other, now).sharing == (Sharing::Interactive { churn: 0 })
    };
    assert!(!other_is_shared(INTERACTIVE + 1, Duration::ZERO));
    assert!(!other_is_shared(1, SHARING_LASTS / 2), "the tail of bulk");
    assert!(other_is_shared(1, SHARING_LASTS));
    assert_eq!(c.path_of(one, start + SHARING_LASTS).sharing, Sharing::None);
}

#[test]
fn channel_is_no_longer_interactive_at_once_with_bulk_and_soon_after_eof() {
    type Message = fn(ChannelId) -> Vec<u8>;
    let ends: [(Message, Duration); 3] = [
        (|id| data(id, INTERACTIVE + 1), Duration::ZERO),
        (eof, AFTER_ITS_END),
        (close, AFTER_ITS_END),
    ];
    for (end, lasts) in ends {
        let (mut c, now) = table();
        let (one, other) = (accepted(&mut c, now), accepted(&mut c, now));
        c.recv(&data(one, 1), now).unwrap();
        assert_eq!(
            c.path_of(other, now).sharing,
            Sharing::Interactive { churn: 0 }
        );
        c.recv(&end(one), now).unwrap();
        let sharing_after = |time| c.path_of(other, now + time).sharing;
        assert_eq!(sharing_after(lasts), Sharing::None);
        if let Some(before) = lasts.checked_sub(Duration::from_millis(1)) {
            assert_eq!(sharing_after(before), Sharing::Interactive { churn: 0 });
        }
    }
}

#[test]
fn sender_without_window_is_notified_when_there_is_more() {
    let (mut c, now) = table();
    let id = accepted(&mut c, now);
    let reserved = c.reserve(id, ChannelStream::Data, 6000).unwrap();
    assert_eq!((reserved.bytes, reserved.max_packet), (5000, 1000));
    assert_eq!(c.poll_event(), None);
    c.recv_window_adjust(&message::encode_window_adjust(id.0, 10))
        .unwrap();
    assert_eq!(c.poll_event(), Some(ChannelEvent::Writable(id)));
    c.recv_window_adjust(&message::encode_window_adjust(id.0, 10))
        .unwrap();
    assert_eq!(c.poll_event(), None, "told once");
    assert_eq!(c.reserve(id, ChannelStream::Data, 100).unwrap().bytes, 20);
}

#[test]
fn close_is_answered_and_the_number_is_reused_only_after_release() {
    let (mut c, now) = table();
    let id = accepted(&mut c, now);
    c.recv_close(&close(id), now).unwrap();
    assert_eq!(
        c.poll_message(),
        Some(message::encode_channel_only(number::CHANNEL_CLOSE, 77))
    );
    assert_eq!(
        c.poll_event(),
        Some(ChannelEvent::Closed {
            id,
            close: PeerClose::Orderly
        })
    );
    assert_eq!(c.len(), 1);
    assert_ne!(accepted(&mut c, now), id);
    c.release(id);
    assert_eq!(accepted(&mut c, now), id);
}

#[test]
fn close_without_eof_is_a_reset_from_adit_only() {
    for is_adit in [false, true] {
        for our_eof in [false, true] {
            let (mut c, now) = table();
            if is_adit {
                c.set_close_without_eof(PeerClose::Reset);
            }
            let id = accepted(&mut c, now);
            if our_eof {
                c.send_eof(id);
            }
            c.recv_close(&close(id), now).unwrap();
            let close = match is_adit {
                true => PeerClose::Reset,
                false => PeerClose::Orderly,
            };
            assert_eq!(c.poll_event(), Some(ChannelEvent::Closed { id, close }));
        }
    }
}

#[test]
fn released_channel_closes_and_waits_for_the_peers_close() {
    let (mut c, now) = table();
    let id = accepted(&mut c, now);
    c.release(id);
    assert!(c.poll_message().is_some());
    assert_eq!(c.recv_data(&data(id, 10), now), Ok(None), "nobody wants it");
    c.recv_close(&close(id), now).unwrap();
    assert!(c.is_empty());
    assert_eq!(c.poll_event(), None);
}

#[test]
fn channel_released_while_opening_is_closed_when_confirmed() {
    let (mut c, now) = table();
    let id = c.open(tcp(), now).unwrap();
    c.poll_message().unwrap();
    c.release(id);
    let confirmation = OpenConfirmation {
        recipient_channel: id.0,
        sender_channel: 5,
        initial_window_size: 1,
        maximum_packet_size: 1,
    };
    c.recv_open_confirmation(&confirmation.encode()).unwrap();
    assert_eq!(c.poll_event(), None);
    assert_eq!(
        c.poll_message(),
        Some(message::encode_channel_only(number::CHANNEL_CLOSE, 5))
    );
}

#[test]
fn refusal_has_a_reason_and_keeps_the_number_until_release() {
    let (mut c, now) = table();
    let id = c.open(tcp(), now).unwrap();
    let failure = OpenFailure {
        reason: OpenFailureReason::CONNECT_FAILED,
        description: "Connection refused".into(),
    };
    c.recv_open_failure(&failure.encode(id.0)).unwrap();
    assert_eq!(
        c.poll_event(),
        Some(ChannelEvent::Refused {
            id,
            failure,
            lost: 0
        })
    );
    assert_eq!(c.len(), 1);
    c.release(id);
    assert!(c.is_empty());
}

#[test]
fn nothing_follows_our_close() {
    let (mut c, now) = table();
    let id = accepted(&mut c, now);
    c.recv_data(&data(id, 10), now).unwrap();
    c.release(id);
    while c.poll_message().is_some() {}
    c.send_eof(id);
    c.taken(id, 10, now);
    assert_eq!(c.poll_message(), None);
    assert_eq!(c.reserve(id, ChannelStream::Data, 10), None);
}

#[test]
fn messages_for_unknown_channels_are_misbehaviour() {
    let (mut c, now) = table();
    assert_eq!(
        c.recv_data(&data(ChannelId(9), 1), now),
        Err(Misbehaviour::UnknownChannel(9))
    );
    c.recv_open(&peer_open(1), now).unwrap();
    assert_eq!(
        c.recv_eof(&eof(ChannelId(0)), now),
        Err(Misbehaviour::UnknownChannel(0)),
        "asked for, not yet open"
    );
}

#[test]
fn request_that_crosses_our_close_is_ignored() {
    let (mut c, now) = table();
    let id = accepted(&mut c, now);
    c.recv_request(&request(id)).unwrap();
    let refusal = message::encode_channel_only(number::CHANNEL_FAILURE, 77);
    assert_eq!(c.poll_message(), Some(refusal));
    c.recv_close(&close(id), now).unwrap();
    c.release(id);
    assert!(c.poll_message().is_some(), "our CLOSE");
    assert!(c.is_empty());
    c.recv_request(&request(id)).unwrap();
    assert_eq!(c.poll_message(), None);
}

#[test]
fn data_after_eof_is_misbehaviour() {
    let (mut c, now) = table();
    let id = accepted(&mut c, now);
    c.recv_eof(&eof(id), now).unwrap();
    assert_eq!(
        c.recv_data(&data(id, 1), now),
        Err(Misbehaviour::DataAfterEof)
    );
}

#[test]
fn peer_that_provokes_more_than_it_reads_is_misbehaving() {
    let (mut c, now) = table();
    let mut bad = crate::wire::Writer::message(number::CHANNEL_OPEN);
    bad.string("direct-tcpip").u32(9).u32(1).u32(1);
    let outcome = (0..200_000).find_map(|_| c.recv_open(bad.as_slice(), now).err());
    assert_eq!(outcome, Some(Misbehaviour::AsksFasterThanItReads));
}

#[test]
fn small_waiting_messages_count_with_their_memory() {
    let (mut c, now) = table();
    let id = accepted(&mut c, now);
    let asked = (0..200_000).find(|_| c.recv_request(&request(id)).is_err());
    assert!(
        asked.is_some_and(|n| (10_000..40_000).contains(&n)),
        "{asked:?}"
    );
    while c.poll_message().is_some() {}
    assert_eq!(c.waiting, 0);
    c.recv_request(&request(id)).unwrap();
}

#[test]
fn closes_of_a_full_table_are_permitted() {
    let (mut c, now) = table();
    let ids: Vec<_> = (0..MAX_CHANNELS).map(|_| accepted(&mut c, now)).collect();
    for id in ids {
        c.send_eof(id);
        c.release(id);
    }
    c.recv_open(&peer_open(1), now).unwrap();
    let answer = std::iter::from_fn(|| c.poll_message()).last().unwrap();
    assert_eq!(answer[0], number::CHANNEL_OPEN_FAILURE);
}

#[test]
fn waiting_credit_does_not_follow_our_close() {
    let (mut c, now) = table();
    let ours = accepted(&mut c, now);
    let theirs = accepted(&mut c, now);
    for id in [ours, theirs] {
        for _ in 0..32 {
            c.recv_data(&data(id, 32 << 10), now).unwrap();
        }
        c.taken(id, 1 << 20, now);
    }
    c.release(ours);
    c.recv_close(&close(theirs), now).unwrap();
    for _ in 0..2 {
        let last = c.poll_message().unwrap();
        assert_eq!(last[0], number::CHANNEL_CLOSE);
    }
    assert_eq!(c.poll_message(), None);
}

#[test]
fn packet_above_the_announced_size_is_misbehaviour() {
    let (mut c, now) = table();
    let id = accepted(&mut c, now);
    assert!(c.recv_data(&data(id, 32 << 10), now).is_ok());
    assert_eq!(
        c.recv_data(&data(id, (32 << 10) + 1), now),
        Err(Misbehaviour::PacketTooLarge)
    );
}

#[test]
fn packet_size_above_the_largest_possible_is_reduced() {
    let (mut c, now) = table();
    let open = Open {
        channel_type: tcp(),
        sender_channel: 1,
        initial_window_size: u32::MAX,
        maximum_packet_size: u32::MAX,
    };
    c.recv_open(&open.encode(), now).unwrap();
    c.accept(ChannelId(0));
    let reserved = c
        .reserve(ChannelId(0), ChannelStream::Data, u32::MAX)
        .unwrap();
    assert_eq!(reserved.max_packet, 256 << 10);
}

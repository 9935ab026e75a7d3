//! Tests of data and stderr: two streams of a channel that share one window.

use super::*;
use crate::message::connection::{EXTENDED_DATA_STDERR, parse_extended_data};
use crate::wire::Writer;

fn extended(id: ChannelId, data_type_code: u32, len: usize) -> Vec<u8> {
    let mut w = Writer::message(number::CHANNEL_EXTENDED_DATA);
    w.u32(id.0).u32(data_type_code).string(vec![b'e'; len]);
    w.into_vec()
}

#[test]
fn two_streams_of_one_channel_share_one_window() {
    let (mut c, now) = table();
    let id = accepted(&mut c, now);
    let mut reserve = |stream, want| c.reserve(id, stream, want).unwrap().bytes;
    assert_eq!(reserve(ChannelStream::Stderr, 3000), 3000);
    assert_eq!(reserve(ChannelStream::Data, 3000), 2000);
    assert_eq!(reserve(ChannelStream::Stderr, 1), 0);
    assert_eq!(c.poll_event(), None);
    c.recv_window_adjust(&message::encode_window_adjust(id.0, 10))
        .unwrap();
    assert_eq!(c.poll_event(), Some(ChannelEvent::Writable(id)));
}

#[test]
fn arriving_stderr_uses_the_window_and_becomes_credit_when_it_is_read() {
    let (mut c, now) = table();
    let id = accepted(&mut c, now);
    let stderr = extended(id, EXTENDED_DATA_STDERR, 32 << 10);
    for _ in 0..63 {
        let arrived = c.recv(&stderr, now).unwrap().unwrap();
        assert_eq!((arrived.id, arrived.stream), (id, ChannelStream::Stderr));
        assert_eq!(arrived.bytes, parse_extended_data(&stderr).unwrap().2);
    }
    let plain = data(id, 32 << 10);
    let arrived = c.recv(&plain, now).unwrap().unwrap();
    assert_eq!(arrived.stream, ChannelStream::Data);
    assert_eq!(c.recv(&stderr, now), Err(Misbehaviour::WindowExceeded));
    assert_eq!(c.poll_message(), None, "nobody has read it");
    c.taken(id, 63 * (32 << 10), now);
    let credit = message::encode_window_adjust(77, 63 * (32 << 10));
    assert_eq!(c.poll_message(), Some(credit));
}

#[test]
fn extended_data_of_an_unknown_type_is_dropped_and_credited() {
    let (mut c, now) = table();
    let id = accepted(&mut c, now);
    for _ in 0..200 {
        assert_eq!(c.recv(&extended(id, 2, 32 << 10), now), Ok(None));
        while c.poll_message().is_some() {}
    }
}

#[test]
fn packet_size_counts_data_and_no_header() {
    let (mut c, now) = table();
    let id = accepted(&mut c, now);
    let most = PLAIN_PACKET_SIZE as usize;
    assert!(c.recv(&extended(id, 1, most), now).is_ok());
    assert_eq!(
        c.recv(&extended(id, 1, most + 1), now),
        Err(Misbehaviour::PacketTooLarge)
    );
}

#[test]
fn stderr_after_eof_is_misbehaviour_and_after_release_dropped() {
    let (mut c, now) = table();
    let id = accepted(&mut c, now);
    let let_go = accepted(&mut c, now);
    c.release(let_go);
    assert_eq!(c.recv(&extended(let_go, 1, 9), now), Ok(None));
    c.recv(&eof(id), now).unwrap();
    assert_eq!(
        c.recv(&extended(id, 1, 1), now),
        Err(Misbehaviour::DataAfterEof)
    );
}

/// The extension is for plain data only.
#[test]
fn stderr_waits_for_the_confirmation() {
    let (mut c, now) = table();
    c.set_early_data(Some(1000));
    let id = c.open(ChannelType::Session, now).unwrap();
    let bytes = |c: &mut Channels, stream| c.reserve(id, stream, 10).unwrap().bytes;
    assert_eq!(bytes(&mut c, ChannelStream::Stderr), 0);
    assert_eq!(bytes(&mut c, ChannelStream::Data), 10);
    let confirmation = OpenConfirmation {
        recipient_channel: id.0,
        sender_channel: 5,
        initial_window_size: 2000,
        maximum_packet_size: 1000,
    };
    c.recv_open_confirmation(&confirmation.encode()).unwrap();
    assert_eq!(bytes(&mut c, ChannelStream::Stderr), 10);
}

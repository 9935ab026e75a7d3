//! Tests of early data, the extension of docs/PROTOCOL.md, for both ends.

use super::*;

const EARLY: u32 = 1 << 31;

/// A table whose peer accepts this much early data.
fn early_table(window: u32) -> (Channels, Instant) {
    let (mut c, now) = table();
    c.set_early_data(Some(window));
    (c, now)
}

fn confirm(c: &mut Channels, id: ChannelId, window: u32) -> Result<(), Misbehaviour> {
    let confirmation = OpenConfirmation {
        recipient_channel: id.0,
        sender_channel: 5,
        initial_window_size: window,
        maximum_packet_size: 1000,
    };
    c.recv_open_confirmation(&confirmation.encode())
}

/// Channel and length of arriving data.
fn arrives(
    c: &mut Channels,
    recipient_channel: u32,
    len: usize,
) -> Result<Option<(ChannelId, usize)>, Misbehaviour> {
    let packet = data(ChannelId(recipient_channel), len);
    let arrived = c.recv_data(&packet, Instant::now())?;
    Ok(arrived.map(|data| (data.id, data.bytes.len())))
}

fn sendable(c: &mut Channels, id: ChannelId, want: u32) -> (u32, u32) {
    let reserved = c.reserve(id, ChannelStream::Data, want).unwrap();
    (reserved.bytes, reserved.recipient_channel)
}

#[test]
fn early_data_is_a_part_of_the_window_that_the_confirmation_grants() {
    let (mut c, now) = early_table(100);
    let id = c.open(tcp(), now).unwrap();
    assert_eq!(sendable(&mut c, id, 60), (60, EARLY | id.0));
    c.refund(id, 10);
    assert_eq!(sendable(&mut c, id, 60), (50, EARLY | id.0));
    assert_eq!(sendable(&mut c, id, 60), (0, EARLY | id.0));

    confirm(&mut c, id, 150).unwrap();

    assert_eq!(c.poll_event(), Some(ChannelEvent::Opened(id)));
    assert_eq!(sendable(&mut c, id, 60), (50, 5));
}

#[test]
fn refusal_has_the_length_of_lost_early_data() {
    let (mut c, now) = early_table(100);
    let id = c.open(tcp(), now).unwrap();
    sendable(&mut c, id, 60);
    let failure = refusal();
    c.recv_open_failure(&failure.encode(id.0)).unwrap();
    let refused = ChannelEvent::Refused {
        id,
        failure,
        lost: 60,
    };
    assert_eq!(c.poll_event(), Some(refused));
}

#[test]
fn window_smaller_than_the_early_data_is_misbehaviour() {
    let (mut c, now) = early_table(100);
    let id = c.open(tcp(), now).unwrap();
    sendable(&mut c, id, 60);
    let confirmed = confirm(&mut c, id, 59);
    assert_eq!(confirmed, Err(Misbehaviour::WindowExceeded));
}

#[test]
fn no_early_data_is_sent_to_a_peer_that_did_not_announce_it() {
    let (mut c, now) = table();
    let id = c.open(tcp(), now).unwrap();
    c.poll_message().unwrap();
    assert_eq!(sendable(&mut c, id, 60).0, 0);
    c.send_eof(id);
    assert_eq!(c.poll_message(), None);

    confirm(&mut c, id, 150).unwrap();

    assert_eq!(c.poll_message(), Some(eof(ChannelId(5))));
}

#[test]
fn early_data_and_eof_come_before_the_channel_is_accepted() {
    let (mut c, now) = early_table(0);
    c.recv_open(&peer_open(5000), now).unwrap();
    let Some(ChannelEvent::Asked { id, .. }) = c.poll_event() else {
        panic!("no Asked event");
    };
    let ours = arrives(&mut c, id.0, 3);
    assert_eq!(
        ours,
        Err(Misbehaviour::UnknownChannel(id.0)),
        "by a number that it cannot know"
    );

    let early = EARLY | 77;
    assert_eq!(arrives(&mut c, early, 3), Ok(Some((id, 3))));
    c.recv_eof(&eof(ChannelId(early)), now).unwrap();
    assert_eq!(c.poll_event(), Some(ChannelEvent::Eof(id)));
    let behind_eof = arrives(&mut c, early, 3);
    assert_eq!(behind_eof, Err(Misbehaviour::DataAfterEof));
}

#[test]
fn early_data_above_the_announced_size_is_misbehaviour() {
    let (mut c, now) = early_table(0);
    c.recv_open(&peer_open(5000), now).unwrap();
    for _ in 0..2 {
        let half = EARLY_DATA as usize / 2;
        arrives(&mut c, EARLY | 77, half).unwrap().unwrap();
    }
    let more = arrives(&mut c, EARLY | 77, 1);
    assert_eq!(more, Err(Misbehaviour::WindowExceeded));
}

#[test]
fn refused_channel_keeps_its_number_until_release() {
    let (mut c, now) = early_table(100);
    let id = c.open(tcp(), now).unwrap();
    sendable(&mut c, id, 60);
    let failure = refusal();
    c.recv_open_failure(&failure.encode(id.0)).unwrap();
    let next = c.open(tcp(), now).unwrap();
    assert_ne!(next, id);
    c.refund(id, 10);
    c.send_eof(id);
    assert_eq!(c.reserve(id, ChannelStream::Data, 1), None);
    c.release(id);
    assert_eq!(c.open(tcp(), now), Some(id));
}

#[test]
fn early_data_of_a_refused_channel_is_dropped_and_its_number_may_be_reused() {
    let (mut c, now) = early_table(0);
    c.recv_open(&peer_open(5000), now).unwrap();
    let Some(ChannelEvent::Asked { id: refused, .. }) = c.poll_event() else {
        panic!("no Asked event");
    };
    c.refuse(refused, &refusal());
    assert_eq!(arrives(&mut c, EARLY | 77, 3), Ok(None));

    let next = accepted(&mut c, now);
    let came = arrives(&mut c, EARLY | 77, 3);
    assert_eq!(came, Ok(Some((next, 3))), "crossed the confirmation");
}

#[test]
fn number_that_the_peer_reuses_means_the_newer_channel() {
    let (mut c, now) = early_table(0);
    let old = accepted(&mut c, now);
    // CLOSE was sent in both directions, and our owner has not released the channel yet.
    c.recv_close(&close(old), now).unwrap();
    c.poll_event().unwrap();
    let new = accepted(&mut c, now);
    c.release(old);
    assert_eq!(arrives(&mut c, EARLY | 77, 3), Ok(Some((new, 3))));
}

#[test]
fn early_data_without_announcement_is_for_no_channel() {
    let (mut c, now) = table();
    accepted(&mut c, now);
    let early = EARLY | 77;
    let came = arrives(&mut c, early, 3);
    assert_eq!(came, Err(Misbehaviour::UnknownChannel(early)));
}

/// The peer opens a channel with this number of its own.
fn open_as(c: &mut Channels, sender_channel: u32, now: Instant) {
    let open = Open {
        channel_type: tcp(),
        sender_channel,
        initial_window_size: 5000,
        maximum_packet_size: 1000,
    };
    c.recv_open(&open.encode(), now).unwrap();
}

#[test]
fn early_data_of_all_channels_together_is_bounded() {
    let (mut c, now) = early_table(0);
    for channel in 0..128 {
        open_as(&mut c, channel, now);
        arrives(&mut c, EARLY | channel, EARLY_DATA as usize).unwrap();
    }
    open_as(&mut c, 128, now);
    let more = arrives(&mut c, EARLY | 128, 1);
    assert_eq!(more, Err(Misbehaviour::WindowExceeded));
}

#[test]
fn accepted_or_refused_channels_make_room_for_early_data_of_others() {
    let (mut c, now) = early_table(0);
    for channel in 0..1000 {
        open_as(&mut c, channel, now);
        let Some(ChannelEvent::Asked { id, .. }) = c.poll_event() else {
            panic!("no Asked event");
        };
        arrives(&mut c, EARLY | channel, EARLY_DATA as usize).unwrap();
        match channel % 2 {
            0 => c.accept(id),
            _ => c.refuse(id, &refusal()),
        }
    }
}

#[test]
fn sender_respects_the_limit_of_all_channels_together() {
    let (mut c, now) = early_table(100);
    let ids: Vec<_> = (0..130).map(|_| c.open(tcp(), now).unwrap()).collect();
    let sent = |c: &mut Channels, id| sendable(c, id, 100).0;
    assert!(ids[..127].iter().all(|&id| sent(&mut c, id) == 100));
    assert_eq!(sent(&mut c, ids[127]), 100);
    c.refund(ids[127], 40);
    assert_eq!((sent(&mut c, ids[128]), sent(&mut c, ids[129])), (40, 0));

    confirm(&mut c, ids[0], 150).unwrap();
    c.recv_open_failure(&refusal().encode(ids[1].0)).unwrap();
    assert_eq!((sent(&mut c, ids[128]), sent(&mut c, ids[129])), (60, 100));
    confirm(&mut c, ids[127], 150).unwrap();
    assert_eq!(sent(&mut c, ids[127]), 90, "a window as any other");
}

#[test]
fn undecided_channels_are_bounded() {
    let (mut c, now) = early_table(0);
    for channel in 0..MAX_UNDECIDED as u32 {
        open_as(&mut c, channel, now);
    }
    let Some(ChannelEvent::Asked { id, .. }) = c.poll_event() else {
        panic!("no Asked event");
    };
    open_as(&mut c, 1 << 20, now);
    let refused = c.poll_message().unwrap();
    let (channel, failure) = OpenFailure::parse(&refused).unwrap();
    assert_eq!(channel, 1 << 20);
    assert_eq!(failure.reason, OpenFailureReason::RESOURCE_SHORTAGE);

    c.accept(id);
    c.poll_message().unwrap();
    open_as(&mut c, 1 << 20, now);
    assert_eq!(c.poll_message(), None, "there is room again");
}

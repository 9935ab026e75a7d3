//! Windows follow the bandwidth-delay product: large where the link is long, small where it is not.

use std::time::Duration;

use adit_proto::channels::WindowLimits;

use super::pair::{Ids, LinkConfig, Pace, Pair, Setup};

const MIB: u64 = 1 << 20;

/// Bytes that arrive in so much time.
fn carried(pair: &mut Pair, ids: Ids, time: Duration) -> u64 {
    let before = pair.server.flow(ids.server).received;
    pair.run_for(time);
    pair.server.flow(ids.server).received - before
}

/// The window of a channel as its sender sees it once the reader stands still: granted, in flight, and waiting.
fn window(pair: &mut Pair, ids: Ids) -> u64 {
    pair.server.flow(ids.server).pace = Pace::Stalled;
    pair.run_for(Duration::from_secs(1));
    pair.server.flow(ids.server).held()
}

fn bulk(link: LinkConfig) -> (Pair, Ids) {
    let mut pair = Setup::over(link).connect();
    let ids = pair.open();
    pair.client.flow(ids.client).to_send = 1 << 40;
    (pair, ids)
}

#[test]
fn long_link_is_filled_and_its_window_is_twice_the_product() {
    let (mut pair, ids) = bulk(LinkConfig::WAN);
    pair.run_for(Duration::from_secs(2));
    let carried = carried(&mut pair, ids, Duration::from_secs(1));
    assert!(
        carried * 100 >= LinkConfig::WAN.rate * 95,
        "{carried} bytes per second"
    );
    let window = window(&mut pair, ids);
    let product = LinkConfig::WAN.bandwidth_delay_product();
    assert!(window >= 2 * product, "{window}");
    assert!(window <= 6 * product, "{window}");
}

#[test]
fn window_does_not_run_away_with_a_deep_send_buffer() {
    let deep = LinkConfig {
        send_buffer: 4 << 20,
        ..LinkConfig::WAN
    };
    let (mut pair, ids) = bulk(deep);
    pair.run_for(Duration::from_secs(8));
    let window = window(&mut pair, ids);
    let product = deep.bandwidth_delay_product() + (4 << 20);
    assert!(window <= 4 * product, "{window}");
}

#[test]
fn short_link_is_filled_and_keeps_a_small_window() {
    let (mut pair, ids) = bulk(LinkConfig::LAN);
    pair.run_for(Duration::from_millis(100));
    let carried = carried(&mut pair, ids, Duration::from_millis(200));
    assert!(carried * 5 * 100 >= LinkConfig::LAN.rate * 95, "{carried}");
    let window = window(&mut pair, ids);
    assert!(window <= 4 * MIB, "{window}");
}

#[test]
fn reader_that_stands_still_gets_no_larger_window() {
    let (mut pair, ids) = bulk(LinkConfig::WAN);
    let initial = u64::from(WindowLimits::GENEROUS.initial);
    assert_eq!(window(&mut pair, ids), initial);
    pair.run_for(Duration::from_secs(5));
    assert_eq!(pair.server.flow(ids.server).received, initial);
}

#[test]
fn slow_reader_gets_a_window_of_its_own_speed() {
    let (mut pair, ids) = bulk(LinkConfig::WAN);
    pair.server.flow(ids.server).pace = Pace::Rate(4 * MIB);
    pair.run_for(Duration::from_secs(5));
    let window = window(&mut pair, ids);
    assert!(window <= 2 * MIB, "{window}");
}

#[test]
fn reader_that_becomes_slow_gives_its_window_back() {
    let (mut pair, ids) = bulk(LinkConfig::WAN);
    pair.run_for(Duration::from_secs(2));
    pair.server.flow(ids.server).pace = Pace::Rate(MIB);
    pair.run_for(Duration::from_secs(60));
    let window = window(&mut pair, ids);
    assert!(window <= 2 * MIB, "{window}");
    pair.server.flow(ids.server).pace = Pace::AtOnce;
    pair.run_for(Duration::from_secs(2));
    let carried = carried(&mut pair, ids, Duration::from_secs(1));
    assert!(
        carried * 100 >= LinkConfig::WAN.rate * 95,
        "it grows again: {carried}"
    );
}

/// The window of a stream over a LAN that begins together with one small packet of another channel.
fn window_beside_a_small_packet(then: impl Fn(&mut Pair, Ids)) -> u64 {
    let mut pair = Setup::over(LinkConfig::LAN).connect();
    let (other, stream) = (pair.open(), pair.open());
    pair.client.flow(other.client).to_send = 1;
    pair.client.flow(stream.client).to_send = 1 << 40;
    pair.run_for(Duration::from_millis(100));
    then(&mut pair, other);
    pair.run_for(Duration::from_millis(400));
    window(&mut pair, stream)
}

#[test]
fn stream_has_its_window_back_soon_after_an_interactive_channel_ends() {
    let beside = window_beside_a_small_packet(|_, _| {});
    assert!(beside < MIB, "{beside}");
    let after = window_beside_a_small_packet(|pair, other| {
        pair.server.close(other.server);
        pair.client.close(other.client);
    });
    assert!(after >= 2 * MIB, "{after}");
}

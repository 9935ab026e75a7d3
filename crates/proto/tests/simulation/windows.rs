//! Windows follow the bandwidth-delay product: large where the link is long, small where it is not.

use std::time::{Duration, Instant};

use adit_proto::channels::WindowLimits;
use adit_proto::channels::window::WindowBudget;

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
fn stalled_reader_gives_its_window_back() {
    let (mut pair, ids) = bulk(LinkConfig::WAN);
    pair.run_for(Duration::from_secs(2));
    let held = window(&mut pair, ids);
    for _ in 0..20 {
        pair.server.connection().channels().stalled(ids.server);
    }
    pair.server.flow(ids.server).pace = Pace::Rate(held / 2);
    let none = carried(&mut pair, ids, Duration::from_secs(1));
    assert_eq!(none, 0, "no credit before the surplus is taken");
    pair.server.flow(ids.server).pace = Pace::AtOnce;
    let some = carried(&mut pair, ids, Duration::from_secs(1));
    assert!(some > 0);
}

/// Arithmetic only: three gigabits of real packets would take the test minutes.
#[test]
fn limits_allow_ten_gigabits_at_300_milliseconds() {
    const RATE: u64 = 1_250_000_000;
    let round_trip = Duration::from_millis(300);
    let step = Duration::from_millis(1);
    let mut now = Instant::now();
    let mut budget = WindowBudget::new(WindowLimits::GENEROUS);
    let mut window = budget.open_window(now);
    // What was granted becomes data one round trip later, at the rate of the link.
    let mut grants = std::collections::VecDeque::from([(now, u64::from(window.granted()))]);
    let mut sendable = 0;
    let mut last_second = 0;
    for millisecond in 0..12_000 {
        now += step;
        while grants.front().is_some_and(|(at, _)| *at <= now) {
            sendable += grants.pop_front().unwrap().1;
        }
        let arrives = sendable.min(RATE / 1000) as u32;
        sendable -= u64::from(arrives);
        window.receive(arrives).unwrap();
        window.take(arrives, now, Some(round_trip), &mut budget);
        if window.credit_due() {
            grants.push_back((now + round_trip, u64::from(window.take_credit())));
        }
        if millisecond >= 11_000 {
            last_second += u64::from(arrives);
        }
    }
    assert!(last_second * 100 >= RATE * 95, "{last_second}");
    assert!(u64::from(window.size()) >= RATE * 300 / 1000 * 2);
}

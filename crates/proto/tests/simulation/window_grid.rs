//! Windows on every kind of link, from a rack to a satellite: arithmetic only, for real packets would take hours.
//!
//! The model: credit becomes data one round trip later, at no more than the rate of the link; the reader takes what
//! has arrived at no more than its own rate. docs/adr/0002 draws its table from here.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use adit_proto::channels::budget::WindowBudget;
use adit_proto::channels::window::{Path, RecvWindow, Sharing};
use adit_proto::channels::{WindowLimits, WindowPool};

const ROUND_TRIPS_MICROS: [u64; 8] = [100, 1_000, 5_000, 20_000, 50_000, 100_000, 300_000, 600_000];
/// Bytes per second: 10 Mbit/s to 100 Gbit/s.
const RATES: [u64; 5] = [
    1_250_000,
    12_500_000,
    125_000_000,
    1_250_000_000,
    12_500_000_000,
];
/// Steps of one round trip, and the longest step: windows look at times of 10 ms and more.
const STEPS: u32 = 20;
const LONGEST_STEP: Duration = Duration::from_millis(2);

/// One direction of one channel.
struct Line {
    now: Instant,
    step: Duration,
    round_trip: Duration,
    rate: u64,
    reader_rate: u64,
    budget: WindowBudget,
    window: RecvWindow,
    grants: VecDeque<(Instant, u64)>,
    sendable: u64,
    /// Parts of bytes that a step is too short for.
    link_rest: u64,
    reader_rest: u64,
    taken: u64,
}

impl Line {
    fn new(round_trip: Duration, rate: u64) -> Self {
        let now = Instant::now();
        let pool = WindowPool::new(WindowPool::DEFAULT_LIMIT);
        let mut budget = WindowBudget::new(WindowLimits::GENEROUS, pool);
        let window = budget.open_window(now);
        Self {
            now,
            step: (round_trip / STEPS).min(LONGEST_STEP),
            round_trip,
            rate,
            reader_rate: u64::MAX,
            budget,
            window,
            grants: VecDeque::from([(now, u64::from(window.granted()))]),
            sendable: 0,
            link_rest: 0,
            reader_rest: 0,
            taken: 0,
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += self.step;
            while self.grants.front().is_some_and(|(at, _)| *at <= self.now) {
                self.sendable += self.grants.pop_front().unwrap().1;
            }
            let crossing = per_step(self.rate, self.step, &mut self.link_rest);
            let arriving = self.sendable.min(crossing);
            self.sendable -= arriving;
            let arriving = u32::try_from(arriving).unwrap();
            self.window.receive(arriving, self.now).unwrap();
            let read = per_step(self.reader_rate, self.step, &mut self.reader_rest);
            let read = read.min(self.window.held().into()) as u32;
            if read > 0 {
                let path = Path {
                    round_trip: Some(self.round_trip),
                    sharing: Sharing::None,
                };
                self.window.take(read, self.now, path, &mut self.budget);
                self.taken += u64::from(read);
            }
            if self.window.credit_due(&self.budget) {
                let credit = self.window.take_credit().into();
                self.grants.push_back((self.now + self.round_trip, credit));
            }
        }
    }

    /// Bytes per second that the reader gets from now on.
    fn measure(&mut self, time: Duration) -> u64 {
        let (before, start) = (self.taken, self.now);
        self.run(time);
        let elapsed = (self.now - start).as_nanos();
        u64::try_from(u128::from(self.taken - before) * 1_000_000_000 / elapsed).unwrap()
    }
}

/// Bytes of one step at `rate` bytes per second; what is less than a byte waits in `rest`.
fn per_step(rate: u64, step: Duration, rest: &mut u64) -> u64 {
    let nanos = u128::from(rate) * step.as_nanos() + u128::from(*rest);
    *rest = (nanos % 1_000_000_000) as u64;
    u64::try_from(nanos / 1_000_000_000).unwrap_or(u64::MAX)
}

fn links() -> impl Iterator<Item = (Duration, u64)> {
    ROUND_TRIPS_MICROS
        .into_iter()
        .flat_map(|micros| RATES.map(|rate| (Duration::from_micros(micros), rate)))
}

/// Bytes in flight when the link is just full.
fn product(round_trip: Duration, rate: u64) -> u64 {
    u64::try_from(u128::from(rate) * round_trip.as_micros() / 1_000_000).unwrap()
}

#[test]
fn every_link_is_filled_as_far_as_the_largest_window_reaches() {
    let largest = u64::from(WindowLimits::GENEROUS.max);
    for (round_trip, rate) in links() {
        let mut line = Line::new(round_trip, rate);
        // Nine doublings of one to two round trips each lead from the first window to the largest.
        line.run(round_trip.max(Duration::from_millis(10)) * 24);
        let got = line.measure(round_trip * 20);
        // A quarter of a window may be credit that has not been told yet.
        let reachable = product(Duration::from_secs(1), largest) * 3 / 4 * 1000
            / u64::try_from(round_trip.as_micros()).unwrap()
            * 1000;
        let wanted = rate.min(reachable);
        assert!(
            got * 100 >= wanted * 95,
            "{round_trip:?} at {rate} B/s: {got} of {wanted} B/s"
        );
    }
}

#[test]
fn window_is_of_the_order_of_the_product_and_no_more() {
    let initial = u64::from(WindowLimits::GENEROUS.initial);
    for (round_trip, rate) in links() {
        let mut line = Line::new(round_trip, rate);
        line.run(round_trip.max(Duration::from_millis(10)) * 40);
        let most = initial.max(4 * product(round_trip, rate));
        let size = u64::from(line.window.size());
        assert!(
            size <= most,
            "{round_trip:?} at {rate} B/s: {size}, not {most}"
        );
    }
}

#[test]
fn three_hundred_milliseconds_at_ten_gigabits_run_at_full_rate() {
    let (round_trip, rate) = (Duration::from_millis(300), 1_250_000_000);
    let mut line = Line::new(round_trip, rate);
    line.run(Duration::from_secs(6));
    let got = line.measure(Duration::from_secs(3));
    assert!(got * 1000 >= rate * 999, "{got}");
    // What it takes in memory, at most: twice the bandwidth-delay product, rounded up to a power of two.
    assert!(line.window.size() <= 1 << 30);
}

#[test]
fn slow_reader_behind_any_link_holds_no_more_than_two_seconds_of_its_own_speed() {
    let initial = u64::from(WindowLimits::GENEROUS.initial);
    for (round_trip, rate) in links() {
        let mut line = Line::new(round_trip, rate);
        line.run(round_trip.max(Duration::from_millis(10)) * 24);
        line.reader_rate = rate / 100;
        line.run(Duration::from_secs(20));
        let size = u64::from(line.window.size());
        let most = initial.max(2 * line.reader_rate + 4 * product(round_trip, line.reader_rate));
        assert!(
            size <= most,
            "{round_trip:?} at {rate} B/s: {size}, not {most}"
        );
        let got = line.measure(Duration::from_secs(2));
        assert!(
            got * 100 >= line.reader_rate * 95,
            "{round_trip:?} at {rate} B/s: the reader gets {got}"
        );
    }
}

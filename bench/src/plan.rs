//! Durations and numbers that the measurements take, all in one place.

use std::time::Duration;

/// Durations and numbers of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Before each measurement of a rate.
    pub(crate) warm_up: Duration,
    /// Of each measurement of a rate or of echoes.
    pub(crate) time: Duration,
    /// Of each measurement over the long link, ramp-up included.
    pub(crate) long_time: Duration,
    /// Of each measurement of the growth rows, which are many.
    pub(crate) growth_time: Duration,
    /// Time that stalled readers have to fill what can be filled.
    pub(crate) stall_time: Duration,
    /// Idle connections whose memory is measured.
    pub(crate) idle_for_memory: usize,
    /// Idle connections beside a busy one.
    pub(crate) idle_beside_bulk: [usize; 2],
    /// Logins whose time is measured one by one.
    pub(crate) single_logins: usize,
    /// SSH connections that one server of ours holds at once.
    pub(crate) clients: usize,
    /// The same of a server that makes a process for each, which costs it much more.
    pub(crate) clients_by_process: usize,
    /// Readers that never read.
    pub(crate) stalled: usize,
    /// Channels that carry bytes in turn.
    pub(crate) channels: &'static [usize],
    /// Sizes of an application's writes, in bytes.
    pub(crate) writes: &'static [usize],
    /// Rounds of the growth rows at most: they show a shape, and the longest of them is very long.
    pub(crate) growth_rounds: usize,
    /// Rounds at most for others than ours with more than `MANY_CONNECTIONS`, which take OpenSSH a minute to open.
    pub(crate) rounds_of_others_with_many: usize,
    /// Rounds for what is compared with recorded ratios, the others having one; nothing leaves all alike.
    pub(crate) checked_rounds: Option<usize>,
    /// True if figures are good enough to be held against their goals.
    pub(crate) is_judged: bool,
}

/// More connections than this take OpenSSH too long to be opened in every round.
const MANY_CONNECTIONS: usize = 5000;

/// Time to start and end a tunnel, in seconds.
const TUNNEL: f64 = 0.4;

impl Plan {
    /// Time for one rate, with the tunnel for it, in seconds.
    pub(crate) fn seconds(&self) -> f64 {
        (self.warm_up + self.time).as_secs_f64() + TUNNEL
    }

    /// Time for a point of a growth plot, in seconds.
    pub(crate) fn growth_seconds(&self) -> f64 {
        (self.warm_up + self.growth_time).as_secs_f64() + TUNNEL
    }

    /// Time for one run over the long link, in seconds: to set up a tunnel takes it some round trips.
    pub(crate) fn long_seconds(&self) -> f64 {
        self.long_time.as_secs_f64() + 2.0 * TUNNEL
    }

    /// Time to open idle connections, in seconds: OpenSSH's cost of each grows with their number.
    pub(crate) fn opening_seconds(count: usize) -> f64 {
        count as f64 / 500.0
    }

    /// Rounds of others than ours at most with so many connections.
    pub(crate) fn rounds_of_others(&self, count: usize) -> usize {
        match count > MANY_CONNECTIONS {
            true => self.rounds_of_others_with_many,
            false => usize::MAX,
        }
    }

    /// For figures that are to be believed.
    pub(crate) const FULL: Self = Self {
        warm_up: Duration::from_millis(300),
        time: Duration::from_secs(2),
        long_time: Duration::from_secs(8),
        growth_time: Duration::from_secs(1),
        stall_time: Duration::from_millis(1500),
        idle_for_memory: 1000,
        idle_beside_bulk: [2000, 10_000],
        single_logins: 10,
        clients: 2000,
        clients_by_process: 400,
        stalled: 20,
        channels: &[1, 10, 100, 1000, 10_000],
        writes: &[1, 16, 256, 4 << 10, 32 << 10, 256 << 10],
        growth_rounds: 3,
        rounds_of_others_with_many: 1,
        checked_rounds: None,
        is_judged: true,
    };

    /// To see that everything runs, and that nothing has collapsed.
    pub(crate) const SMOKE: Self = Self {
        warm_up: Duration::from_millis(100),
        time: Duration::from_millis(200),
        long_time: Duration::from_millis(1500),
        growth_time: Duration::from_millis(150),
        stall_time: Duration::from_millis(200),
        idle_for_memory: 20,
        idle_beside_bulk: [50, 100],
        single_logins: 1,
        clients: 20,
        clients_by_process: 10,
        stalled: 4,
        channels: &[1, 10],
        writes: &[1, 4 << 10],
        growth_rounds: 1,
        rounds_of_others_with_many: 1,
        checked_rounds: Some(3),
        is_judged: false,
    };

    /// To write down what the next smoke compares with: medians of more rounds, each as short as smoke's, because what a
    /// tunnel reaches in its first moments is not what it reaches later.
    pub(crate) const RECORD: Self = Self {
        checked_rounds: Some(9),
        ..Self::SMOKE
    };
}

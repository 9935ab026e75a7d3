//! Log lines that others can cause as often as they like: of each kind and source the first few of a minute are
//! written as they are, the rest is counted and summed up in one line.
//!
//! Log watchers see enough to act on; a disk does not fill, however fast a stranger fails.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use log::Level;
use tokio::runtime::Handle;

/// Lines that log watchers act on; see [`room`].
pub(crate) const FAILED_LOGINS: &str = "failed logins";
/// The same.
pub(crate) const INVALID_USERS: &str = "invalid users";
/// The same.
pub(crate) const TOO_MANY_FAILED_LOGINS: &str = "clients with too many failed logins";

/// Lines of a kind and source that an interval writes out.
const WRITTEN: u64 = 10;
/// Lines that an interval writes out of those that share a count.
const WRITTEN_OF_OTHERS: u64 = 100;
/// Time after the first line, at whose end the rest is summed up.
const INTERVAL: Duration = Duration::from_secs(60);
/// Sources of a kind that are told apart at once; those beyond share one count.
const MAX_COUNTED: usize = 256;
/// Sources of a kind that log watchers act on: as many as may be shut out at once.
const MAX_WATCHED: usize = 65_536;

/// The counts of this process: its log is one, too.
static REPEATS: LazyLock<Mutex<Repeats>> = LazyLock::new(Mutex::default);

/// Writes a line to the log, which is true, or counts it. `kind` is what a sum calls such lines: `failed logins`.
pub(crate) fn log(
    level: Level,
    source: Source,
    kind: &'static str,
    line: fmt::Arguments<'_>,
) -> bool {
    if !log::log_enabled!(level) {
        return false;
    }
    let now = Instant::now();
    let (due, action) = {
        let mut repeats = repeats();
        let due = repeats.sums_due(now);
        (due, repeats.count(level, source, kind, now))
    };
    write_sums(due);
    match action {
        LineAction::Write => log::log!(level, "{line}"),
        LineAction::SumUpLater => sum_up_later(),
        LineAction::Counted => {}
    }
    action == LineAction::Write
}

/// Writes to the log that a connection of a forward failed, or counts it.
pub(crate) fn connection_failed(level: Level, label: &str, failure: &str) {
    let source = Source::Named(label.to_owned());
    log(
        level,
        source,
        "failed connections",
        format_args!("{label}: {failure}"),
    );
}

/// Without a runtime the next line that is logged writes the sum.
fn sum_up_later() {
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn(async {
            tokio::time::sleep(INTERVAL).await;
            let due = repeats().sums_due(Instant::now());
            write_sums(due);
        });
    }
}

fn repeats() -> MutexGuard<'static, Repeats> {
    REPEATS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn write_sums(sums: Vec<(Level, String)>) {
    for (level, sum) in sums {
        log::log!(level, "{sum}");
    }
}

/// Number of sources of a kind that are told apart. Kinds that a connection without a login causes must not push out
/// the sources that log watchers are to see.
fn room(kind: &str) -> usize {
    match kind {
        FAILED_LOGINS | INVALID_USERS | TOO_MANY_FAILED_LOGINS => MAX_WATCHED,
        _ => MAX_COUNTED,
    }
}

/// Source whose lines are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    /// An address; of IPv6 the network of 64 bits that one customer has.
    Address(IpAddr),
    /// A forward or a connection, as messages name it.
    Named(String),
    /// Everybody without room in the table, and sockets without an address.
    Others,
}

impl Source {
    /// Lines that an interval writes out.
    fn written(&self) -> u64 {
        match self {
            Self::Others => WRITTEN_OF_OTHERS,
            Self::Address(_) | Self::Named(_) => WRITTEN,
        }
    }
}

impl From<Option<IpAddr>> for Source {
    fn from(address: Option<IpAddr>) -> Self {
        match address.map(|address| address.to_canonical()) {
            Some(IpAddr::V6(ip)) => {
                let network = ip.to_bits() & !u128::from(u64::MAX);
                Self::Address(Ipv6Addr::from_bits(network).into())
            }
            Some(ip) => Self::Address(ip),
            None => Self::Others,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(IpAddr::V6(network)) => write!(f, "{network}/64"),
            Self::Address(ip) => write!(f, "{ip}"),
            Self::Named(name) => write!(f, "{name}"),
            Self::Others => write!(f, "other sources"),
        }
    }
}

/// Treatment of a line.
#[derive(Debug, PartialEq, Eq)]
enum LineAction {
    Write,
    /// Leave it out, as the first of its interval, and sum it up at the end.
    SumUpLater,
    Counted,
}

#[derive(Debug, Default)]
struct Repeats {
    /// A table for each kind: none takes the room of another.
    counts: HashMap<&'static str, HashMap<Source, Count>>,
    /// End of each count; the first to be counted ends first.
    ends: VecDeque<(Instant, &'static str, Source)>,
}

#[derive(Debug)]
struct Count {
    lines: u64,
    level: Level,
}

impl Repeats {
    fn count(
        &mut self,
        level: Level,
        source: Source,
        kind: &'static str,
        now: Instant,
    ) -> LineAction {
        let counts = self.counts.entry(kind).or_default();
        let source = match counts.len() >= room(kind) && !counts.contains_key(&source) {
            true => Source::Others,
            false => source,
        };
        let written = source.written();
        let count = counts.entry(source).or_insert_with_key(|source| {
            let end = now + INTERVAL;
            self.ends.push_back((end, kind, source.clone()));
            Count { lines: 0, level }
        });
        count.lines += 1;
        match count.lines {
            lines if lines <= written => LineAction::Write,
            lines if lines == written + 1 => LineAction::SumUpLater,
            _ => LineAction::Counted,
        }
    }

    /// Forgets the intervals that are over, and gives the sums of those with more lines than were written.
    fn sums_due(&mut self, now: Instant) -> Vec<(Level, String)> {
        let mut sums = Vec::new();
        while self.ends.front().is_some_and(|(end, ..)| *end <= now)
            && let Some((end, kind, source)) = self.ends.pop_front()
        {
            let count = self
                .counts
                .get_mut(kind)
                .and_then(|counts| counts.remove(&source));
            let Some(count) = count.filter(|count| count.lines > source.written()) else {
                continue;
            };
            let seconds = (now.saturating_duration_since(end) + INTERVAL).as_secs();
            let left_out = Thousands(count.lines - source.written());
            let sum = format!("… and {left_out} more {kind} from {source} in the last {seconds} s");
            sums.push((count.level, sum));
        }
        if self.ends.is_empty() {
            // The room that a wave of strangers took.
            self.counts.clear();
            self.ends.shrink_to(MAX_COUNTED);
        }
        sums
    }
}

/// A number with a comma every three digits.
struct Thousands(u64);

impl fmt::Display for Thousands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0..1000 => write!(f, "{}", self.0),
            n => write!(f, "{},{:03}", Thousands(n / 1000), n % 1000),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: &str = FAILED_LOGINS;

    fn source(ip: &str) -> Source {
        Some(ip.parse().unwrap()).into()
    }

    #[test]
    fn first_lines_are_written_and_the_rest_is_one_line() {
        let mut repeats = Repeats::default();
        let start = Instant::now();
        let mut count = |now| repeats.count(Level::Info, source("10.0.0.1"), KIND, now);
        for _ in 0..WRITTEN {
            assert_eq!(count(start), LineAction::Write);
        }
        assert_eq!(count(start), LineAction::SumUpLater);
        for _ in 0..4811 {
            assert_eq!(count(start), LineAction::Counted);
        }
        let almost = start + INTERVAL - Duration::from_millis(1);
        assert_eq!(repeats.sums_due(almost), []);
        let sum = "… and 4,812 more failed logins from 10.0.0.1 in the last 60 s";
        assert_eq!(
            repeats.sums_due(start + INTERVAL),
            [(Level::Info, sum.into())]
        );
        let action = repeats.count(Level::Info, source("10.0.0.1"), KIND, start + INTERVAL);
        assert_eq!(action, LineAction::Write, "a new interval");
    }

    #[test]
    fn what_was_written_in_full_has_no_sum() {
        let mut repeats = Repeats::default();
        let start = Instant::now();
        repeats.count(Level::Info, source("10.0.0.1"), KIND, start);
        assert_eq!(repeats.sums_due(start + INTERVAL), []);
        assert!(repeats.counts.is_empty());
    }

    #[test]
    fn kinds_and_sources_are_counted_apart_and_a_network_of_ipv6_is_one() {
        let mut repeats = Repeats::default();
        let start = Instant::now();
        for n in 0..WRITTEN {
            repeats.count(Level::Info, source(&format!("2001:db8::{n}")), KIND, start);
        }
        let mut count = |ip, kind| repeats.count(Level::Info, source(ip), kind, start);
        assert_eq!(count("2001:db8:0:1::1", KIND), LineAction::Write);
        assert_eq!(count("2001:db8::1", "invalid users"), LineAction::Write);
        assert_eq!(count("2001:db8::99", KIND), LineAction::SumUpLater);
        assert_eq!(source("::ffff:10.0.0.1"), source("10.0.0.1"));
        let sums = repeats.sums_due(start + INTERVAL);
        assert!(sums[0].1.contains("from 2001:db8::/64 in"), "{sums:?}");
    }

    /// Number of lines that are written of so many sources, each with one line.
    fn strangers(repeats: &mut Repeats, kind: &'static str, sources: u32, now: Instant) -> usize {
        let mut is_written = |n: u32| {
            let source = Some(IpAddr::V4(n.into())).into();
            repeats.count(Level::Info, source, kind, now) == LineAction::Write
        };
        (0..sources).filter(|&n| is_written(n)).count()
    }

    #[test]
    fn sources_beyond_the_table_share_one_count() {
        let mut repeats = Repeats::default();
        let start = Instant::now();
        let kind = "connections without identification";
        let written = strangers(&mut repeats, kind, 100_000, start);
        assert_eq!(written, MAX_COUNTED + 100);
        assert_eq!(repeats.counts[kind].len(), MAX_COUNTED + 1);
        let sums = repeats.sums_due(start + INTERVAL);
        let sum = "… and 99,644 more connections without identification from other sources in the last 60 s";
        assert_eq!(sums, [(Level::Info, sum.into())]);
        assert!(repeats.counts.is_empty());
    }

    #[test]
    fn connections_without_a_login_hide_no_failed_login() {
        let mut repeats = Repeats::default();
        let start = Instant::now();
        strangers(
            &mut repeats,
            "connections without identification",
            1000,
            start,
        );
        for kind in [FAILED_LOGINS, INVALID_USERS, TOO_MANY_FAILED_LOGINS] {
            assert_eq!(strangers(&mut repeats, kind, 10_000, start), 10_000);
        }
    }

    #[test]
    fn failed_logins_have_a_bound_as_well() {
        let mut repeats = Repeats::default();
        strangers(&mut repeats, FAILED_LOGINS, 100_000, Instant::now());
        assert_eq!(repeats.counts[FAILED_LOGINS].len(), MAX_WATCHED + 1);
        assert_eq!(repeats.ends.len(), MAX_WATCHED + 1);
    }
}

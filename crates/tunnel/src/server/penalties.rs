//! `PerSourcePenalties`: addresses whose connections lead to no login are refused for a while.
//!
//! Each connection that ends without a login adds some seconds to the penalty of its source. Above `min` the source is
//! shut out until the penalty is over. Key exchanges without a login add up like failed logins, so nobody can keep the
//! server busy with them (DHEat). A login adds nothing.
//!
//! No clock is read here, and the work for a connection does not depend on its content: tables are bounded, and each
//! entry is added and removed once.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::config::sshd_config::{NetBlockSize, Overflow, PenaltyOptions};

/// An address, or a network that counts as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum NetBlock {
    V4(u32),
    V6(u128),
}

impl NetBlock {
    /// Source of a peer, for a `PerSourceNetBlockSize`.
    pub(super) fn of(peer: IpAddr, size: NetBlockSize) -> Self {
        match peer.to_canonical() {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(size.v4)).unwrap_or(0);
                Self::V4(v4.to_bits() & mask)
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(size.v6)).unwrap_or(0);
                Self::V6(v6.to_bits() & mask)
            }
        }
    }
}

/// Cause of a penalty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// The connection made the server panic.
    Crash,
    /// Its login attempts failed.
    AuthFail,
    /// The same, for a user that does not exist.
    InvalidUser,
    /// It made no login attempt.
    NoAuth,
    /// It exceeded LoginGraceTime.
    GraceExceeded,
}

impl Cause {
    /// OpenSSH's text for the log.
    pub(super) fn in_the_log(self) -> &'static str {
        match self {
            Self::Crash => "penalty: caused crash",
            Self::AuthFail => "penalty: failed authentication",
            Self::InvalidUser => "penalty: attempted authentication by invalid user",
            Self::NoAuth => "penalty: connections without attempting authentication",
            Self::GraceExceeded => "penalty: exceeded LoginGraceTime",
        }
    }
}

/// Lengths and limits of the penalties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PenaltyRules {
    crash: Duration,
    auth_fail: Duration,
    invalid_user: Duration,
    no_auth: Duration,
    grace_exceeded: Duration,
    max: Duration,
    min: Duration,
    v4: Bounds,
    v6: Bounds,
}

/// Limit of the number of sources, and the rule for more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bounds {
    sources: usize,
    overflow: Overflow,
}

impl PenaltyRules {
    /// Rules with OpenSSH's defaults; none if penalties are switched off.
    pub(super) fn new(options: &PenaltyOptions) -> Option<Self> {
        const SOURCES: u32 = 65_536;
        if options.enabled == Some(false) {
            return None;
        }
        let span = |set: Option<Duration>, seconds| set.unwrap_or(Duration::from_secs(seconds));
        let bounds = |sources: Option<u32>, overflow: Option<Overflow>| Bounds {
            sources: sources.unwrap_or(SOURCES) as usize,
            overflow: overflow.unwrap_or(Overflow::Permissive),
        };
        Some(Self {
            crash: span(options.crash, 90),
            auth_fail: span(options.auth_fail, 5),
            invalid_user: span(options.invalid_user, 5),
            no_auth: span(options.no_auth, 1),
            grace_exceeded: span(options.grace_exceeded, 10),
            max: span(options.max, 600),
            min: span(options.min, 15),
            v4: bounds(options.max_sources4, options.overflow),
            v6: bounds(options.max_sources6, options.overflow6.or(options.overflow)),
        })
    }

    fn seconds(&self, cause: Cause) -> Duration {
        match cause {
            Cause::Crash => self.crash,
            Cause::AuthFail => self.auth_fail,
            Cause::InvalidUser => self.invalid_user,
            Cause::NoAuth => self.no_auth,
            Cause::GraceExceeded => self.grace_exceeded,
        }
    }
}

/// Reason why a source is shut out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ShutOut {
    /// Its latest cause, and the time that is left.
    For(Cause, Duration),
    /// Too many other sources have penalties (`overflow:deny-all`).
    TableFull,
}

/// Penalties of all sources.
#[derive(Debug, Default)]
pub(super) struct Penalties {
    v4: Table,
    v6: Table,
}

impl Penalties {
    /// Checks that a source is not shut out.
    pub(super) fn judge(
        &mut self,
        source: NetBlock,
        rules: &PenaltyRules,
        now: Instant,
    ) -> Result<(), ShutOut> {
        let (table, bounds) = self.table(source, rules);
        table.expire(now);
        if table.is_full(bounds) && bounds.overflow == Overflow::DenyAll {
            return Err(ShutOut::TableFull);
        }
        match table.by_source.get(&source) {
            Some(penalty) if penalty.active => {
                let left = penalty.until.saturating_duration_since(now);
                Err(ShutOut::For(penalty.cause, left))
            }
            _ => Ok(()),
        }
    }

    /// Adds a penalty. Returns its length, if it shuts the source out from now on.
    pub(super) fn add(
        &mut self,
        source: NetBlock,
        cause: Cause,
        rules: &PenaltyRules,
        now: Instant,
    ) -> Option<Duration> {
        let seconds = rules.seconds(cause);
        let (table, bounds) = self.table(source, rules);
        table.expire(now);
        let known = table.by_source.get(&source).copied();
        let no_room = known.is_none() && table.is_full(bounds);
        if seconds.is_zero() || (no_room && bounds.overflow == Overflow::DenyAll) {
            return None;
        }
        let from = known.map_or(now, |penalty| penalty.until.max(now));
        let until = (from + seconds).min(now + rules.max.max(seconds));
        let was_active = known.is_some_and(|penalty| penalty.active);
        let active = was_active || until - now > rules.min;
        table.put(
            source,
            Penalty {
                until,
                active,
                cause,
            },
        );
        table.cut_to(bounds.sources);
        (active && !was_active).then(|| until - now)
    }

    fn table(&mut self, source: NetBlock, rules: &PenaltyRules) -> (&mut Table, Bounds) {
        match source {
            NetBlock::V4(_) => (&mut self.v4, rules.v4),
            NetBlock::V6(_) => (&mut self.v6, rules.v6),
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Penalty {
    until: Instant,
    /// True once the penalty has exceeded `min`; it then lasts until its end.
    active: bool,
    cause: Cause,
}

/// Penalties of one address family, by source and by end.
#[derive(Debug, Default)]
struct Table {
    by_source: HashMap<NetBlock, Penalty>,
    by_end: BTreeSet<(Instant, NetBlock)>,
}

impl Table {
    fn is_full(&self, bounds: Bounds) -> bool {
        self.by_source.len() >= bounds.sources
    }

    fn put(&mut self, source: NetBlock, penalty: Penalty) {
        self.by_end.insert((penalty.until, source));
        let before = self.by_source.insert(source, penalty);
        if let Some(before) = before.filter(|before| before.until != penalty.until) {
            self.by_end.remove(&(before.until, source));
        }
    }

    fn expire(&mut self, now: Instant) {
        while self.by_end.first().is_some_and(|(until, _)| *until < now) {
            self.remove_first();
        }
    }

    fn cut_to(&mut self, sources: usize) {
        while self.by_source.len() > sources {
            self.remove_first();
        }
    }

    fn remove_first(&mut self) {
        if let Some((_, source)) = self.by_end.pop_first() {
            self.by_source.remove(&source);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: NetBlock = NetBlock::V4(1);
    const B: NetBlock = NetBlock::V4(2);
    const C: NetBlock = NetBlock::V4(3);

    fn rules(change: impl Fn(&mut PenaltyOptions)) -> PenaltyRules {
        let mut options = PenaltyOptions::default();
        change(&mut options);
        PenaltyRules::new(&options).unwrap()
    }

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn source_is_shut_out_if_its_penalty_exceeds_the_minimum() {
        let (rules, start) = (rules(|_| {}), Instant::now());
        let mut penalties = Penalties::default();
        for _ in 0..3 {
            assert_eq!(penalties.add(A, Cause::AuthFail, &rules, start), None);
            assert_eq!(penalties.judge(A, &rules, start), Ok(()));
        }
        let began = penalties.add(A, Cause::AuthFail, &rules, start);
        assert_eq!(began, Some(seconds(20)));
        let shut_out = |left| Err(ShutOut::For(Cause::AuthFail, seconds(left)));
        assert_eq!(penalties.judge(A, &rules, start), shut_out(20));
        assert_eq!(penalties.judge(B, &rules, start), Ok(()));
        let later = start + seconds(19);
        assert_eq!(penalties.judge(A, &rules, later), shut_out(1), "to its end");
        assert_eq!(penalties.judge(A, &rules, start + seconds(21)), Ok(()));
        assert!(penalties.v4.by_source.is_empty() && penalties.v4.by_end.is_empty());
    }

    #[test]
    fn penalties_that_are_over_do_not_add_up() {
        let (rules, start) = (rules(|_| {}), Instant::now());
        let mut penalties = Penalties::default();
        for n in 0..1000 {
            let now = start + seconds(6 * n);
            assert_eq!(penalties.add(A, Cause::InvalidUser, &rules, now), None);
        }
    }

    #[test]
    fn key_exchanges_of_one_source_without_login_are_less_than_two_a_second() {
        let (rules, start) = (rules(|_| {}), Instant::now());
        let mut penalties = Penalties::default();
        let let_in = (0..60_000).filter(|millis| {
            let now = start + Duration::from_millis(*millis);
            let let_in = penalties.judge(A, &rules, now).is_ok();
            if let_in {
                penalties.add(A, Cause::NoAuth, &rules, now);
            }
            let_in
        });
        assert_eq!(let_in.count(), 64, "sixteen in as many seconds");
    }

    #[test]
    fn penalties_grow_to_the_maximum() {
        let (rules, start) = (rules(|o| o.max = Some(seconds(60))), Instant::now());
        let mut penalties = Penalties::default();
        for _ in 0..50 {
            penalties.add(A, Cause::GraceExceeded, &rules, start);
        }
        let shut_out = Err(ShutOut::For(Cause::GraceExceeded, seconds(60)));
        assert_eq!(penalties.judge(A, &rules, start), shut_out);
    }

    #[test]
    fn full_table_drops_the_entry_that_ends_first_or_refuses_all() {
        let start = Instant::now();
        let fill = |overflow| {
            let rules = rules(|o| {
                (o.max_sources4, o.overflow) = (Some(2), Some(overflow));
            });
            let mut penalties = Penalties::default();
            penalties.add(A, Cause::Crash, &rules, start);
            penalties.add(B, Cause::Crash, &rules, start + seconds(1));
            penalties.add(C, Cause::Crash, &rules, start + seconds(2));
            assert_eq!(penalties.v4.by_source.len(), 2);
            assert_eq!(penalties.v4.by_end.len(), 2);
            let now = start + seconds(2);
            [A, C, NetBlock::V4(4), NetBlock::V6(4)]
                .map(|source| penalties.judge(source, &rules, now).is_ok())
        };
        assert_eq!(fill(Overflow::Permissive), [true, false, true, true]);
        assert_eq!(fill(Overflow::DenyAll), [false, false, false, true]);
    }

    #[test]
    fn penalty_of_no_seconds_adds_no_entry() {
        let (rules, now) = (rules(|o| o.no_auth = Some(Duration::ZERO)), Instant::now());
        let mut penalties = Penalties::default();
        assert_eq!(penalties.add(A, Cause::NoAuth, &rules, now), None);
        assert!(penalties.v4.by_source.is_empty());
        let off = PenaltyOptions {
            enabled: Some(false),
            ..PenaltyOptions::default()
        };
        assert_eq!(PenaltyRules::new(&off), None);
    }

    #[test]
    fn addresses_of_one_net_block_are_one_source() {
        let size = NetBlockSize { v4: 24, v6: 64 };
        let of = |text: &str| NetBlock::of(text.parse().unwrap(), size);
        assert_eq!(of("10.0.0.1"), of("10.0.0.255"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.2"));
        assert_ne!(of("10.0.0.1"), of("10.0.1.1"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::2:0:0:0"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        let all = NetBlockSize { v4: 0, v6: 0 };
        let any = |text: &str| NetBlock::of(text.parse().unwrap(), all);
        assert_eq!(
            (any("1.2.3.4"), any("::1")),
            (NetBlock::V4(0), NetBlock::V6(0))
        );
    }
}

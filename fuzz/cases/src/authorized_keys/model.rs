//! A line of `authorized_keys` made from parts, and what it has to mean.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use adit_tunnel::authorized_keys::{
    Authorized, BadOptions, KeyOptions, Lookup, Skipped, UnixTime, Unusable, lookup,
};
use adit_tunnel::policy::{Forwarding, HostPortRule, Permission, PortRule, RuleList};
use arbitrary::{Result, Unstructured};

use super::{KEYS, Moment, host_port, peer, quoted};

/// Options that change nothing about forwards.
const SWITCHES: [&str; 7] = [
    "pty",
    "no-pty",
    "agent-forwarding",
    "no-X11-forwarding",
    "user-rc",
    "no-user-rc",
    "no-touch-required",
];

/// A line of known parts, asked about at any time, from anywhere.
pub(super) fn known_line(u: &mut Unstructured<'_>) -> Result<()> {
    let [key, other] = &*KEYS;
    let key_text = &key.text;
    let (mut moment, peer) = (Moment::arbitrary(u)?, peer(u)?);
    let date = Date::arbitrary(u)?;
    if let (Some(seconds), true) = (date.seconds(), u.arbitrary()?) {
        // The second in which a key expires, or one beside it.
        moment.now = UnixTime(seconds + u.int_in_range(-1..=1)?);
    }
    let mut line = Line::new(date);
    for _ in 0..u.int_in_range(0..=6)? {
        line.add_option(&moment, peer, u)?;
    }
    let options = line.written.join(",");
    let blank = u.choose(&[" ", "\t", "  ", " \t "])?;
    let end = u.choose(&["", " comment", "\r", "\tme@there \"x\r"])?;
    let text = match options.is_empty() {
        true => format!("{key_text}{end}"),
        false => format!("{options}{blank}{key_text}{end}"),
    };
    let answer = lookup(text.as_bytes(), &key.blob, moment.clock(), peer);
    assert_eq!(answer, line.answer(peer), "{text}");
    let other = lookup(text.as_bytes(), &other.blob, moment.clock(), peer);
    assert_eq!((other.authorized, other.skipped), (None, vec![]), "{text}");
    Ok(())
}

/// Options as written, and what they have come to.
struct Line {
    written: Vec<String>,
    options: KeyOptions,
    open: Vec<HostPortRule>,
    listen: Vec<HostPortRule>,
    from: Option<bool>,
    expired: bool,
    /// A date for `expiry-time=`.
    date: Date,
    /// The first option that spoils the line.
    bad: Option<BadOptions>,
}

impl Line {
    fn new(date: Date) -> Self {
        Self {
            date,
            written: Vec::new(),
            options: KeyOptions::none(),
            open: Vec::new(),
            listen: Vec::new(),
            from: None,
            expired: false,
            bad: None,
        }
    }

    fn answer(mut self, peer: Option<IpAddr>) -> Lookup {
        let rules = &mut self.options.rules;
        if !self.open.is_empty() {
            rules.permit_open = RuleList::Only(self.open);
        }
        if !self.listen.is_empty() {
            rules.permit_listen = RuleList::Only(self.listen);
        }
        let reason = match (self.bad, self.expired, self.from) {
            (Some(bad), _, _) => Unusable::BadOptions(bad),
            (None, true, _) => Unusable::Expired,
            (None, false, Some(false)) => Unusable::NotFrom(peer),
            (None, false, None | Some(true)) => {
                return Lookup {
                    authorized: Some(Authorized {
                        line: 1,
                        options: self.options,
                    }),
                    skipped: Vec::new(),
                };
            }
        };
        Lookup {
            authorized: None,
            skipped: vec![Skipped { line: 1, reason }],
        }
    }

    fn add_option(
        &mut self,
        moment: &Moment,
        peer: Option<IpAddr>,
        u: &mut Unstructured<'_>,
    ) -> Result<()> {
        match u.int_in_range(0..=9)? {
            0 => self.flag("restrict", Some(Forwarding::Disabled), u),
            1 => self.flag("no-port-forwarding", Some(Forwarding::Disabled), u),
            2 => self.flag("port-forwarding", Some(Forwarding::Allowed), u),
            3 => {
                let name = u.choose(&SWITCHES)?;
                self.flag(name, None, u)
            }
            4 => {
                let rule = rule(u)?;
                self.value("permitopen", &host_port(&rule), u)?;
                self.open.push(rule);
                Ok(())
            }
            5 => self.listen(u),
            6 => self.from(peer, u),
            7 => self.expiry(moment, u),
            8 => self.command(u),
            _ => self.environment(u),
        }
    }

    fn flag(
        &mut self,
        name: &str,
        forwarding: Option<Forwarding>,
        u: &mut Unstructured<'_>,
    ) -> Result<()> {
        self.written.push(any_case(name, u)?);
        let options = &mut self.options;
        if let Some(forwarding) = forwarding {
            options.rules.port_forwarding = forwarding;
        }
        match name {
            "restrict" => {
                options.terminal = Permission::Refused;
                options.user_rc = Permission::Refused;
            }
            "pty" => options.terminal = Permission::Granted,
            "no-pty" => options.terminal = Permission::Refused,
            "user-rc" => options.user_rc = Permission::Granted,
            "no-user-rc" => options.user_rc = Permission::Refused,
            _ => {}
        }
        Ok(())
    }

    fn value(&mut self, name: &str, value: &str, u: &mut Unstructured<'_>) -> Result<()> {
        let name = any_case(name, u)?;
        self.written.push(format!("{name}=\"{}\"", quoted(value)));
        Ok(())
    }

    fn spoilt(&mut self, bad: BadOptions) {
        self.bad.get_or_insert(bad);
    }

    fn listen(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let mut rule = rule(u)?;
        let written = match u.arbitrary()? {
            true => host_port(&rule),
            false => {
                rule.host = "*".to_owned();
                host_port(&rule)[2..].to_owned()
            }
        };
        self.value("permitlisten", &written, u)?;
        self.listen.push(rule);
        Ok(())
    }

    fn from(&mut self, peer: Option<IpAddr>, u: &mut Unstructured<'_>) -> Result<()> {
        let (mut list, mut says) = (Vec::new(), Some(false));
        for _ in 0..u.int_in_range(1..=3)? {
            let (element, holds) = place(peer, u)?;
            let negated: bool = u.arbitrary()?;
            list.push(format!("{}{element}", if negated { "!" } else { "" }));
            says = match (negated, holds) {
                (true, true) => None,
                (false, true) => says.map(|_| true),
                (_, false) => says,
            };
        }
        self.value("from", &list.join(","), u)?;
        let says = peer.is_some() && says == Some(true);
        if self.from.replace(says).is_some() {
            self.spoilt(BadOptions::Repeated("from"));
        }
        Ok(())
    }

    fn expiry(&mut self, moment: &Moment, u: &mut Unstructured<'_>) -> Result<()> {
        let date = match u.arbitrary()? {
            true => self.date.clone(),
            false => Date::arbitrary(u)?,
        };
        let (written, shift) = match u.int_in_range(0..=2)? {
            0 => (date.written.clone(), i64::from(moment.ahead)),
            1 => (format!("{}Z", date.written), 0),
            _ => (format!("{}UTC", date.written), 0),
        };
        self.value("expiry-time", &written, u)?;
        match date.seconds() {
            Some(seconds) => self.expired |= moment.now.0 >= seconds - shift,
            None => self.spoilt(BadOptions::BadValue {
                option: "expiry-time",
                why: "is not a time",
            }),
        }
        Ok(())
    }

    fn command(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let command = words(u)?;
        self.value("command", &command, u)?;
        if self.options.command.replace(command).is_some() {
            self.spoilt(BadOptions::Repeated("command"));
        }
        Ok(())
    }

    fn environment(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let name = *u.choose(&["A", "B_1", "c"])?;
        let value = words(u)?;
        self.value("environment", &format!("{name}={value}"), u)?;
        let environment = &mut self.options.environment;
        if !environment.iter().any(|(known, _)| known == name) {
            environment.push((name.to_owned(), value));
        }
        Ok(())
    }
}

fn any_case(name: &str, u: &mut Unstructured<'_>) -> Result<String> {
    let upper: u32 = u.arbitrary()?;
    let case = |(n, c): (usize, char)| match upper >> (n % 32) & 1 {
        0 => c.to_ascii_lowercase(),
        _ => c.to_ascii_uppercase(),
    };
    Ok(name.chars().enumerate().map(case).collect())
}

fn rule(u: &mut Unstructured<'_>) -> Result<HostPortRule> {
    let hosts = [
        "db",
        "*",
        "::1",
        "2001:db8::1",
        "192.0.2.1",
        "[x",
        "a]b",
        "a b",
        "é,\"",
    ];
    Ok(HostPortRule {
        host: (*u.choose(&hosts)?).to_owned(),
        port: match u.int_in_range(0..=2)? {
            0 => PortRule::Any,
            _ => PortRule::Exactly(u.int_in_range(1..=u16::MAX)?),
        },
    })
}

/// Words with everything that has a meaning in a line; no backslash at the end, which cannot be written.
fn words(u: &mut Unstructured<'_>) -> Result<String> {
    let parts = [
        "a", " ", "\t", ",", "=", "#", "\"", "é", "\\", "restrict", "z",
    ];
    let len = u.int_in_range(0..=8)?;
    let words: Result<String> = (0..len).map(|_| u.choose(&parts).copied()).collect();
    Ok(words?.trim_end_matches('\\').to_owned())
}

/// An element of a `from=` list, and whether it covers the peer.
fn place(peer: Option<IpAddr>, u: &mut Unstructured<'_>) -> Result<(String, bool)> {
    let peer = peer.map(|ip| ip.to_canonical());
    let near: IpAddr = match (u.arbitrary()?, peer) {
        (true, Some(peer)) => peer,
        _ => Ipv4Addr::new(192, 0, 2, u.arbitrary()?).into(),
    };
    Ok(match u.int_in_range(0..=3)? {
        0 => ("*".to_owned(), true),
        1 => (near.to_string(), peer == Some(near)),
        2 => ("nobody.example".to_owned(), false),
        _ => {
            let width = if near.is_ipv4() { 32 } else { 128 };
            let len: u32 = u.int_in_range(0..=width)?;
            // The peer's own network, or one that differs in one bit: the last that counts, or any.
            let network = match u.int_in_range(0..=2)? {
                0 => prefix(near, len),
                1 => prefix(flipped(near, len.saturating_sub(1)), len),
                _ => prefix(flipped(near, u.int_in_range(0..=width - 1)?), len),
            };
            let holds = peer.is_some_and(|peer| {
                peer.is_ipv4() == near.is_ipv4() && prefix(peer, len) == network
            });
            (format!("{network}/{len}"), holds)
        }
    })
}

/// The address with every bit after the first `len` cleared, one by one.
fn prefix(address: IpAddr, len: u32) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let bits = (len..32).fold(v4.to_bits(), |bits, n| bits & !(1 << (31 - n)));
            Ipv4Addr::from_bits(bits).into()
        }
        IpAddr::V6(v6) => {
            let bits = (len..128).fold(v6.to_bits(), |bits, n| bits & !(1 << (127 - n)));
            Ipv6Addr::from_bits(bits).into()
        }
    }
}

/// The address with one bit changed, counted from the left.
fn flipped(address: IpAddr, bit: u32) -> IpAddr {
    match address {
        IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() ^ (1 << (31 - bit))).into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() ^ (1 << (127 - bit))).into(),
    }
}

/// A date, which need not exist, and a time of day.
#[derive(Clone)]
struct Date {
    written: String,
    year: i64,
    month: usize,
    day: i64,
    second_of_day: Option<i64>,
}

impl Date {
    fn arbitrary(u: &mut Unstructured<'_>) -> Result<Self> {
        let year = match u.ratio(1, 8)? {
            true => 9999,
            false => u.int_in_range(1960..=2200)?,
        };
        let (month, day) = match u.ratio(1, 4)? {
            true => (2, 29),
            false => (u.int_in_range(0..=13)?, u.int_in_range(0..=32)?),
        };
        let mut written = format!("{year:04}{month:02}{day:02}");
        let mut second_of_day = Some(0);
        let parts = *u.choose(&[0, 2, 3])?;
        for (unit, below) in [(3600, 24), (60, 60), (1, 60)].into_iter().take(parts) {
            let n = u.int_in_range(0..=below)?;
            written += &format!("{n:02}");
            second_of_day = second_of_day
                .filter(|_| n < below)
                .map(|sum| sum + n * unit);
        }
        Ok(Self {
            written,
            year,
            month,
            day,
            second_of_day,
        })
    }

    /// Seconds since 1970, by counting years and months.
    fn seconds(&self) -> Option<i64> {
        let leap = |year| (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        let months = |year| {
            let february = if leap(year) { 29 } else { 28 };
            [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        };
        let this_year = months(self.year);
        let this_month = *this_year.get(self.month.checked_sub(1)?)?;
        if self.year < 1970 || !(1..=this_month).contains(&self.day) {
            return None;
        }
        let years: i64 = (1970..self.year).flat_map(months).sum();
        let months: i64 = this_year[..self.month - 1].iter().sum();
        Some((years + months + self.day - 1) * 86_400 + self.second_of_day?)
    }
}

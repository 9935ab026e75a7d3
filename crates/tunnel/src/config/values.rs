//! The values that keywords take: words, numbers, times, sizes. Each error says what was expected.

use std::net::IpAddr;
use std::time::Duration;

use super::error::LineError;
use super::lines::Arguments;

/// Families of addresses that are used (`AddressFamily`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressFamily {
    /// IPv4 and IPv6.
    Any,
    /// IPv4 only.
    Inet,
    /// IPv6 only.
    Inet6,
}

impl AddressFamily {
    /// True if the address is of one of these families.
    pub fn admits(self, address: IpAddr) -> bool {
        match self {
            AddressFamily::Any => true,
            AddressFamily::Inet => address.is_ipv4(),
            AddressFamily::Inet6 => address.is_ipv6(),
        }
    }
}

/// Amount that is written to the log (`LogLevel`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Nothing at all.
    Quiet,
    /// Messages about the end of the program.
    Fatal,
    /// Errors.
    Error,
    /// Messages that a user wants to see.
    Info,
    /// A little more.
    Verbose,
    /// For finding faults.
    Debug1,
    /// More of it.
    Debug2,
    /// All of it.
    Debug3,
}

/// The part of the system's log that messages belong to (`SyslogFacility`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyslogFacility {
    /// Programs of users; the client's default.
    User,
    /// System services.
    Daemon,
    /// Logins; the server's default.
    Auth,
    /// Logins that only administrators read about.
    AuthPriv,
    /// One of eight that the administrator gives a meaning, 0 to 7.
    Local(u8),
}

impl SyslogFacility {
    /// The number in a message's priority (RFC 3164 §4.1.1).
    pub fn code(self) -> u8 {
        match self {
            Self::User => 1,
            Self::Daemon => 3,
            Self::Auth => 4,
            Self::AuthPriv => 10,
            Self::Local(n) => 16 + n.min(7),
        }
    }
}

impl std::fmt::Display for SyslogFacility {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::User => f.write_str("USER"),
            Self::Daemon => f.write_str("DAEMON"),
            Self::Auth => f.write_str("AUTH"),
            Self::AuthPriv => f.write_str("AUTHPRIV"),
            Self::Local(n) => write!(f, "LOCAL{n}"),
        }
    }
}

/// Limits after which the keys of a connection are renewed (`RekeyLimit`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RekeyLimitOption {
    /// After so many bytes; `None` is the default of the cipher.
    pub bytes: Option<u64>,
    /// After so long; `None` is never.
    pub interval: Option<Duration>,
}

/// `yes` or `no`, also `true` and `false`.
pub(crate) fn yes_no(word: &str) -> Result<bool, &'static str> {
    choose(
        word,
        &[
            ("yes", true),
            ("true", true),
            ("no", false),
            ("false", false),
        ],
    )
    .ok_or("yes or no")
}

/// One word of a table, in any case.
pub(crate) fn choose<T: Copy>(word: &str, table: &[(&str, T)]) -> Option<T> {
    table
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(word))
        .map(|&(_, value)| value)
}

/// `any`, `inet` or `inet6`.
pub(crate) fn address_family(word: &str) -> Result<AddressFamily, &'static str> {
    let table = [
        ("any", AddressFamily::Any),
        ("inet", AddressFamily::Inet),
        ("inet6", AddressFamily::Inet6),
    ];
    choose(word, &table).ok_or("any, inet or inet6")
}

/// A log level.
pub(crate) fn log_level(word: &str) -> Result<LogLevel, &'static str> {
    let table = [
        ("quiet", LogLevel::Quiet),
        ("silent", LogLevel::Quiet),
        ("fatal", LogLevel::Fatal),
        ("error", LogLevel::Error),
        ("info", LogLevel::Info),
        ("verbose", LogLevel::Verbose),
        ("debug", LogLevel::Debug1),
        ("debug1", LogLevel::Debug1),
        ("debug2", LogLevel::Debug2),
        ("debug3", LogLevel::Debug3),
    ];
    choose(word, &table).ok_or("QUIET, FATAL, ERROR, INFO, VERBOSE, or DEBUG1 to DEBUG3")
}

pub(crate) fn syslog_facility(word: &str) -> Result<SyslogFacility, &'static str> {
    let table = [
        ("user", SyslogFacility::User),
        ("daemon", SyslogFacility::Daemon),
        ("auth", SyslogFacility::Auth),
        ("authpriv", SyslogFacility::AuthPriv),
        ("local0", SyslogFacility::Local(0)),
        ("local1", SyslogFacility::Local(1)),
        ("local2", SyslogFacility::Local(2)),
        ("local3", SyslogFacility::Local(3)),
        ("local4", SyslogFacility::Local(4)),
        ("local5", SyslogFacility::Local(5)),
        ("local6", SyslogFacility::Local(6)),
        ("local7", SyslogFacility::Local(7)),
    ];
    choose(word, &table).ok_or("DAEMON, USER, AUTH, AUTHPRIV, or LOCAL0 to LOCAL7")
}

/// A decimal number without a sign.
pub(crate) fn number(word: &str) -> Result<u32, &'static str> {
    let digits = word.bytes().all(|b| b.is_ascii_digit());
    word.parse().ok().filter(|_| digits).ok_or("a number")
}

/// A port from 1 to 65535.
pub(crate) fn port(word: &str) -> Result<u16, &'static str> {
    let port = number(word).ok().and_then(|n| u16::try_from(n).ok());
    port.filter(|&port| port != 0)
        .ok_or("a port from 1 to 65535")
}

/// A file mode mask in octal, at most 0777.
pub(crate) fn mask(word: &str) -> Result<u32, &'static str> {
    let digits = word.bytes().all(|b| b.is_ascii_digit());
    let mask = u32::from_str_radix(word, 8)
        .ok()
        .filter(|&mask| digits && mask <= 0o777);
    mask.ok_or("an octal mask such as 0177")
}

/// A span of time: `90`, `1m30s`, `2h`; a number alone is seconds.
pub(crate) fn time(word: &str) -> Result<Duration, &'static str> {
    const EXPECTED: &str = "a time such as 90, 1m30s or 2h";
    let mut total: u64 = 0;
    let mut rest = word;
    if rest.is_empty() {
        return Err(EXPECTED);
    }
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        let (digits, after) = rest.split_at(end);
        let count: u64 = digits.parse().map_err(|_| EXPECTED)?;
        let mut unit = after.chars();
        let seconds = match unit.next() {
            None | Some('s' | 'S') => 1,
            Some('m' | 'M') => 60,
            Some('h' | 'H') => 3600,
            Some('d' | 'D') => 86_400,
            Some('w' | 'W') => 604_800,
            Some(_) => return Err(EXPECTED),
        };
        total = count
            .checked_mul(seconds)
            .and_then(|part| total.checked_add(part))
            // As OpenSSH: an int of seconds. It also keeps sums of times far from overflow.
            .filter(|&sum| sum <= i32::MAX as u64)
            .ok_or(EXPECTED)?;
        rest = unit.as_str();
    }
    Ok(Duration::from_secs(total))
}

/// A span of time, or `none` for zero.
pub(crate) fn time_or_none(word: &str) -> Result<Duration, &'static str> {
    match word {
        "none" => Ok(Duration::ZERO),
        _ => time(word),
    }
}

/// The arguments of `RekeyLimit`: a size, then perhaps a time or `none`.
pub(crate) fn rekey_limit(arguments: &mut Arguments) -> Result<RekeyLimitOption, LineError> {
    let bytes = arguments.one(rekey_bytes)?;
    let interval = match arguments.optional() {
        None => Duration::ZERO,
        Some(word) => {
            time_or_none(&word).map_err(|expected| arguments.bad_value(&word, expected))?
        }
    };
    let interval = Some(interval).filter(|interval| !interval.is_zero());
    Ok(RekeyLimitOption { bytes, interval })
}

/// The bytes of a `RekeyLimit`: `default`, or at least 16, with `K`, `M`, `G` or `T` for powers of 1024.
fn rekey_bytes(word: &str) -> Result<Option<u64>, &'static str> {
    const EXPECTED: &str = "default, or a size such as 512M, at least 16";
    if word == "default" {
        return Ok(None);
    }
    let (digits, unit) = match word.char_indices().next_back() {
        Some((at, letter)) if letter.is_ascii_alphabetic() => {
            (&word[..at], letter.to_ascii_uppercase())
        }
        _ => (word, ' '),
    };
    let shift = match unit {
        ' ' => 0,
        'K' => 10,
        'M' => 20,
        'G' => 30,
        'T' => 40,
        _ => return Err(EXPECTED),
    };
    match scaled(digits, shift).ok_or(EXPECTED)? {
        0 => Ok(None),
        1..16 => Err(EXPECTED),
        bytes => Ok(Some(bytes)),
    }
}

/// A decimal number, with a fraction if a unit follows, times a power of two.
fn scaled(digits: &str, shift: u32) -> Option<u64> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let only_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if !only_digits(whole) || !only_digits(fraction) || (digits.contains('.') && shift == 0) {
        return None;
    }
    let unit = 1_u64 << shift;
    let whole = whole.parse::<u64>().ok()?.checked_mul(unit)?;
    // Nine places are more than any unit here can show.
    let fraction = &fraction[..fraction.len().min(9)];
    let part = match fraction {
        "" => 0,
        _ => {
            let tenths = 10_u128.pow(fraction.len() as u32);
            let part = fraction.parse::<u128>().ok()? * u128::from(unit) / tenths;
            u64::try_from(part).ok()?
        }
    };
    whole.checked_add(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_sums_of_parts() {
        let table = [
            ("0", Some(0)),
            ("90", Some(90)),
            ("1m30s", Some(90)),
            ("1h30", Some(3630)),
            ("2H", Some(7200)),
            ("1d", Some(86_400)),
            ("1w2d", Some(777_600)),
            ("2147483647", Some(2_147_483_647)),
            ("2147483648", None),
            ("99999999999999999999w", None),
            ("", None),
            ("h", None),
            ("3q", None),
            ("-1", None),
            ("1 h", None),
            ("1.5h", None),
        ];
        for (word, expected) in table {
            assert_eq!(time(word).ok(), expected.map(Duration::from_secs), "{word}");
        }
        assert_eq!(time_or_none("none"), Ok(Duration::ZERO));
    }

    #[test]
    fn rekey_sizes_have_units_and_a_least_value() {
        let table = [
            ("default", Ok(None)),
            ("0", Ok(None)),
            ("16", Ok(Some(16))),
            ("15", Err(())),
            ("1k", Ok(Some(1024))),
            ("512M", Ok(Some(512 << 20))),
            ("1G", Ok(Some(1 << 30))),
            ("1.5G", Ok(Some(3 << 29))),
            ("2T", Ok(Some(2 << 40))),
            ("none", Err(())),
            ("", Err(())),
            ("G", Err(())),
            ("1.5", Err(())),
            ("1Q", Err(())),
            ("-1", Err(())),
            ("+20", Err(())),
            ("99999999999G", Err(())),
            ("1é", Err(())),
        ];
        for (word, expected) in table {
            assert_eq!(rekey_bytes(word).map_err(drop), expected, "{word}");
        }
    }

    #[test]
    fn words_are_taken_in_any_case() {
        assert_eq!(yes_no("YES"), Ok(true));
        assert_eq!(yes_no("false"), Ok(false));
        assert!(yes_no("maybe").is_err());
        assert_eq!(log_level("debug"), Ok(LogLevel::Debug1));
        assert_eq!(syslog_facility("Local7").map(SyslogFacility::code), Ok(23));
        assert!(syslog_facility("local8").is_err());
        assert_eq!(address_family("INET6"), Ok(AddressFamily::Inet6));
    }

    #[test]
    fn numbers_ports_and_masks_have_bounds() {
        assert_eq!(
            (port("22"), port("0").ok(), port("65536").ok()),
            (Ok(22), None, None)
        );
        assert_eq!(
            (
                number("+1").ok(),
                number("").ok(),
                number("4294967296").ok()
            ),
            (None, None, None)
        );
        assert_eq!(
            (
                mask("0177"),
                mask("999").ok(),
                mask("1777").ok(),
                mask("+7").ok()
            ),
            (Ok(0o177), None, None, None)
        );
    }
}

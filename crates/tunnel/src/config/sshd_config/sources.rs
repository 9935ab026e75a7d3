//! `PerSourceMaxStartups`, `PerSourceNetBlockSize`, `PerSourcePenalties`: what one address may do before it logs in.

use std::time::Duration;

use crate::config::error::LineError;
use crate::config::lines::Arguments;
use crate::config::values::{number, time};

/// Number of bits of an address that make a source (`PerSourceNetBlockSize`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetBlockSize {
    /// Of an IPv4 address, at most 32.
    pub v4: u8,
    /// Of an IPv6 address, at most 128.
    pub v6: u8,
}

impl Default for NetBlockSize {
    /// Each address is a source of its own.
    fn default() -> Self {
        Self { v4: 32, v6: 128 }
    }
}

/// Effect of having as many penalised sources as there may be (`overflow:`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overflow {
    /// The penalty that would end first ends now.
    Permissive,
    /// Nobody is let in until one has ended.
    DenyAll,
}

/// `PerSourcePenalties`, word by word; the first of each counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PenaltyOptions {
    /// True if there are any; default yes.
    pub enabled: Option<bool>,
    /// `crash`; default 90 s.
    pub crash: Option<Duration>,
    /// `authfail`; default 5 s.
    pub auth_fail: Option<Duration>,
    /// `invaliduser`; default 5 s.
    pub invalid_user: Option<Duration>,
    /// `noauth`; default 1 s.
    pub no_auth: Option<Duration>,
    /// `grace-exceeded`; default 10 s.
    pub grace_exceeded: Option<Duration>,
    /// `refuseconnection`; default 10 s. Nothing causes it: `RefuseConnection` is not supported.
    pub refuse_connection: Option<Duration>,
    /// `max`; default 10 min.
    pub max: Option<Duration>,
    /// `min`; default 15 s.
    pub min: Option<Duration>,
    /// `max-sources4`; default 65,536.
    pub max_sources4: Option<u32>,
    /// `max-sources6`; default 65,536.
    pub max_sources6: Option<u32>,
    /// `overflow`; default permissive.
    pub overflow: Option<Overflow>,
    /// `overflow6`; default that of IPv4.
    pub overflow6: Option<Overflow>,
}

/// Reads the words of one line into what lines before have left open.
pub(super) fn penalties(
    options: &mut PenaltyOptions,
    arguments: &mut Arguments,
) -> Result<(), LineError> {
    let words = arguments.all()?;
    if let [word] = words.as_slice()
        && let Some(enabled) = on_or_off(word)
    {
        options.enabled.get_or_insert(enabled);
        return Ok(());
    }
    for word in &words {
        penalty(options, word).map_err(|expected| arguments.bad_value(word, expected))?;
        options.enabled = Some(true);
    }
    Ok(())
}

fn on_or_off(word: &str) -> Option<bool> {
    let is = |name| word.eq_ignore_ascii_case(name);
    (is("yes") || is("no")).then(|| is("yes"))
}

fn penalty(options: &mut PenaltyOptions, word: &str) -> Result<(), &'static str> {
    const EXPECTED: &str = "yes or no alone, or words such as authfail:5s, min:15s, max-sources4:65536 and overflow:permissive";
    let (name, value) = word.split_once(':').ok_or(EXPECTED)?;
    let span = match name {
        "crash" => &mut options.crash,
        "authfail" => &mut options.auth_fail,
        "invaliduser" => &mut options.invalid_user,
        "noauth" => &mut options.no_auth,
        "grace-exceeded" => &mut options.grace_exceeded,
        "refuseconnection" => &mut options.refuse_connection,
        "max" => &mut options.max,
        "min" => &mut options.min,
        "max-sources4" => return set(&mut options.max_sources4, number(value)?),
        "max-sources6" => return set(&mut options.max_sources6, number(value)?),
        "overflow" => return set(&mut options.overflow, overflow(value)?),
        "overflow6" => return set(&mut options.overflow6, overflow(value)?),
        _ => return Err(EXPECTED),
    };
    set(span, fine_time(value)?)
}

/// The first value counts.
fn set<T>(slot: &mut Option<T>, value: T) -> Result<(), &'static str> {
    slot.get_or_insert(value);
    Ok(())
}

fn overflow(word: &str) -> Result<Overflow, &'static str> {
    match word {
        "permissive" => Ok(Overflow::Permissive),
        "deny-all" => Ok(Overflow::DenyAll),
        _ => Err("permissive or deny-all"),
    }
}

/// The longest time that is read; more than anybody waits, and little enough to be added to a clock.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// A time whose seconds may have a fraction: `1m`, `0.5`, `2.5s`.
fn fine_time(word: &str) -> Result<Duration, &'static str> {
    const EXPECTED: &str = "a time such as 5, 0.5s, 1m30s or 2h";
    let Some((whole, fraction)) = word.split_once('.') else {
        return time(word).map(|t| t.min(LONGEST)).map_err(|_| EXPECTED);
    };
    let digits = fraction.trim_end_matches(['s', 'S']);
    let fine = fraction.len() - digits.len() <= 1
        && (1..=9).contains(&digits.len())
        && digits.bytes().all(|b| b.is_ascii_digit())
        && whole.ends_with(|c: char| c.is_ascii_digit());
    let nanoseconds = format!("{digits:0<9}").parse().map_err(|_| EXPECTED)?;
    let whole = time(whole).map_err(|_| EXPECTED)?;
    fine.then(|| whole.min(LONGEST) + Duration::from_nanos(nanoseconds))
        .ok_or(EXPECTED)
}

/// `none`, or a number.
pub(super) fn max_startups(word: &str) -> Result<u32, &'static str> {
    match word {
        "none" => Ok(u32::MAX),
        word => number(word).map_err(|_| "none or a number"),
    }
}

/// `BITS` of IPv4, or `BITS:BITS` with those of IPv6.
pub(super) fn net_block_size(word: &str) -> Result<NetBlockSize, &'static str> {
    const EXPECTED: &str = "bits of IPv4 and IPv6, such as 24:64";
    let bits = |word: &str, most: u8| {
        let bits = number(word).ok().and_then(|bits| u8::try_from(bits).ok());
        bits.filter(|&bits| bits <= most).ok_or(EXPECTED)
    };
    let (v4, v6) = match word.split_once(':') {
        Some((v4, v6)) => (v4, bits(v6, 128)?),
        None => (word, NetBlockSize::default().v6),
    };
    Ok(NetBlockSize {
        v4: bits(v4, 32)?,
        v6,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_may_have_a_fraction() {
        for (word, millis) in [
            ("5", 5000),
            ("0.5", 500),
            ("1m0.25s", 60_250),
            ("2h", 7_200_000),
        ] {
            assert_eq!(fine_time(word), Ok(Duration::from_millis(millis)), "{word}");
        }
        for word in ["", ".", "1.", ".5", "1.5m", "1.5ss", "-1", "1.0000000001"] {
            assert!(fine_time(word).is_err(), "{word}");
        }
        assert!(fine_time("99999999999w").is_err() || fine_time("99999999999w") == Ok(LONGEST));
    }

    #[test]
    fn net_blocks_have_at_most_the_bits_of_an_address() {
        let size = |v4, v6| Ok(NetBlockSize { v4, v6 });
        assert_eq!(net_block_size("24"), size(24, 128));
        assert_eq!(net_block_size("0:64"), size(0, 64));
        for word in ["33", "24:129", "24:", ":64", "-1", "24:64:1"] {
            assert!(net_block_size(word).is_err(), "{word}");
        }
    }
}

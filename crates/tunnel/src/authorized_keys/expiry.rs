//! Points in time as `expiry-time=` writes them, without asking a clock.

/// Seconds since 1970-01-01 00:00 UTC, not counting leap seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixTime(pub i64);

/// The time as the caller knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// Now.
    pub now: UnixTime,
    /// Seconds to add to UTC for the system's own time zone: 7200 for UTC+2.
    ///
    /// It gives a meaning to times written without `Z`. The offset of today is used for every date, so
    /// that such a time can be an hour off across a change of daylight saving. Zero means UTC.
    pub utc_offset: i32,
}

/// When a key ends to be valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Expiry {
    /// As if the written time was UTC.
    at: UnixTime,
    zone: Zone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Zone {
    Utc,
    System,
}

impl Expiry {
    /// Parses `YYYYMMDD`, `YYYYMMDDHHMM` or `YYYYMMDDHHMMSS`, with `Z` or `UTC` at its end for UTC.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let utc = text.strip_suffix("UTC").or_else(|| text.strip_suffix('Z'));
        let (digits, zone) = match utc {
            Some(digits) => (digits, Zone::Utc),
            None => (text, Zone::System),
        };
        if !matches!(digits.len(), 8 | 12 | 14) || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let number = |at: usize, len: usize| -> Option<i64> {
            match digits.get(at..at + len) {
                Some(part) => part.parse().ok(),
                None => Some(0),
            }
        };
        let days = days_since_1970(number(0, 4)?, number(4, 2)?, number(6, 2)?)?;
        let (hour, minute, second) = (number(8, 2)?, number(10, 2)?, number(12, 2)?);
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let at = UnixTime(days * 86_400 + hour * 3600 + minute * 60 + second);
        Some(Self { at, zone })
    }

    /// Whether the key has ceased to be valid; the written second itself is too late.
    pub(super) fn has_passed(&self, clock: Clock) -> bool {
        let written = match self.zone {
            Zone::Utc => self.at.0,
            Zone::System => self.at.0 - i64::from(clock.utc_offset),
        };
        clock.now.0 >= written
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar; `None` if there is no such date.
fn days_since_1970(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let in_month = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    if year < 1970 || !(1..=in_month).contains(&day) {
        return None;
    }
    // Count years from March, so that the leap day is a year's last, and months of 153 days in five.
    let (year, month) = match month {
        1 | 2 => (year - 1, month + 9),
        _ => (year, month - 3),
    };
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + day_of_year;
    const DAYS_TO_1970: i64 = 719_468;
    Some(days - DAYS_TO_1970)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Option<i64> {
        Expiry::parse(text).map(|expiry| expiry.at.0)
    }

    #[test]
    fn dates_become_seconds() {
        assert_eq!(at("19700101"), Some(0));
        assert_eq!(at("19700102Z"), Some(86_400));
        assert_eq!(at("20000301"), Some(951_868_800));
        assert_eq!(at("20240229235959Z"), Some(1_709_251_199));
        assert_eq!(at("202611231045"), Some(1_795_430_700));
        assert_eq!(at("20380119031408UTC"), Some(1 << 31));
    }

    #[test]
    fn impossible_dates_are_refused() {
        for bad in [
            "",
            "Z",
            "2026",
            "20261301",
            "20260001",
            "20260230",
            "20250229",
            "21000229",
            "20260100",
            "202601012400",
            "202601012360",
            "20260101235960",
            "2026010123",
            "2026-01-01",
            "20260101 Z",
            "+2026010",
            "19691231",
        ] {
            assert_eq!(at(bad), None, "{bad}");
        }
    }

    #[test]
    fn times_without_zone_are_in_the_systems_zone() {
        let clock = |now, utc_offset| Clock {
            now: UnixTime(now),
            utc_offset,
        };
        let utc = Expiry::parse("19700102Z").unwrap();
        let local = Expiry::parse("19700102").unwrap();
        assert!(!utc.has_passed(clock(86_399, 7200)));
        assert!(utc.has_passed(clock(86_400, 7200)));
        assert!(!local.has_passed(clock(86_399 - 7200, 7200)));
        assert!(local.has_passed(clock(86_400 - 7200, 7200)));
        assert!(!local.has_passed(clock(86_400 + 3599, -3600)));
    }
}

//! Points in time as `expiry-time=` writes them, without asking a clock.

use tz::UtcDateTime;

use super::zone::LocalZone;

/// Seconds since 1970-01-01 00:00 UTC, not counting leap seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixTime(pub i64);

/// The time as the caller knows it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Clock<'a> {
    /// Now.
    pub now: UnixTime,
    /// Gives a meaning to times written without `Z`.
    pub zone: &'a LocalZone,
}

/// End of a key's validity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Expiry {
    written: UtcDateTime,
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
        let number = |at: usize| -> Option<u8> {
            match digits.get(at..at + 2) {
                Some(part) => part.parse().ok(),
                None => Some(0),
            }
        };
        let year: i32 = digits.get(..4)?.parse().ok()?;
        let (month, day) = (number(4)?, number(6)?);
        let (hour, minute, second) = (number(8)?, number(10)?, number(12)?);
        // The calendar would take second 60, a leap second.
        if year < 1970 || second > 59 {
            return None;
        }
        let written = UtcDateTime::new(year, month, day, hour, minute, second, 0).ok()?;
        Some(Self { written, zone })
    }

    /// True if the key has ceased to be valid; the written second itself is too late.
    ///
    /// A time that the system's zone does not have at all has passed.
    pub(super) fn has_passed(&self, clock: Clock<'_>) -> bool {
        let ends = match self.zone {
            Zone::Utc => Some(UnixTime(self.written.unix_time())),
            Zone::System => clock.zone.earliest(&self.written),
        };
        ends.is_none_or(|ends| clock.now >= ends)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Option<i64> {
        Expiry::parse(text).map(|expiry| expiry.written.unix_time())
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

    /// The first second at which `text` has passed in `zone`.
    fn ends(text: &str, zone: &LocalZone) -> i64 {
        let written = at(text).unwrap();
        let expiry = Expiry::parse(text).unwrap();
        let passed = |now: &i64| {
            let now = UnixTime(*now);
            expiry.has_passed(Clock { now, zone })
        };
        let day = written - 86_400..written + 86_400;
        day.into_iter().find(passed).unwrap()
    }

    #[test]
    fn times_without_zone_are_on_the_clock_of_the_day_they_name() {
        let berlin = LocalZone::from_posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        // Winter is one hour ahead of UTC, summer two, whatever the season now is.
        assert_eq!(ends("20260115", &berlin), at("202601142300Z").unwrap());
        assert_eq!(ends("20260715", &berlin), at("202607142200Z").unwrap());
        assert_eq!(
            ends("20260715120000", &berlin),
            at("20260715100000Z").unwrap()
        );
        // Half past two comes twice in October, and not at all in March: the key ends at the earlier chance.
        assert_eq!(ends("202610250230", &berlin), at("202610250030Z").unwrap());
        assert_eq!(ends("202603290230", &berlin), at("202603290100Z").unwrap());
    }

    #[test]
    fn times_with_zone_are_the_same_everywhere() {
        let new_york = LocalZone::from_posix("EST5EDT,M3.2.0,M11.1.0").unwrap();
        for text in ["20260715Z", "20260115UTC"] {
            assert_eq!(ends(text, &new_york), at(text).unwrap());
        }
        assert_eq!(ends("20260715", &new_york), at("202607150400Z").unwrap());
        assert_eq!(
            ends("20260715", &LocalZone::utc()),
            at("20260715Z").unwrap()
        );
    }
}

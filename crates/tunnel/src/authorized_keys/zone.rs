//! The server's own time zone, for times that name none: what `mktime` does, without a C library that reads the
//! environment while other threads run.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::Path;

use tz::{DateTime, TimeZone, UtcDateTime};

use super::UnixTime;
use crate::small_file;

/// File that tells the system's time zone.
const SYSTEM_ZONE: &str = "/etc/localtime";

/// The longest description of a zone that is read, in bytes: the longest there is has some thousands.
const MAX_ZONE: u64 = 1 << 20;

/// A time zone with its past and future rules.
#[derive(Debug, Clone, PartialEq)]
pub struct LocalZone(TimeZone);

/// A time zone that was configured and cannot be used.
#[derive(Debug)]
pub struct BadZone {
    name: String,
    why: String,
}

impl LocalZone {
    /// UTC.
    pub fn utc() -> Self {
        Self(TimeZone::utc())
    }

    /// A zone that is always so many seconds ahead of UTC, or behind it if negative. `i32::MIN` is no such zone.
    pub fn fixed(seconds: i32) -> Option<Self> {
        TimeZone::fixed(seconds).map(Self).ok()
    }

    /// The zone of this process, from `TZ` or the system's setting; UTC where nothing is set.
    ///
    /// # Errors
    /// What is set cannot be read or means nothing.
    pub fn system() -> Result<Self, BadZone> {
        match std::env::var_os("TZ") {
            Some(variable) => Self::of_variable(&variable),
            None => Self::of_file(Path::new(SYSTEM_ZONE)),
        }
    }

    /// A value of `TZ`: a name such as `Europe/Berlin`, a file, or rules as in POSIX. Empty is UTC.
    fn of_variable(value: &OsStr) -> Result<Self, BadZone> {
        let name = value.to_string_lossy();
        match name.strip_prefix(':').unwrap_or(&name) {
            "" => Ok(Self::utc()),
            _ => Self::from_posix(&name),
        }
    }

    /// The zone of a value of `TZ` as POSIX describes it.
    ///
    /// # Errors
    /// It is neither rules nor a zone that this machine knows.
    pub fn from_posix(value: &str) -> Result<Self, BadZone> {
        let bad = |error: tz::Error| BadZone {
            name: value.to_owned(),
            why: error.to_string(),
        };
        TimeZone::from_posix_tz(value).map(Self).map_err(bad)
    }

    fn of_file(path: &Path) -> Result<Self, BadZone> {
        let bad = |why: String| BadZone {
            name: path.display().to_string(),
            why,
        };
        match small_file::read(path, MAX_ZONE) {
            Ok(bytes) => TimeZone::from_tz_data(&bytes)
                .map(Self)
                .map_err(|error| bad(error.to_string())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::utc()),
            Err(error) => Err(bad(error.to_string())),
        }
    }

    /// First time at which clocks of this zone show what is written; for a time that they skip, the moment of the skip.
    pub(super) fn earliest(&self, written: &UtcDateTime) -> Option<UnixTime> {
        let found = DateTime::find(
            written.year(),
            written.month(),
            written.month_day(),
            written.hour(),
            written.minute(),
            written.second(),
            0,
            self.0.as_ref(),
        );
        let first = found.ok()?.earliest()?;
        Some(UnixTime(first.unix_time()))
    }
}

impl fmt::Display for BadZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, why } = self;
        write!(f, "cannot use the time zone {}: {why}", name.escape_debug())
    }
}

impl std::error::Error for BadZone {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_variable_and_missing_file_are_utc() {
        for value in ["", ":"] {
            let zone = LocalZone::of_variable(OsStr::new(value)).unwrap();
            assert_eq!(zone, LocalZone::utc());
        }
        let missing = Path::new("/no/such/localtime");
        assert_eq!(LocalZone::of_file(missing).unwrap(), LocalZone::utc());
    }

    #[test]
    fn fixed_zone_is_ahead_by_its_seconds_on_every_day() {
        for (seconds, year) in [(7200, 1970), (-3600, 2026), (86_400, 9999)] {
            let zone = LocalZone::fixed(seconds).unwrap();
            let written = UtcDateTime::new(year, 7, 15, 12, 0, 0, 0).unwrap();
            let expected = written.unix_time() - i64::from(seconds);
            assert_eq!(zone.earliest(&written), Some(UnixTime(expected)));
        }
        assert_eq!(LocalZone::fixed(i32::MIN), None);
    }

    #[test]
    fn a_zone_that_means_nothing_is_named() {
        let error = LocalZone::of_variable(OsStr::new("Nowhere/Atlantis")).unwrap_err();
        assert!(error.to_string().contains("Nowhere/Atlantis"), "{error}");
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("localtime");
        std::fs::write(&file, "no zone").unwrap();
        assert!(LocalZone::of_file(&file).is_err());
    }

    #[test]
    fn a_name_a_file_and_rules_are_the_same_zone() {
        let Ok(by_name) = LocalZone::from_posix("Europe/Berlin") else {
            // A machine without zone files: what names mean is theirs to say.
            assert!(!Path::new("/usr/share/zoneinfo/Europe/Berlin").exists());
            return;
        };
        let by_file = LocalZone::from_posix(":/usr/share/zoneinfo/Europe/Berlin").unwrap();
        let by_rules = LocalZone::from_posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let summer = UtcDateTime::new(2026, 7, 15, 12, 0, 0, 0).unwrap();
        let seconds = by_rules.earliest(&summer).unwrap();
        assert_eq!(by_name.earliest(&summer), Some(seconds));
        assert_eq!(by_file.earliest(&summer), Some(seconds));
        assert_eq!(seconds, UnixTime(summer.unix_time() - 7200));
    }
}

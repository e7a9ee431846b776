//! An instant of the database's clock, as text.

use std::fmt;
use std::time::Duration;

use jiff::SignedDuration;
use jiff::civil::{Date, date};
use serde::{Deserialize, Serialize};

/// UTC, `YYYY-MM-DD HH:MM:SS[.ffffff]`: what both databases give and take, sorted by time when sorted as
/// text. The engine passes moments on and seldom computes with them; arithmetic is the database's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Moment(pub String);

/// The ends of what a job may have for a date, in microseconds since 1970.
const EARLIEST: i64 = -62_135_596_800_000_000 + WEEK;
const LATEST: i64 = 253_402_214_400_000_000 - WEEK;
/// How much later than it is due a job's deadline is, unless it has one of its own; in microseconds.
const WEEK: i64 = 7 * 86_400_000_000;
/// The last microsecond of the calendar.
const LAST: i64 = 253_402_300_799_999_999;
const EPOCH: Date = date(1970, 1, 1);

impl Moment {
    /// Before every moment a database gives.
    pub fn earliest() -> Self {
        Self("0001-01-01 00:00:00.000000".into())
    }

    /// Whether it is one that a job may have for a date: a week from either end of the years 1 to 9999, so that
    /// its default deadline is one too, and so is what any time zone calls it. `python/gristmill/values/bounds.py` and
    /// the tables have the same ends.
    pub fn is_a_date(&self) -> bool {
        // Before they are computed with: what is no year of four digits may overflow.
        self.0.find('-') == Some(4) && self.unix_micros().is_some_and(|micros| (EARLIEST..=LATEST).contains(&micros))
    }

    /// The last date that a job may have.
    pub fn latest() -> Self {
        Self::from_unix_micros(LATEST)
    }

    /// From microseconds since 1970-01-01 00:00 UTC; for virtual clocks.
    pub fn from_unix_micros(micros: i64) -> Self {
        let date = date_of(micros.div_euclid(86_400_000_000));
        let of_day = micros.rem_euclid(86_400_000_000);
        let (seconds, fraction) = (of_day / 1_000_000, of_day % 1_000_000);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        Self(format!("{date} {hour:02}:{minute:02}:{second:02}.{fraction:06}"))
    }
}

impl Moment {
    /// Microseconds since 1970-01-01 00:00 UTC; `None` for what is no moment of the calendar. A `T` for the space will do.
    pub fn unix_micros(&self) -> Option<i64> {
        let (date, time) = self.0.split_once([' ', 'T'])?;
        let mut date = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
        let (year, month, day) = (date.next()??, date.next()??, date.next()??);
        let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
        let mut time = time.splitn(3, ':').map(|part| part.parse::<i64>().ok());
        let (hour, minute, second) = (time.next()??, time.next()??, time.next()??);
        // A day beyond its month is one of those that follow.
        let first = Date::new(year.try_into().ok()?, month.try_into().ok()?, 1).ok()?;
        if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let micros: i64 = format!("{fraction:0<6}")[..6].parse().ok()?;
        let seconds = (day_of(first) + day - 1) * 86_400 + hour * 3_600 + minute * 60 + second;
        Some(seconds * 1_000_000 + micros).filter(|micros| *micros <= LAST)
    }

    /// How long after `earlier` it is; nothing when it is before. `None` where one of them is not a moment.
    pub fn since(&self, earlier: &Self) -> Option<Duration> {
        let micros = self.unix_micros()?.saturating_sub(earlier.unix_micros()?);
        Some(Duration::from_micros(u64::try_from(micros).unwrap_or(0)))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The date of a day, which are numbered from 1970-01-01 on; the first or last there is, for what lies beyond.
pub(crate) fn date_of(day: i64) -> Date {
    EPOCH.saturating_add(SignedDuration::from_hours(day.saturating_mul(24)))
}

/// The number of a date's day.
pub(crate) fn day_of(date: Date) -> i64 {
    date.duration_since(EPOCH).as_hours() / 24
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Moment;

    #[test]
    fn unix_micros_become_the_calendar_date_they_name() {
        assert_eq!(Moment::from_unix_micros(0).0, "1970-01-01 00:00:00.000000");
        assert_eq!(Moment::from_unix_micros(951_826_153_000_001).0, "2000-02-29 12:09:13.000001");
        assert_eq!(Moment::from_unix_micros(-1).0, "1969-12-31 23:59:59.999999");
    }

    #[test]
    fn a_moment_reads_back_as_the_micros_that_made_it() {
        for micros in [0, -1, 951_826_153_000_001, 4_102_444_800_000_000, -62_135_596_800_000_000] {
            assert_eq!(Moment::from_unix_micros(micros).unix_micros(), Some(micros));
        }
        for odd in [
            "",
            "2026",
            "2026-01-01",
            "2026-13-01 00:00:00",
            "2026-01-01 00:00:00.x",
            "a-b-c d:e:f",
            "9999-12-32 00:00:00",
        ] {
            assert_eq!(Moment(odd.into()).unix_micros(), None, "{odd}");
        }
        assert_eq!(Moment("1970-01-01T00:00:01.5".into()).unix_micros(), Some(1_500_000));
    }

    #[test]
    fn a_date_lies_a_week_from_either_end_of_the_calendar() {
        assert_eq!(Moment::latest().0, "9999-12-24 00:00:00.000000");
        for within in ["0001-01-08 00:00:00", "2026-01-01T00:00:00.5", "9999-12-24 00:00:00"] {
            assert!(Moment(within.into()).is_a_date(), "{within}");
        }
        for beyond in [
            "0001-01-07 23:59:59.999999",
            "9999-12-24 00:00:00.000001",
            "10000-01-01 00:00:00",
            "999999999999999-01-01 00:00:00",
            "infinity",
            "",
        ] {
            assert!(!Moment(beyond.into()).is_a_date(), "{beyond}");
        }
    }

    #[test]
    fn time_between_two_moments_never_runs_backwards() {
        let (early, late) = (Moment::from_unix_micros(5), Moment::from_unix_micros(2_000_005));
        assert_eq!(late.since(&early), Some(Duration::from_secs(2)));
        assert_eq!(early.since(&late), Some(Duration::ZERO));
    }
}

//! An instant of the database's clock, as text.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// UTC, `YYYY-MM-DD HH:MM:SS[.ffffff]`: what both databases give and take, sorted by time when sorted as
/// text. The engine passes moments on and seldom computes with them; arithmetic is the database's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Moment(pub String);

impl Moment {
    /// Before every moment a database gives.
    pub fn earliest() -> Self {
        Self("0001-01-01 00:00:00.000000".into())
    }

    /// From microseconds since 1970-01-01 00:00 UTC; for virtual clocks.
    pub fn from_unix_micros(micros: i64) -> Self {
        let days = micros.div_euclid(86_400_000_000);
        let of_day = micros.rem_euclid(86_400_000_000);
        let (year, month, day) = civil_from_days(days);
        let (seconds, fraction) = (of_day / 1_000_000, of_day % 1_000_000);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        Self(format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{fraction:06}"))
    }
}

impl Moment {
    /// Microseconds since 1970-01-01 00:00 UTC; `None` for what is not a moment. A `T` for the space will do.
    pub fn unix_micros(&self) -> Option<i64> {
        let (date, time) = self.0.split_once([' ', 'T'])?;
        let mut date = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
        let (year, month, day) = (date.next()??, date.next()??, date.next()??);
        let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
        let mut time = time.splitn(3, ':').map(|part| part.parse::<i64>().ok());
        let (hour, minute, second) = (time.next()??, time.next()??, time.next()??);
        if !(1..=12).contains(&month) || fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let micros: i64 = format!("{fraction:0<6}")[..6].parse().ok()?;
        let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
        Some(seconds * 1_000_000 + micros)
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

// Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms": the proleptic Gregorian date of a day number.
pub(crate) fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

// The inverse, from the same source.
pub(crate) fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
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
        for odd in ["", "2026", "2026-01-01", "2026-13-01 00:00:00", "2026-01-01 00:00:00.x", "a-b-c d:e:f"] {
            assert_eq!(Moment(odd.into()).unix_micros(), None, "{odd}");
        }
        assert_eq!(Moment("1970-01-01T00:00:01.5".into()).unix_micros(), Some(1_500_000));
    }

    #[test]
    fn time_between_two_moments_never_runs_backwards() {
        let (early, late) = (Moment::from_unix_micros(5), Moment::from_unix_micros(2_000_005));
        assert_eq!(late.since(&early), Some(Duration::from_secs(2)));
        assert_eq!(early.since(&late), Some(Duration::ZERO));
    }
}

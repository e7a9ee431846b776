//! An instant of the database's clock, as text.

use std::fmt;

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

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms": the proleptic Gregorian date of a day number.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
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

#[cfg(test)]
mod tests {
    use super::Moment;

    #[test]
    fn unix_micros_become_the_calendar_date_they_name() {
        assert_eq!(Moment::from_unix_micros(0).0, "1970-01-01 00:00:00.000000");
        assert_eq!(Moment::from_unix_micros(951_826_153_000_001).0, "2000-02-29 12:09:13.000001");
        assert_eq!(Moment::from_unix_micros(-1).0, "1969-12-31 23:59:59.999999");
    }
}

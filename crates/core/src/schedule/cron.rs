//! A cron expression and the local times that it names. Time zones are not known here: a local time is seconds since
//! 1970-01-01 00:00 of the clock on the wall, whatever that clock is set by.
//!
//! Gristmill reads expressions itself. croner 4, the nearest crate, was weighed: it puts seconds first, refuses
//! `5/10` and `22-2`, fails where a zone skips more than two hours (Samoa skipped a day), stays on an older jiff than
//! this one, and brings fifteen crates; its errors do not name the field. What is left to share are bit sets.

use jiff::civil::{Date, date};

use super::days::{Days, number};
use super::error::Error;
use super::field::{Field, Unit};
use crate::moment::{date_of, day_of};

/// Seconds of a day without a change of the clock.
const DAY: i64 = 86_400;

/// How many years without a run prove that there is none: the 29th of February falls on a given weekday within any
/// 40 years, around 2100 too, and no other combination is rarer.
pub(super) const YEARS: i64 = 50;

/// The longest text that is read: every list that makes sense is shorter, and no text makes work without a bound.
const LONGEST: usize = 1_000;

/// A parsed expression of five fields, or of six with seconds at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    text: String,
    pub(super) second: Field,
    pub(super) minute: Field,
    pub(super) hour: Field,
    pub(super) month: Field,
    pub(super) days: Days,
}

impl Cron {
    /// Reads an expression, in either case. What can never run is an error too.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        let whole = |problem: &str| Error::Expression { problem: problem.into(), expression: beginning(text) };
        if text.len() > LONGEST {
            return Err(whole("an expression has at most 1000 characters"));
        }
        let lower = text.to_ascii_lowercase();
        let spelled = if lower.starts_with('@') {
            spelled_out(&lower).ok_or_else(|| {
                whole("the names are @yearly, @annually, @monthly, @weekly, @daily, @midnight and @hourly")
            })?
        } else {
            &lower
        };
        let fields: Vec<_> = spelled.split_ascii_whitespace().collect();
        let (five, second) = match fields.as_slice() {
            [five @ .., second] if five.len() == 5 => (five, Some(*second)),
            five if five.len() == 5 => (five, None),
            _ => {
                let count = fields.len();
                return Err(whole(&format!(
                    "write five fields (minute hour day-of-month month weekday) or six with seconds at the end, not {count}"
                )));
            }
        };
        let at = |unit| move |problem| Error::Field { unit, problem, expression: text.into() };
        let field = |unit, place: usize| Field::parse(unit, five[place]).map_err(at(unit));
        let minute = field(Unit::Minute, 0)?;
        let hour = field(Unit::Hour, 1)?;
        let numbered = Days::parse_numbered(five[2]).map_err(at(Unit::DayOfMonth))?;
        let month = field(Unit::Month, 3)?;
        let days = Days::parse(numbered, five[4]).map_err(at(Unit::Weekday))?;
        let second = match second {
            Some(second) => Field::parse(Unit::Second, second).map_err(at(Unit::Second))?,
            None => Field::only(0),
        };
        let cron = Self { text: text.into(), second, minute, hour, month, days };
        // Any stretch of that length will do; this one has a century without a leap day in it.
        let first = day_of(date(2096, 1, 1)) * DAY;
        match cron.first_at_or_after(first, first + YEARS * 366 * DAY) {
            Some(_) => Ok(cron),
            None => Err(Error::NeverRuns { expression: text.into() }),
        }
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it runs in every hour of its days, so that a missing hour costs it nothing but that hour's runs.
    pub(super) fn is_hourly(&self) -> bool {
        self.hour.is_all(Unit::Hour)
    }

    /// Whether its time of day is fixed: neither minute nor hour has an asterisk or a step, and not every hour is
    /// named. Vixie cron asks for the asterisk alone (`MIN_STAR`, `HR_STAR`); but `5/10` it does not know, and
    /// `7 0-23` is `7 *` in other words.
    pub(super) fn is_fixed(&self) -> bool {
        !self.is_hourly() && !self.minute.recurs && !self.hour.recurs
    }

    /// The first local second at or after `from` and before `end` that it names.
    pub(super) fn first_at_or_after(&self, from: i64, end: i64) -> Option<i64> {
        let (day, of_day) = (from.div_euclid(DAY), from.rem_euclid(DAY));
        let found = match self.time_from(of_day).filter(|_| self.names_day(day)) {
            Some(time) => day * DAY + time,
            None => self.day_from(day + 1, end.div_euclid(DAY))? * DAY + self.time_from(0)?,
        };
        (found < end).then_some(found)
    }

    /// The last local second at or before `until` and not before `start` that it names.
    pub(super) fn last_at_or_before(&self, until: i64, start: i64) -> Option<i64> {
        let (day, of_day) = (until.div_euclid(DAY), until.rem_euclid(DAY));
        let found = match self.time_until(of_day).filter(|_| self.names_day(day)) {
            Some(time) => day * DAY + time,
            None => self.day_until(day - 1, start.div_euclid(DAY))? * DAY + self.time_until(DAY - 1)?,
        };
        (found >= start).then_some(found)
    }

    fn names_day(&self, day: i64) -> bool {
        self.day_from(day, day) == Some(day)
    }

    /// The first day named in `from..=last`, month by month.
    fn day_from(&self, from: i64, last: i64) -> Option<i64> {
        let mut from = from;
        while from <= last {
            let date = date_of(from);
            let first = from - i64::from(date.day()) + 1;
            if let Some(found) = at_or_above(self.days_of(date), number(date.day())) {
                let found = first + i64::from(found) - 1;
                return (found <= last).then_some(found);
            }
            from = first + i64::from(date.days_in_month());
        }
        None
    }

    /// The last day named in `first..=until`.
    fn day_until(&self, until: i64, first: i64) -> Option<i64> {
        let mut until = until;
        while until >= first {
            let date = date_of(until);
            let before = until - i64::from(date.day());
            if let Some(found) = at_or_below(self.days_of(date), number(date.day())) {
                let found = before + i64::from(found);
                return (found >= first).then_some(found);
            }
            until = before;
        }
        None
    }

    // Of the month of a date.
    fn days_of(&self, date: Date) -> u64 {
        if self.month.values >> date.month() & 1 == 1 { self.days.of_month(date) } else { 0 }
    }

    /// The first second of the day at or after `from` that it names.
    fn time_from(&self, from: i64) -> Option<i64> {
        let (hour, minute, second) = clock(from);
        if self.hour.values >> hour & 1 == 1 {
            if self.minute.values >> minute & 1 == 1
                && let Some(second) = at_or_above(self.second.values, second)
            {
                return Some(of_day(hour, minute, second));
            }
            if let Some(minute) = at_or_above(self.minute.values, minute + 1) {
                return Some(of_day(hour, minute, at_or_above(self.second.values, 0)?));
            }
        }
        let hour = at_or_above(self.hour.values, hour + 1)?;
        Some(of_day(hour, at_or_above(self.minute.values, 0)?, at_or_above(self.second.values, 0)?))
    }

    /// The last second of the day at or before `until` that it names.
    fn time_until(&self, until: i64) -> Option<i64> {
        let (hour, minute, second) = clock(until);
        if self.hour.values >> hour & 1 == 1 {
            if self.minute.values >> minute & 1 == 1
                && let Some(second) = at_or_below(self.second.values, second)
            {
                return Some(of_day(hour, minute, second));
            }
            if let Some(minute) = minute.checked_sub(1).and_then(|minute| at_or_below(self.minute.values, minute)) {
                return Some(of_day(hour, minute, at_or_below(self.second.values, 59)?));
            }
        }
        let hour = at_or_below(self.hour.values, hour.checked_sub(1)?)?;
        Some(of_day(hour, at_or_below(self.minute.values, 59)?, at_or_below(self.second.values, 59)?))
    }
}

fn spelled_out(name: &str) -> Option<&'static str> {
    Some(match name {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        _ => return None,
    })
}

fn beginning(text: &str) -> String {
    text.chars().take(80).collect()
}

fn clock(of_day: i64) -> (u32, u32, u32) {
    let of_day = u32::try_from(of_day).unwrap_or(0);
    (of_day / 3_600, of_day / 60 % 60, of_day % 60)
}

fn of_day(hour: u32, minute: u32, second: u32) -> i64 {
    i64::from(hour * 3_600 + minute * 60 + second)
}

/// The least member of a set that is at least `value`.
fn at_or_above(set: u64, value: u32) -> Option<u32> {
    let left = set.checked_shr(value)?;
    (left != 0).then(|| value + left.trailing_zeros())
}

/// The greatest member of a set that is at most `value`, which is below 64.
fn at_or_below(set: u64, value: u32) -> Option<u32> {
    let left = set << (63 - value);
    (left != 0).then(|| value - left.leading_zeros())
}

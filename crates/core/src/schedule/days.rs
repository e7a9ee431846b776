//! The days that an expression names: of the month (`1-7`, `L`) and of the week (`mon-fri`, `5L`, `5#2`), and how
//! the two fields meet.

use jiff::civil::Date;

use super::field::{Field, Unit, items, value_of};

/// The two day fields of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Days {
    /// Numbered days of the month.
    pub(super) numbered: Field,
    /// `L`: the last day of the month.
    pub(super) last_day: bool,
    /// Weekdays that are named, each of a month.
    pub(super) weekdays: Field,
    /// `5L`: bit `n` stands for the last weekday `n` of the month.
    pub(super) last_weekdays: u64,
    /// `5#2`: bit `n` of entry `k` stands for weekday `n` for the `k + 1`st time in the month.
    pub(super) nth_weekdays: [u64; 5],
}

impl Days {
    pub(super) fn parse_numbered(text: &str) -> Result<(Field, bool), String> {
        let (mut field, mut last) = (Field::begun(text), false);
        for item in items(text)? {
            if item == "l" {
                last = true;
            } else if item.contains('w') {
                return Err(format!("'{item}': the nearest working day (W) is not known here"));
            } else if item.contains('l') {
                return Err(format!("'{item}': L, the last day of the month, stands alone or in a list"));
            } else {
                field.add(Unit::DayOfMonth, item)?;
            }
        }
        Ok((field, last))
    }

    /// The weekday field; the day-of-month field as given.
    pub(super) fn parse((numbered, last_day): (Field, bool), text: &str) -> Result<Self, String> {
        let weekdays = Field::begun(text);
        let mut days = Self { numbered, last_day, weekdays, last_weekdays: 0, nth_weekdays: [0; 5] };
        for item in items(text)? {
            if let Some((weekday, nth)) = item.split_once('#') {
                let nth = match nth.as_bytes() {
                    [digit @ b'1'..=b'5'] => usize::from(digit - b'1'),
                    _ => return Err(format!("'{item}': after # comes a number from 1 to 5, as in 5#2")),
                };
                days.nth_weekdays[nth] |= 1 << (value_of(Unit::Weekday, weekday)? % 7);
            } else if item == "l" {
                return Err("L needs a weekday here: 5L is the last Friday of the month".into());
            } else if let Some(weekday) = item.strip_suffix('l').or_else(|| item.strip_prefix('l')) {
                // `L5` is how croniter writes it.
                days.last_weekdays |= 1 << (value_of(Unit::Weekday, weekday)? % 7);
            } else {
                days.weekdays.add(Unit::Weekday, item)?;
            }
        }
        Ok(days)
    }

    /// Whether a day has to be named by one field or the other, rather than by both. As cron does: a field that
    /// begins with an asterisk is no restriction of its own, `*/2` included, so `*/2` and `mon` means Mondays with
    /// an odd date. Vixie cron (`DOM_STAR`, `DOW_STAR`) and its heirs agree.
    pub(super) fn either(&self) -> bool {
        !self.numbered.starred && !self.weekdays.starred
    }

    /// The days of a date's month that are named: bit `d` stands for the `d`th.
    pub(super) fn of_month(&self, date: Date) -> u64 {
        let length = number(date.days_in_month());
        let whole = (1_u64 << (length + 1)) - 2;
        let by_number = self.numbered.values & whole | u64::from(self.last_day) << length;
        let first = number(date.first_of_month().weekday().to_sunday_zero_offset());
        let mut by_weekday = 0;
        for day in 1..=length {
            let bit = 1 << ((first + day - 1) % 7);
            let named = self.weekdays.values & bit != 0
                || self.nth_weekdays[((day - 1) / 7) as usize] & bit != 0
                || self.last_weekdays & bit != 0 && day + 7 > length;
            by_weekday |= u64::from(named) << day;
        }
        if self.either() { by_number | by_weekday } else { by_number & by_weekday }
    }
}

/// The day of a month, or how many it has.
pub(super) fn number(of: i8) -> u32 {
    u32::from(of.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// February 2024 began on a Thursday and had 29 days.
    fn in_february_2024(day_of_month: &str, weekday: &str) -> Vec<u32> {
        let days = Days::parse(Days::parse_numbered(day_of_month).unwrap(), weekday).unwrap();
        let named = days.of_month(jiff::civil::date(2024, 2, 1));
        (0..64).filter(|day| named >> day & 1 == 1).collect()
    }

    #[test]
    fn a_day_is_named_by_either_field_when_both_are_restricted() {
        assert_eq!(in_february_2024("13", "*"), [13]);
        assert_eq!(in_february_2024("*", "fri"), [2, 9, 16, 23]);
        assert_eq!(in_february_2024("13", "fri"), [2, 9, 13, 16, 23]);
        assert_eq!(in_february_2024("l", "fri"), [2, 9, 16, 23, 29]);
    }

    #[test]
    fn a_field_with_an_asterisk_is_no_restriction_of_its_own() {
        assert_eq!(in_february_2024("*/2", "fri"), [9, 23]);
        assert_eq!(in_february_2024("?", "fri"), [2, 9, 16, 23]);
        assert_eq!(in_february_2024("13", "?"), [13]);
        assert_eq!(in_february_2024("1-7", "*/3"), [3, 4, 7], "Sundays, Wednesdays and Saturdays of the first week");
    }

    #[test]
    fn last_days_and_counted_weekdays_are_found_in_their_month() {
        assert_eq!(in_february_2024("l", "*"), [29]);
        assert_eq!(in_february_2024("1,l", "*"), [1, 29]);
        assert_eq!(in_february_2024("*", "5l"), [23]);
        assert_eq!(in_february_2024("*", "l5"), [23]);
        assert_eq!(in_february_2024("*", "thul"), [29]);
        assert_eq!(in_february_2024("*", "7#1,fri#2"), [4, 9]);
        assert_eq!(in_february_2024("*", "4#5"), [29]);
        assert_eq!(in_february_2024("*", "5#5"), [0; 0]);
        assert_eq!(in_february_2024("1", "5#2"), [1, 9]);
    }

    #[test]
    fn what_is_not_known_says_what_is() {
        assert!(Days::parse_numbered("15w").unwrap_err().contains("nearest working day"));
        assert!(Days::parse_numbered("l-3").unwrap_err().contains("stands alone or in a list"));
        let weekday = |text| Days::parse((Field::default(), false), text).unwrap_err();
        assert_eq!(weekday("l"), "L needs a weekday here: 5L is the last Friday of the month");
        assert_eq!(weekday("5#6"), "'5#6': after # comes a number from 1 to 5, as in 5#2");
        assert_eq!(weekday("8"), "8 is not between 0 and 7");
    }
}

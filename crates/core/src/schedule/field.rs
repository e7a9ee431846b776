//! One field of a cron expression: its text, and the set of values that the text stands for.
//!
//! A field is a list of items: `*`, `7`, `mon`, `1-5`, `22-2` (round the end), each with an optional step. `5/10`
//! begins at 5 and goes on to the field's end, as in croniter and Quartz; crontab(5) has no such form.

use std::fmt;

/// What a field counts. The order is that of the expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// 0 to 59.
    Minute,
    /// 0 to 23.
    Hour,
    /// 1 to 31.
    DayOfMonth,
    /// 1 to 12.
    Month,
    /// 0 to 6 from Sunday; 7 is Sunday too.
    Weekday,
    /// 0 to 59; the optional last field.
    Second,
}

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::DayOfMonth => "day of month",
            Self::Month => "month",
            Self::Weekday => "weekday",
            Self::Second => "second",
        })
    }
}

impl Unit {
    /// The least and the greatest value that a set may hold.
    pub(super) fn bounds(self) -> (u32, u32) {
        match self {
            Self::Minute | Self::Second => (0, 59),
            Self::Hour => (0, 23),
            Self::DayOfMonth => (1, 31),
            Self::Month => (1, 12),
            Self::Weekday => (0, 6),
        }
    }

    /// The greatest number that may be written: 7 is another name of Sunday.
    fn greatest_written(self) -> u32 {
        if self == Self::Weekday { 7 } else { self.bounds().1 }
    }

    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Month => &MONTHS,
            Self::Weekday => &WEEKDAYS,
            _ => &[],
        }
    }

    fn size(self) -> u32 {
        let (least, greatest) = self.bounds();
        greatest - least + 1
    }

    /// The set of all values.
    pub(super) fn all(self) -> u64 {
        (self.bounds().0..=self.bounds().1).fold(0, |set, value| set | 1 << value)
    }
}

/// The values of one field, and how it was written: cron decides by the text, not by the set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Field {
    /// Bit `n` stands for the value `n`.
    pub(super) values: u64,
    /// The text begins with `*` or `?`, a step or other items after it or not: Vixie cron's own test, which decides
    /// how the two day fields meet.
    pub(super) starred: bool,
    /// An item has an asterisk or a step: the values recur rather than being chosen one by one.
    pub(super) recurs: bool,
}

impl Field {
    /// Of a single value.
    pub(super) fn only(value: u32) -> Self {
        Self { values: 1 << value, starred: false, recurs: false }
    }

    /// Reads a whole field.
    pub(super) fn parse(unit: Unit, text: &str) -> Result<Self, String> {
        let mut field = Self::begun(text);
        for item in items(text)? {
            field.add(unit, item)?;
        }
        Ok(field)
    }

    /// Without values, for a text whose items are read one by one.
    pub(super) fn begun(text: &str) -> Self {
        Self { starred: text.starts_with(['*', '?']), ..Self::default() }
    }

    /// Reads one item of the list and adds its values.
    pub(super) fn add(&mut self, unit: Unit, item: &str) -> Result<(), String> {
        let (base, step) = match item.split_once('/') {
            Some((base, step)) => (base, Some(step_of(unit, item, step)?)),
            None => (item, None),
        };
        self.recurs |= step.is_some();
        let (least, greatest) = unit.bounds();
        let (low, high) = if base == "*" || base == "?" {
            if base == "?" && !matches!(unit, Unit::DayOfMonth | Unit::Weekday) {
                return Err("'?' may stand for a day of month or a weekday only; write *".into());
            }
            self.recurs = true;
            (least, greatest)
        } else if let Some((low, high)) = base.split_once('-') {
            range_of(unit, base, low, high)?
        } else {
            let value = value_of(unit, base)? % modulus(unit);
            (value, if step.is_some() { greatest } else { value })
        };
        self.add_range(unit, low, high, step.unwrap_or(1));
        Ok(())
    }

    /// From `low` by `step`, round the end of the field if `high` lies before `low`.
    fn add_range(&mut self, unit: Unit, low: u32, high: u32, step: u32) {
        let (least, size) = (unit.bounds().0, unit.size());
        let length = if high >= low { high - low } else { high + size - low };
        for distance in (0..=length).step_by(step as usize) {
            self.values |= 1 << ((low - least + distance) % size + least);
        }
    }

    /// The values in order.
    pub(super) fn list(self) -> Vec<u32> {
        (0..64).filter(|value| self.values >> value & 1 == 1).collect()
    }

    /// Whether it holds every value that there is.
    pub(super) fn is_all(self, unit: Unit) -> bool {
        self.values == unit.all()
    }
}

/// The items of a list, none of them empty.
pub(super) fn items(text: &str) -> Result<Vec<&str>, String> {
    let items: Vec<_> = text.split(',').collect();
    if items.iter().any(|item| item.is_empty()) {
        return Err(format!("'{text}' has an empty place between its commas"));
    }
    Ok(items)
}

/// One value, by number or by name, as written: Sunday may be 7.
pub(super) fn value_of(unit: Unit, text: &str) -> Result<u32, String> {
    if let Some(place) = unit.names().iter().position(|name| *name == text) {
        return Ok(u32::try_from(place).unwrap_or(0) + unit.bounds().0);
    }
    let (least, greatest) = (unit.bounds().0, unit.greatest_written());
    match number(text) {
        Some(value) if (least..=greatest).contains(&value) => Ok(value),
        Some(_) => Err(format!("{text} is not between {least} and {greatest}")),
        None if unit.names().is_empty() => Err(format!("'{text}' is not a number between {least} and {greatest}")),
        None => Err(format!(
            "'{text}' is neither a number between {least} and {greatest} nor one of {}",
            unit.names().join(", ")
        )),
    }
}

/// 7 and 0 are one day; other units have no second names.
fn modulus(unit: Unit) -> u32 {
    if unit == Unit::Weekday { 7 } else { 64 }
}

fn range_of(unit: Unit, base: &str, low: &str, high: &str) -> Result<(u32, u32), String> {
    if low.is_empty() || high.is_empty() || high.contains('-') {
        return Err(format!("'{base}' is not a range; write its two ends, like {}", example(unit)));
    }
    let (low, high) = (value_of(unit, low)?, value_of(unit, high)?);
    // `0-7` names Sunday twice and means the whole week; modulo 7 its ends would be the same day.
    if unit == Unit::Weekday && (low, high) == (0, 7) {
        return Ok(unit.bounds());
    }
    Ok((low % modulus(unit), high % modulus(unit)))
}

fn step_of(unit: Unit, item: &str, text: &str) -> Result<u32, String> {
    let most = unit.size();
    match number(text) {
        Some(0) => Err(format!("the step of '{item}' is 0; the least is 1")),
        // `*/90` minutes would silently mean once an hour.
        Some(step) if step > most => Err(format!(
            "the step of '{item}' is longer than the field, which has {most} values; \
             an interval (every=…) has no such bound"
        )),
        Some(step) => Ok(step),
        None => Err(format!("the step of '{item}' is not a number")),
    }
}

/// Plain digits only: no sign, no more than four.
fn number(text: &str) -> Option<u32> {
    let plain = (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

fn example(unit: Unit) -> &'static str {
    match unit {
        Unit::Minute | Unit::Second => "10-20",
        Unit::Hour => "9-17",
        Unit::DayOfMonth => "1-7",
        Unit::Month => "jun-aug",
        Unit::Weekday => "mon-fri",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(unit: Unit, text: &str) -> Vec<u32> {
        Field::parse(unit, text).unwrap().list()
    }

    fn problem(unit: Unit, text: &str) -> String {
        Field::parse(unit, text).unwrap_err()
    }

    #[test]
    fn lists_ranges_and_steps_name_their_values() {
        assert_eq!(values(Unit::Minute, "5,1-3,30"), [1, 2, 3, 5, 30]);
        assert_eq!(values(Unit::Minute, "*/20"), [0, 20, 40]);
        assert_eq!(values(Unit::Minute, "5/20"), [5, 25, 45]);
        assert_eq!(values(Unit::Minute, "59/7"), [59]);
        assert_eq!(values(Unit::Hour, "8-18/5"), [8, 13, 18]);
        assert_eq!(values(Unit::Month, "jan,jun-aug"), [1, 6, 7, 8]);
    }

    #[test]
    fn a_range_may_go_round_the_end() {
        assert_eq!(values(Unit::Hour, "22-2"), [0, 1, 2, 22, 23]);
        assert_eq!(values(Unit::Hour, "20-4/3"), [2, 20, 23]);
        assert_eq!(values(Unit::Weekday, "fri-mon"), [0, 1, 5, 6]);
        assert_eq!(values(Unit::Month, "nov-feb"), [1, 2, 11, 12]);
        assert_eq!(values(Unit::DayOfMonth, "30-2"), [1, 2, 30, 31]);
    }

    #[test]
    fn a_range_of_one_value_is_that_value() {
        assert_eq!(values(Unit::Hour, "5-5"), [5]);
        assert_eq!(values(Unit::Weekday, "sun-sun"), [0]);
        assert_eq!(values(Unit::Weekday, "7-7"), [0]);
    }

    #[test]
    fn sunday_is_0_and_7() {
        assert_eq!(values(Unit::Weekday, "7"), [0]);
        assert_eq!(values(Unit::Weekday, "5-7"), [0, 5, 6]);
        assert_eq!(values(Unit::Weekday, "7-2"), [0, 1, 2]);
        assert_eq!(values(Unit::Weekday, "0-7"), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(values(Unit::Weekday, "1-7"), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(values(Unit::Weekday, "7/2"), [0, 2, 4, 6]);
    }

    #[test]
    fn a_mistake_is_named_with_what_would_be_right() {
        assert_eq!(problem(Unit::Minute, "75"), "75 is not between 0 and 59");
        assert_eq!(problem(Unit::Minute, "-5"), "'-5' is not a range; write its two ends, like 10-20");
        assert_eq!(problem(Unit::Hour, "1-2-3"), "'1-2-3' is not a range; write its two ends, like 9-17");
        assert_eq!(problem(Unit::Minute, "1,,2"), "'1,,2' has an empty place between its commas");
        assert_eq!(problem(Unit::Hour, "*/0"), "the step of '*/0' is 0; the least is 1");
        assert!(problem(Unit::Minute, "*/90").contains("longer than the field, which has 60 values"));
        assert!(problem(Unit::Month, "foo").contains("nor one of jan, feb, mar"));
        assert_eq!(problem(Unit::Hour, "+5"), "'+5' is not a number between 0 and 23");
        assert_eq!(problem(Unit::Minute, "?"), "'?' may stand for a day of month or a weekday only; write *");
        assert_eq!(problem(Unit::Minute, "99999999999"), "'99999999999' is not a number between 0 and 59");
    }
}

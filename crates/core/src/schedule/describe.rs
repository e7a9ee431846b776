//! A schedule in plain English: "at 08:30 on weekdays", "every 5 minutes", "at 00:00 on the last day of the month,
//! Europe/Berlin". Short for the shapes that people write, complete for all others: two expressions that differ in
//! what they name never read the same.

mod days;
mod shape;

use std::time::Duration;

use self::shape::{Shape, list, shape_of};
use super::cron::Cron;
use super::field::{Field, Unit};
use super::{Rule, Schedule};

/// More times of day than this are told by their hours and minutes.
const TIMES: usize = 4;

impl Schedule {
    /// In words, with the zone whose clock it goes by where that matters.
    pub fn describe(&self) -> String {
        match &self.rule {
            Rule::Cron(_) => format!("{}, {}", self.rule.describe(), self.zone.name()),
            Rule::Every(_) | Rule::Manual => self.rule.describe(),
        }
    }
}

impl Rule {
    /// In words.
    pub fn describe(&self) -> String {
        match self {
            Self::Cron(cron) => cron.describe(),
            Self::Every(length) => format!("every {}", period(*length)),
            Self::Manual => "only by hand".into(),
        }
    }
}

impl Cron {
    /// In words.
    pub fn describe(&self) -> String {
        let (time, of_day) = time(self);
        match days::phrase(self) {
            Some(days) => format!("{time} {days}"),
            None if of_day => format!("{time} every day"),
            None => time,
        }
    }
}

/// A length of time in its largest whole unit: "90 seconds", "hour", "36 hours". Days are left out: an interval of 24
/// hours is not a day where clocks are set.
pub(super) fn period(length: Duration) -> String {
    let micros = length.as_micros();
    let (count, unit) = match micros {
        0 => return "0 seconds".into(),
        _ if micros.is_multiple_of(3_600_000_000) => (micros / 3_600_000_000, "hour"),
        _ if micros.is_multiple_of(60_000_000) => (micros / 60_000_000, "minute"),
        _ if micros.is_multiple_of(1_000_000) => (micros / 1_000_000, "second"),
        _ => return format!("{} seconds", length.as_secs_f64()),
    };
    if count == 1 { unit.into() } else { format!("{count} {unit}s") }
}

/// The time of day, and whether it is one or a few of them rather than an interval.
fn time(cron: &Cron) -> (String, bool) {
    let (seconds, minutes, hours) = (cron.second.list(), cron.minute.list(), cron.hour.list());
    if seconds.len() == 1 && minutes.len() * hours.len() <= TIMES {
        let times = hours.iter().flat_map(|hour| minutes.iter().map(move |minute| (hour, minute)));
        let times: Vec<_> = match seconds[0] {
            0 => times.map(|(hour, minute)| format!("{hour:02}:{minute:02}")).collect(),
            second => times.map(|(hour, minute)| format!("{hour:02}:{minute:02}:{second:02}")).collect(),
        };
        return (format!("at {}", list(&times)), true);
    }
    let minute_and_hour = match (&minutes[..], &hours[..]) {
        ([minute], [hour]) => format!("at {hour:02}:{minute:02}"),
        _ => minute_and_hour(cron),
    };
    let every_minute = cron.minute.is_all(Unit::Minute) && cron.hour.is_all(Unit::Hour);
    let time = match (shape_of(Unit::Second, cron.second), every_minute) {
        (Shape::One(0), _) => minute_and_hour,
        (Shape::All, true) => "every second".into(),
        (Shape::Even { start: 0, step }, true) => format!("every {step} seconds"),
        (_, true) => format!("{} of every minute", within(Unit::Second, cron.second)),
        (Shape::All, false) => format!("every second of the minute, {minute_and_hour}"),
        (_, false) => format!("{} of the minute, {minute_and_hour}", within(Unit::Second, cron.second)),
    };
    (time, false)
}

fn minute_and_hour(cron: &Cron) -> String {
    let minutes = shape_of(Unit::Minute, cron.minute);
    match (&minutes, shape_of(Unit::Hour, cron.hour)) {
        (Shape::All, Shape::All) => "every minute".into(),
        (Shape::One(0), Shape::All) => "every hour".into(),
        (Shape::Even { start: 0, step }, Shape::All) => format!("every {step} minutes"),
        (_, Shape::All) => format!("{} of every hour", within(Unit::Minute, cron.minute)),
        (Shape::One(0), Shape::Even { start: 0, step }) => format!("every {step} hours"),
        (Shape::One(minute), Shape::Even { start, step }) => format!("every {step} hours from {start:02}:{minute:02}"),
        (Shape::One(minute), Shape::Run(first, last)) => {
            format!("every hour from {first:02}:{minute:02} to {last:02}:{minute:02}")
        }
        (Shape::All, Shape::One(hour)) => format!("every minute from {hour:02}:00 to {hour:02}:59"),
        (Shape::All, Shape::Run(first, last)) => format!("every minute from {first:02}:00 to {last:02}:59"),
        (Shape::Even { start: 0, step }, Shape::One(hour)) => {
            format!("every {step} minutes from {hour:02}:00 to {hour:02}:59")
        }
        (Shape::Even { start: 0, step }, Shape::Run(first, last)) => {
            format!("every {step} minutes from {first:02}:00 to {last:02}:59")
        }
        (Shape::All, _) => format!("every minute, {}", within(Unit::Hour, cron.hour)),
        _ => format!("{}, {}", within(Unit::Minute, cron.minute), within(Unit::Hour, cron.hour)),
    }
}

/// The values of one field of the clock, none of them left out: "at minutes 5 to 10", "in the hours 8, 9 and 12".
fn within(unit: Unit, field: Field) -> String {
    let (at, ats) = if unit == Unit::Hour { ("in the hour", "in the hours") } else { ("at", "at") };
    let word = if unit == Unit::Hour { String::new() } else { format!(" {unit}") };
    let plural = if unit == Unit::Hour { "" } else { "s" };
    match shape_of(unit, field) {
        Shape::All => format!("every {unit}"),
        Shape::One(value) => format!("{at}{word} {value}"),
        Shape::Even { start, step } | Shape::Steps { start, step } => {
            format!("every {step} {unit}s from {unit} {start}")
        }
        Shape::Run(first, last) => format!("{ats}{word}{plural} {first} to {last}"),
        Shape::Several(values) => format!("{ats}{word}{plural} {}", list(&values)),
    }
}

#[cfg(test)]
mod tests;

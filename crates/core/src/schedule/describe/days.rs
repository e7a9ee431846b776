//! The days of an expression in words: "on weekdays", "on the 1st and the last day of January".

use super::super::cron::Cron;
use super::super::days::Days;
use super::super::field::{Field, Unit};
use super::shape::{Shape, list, shape_of};

const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const COUNTED: [&str; 5] = ["first", "second", "third", "fourth", "fifth"];
const MONDAY_TO_FRIDAY: u64 = 0b011_1110;
const SATURDAY_AND_SUNDAY: u64 = 0b100_0001;

/// On which days, unless it is every day.
pub(super) fn phrase(cron: &Cron) -> Option<String> {
    let days = &cron.days;
    let months = months(cron.month);
    let of_month = format!("of {}", months.as_deref().unwrap_or("the month"));
    let in_month = months.map(|months| format!(" in {months}")).unwrap_or_default();
    let numbered = numbered(days).map(|numbered| format!("on {numbered} {of_month}"));
    let weekdays = weekdays(days).map(|(weekdays, counted)| {
        if counted { format!("on {weekdays} {of_month}") } else { format!("on {weekdays}{in_month}") }
    });
    match (numbered, weekdays) {
        (None, None) if in_month.is_empty() => None,
        (None, None) => Some(format!("every day{in_month}")),
        (Some(days), None) | (None, Some(days)) => Some(days),
        (Some(numbered), Some(weekdays)) if days.either() => Some(format!("{numbered}, and also {weekdays}")),
        (Some(numbered), Some(weekdays)) => Some(format!("{weekdays}, but only {numbered}")),
    }
}

fn months(field: Field) -> Option<String> {
    let name = |month: u32| MONTHS[month as usize - 1];
    Some(match shape_of(Unit::Month, field) {
        Shape::All => return None,
        Shape::Run(first, last) => format!("{} to {}", name(first), name(last)),
        _ => list(&field.list().into_iter().map(name).collect::<Vec<_>>()),
    })
}

/// By number; `None` where that field says nothing.
fn numbered(days: &Days) -> Option<String> {
    let mut parts = Vec::new();
    match shape_of(Unit::DayOfMonth, days.numbered) {
        Shape::All if days.numbered.starred => return None,
        Shape::All => parts.push("every day".into()),
        Shape::Run(first, last) => parts.push(format!("the {} to the {}", ordinal(first), ordinal(last))),
        Shape::Steps { start, step } => parts.push(format!("every {step} days from the {}", ordinal(start))),
        _ => {
            let ordinals: Vec<_> = days.numbered.list().into_iter().map(ordinal).collect();
            parts.extend((!ordinals.is_empty()).then(|| format!("the {}", list(&ordinals))));
        }
    }
    parts.extend(days.last_day.then(|| "the last day".into()));
    Some(list(&parts))
}

/// By weekday, and whether they are counted within the month; `None` where that field says nothing.
fn weekdays(days: &Days) -> Option<(String, bool)> {
    let name = |weekday: u32| WEEKDAYS[weekday as usize];
    let mut parts: Vec<String> = Vec::new();
    match shape_of(Unit::Weekday, days.weekdays) {
        Shape::All if days.weekdays.starred => return None,
        Shape::All => parts.push("every weekday and weekend".into()),
        _ if days.weekdays.values == MONDAY_TO_FRIDAY => parts.push("weekdays".into()),
        _ if days.weekdays.values == SATURDAY_AND_SUNDAY => parts.push("weekends".into()),
        Shape::Run(first, last) => parts.push(format!("any day from {} to {}", name(first), name(last))),
        _ => {
            let names: Vec<_> = days.weekdays.list().into_iter().map(|weekday| format!("{}s", name(weekday))).collect();
            parts.extend((!names.is_empty()).then(|| list(&names)));
        }
    }
    let uncounted = parts.len();
    for (count, set) in COUNTED.into_iter().zip(days.nth_weekdays).chain([("last", days.last_weekdays)]) {
        parts.extend((0..7).filter(|day| set >> day & 1 == 1).map(|day| format!("the {count} {}", name(day))));
    }
    Some((list(&parts), parts.len() > uncounted))
}

fn ordinal(day: u32) -> String {
    let ending = match (day % 10, day) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{day}{ending}")
}

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::schedule::Zone;

fn describe(cron: &str) -> String {
    Cron::parse(cron).unwrap().describe()
}

#[test]
fn the_shapes_that_people_write_read_as_they_would_say_them() {
    let said = [
        ("30 8 * * mon-fri", "at 08:30 on weekdays"),
        ("30 8 * * *", "at 08:30 every day"),
        ("*/5 * * * *", "every 5 minutes"),
        ("* * * * *", "every minute"),
        ("@hourly", "every hour"),
        ("15 * * * *", "at minute 15 of every hour"),
        ("0 */2 * * *", "every 2 hours"),
        ("30 1/2 * * *", "every 2 hours from 01:30"),
        ("0 0 L * *", "at 00:00 on the last day of the month"),
        ("0 0 1,l * *", "at 00:00 on the 1st and the last day of the month"),
        ("@yearly", "at 00:00 on the 1st of January"),
        ("@weekly", "at 00:00 on Sundays"),
        ("0 9 * * 5#2", "at 09:00 on the second Friday of the month"),
        ("0 9 * * 5L", "at 09:00 on the last Friday of the month"),
        ("0 12 13 * fri", "at 12:00 on the 13th of the month, and also on Fridays"),
        ("0 12 */2 * mon", "at 12:00 on Mondays, but only on every 2 days from the 1st of the month"),
        ("0 8,20 * * sat,sun", "at 08:00 and 20:00 on weekends"),
        ("*/10 8-18 * * 1-5", "every 10 minutes from 08:00 to 18:59 on weekdays"),
        ("0 22-2 * * *", "every hour from 22:00 to 02:00"),
        ("30 6 1-7 6-8 *", "at 06:30 on the 1st to the 7th of June to August"),
        ("0 6 * 12 *", "at 06:00 every day in December"),
        ("0 6 * * mon-thu", "at 06:00 on any day from Monday to Thursday"),
        ("5/10 * * * *", "every 10 minutes from minute 5 of every hour"),
        ("* * * * * *", "every second"),
        ("* * * * * */15", "every 15 seconds"),
        ("30 8 * * * 15", "at 08:30:15 every day"),
        ("0 8 * * * */20", "every 20 seconds from second 0 of the minute, at 08:00"),
    ];
    for (cron, words) in said {
        assert_eq!(describe(cron), words, "{cron}");
    }
}

#[test]
fn intervals_hands_and_zones_are_named() {
    let every = |seconds| Schedule::every(Duration::from_secs_f64(seconds)).unwrap().describe();
    assert_eq!(every(300.0), "every 5 minutes");
    assert_eq!(every(90.0), "every 90 seconds");
    assert_eq!(every(3_600.0), "every hour");
    assert_eq!(every(86_400.0), "every 24 hours");
    assert_eq!(every(1.5), "every 1.5 seconds");
    let berlin = |cron| Schedule::cron(cron, Zone::named("Europe/Berlin").unwrap()).unwrap().describe();
    assert_eq!(berlin("0 0 l * *"), "at 00:00 on the last day of the month, Europe/Berlin");
    assert_eq!(berlin("manual"), "only by hand");
}

/// One text a unit of time, of every kind of item.
fn any_field(unit: Unit) -> impl Strategy<Value = String> {
    let (least, greatest) = unit.bounds();
    let value = least..=greatest;
    let item = prop_oneof![
        3 => Just("*".to_owned()),
        2 => (2_u32..=6).prop_map(|step| format!("*/{step}")),
        4 => value.clone().prop_map(|value| value.to_string()),
        2 => (value.clone(), value.clone()).prop_map(|(low, high)| format!("{low}-{high}")),
        1 => (value.clone(), value, 2_u32..=6).prop_map(|(low, high, step)| format!("{low}-{high}/{step}")),
    ];
    prop::collection::vec(item, 1..3).prop_map(|items| items.join(","))
}

fn any_expression() -> impl Strategy<Value = [String; 6]> {
    let day = prop_oneof![9 => any_field(Unit::DayOfMonth), 1 => Just("l".to_owned())];
    let counted = (0_u32..7, 1_u32..6).prop_map(|(weekday, nth)| format!("{weekday}#{nth}"));
    let last = (0_u32..7).prop_map(|weekday| format!("{weekday}l"));
    let weekday = prop_oneof![8 => any_field(Unit::Weekday), 1 => counted, 1 => last];
    let (minute, hour, month) = (any_field(Unit::Minute), any_field(Unit::Hour), any_field(Unit::Month));
    let second = prop_oneof![3 => Just("0".to_owned()), 1 => any_field(Unit::Second)];
    (minute, hour, day, month, weekday, second).prop_map(|(a, b, c, d, e, f)| [a, b, c, d, e, f])
}

/// What a description has to tell: the sets, and which rule joins the day fields where it makes a difference.
fn meaning(cron: &Cron) -> impl PartialEq + std::fmt::Debug {
    let days = cron.days.clone();
    let whole = |field: Field, unit| field.starred && field.is_all(unit);
    let joined = !whole(days.numbered, Unit::DayOfMonth) && !whole(days.weekdays, Unit::Weekday) && !days.either();
    let last_day = days.last_day && !whole(days.numbered, Unit::DayOfMonth);
    let counted = (!whole(days.weekdays, Unit::Weekday)).then_some((days.last_weekdays, days.nth_weekdays));
    let sets =
        [cron.second, cron.minute, cron.hour, cron.month, days.numbered, days.weekdays].map(|field| field.values);
    (sets, last_day, counted, joined)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]
    #[test]
    fn expressions_that_differ_in_meaning_never_read_the_same(
        fields in any_expression(), place in 0_usize..6, other in any_expression(),
    ) {
        let mut changed = fields.clone();
        changed[place].clone_from(&other[place]);
        let (Ok(one), Ok(two)) = (Cron::parse(&fields.join(" ")), Cron::parse(&changed.join(" "))) else {
            return Ok(());
        };
        if one.describe() == two.describe() {
            prop_assert_eq!(meaning(&one), meaning(&two), "{} and {}: {}", one.text(), two.text(), one.describe());
        }
    }
}

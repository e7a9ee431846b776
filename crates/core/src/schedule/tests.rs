use proptest::prelude::*;

use super::*;
use crate::Moment;

fn in_zone(cron: &str, zone: &str) -> Schedule {
    Schedule::cron(cron, Zone::named(zone).unwrap()).unwrap()
}

fn micros_of(text: &str) -> Micros {
    Moment(text.into()).unix_micros().unwrap()
}

/// The ticks after an instant of UTC, as text of UTC up to the second.
fn ticks(schedule: &Schedule, after: &str, count: usize) -> Vec<String> {
    let upcoming = schedule.upcoming(micros_of(after)).take(count);
    upcoming.map(|nominal| Moment::from_unix_micros(nominal).0[..19].to_owned()).collect()
}

fn problem(cron: &str) -> String {
    Schedule::cron(cron, Zone::utc()).unwrap_err().to_string()
}

#[test]
fn a_mistake_is_named_with_its_field_and_the_whole_expression() {
    assert_eq!(problem("75 * * * *"), "minute: 75 is not between 0 and 59, in '75 * * * *'");
    assert_eq!(problem("0 0 0 * *"), "day of month: 0 is not between 1 and 31, in '0 0 0 * *'");
    assert_eq!(problem("* * * * * 60"), "second: 60 is not between 0 and 59, in '* * * * * 60'");
    assert!(problem("* * *").starts_with("write five fields (minute hour day-of-month month weekday) or six"));
    assert!(problem("0 0 1 1 * 0 2030").ends_with("not 7, in '0 0 1 1 * 0 2030'"));
    assert!(problem("@often").starts_with("the names are @yearly"));
    assert!(problem("").contains("not 0"));
    assert!(problem(&"1,".repeat(600)).starts_with("an expression has at most 1000 characters"));
}

#[test]
fn an_expression_that_can_never_run_is_refused() {
    for never in ["0 0 31 2 *", "0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 30-31 feb */2"] {
        assert!(problem(never).starts_with("it would never run"), "{never}");
    }
    for rare in ["0 0 29 2 *", "0 0 29 2 */7", "0 0 * 2 5#5", "0 0 31 2 mon", "0 0 31 * *"] {
        assert!(Schedule::cron(rare, Zone::utc()).is_ok(), "{rare}");
    }
}

#[test]
fn names_stand_for_their_expressions() {
    for (name, cron) in [
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
        ("@monthly", "0 0 1 * *"),
        ("@weekly", "0 0 * * 0"),
        ("@Daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@hourly", "0 * * * *"),
        ("0 0 * JAN Mon-FRI", "0 0 * 1 1-5"),
    ] {
        let after = "2026-01-15 12:34:56";
        assert_eq!(ticks(&in_zone(name, "UTC"), after, 20), ticks(&in_zone(cron, "UTC"), after, 20), "{name}");
    }
}

#[test]
fn seconds_stand_at_the_end() {
    let half = in_zone("30 8 * * * 15,45", "UTC");
    let expected = ["2026-01-01 08:30:15", "2026-01-01 08:30:45", "2026-01-02 08:30:15"];
    assert_eq!(ticks(&half, "2026-01-01 00:00:00", 3), expected);
}

#[test]
fn next_is_strictly_after_and_previous_strictly_before() {
    let hourly = in_zone("0 * * * *", "UTC");
    let noon = micros_of("2026-01-01 12:00:00");
    assert_eq!(hourly.next_after(noon - 1), Some(noon));
    assert_eq!(hourly.next_after(noon), Some(noon + 3_600 * SECOND));
    assert_eq!(hourly.prev_before(noon + 1), Some(noon));
    assert_eq!(hourly.prev_before(noon), Some(noon - 3_600 * SECOND));
}

#[test]
fn the_29th_of_february_is_found_over_a_century_without_one() {
    let leap = in_zone("0 0 29 2 *", "UTC");
    assert_eq!(ticks(&leap, "2096-03-01 00:00:00", 1), ["2104-02-29 00:00:00"]);
    let monday = in_zone("0 0 29 2 */7", "UTC"); // only Sundays, and as an asterisk it restricts the other field
    assert_eq!(ticks(&monday, "2088-03-01 00:00:00", 1), ["2128-02-29 00:00:00"]);
}

#[test]
fn by_hand_only_is_never_due() {
    let manual = in_zone("Manual", "UTC");
    assert_eq!(manual.rule(), &Rule::Manual);
    assert_eq!((manual.next_after(0), manual.prev_before(0)), (None, None));
}

#[test]
fn intervals_are_anchored_to_1970_for_everyone() {
    let every = Schedule::every(Duration::from_secs(90)).unwrap();
    assert_eq!(ticks(&every, "1970-01-01 00:00:00", 2), ["1970-01-01 00:01:30", "1970-01-01 00:03:00"]);
    assert_eq!(every.prev_before(0), Some(-90 * SECOND));
    assert_eq!(every.next_after(-1), Some(0));
    for odd in [Duration::ZERO, Duration::from_millis(999), Duration::from_nanos(1_000_000_001), Duration::MAX] {
        let message = Schedule::every(odd).unwrap_err().to_string();
        assert!(message.ends_with("an interval is at least 1 second and at most 366 days"), "{message}");
    }
}

// The table of docs/reference/cron.md, with the instants of one spring and one autumn. In Berlin clocks go from 02:00 to
// 03:00 at 01:00 UTC on 2026-03-29, and from 03:00 back to 02:00 at 01:00 UTC on 2026-10-25.

#[test]
fn a_fixed_time_in_the_gap_runs_at_the_first_instant_after_it() {
    let nightly = in_zone("30 2 * * *", "Europe/Berlin");
    let expected = ["2026-03-28 01:30:00", "2026-03-29 01:00:00", "2026-03-30 00:30:00"];
    assert_eq!(ticks(&nightly, "2026-03-28 00:00:00", 3), expected);
}

#[test]
fn several_times_in_the_gap_are_one_run_also_with_the_one_that_exists() {
    let often = in_zone("15,30,45 2 * * *", "Europe/Berlin");
    assert_eq!(ticks(&often, "2026-03-29 00:00:00", 2), ["2026-03-29 01:00:00", "2026-03-30 00:15:00"]);
    let both = in_zone("0 2,3 * * *", "Europe/Berlin");
    assert_eq!(ticks(&both, "2026-03-29 00:00:00", 2), ["2026-03-29 01:00:00", "2026-03-30 00:00:00"]);
}

#[test]
fn an_interval_of_every_hour_steps_over_the_gap() {
    let hourly = in_zone("15 * * * *", "Europe/Berlin");
    assert_eq!(ticks(&hourly, "2026-03-29 00:00:00", 2), ["2026-03-29 00:15:00", "2026-03-29 01:15:00"]);
}

#[test]
fn an_interval_of_chosen_hours_loses_no_run_to_the_gap() {
    let even_hours = in_zone("0 */2 * * *", "Europe/Berlin");
    let expected = ["2026-03-28 23:00:00", "2026-03-29 01:00:00", "2026-03-29 02:00:00"];
    assert_eq!(ticks(&even_hours, "2026-03-28 22:00:00", 3), expected);
    let within = in_zone("*/10 2 * * *", "Europe/Berlin");
    assert_eq!(ticks(&within, "2026-03-29 00:00:00", 2), ["2026-03-29 01:00:00", "2026-03-30 00:00:00"]);
}

#[test]
fn a_fixed_time_in_the_fold_runs_the_first_time_only() {
    let nightly = in_zone("30 2 * * *", "Europe/Berlin");
    assert_eq!(ticks(&nightly, "2026-10-25 00:00:00", 2), ["2026-10-25 00:30:00", "2026-10-26 01:30:00"]);
    // Also for who looks between the two.
    assert_eq!(ticks(&nightly, "2026-10-25 01:10:00", 1), ["2026-10-26 01:30:00"]);
    assert_eq!(nightly.prev_before(micros_of("2026-10-25 12:00:00")), Some(micros_of("2026-10-25 00:30:00")));
}

#[test]
fn an_interval_in_the_fold_runs_each_time() {
    let often = in_zone("*/30 1-3 * * *", "Europe/Berlin");
    let expected = ["00:00", "00:30", "01:00", "01:30", "02:00"].map(|time| format!("2026-10-25 {time}:00"));
    assert_eq!(ticks(&often, "2026-10-24 23:30:00", 5), expected);
}

#[test]
fn a_day_that_a_zone_left_out_is_made_up_for_once() {
    // Samoa went over the date line: its 30th of December 2011, a Friday, never was.
    let friday = in_zone("30 8 * * fri", "Pacific/Apia");
    let expected = ["2011-12-23 18:30:00", "2011-12-30 10:00:00", "2012-01-05 18:30:00"];
    assert_eq!(ticks(&friday, "2011-12-23 00:00:00", 3), expected);
}

const PAGE: &str = include_str!("../../../../docs/reference/cron.md");

/// The lines of a kind of block, in two: an expression, and what the page says of it.
fn said_of(kind: &str) -> Vec<(&'static str, &'static str)> {
    let (_, from) = PAGE.split_once(&format!("```{kind}\n")).unwrap();
    let (block, _) = from.split_once("```").unwrap();
    block.lines().map(|line| line.split_once(" # ").unwrap()).map(|(cron, said)| (cron.trim(), said)).collect()
}

#[test]
fn the_page_says_in_words_what_describe_says() {
    for (cron, words) in said_of("cron") {
        assert_eq!(Cron::parse(cron).unwrap().describe(), words, "{cron}");
    }
}

#[test]
fn the_page_says_what_is_refused_and_why() {
    for (cron, why) in said_of("refused") {
        assert_eq!(problem(cron), format!("{why}, in '{cron}'"));
    }
}

#[test]
fn the_page_says_when_things_ran_where_clocks_were_set() {
    // 01:00 and 05:00 in Berlin on those days.
    let spring = ("spring", "2026-03-29 00:00:00", "2026-03-29 03:00:00");
    let autumn = ("autumn", "2026-10-24 23:00:00", "2026-10-25 04:00:00");
    for (kind, from, until) in [spring, autumn] {
        for (cron, times) in said_of(kind) {
            let schedule = in_zone(cron, "Europe/Berlin");
            let runs = schedule.upcoming(micros_of(from) - 1).take_while(|nominal| *nominal < micros_of(until));
            let local = runs.map(|nominal| {
                let second = nominal / SECOND;
                let local = second + schedule.zone().stretch(second).unwrap().offset;
                Moment::from_unix_micros(local * SECOND).0[11..16].to_owned()
            });
            assert_eq!(local.collect::<Vec<_>>().join(" "), times, "{cron} in {kind}");
        }
    }
}

#[test]
fn clocks_that_joined_another_zones_rule_are_set_once() {
    // Ciudad Juarez set its clocks back on 2022-11-30, three weeks after that rule's own change.
    let fixed = Schedule::cron("30 23 * * *", Zone::bundled("America/Ciudad_Juarez").unwrap()).unwrap();
    assert_eq!(ticks(&fixed, "2022-11-30 00:00:00", 2), ["2022-11-30 05:30:00", "2022-12-01 06:30:00"]);
}

fn any_cron() -> impl Strategy<Value = String> {
    let field = |least: u32, greatest: u32| {
        prop_oneof![
            2 => Just("*".to_owned()),
            1 => (2_u32..7).prop_map(|step| format!("*/{step}")),
            1 => (least..=greatest, 2_u32..7).prop_map(|(start, step)| format!("{start}/{step}")),
            3 => (least..=greatest).prop_map(|value| value.to_string()),
            1 => (least..=greatest, least..=greatest).prop_map(|(low, high)| format!("{low}-{high}")),
            1 => prop::collection::vec(least..=greatest, 2..5)
                .prop_map(|list| list.iter().map(u32::to_string).collect::<Vec<_>>().join(",")),
        ]
    };
    let day = prop_oneof![5 => field(1, 31), 1 => Just("L".to_owned()), 4 => Just("*".to_owned())];
    let weekday = prop_oneof![3 => field(0, 7), 4 => Just("*".to_owned()), 1 => Just("5#2".to_owned()), 1 => Just("1L".to_owned())];
    let second = prop_oneof![3 => Just(String::new()), 1 => field(0, 59)];
    (field(0, 59), field(0, 23), day, field(1, 12), weekday, second)
        .prop_map(|(a, b, c, d, e, f)| format!("{a} {b} {c} {d} {e} {f}"))
}

const ZONES: [&str; 8] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "Africa/Casablanca",
    "America/Sao_Paulo",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]
    #[test]
    fn ticks_grow_and_the_way_back_meets_the_same_ones(
        cron in any_cron(), zone in prop::sample::select(ZONES.to_vec()), from in 0_i64..2_145_916_800,
    ) {
        let Ok(schedule) = Schedule::cron(&cron, Zone::named(zone).unwrap()) else { return Ok(()) };
        let from = from * SECOND + 1;
        let forth: Vec<_> = schedule.upcoming(from).take(40).collect();
        prop_assert!(!forth.is_empty());
        prop_assert!(forth[0] > from && forth.windows(2).all(|pair| pair[0] < pair[1]));
        let mut back: Vec<_> = schedule.past(forth[forth.len() - 1] + 1).take(forth.len()).collect();
        back.reverse();
        prop_assert_eq!(&forth, &back, "{} in {}", cron, zone);
    }

    #[test]
    fn no_text_makes_it_stumble(text in "[-0-9*/,#lLwW?@a-z ]{0,40}", instant: i64) {
        if let Ok(schedule) = Schedule::cron(&text, Zone::utc()) {
            let next = schedule.next_after(instant);
            prop_assert!(next.is_none_or(|next| next > instant));
            prop_assert!(!schedule.describe().is_empty());
        }
    }
}

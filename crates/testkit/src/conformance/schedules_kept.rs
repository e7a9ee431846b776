//! What people may do to schedules, and how long their ticks are kept.

use std::time::Duration;

use gristmill_core::JobId;
use gristmill_core::schedule::{Announced, CatchUp, Overlap};
use gristmill_store::{Defined, Session, Ticked};

use super::scene::{at, claim_one, ended, meddle, number, session, state, success, texts, worker};
use super::schedules::{announce, by_hand, defined, every, jobs, marks, tick, tick_at, ticks};
use super::{Fixture, asks};

asks![
    a_paused_schedule_does_not_tick_and_owes_nothing_after,
    pausing_a_schedule_again_gives_another_reason,
    people_make_and_change_schedules,
    a_rule_that_people_change_owes_nothing_for_before,
    a_schedule_that_people_remove_is_gone_and_its_ticks_are_not,
    a_tick_by_hand_is_of_its_own_instant,
    old_ticks_are_forgotten_but_for_the_newest_20,
    a_tick_whose_job_has_not_ended_is_kept,
    what_is_long_removed_is_forgotten_with_its_ticks,
];

const HOUR: Duration = Duration::from_hours(1);

async fn define(session: &mut Session, schedule: &Announced) -> Option<Defined> {
    session.define_schedule("default", schedule).await.expect("answers")
}

async fn a_paused_schedule_does_not_tick_and_owes_nothing_after(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    announce(&mut session, &[defined(|it| it.catch_up = CatchUp::All)]).await;
    tick(&mut session).await;

    assert!(session.pause_schedule("default", "mill", "the mill is wet").await.expect("pauses"));
    assert_eq!(tick_at(&mut session, 35).await, Ticked::default());

    assert!(session.resume_schedule("default", "mill").await.expect("resumes"));
    assert!(!session.resume_schedule("default", "mill").await.expect("answers"));
    assert_eq!(marks(&mut session).await, (Some(35), Some(35)));
    assert_eq!(tick(&mut session).await.jobs, 0);
    assert_eq!(tick_at(&mut session, 40).await, jobs(1));
    assert_eq!(ticks(&mut session).await, [(0, "job".into()), (40, "job".into())]);
}

async fn pausing_a_schedule_again_gives_another_reason(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    assert!(!session.pause_schedule("default", "mill", "one").await.expect("answers"));
    announce(&mut session, &[every(10)]).await;
    for reason in ["one", "two\0"] {
        assert!(session.pause_schedule("default", "mill", reason).await.expect("pauses"));
    }
    assert!(!session.pause_schedule("other", "mill", "three").await.expect("answers"));

    let reasons = texts(&mut session, "select name, paused_reason from gristmill_schedule").await;
    assert_eq!(reasons, [("mill".into(), "two\\0".into())]);
}

async fn people_make_and_change_schedules(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    assert_eq!(define(&mut session, &every(10)).await, Some(Defined::Created));
    assert_eq!(tick(&mut session).await, jobs(1));

    let mut changed = every(10);
    changed.definition.args = "[2]".into();
    assert_eq!(define(&mut session, &changed).await, Some(Defined::Changed), "at the very same moment");
    session.set_now(Some(at(20)));
    assert_eq!(define(&mut session, &changed).await, Some(Defined::Changed));
    assert_eq!(marks(&mut session).await, (Some(0), Some(20)), "the rule is the same");
    assert_eq!(tick(&mut session).await, Ticked { skipped: 1, ..jobs(1) });
    assert_eq!(number(&mut session, "select count(*) from gristmill_job where args = '[2]'").await, 1);

    let broken = defined(|it| it.every = Some(0.5));
    assert_eq!(define(&mut session, &broken).await, Some(Defined::Changed));
    assert_eq!(tick(&mut session).await, Ticked::default());
    assert_eq!(define(&mut session, &every(10)).await, Some(Defined::Changed));
    assert_eq!(tick_at(&mut session, 30).await, jobs(1), "the problem is gone with the rule");
}

async fn a_rule_that_people_change_owes_nothing_for_before(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let all = defined(|it| it.catch_up = CatchUp::All);
    define(&mut session, &all).await;
    tick(&mut session).await;

    session.set_now(Some(at(45)));
    define(&mut session, &Announced { definition: defined(|it| it.every = Some(20.0)).definition, ..all.clone() })
        .await;
    assert_eq!(marks(&mut session).await, (Some(45), Some(45)));
    assert_eq!(tick(&mut session).await.jobs, 0);

    // Never looked at under the old rule: it begins under the new one.
    session.remove_schedule("default", "mill").await.expect("removes");
    define(&mut session, &all).await;
    define(&mut session, &every(20)).await;
    assert_eq!(marks(&mut session).await, (None, Some(45)));
}

async fn a_schedule_that_people_remove_is_gone_and_its_ticks_are_not(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    define(&mut session, &every(10)).await;
    tick(&mut session).await;

    assert!(session.remove_schedule("default", "mill").await.expect("removes"));
    assert!(!session.remove_schedule("default", "mill").await.expect("answers"));
    assert_eq!(tick_at(&mut session, 10).await, Ticked::default());
    assert_eq!(ticks(&mut session).await, [(0, "job".into())]);

    assert_eq!(define(&mut session, &every(10)).await, Some(Defined::Created));
    assert_eq!(tick(&mut session).await, jobs(1));
}

async fn a_tick_by_hand_is_of_its_own_instant(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    announce(&mut session, &[every(10)]).await;
    session.set_now(Some(at(4)));
    let job = by_hand(&mut session).await;

    assert!(!session.tick_by_hand("default", "mill", JobId::new()).await.expect("answers"), "the instant is taken");
    assert_eq!(state(&mut session, job).await, "ready");
    assert_eq!(number(&mut session, "select count(*) from gristmill_tick where by_hand").await, 1);

    assert_eq!(tick(&mut session).await.jobs, 1);
    assert_eq!(ticks(&mut session).await, [(0, "job".into()), (4, "job".into())]);
}

async fn old_ticks_are_forgotten_but_for_the_newest_20(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    announce(&mut session, &[every(10)]).await;
    tick_at(&mut session, 590).await;
    meddle(&mut session, "delete from gristmill_ready").await;
    meddle(&mut session, "delete from gristmill_job").await;
    assert_eq!(ticks(&mut session).await.len(), 60);

    session.set_now(Some(at(590 + 3_599)));
    assert_eq!(session.prune_ticks(HOUR).await.expect("prunes"), 0, "they were found late");
    session.set_now(Some(at(590 + 3_600)));
    assert_eq!(session.prune(HOUR, 10).await.expect("prunes"), 0, "ticks do not count");

    let kept = ticks(&mut session).await;
    assert_eq!((kept.len(), kept[0].0), (20, 400));
    session.set_now(Some(at(10_000_000)));
    assert_eq!(session.prune_ticks(HOUR).await.expect("prunes"), 0);
}

async fn a_tick_whose_job_has_not_ended_is_kept(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    announce(&mut session, &[defined(|it| it.overlap = Overlap::Skip)]).await;
    tick(&mut session).await;
    for n in 1..=30 {
        tick_at(&mut session, n * 10).await;
    }
    let claimed = claim_one(&mut session, worker).await;

    session.set_now(Some(at(4_000)));
    assert_eq!(session.prune_ticks(HOUR).await.expect("prunes"), 10);
    assert_eq!(tick_at(&mut session, 4_000).await.jobs, 0, "it is still known to be busy");

    session.finish(&[ended(&claimed, success())]).await.expect("finishes");
    assert_eq!(session.prune_ticks(HOUR).await.expect("prunes"), 21, "the first, and those that newer ones push out");
}

async fn what_is_long_removed_is_forgotten_with_its_ticks(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let names = ["kept", "left", "by people"];
    let schedules = names.map(|name| Announced { name: name.into(), ..every(10) });
    announce(&mut session, &schedules[..2]).await;
    define(&mut session, &schedules[2]).await;
    tick(&mut session).await;
    meddle(&mut session, "delete from gristmill_ready").await;
    meddle(&mut session, "delete from gristmill_job").await;
    announce(&mut session, &schedules[..1]).await;
    session.remove_schedule("default", "by people").await.expect("removes");

    session.set_now(Some(at(3_599)));
    session.prune_ticks(HOUR).await.expect("prunes");
    assert_eq!(ticks(&mut session).await.len(), 3);
    session.set_now(Some(at(3_600)));
    session.prune_ticks(HOUR).await.expect("prunes");
    session.prune_ticks(HOUR).await.expect("prunes");

    assert_eq!(ticks(&mut session).await.len(), 1);
    let left = texts(&mut session, "select name, origin from gristmill_schedule").await;
    assert_eq!(left, [("kept".into(), "code".into())]);
}

//! What announcing schedules promises.

use gristmill_core::schedule::{Announced, Announcement, CatchUp, JobTemplate};
use gristmill_store::{Registered, Session, Ticked};

use super::scene::{at, dump, number, session, texts};
use super::schedules::{announce, defined, every, jobs, marks, tick, tick_at, ticks};
use super::{Fixture, asks};

asks![
    announcing_the_same_again_changes_nothing,
    the_old_rule_owes_its_ticks_before_it_changes,
    a_schedule_nobody_has_looked_at_owes_its_first_tick_too,
    other_changes_leave_the_ticks_alone,
    what_is_not_announced_any_more_is_removed,
    a_schedule_that_is_back_owes_nothing_for_the_time_away,
    a_paused_schedule_stays_paused_and_owes_nothing,
    code_takes_over_a_name_that_people_had,
    schedules_of_people_follow_their_tasks,
    an_announcement_is_of_one_backend,
    two_that_start_at_once_agree,
];

fn all(schedules: &[Announced]) -> Announcement {
    Announcement { schedules: schedules.to_vec(), ..Announcement::default() }
}

async fn registered(session: &mut Session, announcement: &Announcement) -> (u64, u64, u64) {
    let Registered { created, changed, removed } = session.announce("default", announcement).await.expect("announces");
    (created, changed, removed)
}

async fn announcing_the_same_again_changes_nothing(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let everything = all(&[every(10), Announced { name: "other".into(), ..defined(|it| it.jitter = 0.1) }]);
    assert_eq!(registered(&mut session, &everything).await, (2, 0, 0));
    tick(&mut session).await;
    let before = dump(&mut session).await;

    session.set_now(Some(at(5)));
    assert_eq!(registered(&mut session, &everything).await, (0, 0, 0));

    assert_eq!(dump(&mut session).await, before);
}

async fn the_old_rule_owes_its_ticks_before_it_changes(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    announce(&mut session, &[defined(|it| it.catch_up = CatchUp::All)]).await;
    tick(&mut session).await;

    session.set_now(Some(at(25)));
    assert_eq!(registered(&mut session, &all(&[every(7)])).await, (0, 1, 0));
    assert_eq!(ticks(&mut session).await, [(0, "job".into()), (10, "job".into()), (20, "job".into())]);
    assert_eq!(marks(&mut session).await, (Some(25), Some(25)));

    assert_eq!(tick(&mut session).await.jobs, 0);
    let (_, next_at) = marks(&mut session).await;
    assert!(next_at.is_some_and(|next_at| (26..=32).contains(&next_at)), "{next_at:?}");
}

async fn a_schedule_nobody_has_looked_at_owes_its_first_tick_too(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    session.set_now(Some(at(1)));
    announce(&mut session, &[defined(|it| it.run_on_creation = true)]).await;

    session.set_now(Some(at(11)));
    announce(&mut session, &[every(3_600)]).await;

    assert_eq!(ticks(&mut session).await, [(0, "job".into()), (10, "job".into())]);
    assert_eq!(tick(&mut session).await.jobs, 0);
}

async fn other_changes_leave_the_ticks_alone(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    announce(&mut session, &[every(10)]).await;
    tick(&mut session).await;

    session.set_now(Some(at(25)));
    let mut other = defined(|it| it.catch_up = CatchUp::All);
    other.definition.args = "[2]".into();
    other.queue_name = "mail".into();
    other.task_name = "app.tasks.sort".into();
    other.job.priority = 3;
    assert_eq!(registered(&mut session, &all(&[other])).await, (0, 1, 0));
    assert_eq!(marks(&mut session).await, (Some(0), Some(10)));

    assert_eq!(tick(&mut session).await.jobs, 2);
    let sql = "select count(*) from gristmill_job where args = '[2]' and priority = 3 and task_name = 'app.tasks.sort'";
    assert_eq!(number(&mut session, sql).await, 2);
}

async fn what_is_not_announced_any_more_is_removed(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    announce(&mut session, &[every(10)]).await;
    tick(&mut session).await;

    session.set_now(Some(at(5)));
    assert_eq!(registered(&mut session, &all(&[])).await, (0, 0, 1));
    assert_eq!(registered(&mut session, &all(&[])).await, (0, 0, 0));

    assert_eq!(tick_at(&mut session, 100).await, Ticked::default());
    assert_eq!(number(&mut session, "select count(*) from gristmill_schedule where removed_at is not null").await, 1);
    assert_eq!(ticks(&mut session).await, [(0, "job".into())]);
}

async fn a_schedule_that_is_back_owes_nothing_for_the_time_away(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let schedule = defined(|it| it.catch_up = CatchUp::All);
    announce(&mut session, std::slice::from_ref(&schedule)).await;
    announce(&mut session, &[]).await;

    session.set_now(Some(at(25)));
    assert_eq!(registered(&mut session, &all(std::slice::from_ref(&schedule))).await, (0, 1, 0));

    assert_eq!(tick(&mut session).await.jobs, 0);
    assert_eq!(tick_at(&mut session, 30).await, jobs(1));
    assert_eq!(ticks(&mut session).await, [(30, "job".into())]);
}

async fn a_paused_schedule_stays_paused_and_owes_nothing(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    announce(&mut session, &[every(10)]).await;
    assert!(session.pause_schedule("default", "mill", "no").await.expect("pauses"));

    session.set_now(Some(at(25)));
    announce(&mut session, &[every(20)]).await;
    assert_eq!(tick(&mut session).await, Ticked::default());
    assert!(session.resume_schedule("default", "mill").await.expect("resumes"));

    assert_eq!(tick(&mut session).await.jobs, 0);
    assert_eq!(tick_at(&mut session, 40).await.jobs, 1);
    assert_eq!(ticks(&mut session).await, [(40, "job".into())]);
}

async fn code_takes_over_a_name_that_people_had(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    session.define_schedule("default", &every(10)).await.expect("defines");
    tick(&mut session).await;

    assert_eq!(registered(&mut session, &all(&[every(10)])).await, (0, 1, 0));

    assert_eq!(
        texts(&mut session, "select name, origin from gristmill_schedule").await,
        [("mill".into(), "code".into())]
    );
    assert_eq!(session.define_schedule("default", &every(20)).await.expect("answers"), None);
    assert!(!session.remove_schedule("default", "mill").await.expect("answers"));
    assert_eq!(tick_at(&mut session, 10).await, jobs(1));
}

async fn schedules_of_people_follow_their_tasks(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    session.define_schedule("default", &every(10)).await.expect("defines");
    let job = JobTemplate { priority: 9, ..JobTemplate::default() };
    let allowing = Announcement { schedulable: [("app.tasks.grind".into(), job)].into(), ..Announcement::default() };

    assert_eq!(registered(&mut session, &allowing).await, (0, 1, 0));
    assert_eq!(registered(&mut session, &allowing).await, (0, 0, 0));
    assert_eq!(tick(&mut session).await, jobs(1));
    assert_eq!(number(&mut session, "select count(*) from gristmill_ready where priority = 9").await, 1);

    assert_eq!(registered(&mut session, &all(&[])).await, (0, 0, 1));
    assert_eq!(tick_at(&mut session, 15).await, Ticked::default());

    assert_eq!(registered(&mut session, &allowing).await, (0, 1, 0));
    assert_eq!(tick(&mut session).await.jobs, 0);
    assert_eq!(tick_at(&mut session, 20).await, jobs(1));
    let origin = texts(&mut session, "select name, origin from gristmill_schedule").await;
    assert_eq!(origin, [("mill".into(), "database".into())]);
}

async fn an_announcement_is_of_one_backend(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    announce(&mut session, &[every(10)]).await;
    let before = dump(&mut session).await;

    assert_eq!(session.announce("other", &all(&[])).await.expect("announces"), Registered::default());

    assert_eq!(dump(&mut session).await, before);
}

async fn two_that_start_at_once_agree(fixture: &dyn Fixture) {
    let (mut first, mut second) = (session(fixture).await, session(fixture).await);
    let schedules: Vec<_> = (0..50).map(|n| Announced { name: format!("s{n}"), ..every(10) }).collect();
    let (one, other) = (all(&schedules), all(&schedules[..40]));

    let (one, other) = tokio::join!(first.announce("default", &one), second.announce("default", &other));

    let (one, other) = (one.expect("announces"), other.expect("announces"));
    assert_eq!(one.created + other.created, 50);
    let there = number(&mut first, "select count(*) from gristmill_schedule where removed_at is null").await;
    assert!(matches!((there, other.removed), (50, 0) | (40, 10)), "{there} {one:?} {other:?}");
}

//! What enqueueing, promoting and surveying promise.

use std::time::Duration;

use gristmill_core::Moment;
use gristmill_store::testing::PROMOTE;
use gristmill_store::{Bind, Dialect, Error, NewJob, Promoted};

use super::scene::{at, claimed_ids, cursor, dump, ids, job, jobs, lane, number, session, worker};
use super::{Fixture, asks};

asks![
    a_job_without_a_date_is_ready,
    a_job_with_a_later_date_is_scheduled,
    a_scheduled_job_becomes_ready_by_the_databases_clock,
    due_jobs_are_promoted_in_order_of_their_date,
    promote_says_when_the_next_job_is_due,
    two_promoters_never_share_a_job,
    promoters_do_not_wait_for_each_other,
    a_job_enqueued_twice_is_refused_and_nothing_is_kept,
    a_thousand_jobs_are_enqueued_at_once,
    survey_finds_every_cursor_with_its_first_deadline,
    survey_goes_on_after_a_full_page,
    a_date_beyond_the_ends_of_time_is_refused,
];

async fn a_job_without_a_date_is_ready(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let when = session.enqueue(&[job(), NewJob { run_after: Some(at(0)), ..job() }]).await.expect("enqueues");

    assert_eq!(when.at, at(0));
    assert_eq!(number(&mut session, "select count(*) from gristmill_ready").await, 2);
    assert_eq!(number(&mut session, "select count(*) from gristmill_scheduled").await, 0);
}

async fn a_job_with_a_later_date_is_scheduled(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    session.enqueue(&[NewJob { run_after: Some(at(1)), ..job() }]).await.expect("enqueues");

    assert_eq!(number(&mut session, "select count(*) from gristmill_ready").await, 0);
    assert_eq!(number(&mut session, "select count(*) from gristmill_scheduled").await, 1);
}

async fn a_scheduled_job_becomes_ready_by_the_databases_clock(fixture: &dyn Fixture) {
    let mut session = fixture.session().await;
    let worker = worker(&mut session).await;
    // The database's own clock is long before the questions' beginning.
    let asked = NewJob { run_after: Some(at(0)), ..job() };
    session.enqueue(std::slice::from_ref(&asked)).await.expect("enqueues");
    assert_eq!(session.promote(10).await.expect("promotes").moved, 0);

    session.set_now(Some(at(0)));
    assert_eq!(session.promote(10).await.expect("promotes").moved, 1);

    let claimed = session.claim(worker, &[cursor()], 1, None).await.expect("claims");
    assert_eq!(claimed_ids(&claimed), [asked.id]);
    assert_eq!(claimed[0].run_after, Some(at(0)));
}

async fn due_jobs_are_promoted_in_order_of_their_date(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let asked = [30, 10, 20].map(|seconds| NewJob { run_after: Some(at(seconds)), ..job() });
    session.enqueue(&asked).await.expect("enqueues");
    session.set_now(Some(at(60)));

    let mut order = Vec::new();
    while session.promote(1).await.expect("promotes").moved == 1 {
        order.extend(claimed_ids(&session.claim(worker, &[cursor()], 10, None).await.expect("claims")));
    }

    assert_eq!(order, [asked[1].id, asked[2].id, asked[0].id]);
}

async fn promote_says_when_the_next_job_is_due(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let nothing = Promoted { moved: 0, next_due: None };
    assert_eq!(session.promote(10).await.expect("promotes"), nothing);

    session.enqueue(&[10, 20].map(|seconds| NewJob { run_after: Some(at(seconds)), ..job() })).await.expect("enqueues");
    let next = session.promote(10).await.expect("promotes").next_due.expect("one is to come");
    assert!(next >= Duration::from_secs(10) && next <= Duration::from_millis(10_002), "{next:?}");

    session.set_now(Some(at(15)));
    let promoted = session.promote(10).await.expect("promotes");
    assert_eq!(promoted.moved, 1);
    let next = promoted.next_due.expect("one is to come");
    assert!(next >= Duration::from_secs(5) && next <= Duration::from_millis(5_002), "{next:?}");

    session.set_now(Some(at(20)));
    let at_the_limit = Promoted { moved: 1, next_due: Some(Duration::ZERO) };
    assert_eq!(session.promote(1).await.expect("promotes"), at_the_limit);
    assert_eq!(session.promote(1).await.expect("promotes"), nothing);
}

async fn two_promoters_never_share_a_job(fixture: &dyn Fixture) {
    let mut first = session(fixture).await;
    let scheduled: Vec<_> = (0..200).map(|n| NewJob { run_after: Some(at(1 + n)), ..job() }).collect();
    first.enqueue(&scheduled).await.expect("enqueues");
    let mut promoters = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let mut session = session(fixture).await;
        session.set_now(Some(at(1_000)));
        promoters.spawn(async move {
            let mut moved = 0;
            while number(&mut session, "select count(*) from gristmill_scheduled").await > 0 {
                moved += session.promote(7).await.expect("promotes").moved;
            }
            moved
        });
    }

    assert_eq!(promoters.join_all().await.into_iter().sum::<u64>(), 200);
    assert_eq!(number(&mut first, "select count(*) from gristmill_ready").await, 200);
}

async fn promoters_do_not_wait_for_each_other(fixture: &dyn Fixture) {
    let mut first = session(fixture).await;
    if first.dialect() == Dialect::Sqlite {
        return; // One writer at a time: they do wait, for as long as a promotion takes.
    }
    first.enqueue(&[1, 2].map(|seconds| NewJob { run_after: Some(at(seconds)), ..job() })).await.expect("enqueues");
    let mut second = session(fixture).await;
    first.set_now(Some(at(60)));
    second.set_now(Some(at(60)));

    first.begin().await.expect("begins");
    let binds = [first.now(), Bind::Int(1)];
    first.run(&PROMOTE, &binds).await.expect("promotes");
    let meanwhile = second.promote(10).await.expect("does not wait");
    first.end(Ok(())).await.expect("commits");

    assert_eq!(meanwhile.moved, 1);
    assert_eq!(number(&mut second, "select count(*) from gristmill_ready").await, 2);
}

async fn a_job_enqueued_twice_is_refused_and_nothing_is_kept(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let known = job();
    session.enqueue(std::slice::from_ref(&known)).await.expect("enqueues");
    let before = dump(&mut session).await;

    assert!(session.enqueue(&[job(), known, job()]).await.is_err());

    assert_eq!(dump(&mut session).await, before);
    session.enqueue(&[job()]).await.expect("the session is not spent");
}

async fn a_thousand_jobs_are_enqueued_at_once(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let jobs = jobs(1_000);
    session.enqueue(&jobs).await.expect("enqueues");

    let claimed = session.claim(worker, &[cursor()], 2_000, None).await.expect("claims");

    assert_eq!(claimed_ids(&claimed), ids(&jobs));
}

async fn survey_finds_every_cursor_with_its_first_deadline(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    assert_eq!(session.survey(None).await.expect("surveys").cursors, []);
    for (seconds, count) in [(20, 3), (10, 2), (30, 4)] {
        session.set_now(Some(at(seconds)));
        for priority in [-100, 0, 100] {
            for task in ["app.a", "app.b"] {
                let jobs: Vec<_> = (0..count).map(|_| NewJob { lane: lane(task), priority, ..job() }).collect();
                session.enqueue(&jobs).await.expect("enqueues");
            }
        }
    }

    let cursors = session.survey(None).await.expect("surveys").cursors;

    let found: Vec<_> = cursors.iter().map(|cursor| (cursor.lane.task_name.as_str(), cursor.priority)).collect();
    let expected = ["app.a", "app.b"].map(|task| [-100, 0, 100].map(|priority| (task, priority))).concat();
    assert_eq!(found, expected);
    let week = 7 * 24 * 60 * 60;
    for cursor in &cursors {
        assert!(cursor.deadline.0.starts_with(&at(10 + week).0[..19]), "{cursor:?}");
        assert_eq!(cursor.id, None);
    }
}

async fn survey_goes_on_after_a_full_page(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    // More cursors than one statement looks for.
    let jobs: Vec<_> = (0..2_010).map(|n| NewJob { lane: lane(&format!("app.task{n:05}")), ..job() }).collect();
    session.enqueue(&jobs).await.expect("enqueues");

    let cursors = session.survey(None).await.expect("surveys").cursors;

    let found: Vec<_> = cursors.iter().map(|cursor| &cursor.lane).collect();
    let expected: Vec<_> = jobs.iter().map(|job| &job.lane).collect();
    assert_eq!(found, expected);
}

async fn a_date_beyond_the_ends_of_time_is_refused(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let last = || Some(Moment::latest());
    session
        .enqueue(&[NewJob { run_after: last(), deadline: last(), ..job() }])
        .await
        .expect("the last dates there are");

    for beyond in ["9999-12-24 00:00:01", "10000-01-01 00:00:00", "infinity", "0001-01-01 00:00:00", ""] {
        let beyond = || Some(Moment(beyond.into()));
        for wrong in [NewJob { run_after: beyond(), ..job() }, NewJob { deadline: beyond(), ..job() }] {
            let refused = session.enqueue(&[job(), wrong]).await;
            assert!(matches!(refused, Err(Error::NoDate { .. })), "{refused:?}");
        }
    }
    assert_eq!(number(&mut session, "select count(*) from gristmill_job").await, 1);
}

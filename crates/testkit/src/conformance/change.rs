//! What changing the priority or the queue of jobs that have not started promises, and what the link between a job and the one
//! that was enqueued because of it says.

use gristmill_core::ClaimCursor;
use gristmill_store::{Change, Dialect, NewJob, Session, UniqueUntil};

use super::graph::propagate;
use super::scene::{
    actions, at, claimed_ids, claimed_job, cursor, cursor_of, done, dump, ended, error, ids, job, keys, meddle, number,
    session, state, success, texts, unique, worker,
};
use super::{Fixture, asks};

asks![
    wherever_a_job_waits_it_gets_the_priority_and_queue,
    it_is_claimed_from_its_new_lane_alone,
    what_is_not_named_stays_as_it_is,
    what_is_like_that_already_is_told_and_left,
    a_backend_without_that_queue_keeps_its_jobs,
    what_has_started_or_ended_is_left_as_it_is,
    a_change_outlasts_a_failure_and_a_retry,
    a_unique_job_keeps_its_key_whatever_its_queue,
    a_dependent_goes_on_waiting_and_becomes_ready_in_its_new_lane,
    changing_waits_for_nobody,
    an_enqueue_that_waits_for_a_job_keeps_nobody_from_changing_it,
    two_jobs_are_linked_from_either_end,
];

const MAIL: Change<'_> = Change { priority: Some(7), queue_name: Some("mail"), backends: None };

fn mail_cursor() -> ClaimCursor {
    let mut cursor = cursor_of("app.tasks.grind", 7);
    cursor.lane.queue_name = "mail".into();
    cursor
}

async fn lane_of(session: &mut Session, job: &NewJob) -> (String, i16) {
    let found = session.get(job.id).await.expect("reads").expect("exists");
    (found.lane.queue_name, found.priority)
}

async fn wherever_a_job_waits_it_gets_the_priority_and_queue(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let (ready, later) = (job(), NewJob { run_after: Some(at(60)), ..job() });
    let (held, waits) = (NewJob { held: true, ..job() }, NewJob { after: vec![ready.id], ..job() });
    let jobs = [ready, later, held, waits];
    session.enqueue(&jobs).await.expect("enqueues");

    let acted = session.change(&ids(&jobs), "ann", MAIL).await.expect("changes");

    assert_eq!(done(&acted), ids(&jobs).into_iter().map(|id| (id, "changed")).collect::<Vec<_>>());
    for (job, place) in jobs.iter().zip(["ready", "scheduled", "held", "waiting"]) {
        assert_eq!(state(&mut session, job.id).await, place);
        assert_eq!(lane_of(&mut session, job).await, ("mail".to_owned(), 7));
    }
    let asked = "select count(*) from gristmill_job where queue_name = 'mail' and priority = 7";
    assert_eq!(number(&mut session, asked).await, 4, "what was asked says the same");
    assert_eq!(actions(&mut session).await, vec![("change".to_owned(), "ann".to_owned()); 4]);
}

async fn it_is_claimed_from_its_new_lane_alone(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let jobs = [job(), job()];
    session.enqueue(&jobs).await.expect("enqueues");

    session.change(&[jobs[0].id], "ann", MAIL).await.expect("changes");

    assert_eq!(claimed_ids(&session.claim(worker, &[cursor()], 10, None).await.expect("claims")), [jobs[1].id]);
    let found = session.survey(None).await.expect("surveys").cursors;
    let lanes: Vec<_> = found.iter().map(|found| (found.lane.queue_name.as_str(), found.priority)).collect();
    assert_eq!(lanes, [("mail", 7)], "the next survey finds it");
    let claimed = session.claim(worker, &[mail_cursor()], 10, None).await.expect("claims");
    assert_eq!(claimed_ids(&claimed), [jobs[0].id]);
    assert_eq!((claimed[0].lane.queue_name.as_str(), claimed[0].priority), ("mail", 7));
}

async fn what_is_not_named_stays_as_it_is(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let jobs = [NewJob { priority: 3, ..job() }, NewJob { priority: 3, ..job() }];
    session.enqueue(&jobs).await.expect("enqueues");

    let urgent = Change { priority: Some(-100), ..Change::default() };
    session.change(&[jobs[0].id], "ann", urgent).await.expect("changes");
    let elsewhere = Change { queue_name: Some("mail"), ..Change::default() };
    session.change(&[jobs[1].id], "ann", elsewhere).await.expect("changes");

    assert_eq!(lane_of(&mut session, &jobs[0]).await, ("default".to_owned(), -100));
    assert_eq!(lane_of(&mut session, &jobs[1]).await, ("mail".to_owned(), 3));
}

async fn what_is_like_that_already_is_told_and_left(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let jobs = [job()];
    session.enqueue(&jobs).await.expect("enqueues");
    session.change(&ids(&jobs), "ann", MAIL).await.expect("changes");
    let before = dump(&mut session).await;

    let again = session.change(&ids(&jobs), "ann", MAIL).await.expect("answers");

    assert_eq!(done(&again), [(jobs[0].id, "refused: it is like that already")]);
    assert_eq!(dump(&mut session).await, before);
}

async fn a_backend_without_that_queue_keeps_its_jobs(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let mut jobs = [job(), job()];
    jobs[1].lane.backend = "reports".into();
    session.enqueue(&jobs).await.expect("enqueues");

    let change = Change { backends: Some(&["default", "other"]), ..MAIL };
    let acted = session.change(&ids(&jobs), "ann", change).await.expect("changes");

    let expected = [(jobs[0].id, "changed"), (jobs[1].id, "refused: its backend has no such queue")];
    assert_eq!(done(&acted), expected);
    assert_eq!(lane_of(&mut session, &jobs[1]).await, ("default".to_owned(), 0));
}

async fn what_has_started_or_ended_is_left_as_it_is(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let running = claimed_job(&mut session, worker).await;
    let over = claimed_job(&mut session, worker).await;
    session.finish(&[ended(&over, success())]).await.expect("finishes");
    let before = dump(&mut session).await;

    assert_eq!(session.change(&[running.id, over.id, job().id], "ann", MAIL).await.expect("answers"), []);

    assert_eq!(dump(&mut session).await, before);
}

async fn a_change_outlasts_a_failure_and_a_retry(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let jobs = [job()];
    session.enqueue(&jobs).await.expect("enqueues");
    session.change(&ids(&jobs), "ann", MAIL).await.expect("changes");
    let claimed = session.claim(worker, &[mail_cursor()], 1, None).await.expect("claims").pop().expect("is ready");
    session.finish(&[ended(&claimed, error())]).await.expect("finishes");

    session.retry(&ids(&jobs), "ann").await.expect("retries");

    assert_eq!(lane_of(&mut session, &jobs[0]).await, ("mail".to_owned(), 7));
    assert_eq!(session.claim(worker, &[mail_cursor()], 1, None).await.expect("claims").len(), 1);
}

async fn a_unique_job_keeps_its_key_whatever_its_queue(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let one = unique("k", UniqueUntil::Started);
    session.enqueue(std::slice::from_ref(&one)).await.expect("enqueues");

    session.change(&[one.id], "ann", MAIL).await.expect("changes");

    assert_eq!(keys(&mut session).await, [("k".to_owned(), one.id)]);
    let met = session.enqueue(&[unique("k", UniqueUntil::Started)]).await.expect("enqueues");
    assert_eq!(met.jobs, [(one.id, true)]);
}

async fn a_dependent_goes_on_waiting_and_becomes_ready_in_its_new_lane(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let first = job();
    let then = NewJob { after: vec![first.id], ..job() };
    session.enqueue(&[first.clone(), then.clone()]).await.expect("enqueues");
    session.change(&[then.id], "ann", MAIL).await.expect("changes");

    let claimed = session.claim(worker, &[cursor()], 10, None).await.expect("claims").pop().expect("is ready");
    session.finish(&[ended(&claimed, success())]).await.expect("finishes");
    propagate(&mut session).await;

    assert_eq!(state(&mut session, then.id).await, "ready");
    assert_eq!(claimed_ids(&session.claim(worker, &[mail_cursor()], 10, None).await.expect("claims")), [then.id]);
}

async fn changing_waits_for_nobody(fixture: &dyn Fixture) {
    let mut first = session(fixture).await;
    if first.dialect() == Dialect::Sqlite {
        return; // One writer at a time.
    }
    let worker = worker(&mut first).await;
    let jobs = [job(), job(), job()];
    first.enqueue(&jobs).await.expect("enqueues");
    let mut second = session(fixture).await;

    first.begin().await.expect("begins");
    let taken = first.claim_within(worker, &[cursor()], 1, None).await.expect("claims");
    let asked = "select now()::text from gristmill_job where id = (select id from gristmill_ready order by id limit 1) for update";
    meddle(&mut first, asked).await;
    let meanwhile = second.change(&ids(&jobs), "ann", MAIL).await.expect("does not wait");
    first.end(Ok(())).await.expect("commits");

    assert_eq!(claimed_ids(&taken), [jobs[0].id]);
    assert_eq!(done(&meanwhile), [(jobs[2].id, "changed")]);
}

async fn an_enqueue_that_waits_for_a_job_keeps_nobody_from_changing_it(fixture: &dyn Fixture) {
    let mut web = session(fixture).await;
    if web.dialect() == Dialect::Sqlite {
        return; // One writer at a time.
    }
    let jobs = [job()];
    web.enqueue(&jobs).await.expect("enqueues");
    let mut second = session(fixture).await;

    web.begin().await.expect("begins");
    // What an enqueue locks of a job that the new one is to wait for.
    meddle(&mut web, "select now()::text from gristmill_job for key share").await;
    let meanwhile = second.change(&ids(&jobs), "ann", MAIL).await.expect("does not wait");
    web.end(Ok(())).await.expect("commits");

    assert_eq!(done(&meanwhile), [(jobs[0].id, "changed")]);
}

async fn two_jobs_are_linked_from_either_end(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let jobs = [job(), job()];
    session.enqueue(&jobs).await.expect("enqueues");

    let acted = session.enqueue_again(jobs[0].id, jobs[1].id, "ann").await.expect("writes it down");

    assert_eq!(done(&acted), [(jobs[1].id, "enqueued")]);
    let said = "select cast(job_id as text), cast(other_id as text) from gristmill_action order by job_id";
    let plain = |id: gristmill_core::JobId| id.to_string().replace('-', "");
    let found: Vec<_> = texts(&mut session, said).await;
    let found: Vec<_> = found.into_iter().map(|(one, other)| (one.replace('-', ""), other.replace('-', ""))).collect();
    let (former, made) = (plain(jobs[0].id), plain(jobs[1].id));
    assert_eq!(found, [(former.clone(), made.clone()), (made, former)]);
    assert_eq!(
        actions(&mut session).await.iter().map(|(verb, _)| verb.as_str()).collect::<Vec<_>>(),
        ["enqueue", "enqueue again"]
    );
    assert_eq!(session.enqueue_again(jobs[0].id, job().id, "ann").await.expect("answers"), [], "it is not there");
}

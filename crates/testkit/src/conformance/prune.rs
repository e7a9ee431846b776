//! What forgetting promises.

use std::time::Duration;

use gristmill_core::{JobId, OnPreconditionFailure, WorkerId};
use gristmill_store::testing::{ADD_PRECONDITIONS, PRUNE, json};
use gristmill_store::{Bind, Dialect, NewJob, Session, UniqueUntil};

use super::graph::{ALL, after, propagate};
use super::scene::{at, claim_one, dump, ended, error, job, number, session, state, success, unique, worker};
use super::{Fixture, asks};

asks![
    jobs_are_forgotten_after_the_usual_retention,
    a_retention_of_its_own_comes_first,
    nothing_is_forgotten_within_a_minute,
    everything_about_a_job_is_forgotten,
    only_jobs_that_have_ended_are_forgotten,
    pruning_keeps_to_its_limit_and_begins_with_the_oldest,
    pruners_do_not_wait_for_each_other,
    what_an_open_transaction_begins_to_wait_for_is_kept,
    a_pruned_job_gives_up_its_key,
    everything_about_a_chosen_job_is_forgotten_at_once,
    a_chosen_job_that_has_not_ended_is_left,
    a_chosen_job_that_another_waits_for_is_refused,
    a_chosen_job_with_very_many_preconditions_goes_bit_by_bit,
    a_chosen_job_that_someone_begins_to_wait_for_is_refused,
];

const HOUR: Duration = Duration::from_hours(1);

/// A job with this retention that has ended.
async fn over(session: &mut Session, worker: WorkerId, retention: Option<f64>) -> JobId {
    let job = NewJob { retention, ..job() };
    session.enqueue(std::slice::from_ref(&job)).await.expect("enqueues");
    let claimed = claim_one(session, worker).await;
    session.finish(&[ended(&claimed, success())]).await.expect("finishes");
    job.id
}

async fn jobs_are_forgotten_after_the_usual_retention(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let id = over(&mut session, worker, None).await;

    session.set_now(Some(at(3_599)));
    assert_eq!(session.prune(HOUR, 10).await.expect("prunes"), 0);
    assert_eq!(state(&mut session, id).await, "successful");

    session.set_now(Some(at(3_601)));
    assert_eq!(session.prune(HOUR, 10).await.expect("prunes"), 1);
    assert_eq!(state(&mut session, id).await, "gone");
    assert_eq!(session.prune(HOUR, 10).await.expect("prunes"), 0);
}

async fn a_retention_of_its_own_comes_first(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let short = over(&mut session, worker, Some(90.0)).await;
    let long = over(&mut session, worker, Some(7200.5)).await;
    let ages = over(&mut session, worker, Some(1e300)).await;

    session.set_now(Some(at(91)));
    assert_eq!(session.prune(HOUR, 10).await.expect("prunes"), 1);
    assert_eq!(state(&mut session, short).await, "gone");
    session.set_now(Some(at(7_200)));
    assert_eq!(session.prune(HOUR, 10).await.expect("prunes"), 0);
    session.set_now(Some(at(7_201)));
    assert_eq!(session.prune(HOUR, 10).await.expect("prunes"), 1);
    assert_eq!(
        (state(&mut session, long).await, state(&mut session, ages).await),
        ("gone".into(), "successful".into())
    );
}

async fn nothing_is_forgotten_within_a_minute(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    over(&mut session, worker, None).await;
    over(&mut session, worker, Some(0.0)).await;
    let meddled = over(&mut session, worker, Some(61.0)).await;
    super::scene::meddle(&mut session, "update gristmill_result set prune_at = finished_at where prune_at is not null")
        .await;

    session.set_now(Some(at(59)));
    assert_eq!(session.prune(Duration::ZERO, 10).await.expect("prunes"), 0);
    session.set_now(Some(at(60)));
    assert_eq!(session.prune(Duration::ZERO, 10).await.expect("prunes"), 3);
    assert_eq!(state(&mut session, meddled).await, "gone");
}

async fn everything_about_a_job_is_forgotten(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let before = dump(&mut session).await;
    session.enqueue(&[unique("k", UniqueUntil::Pruned)]).await.expect("enqueues");
    let claimed = claim_one(&mut session, worker).await;
    let said = gristmill_core::Progress {
        job: claimed.id,
        token: claimed.token,
        done: Some(1.0),
        total: None,
        message: None,
        metadata: None,
    };
    session.progress(&[said]).await.expect("writes");
    session.cancel(&[claimed.id], "ann").await.expect("asks");
    session.finish(&[ended(&claimed, error())]).await.expect("finishes");
    let late = "insert into gristmill_cancel_request (job_id, token, asked_at)
        select id, token, finished_at from gristmill_result";
    super::scene::meddle(&mut session, late).await;
    session.set_now(Some(at(3_601)));

    assert_eq!(session.prune(HOUR, 10).await.expect("prunes"), 1);

    assert_eq!(dump(&mut session).await, before);
}

async fn only_jobs_that_have_ended_are_forgotten(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    session.enqueue(&[job(), job(), NewJob { run_after: Some(at(1)), ..job() }, job()]).await.expect("enqueues");
    claim_one(&mut session, worker).await;
    let held = claim_one(&mut session, worker).await;
    session.hand_back(&[(held.id, held.token)]).await.expect("hands back");
    session.hold(&[held.id], "ann", None).await.expect("holds");
    let before = dump(&mut session).await;
    session.set_now(Some(at(1_000_000)));

    assert_eq!(session.prune(HOUR, 10).await.expect("prunes"), 0);

    assert_eq!(dump(&mut session).await, before);
}

async fn pruning_keeps_to_its_limit_and_begins_with_the_oldest(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let mut ids = Vec::new();
    for n in 0..5 {
        session.set_now(Some(at(n)));
        ids.push(over(&mut session, worker, (n < 2).then_some(60.0)).await);
    }
    session.set_now(Some(at(10_000)));

    assert_eq!(session.prune(HOUR, 3).await.expect("prunes"), 3);

    let mut states = Vec::new();
    for id in ids {
        states.push(state(&mut session, id).await);
    }
    assert_eq!(states, ["gone", "gone", "gone", "successful", "successful"]);
    assert_eq!(session.prune(HOUR, 1).await.expect("prunes"), 1);
    assert_eq!(session.prune(HOUR, 10).await.expect("prunes"), 1);
}

async fn pruners_do_not_wait_for_each_other(fixture: &dyn Fixture) {
    let mut first = session(fixture).await;
    if first.dialect() == Dialect::Sqlite {
        return; // One writer at a time.
    }
    let worker = worker(&mut first).await;
    over(&mut first, worker, None).await;
    over(&mut first, worker, None).await;
    let mut second = session(fixture).await;
    first.set_now(Some(at(3_601)));
    second.set_now(Some(at(3_601)));

    first.begin().await.expect("begins");
    let binds = [first.now(), Bind::Float(3_600.0), Bind::Int(1)];
    first.run(&PRUNE, &binds).await.expect("prunes");
    let meanwhile = second.prune(HOUR, 10).await.expect("does not wait");
    first.end(Ok(())).await.expect("commits");

    assert_eq!(meanwhile, 1);
    assert_eq!(number(&mut second, "select count(*) from gristmill_job").await, 0);
}

async fn what_an_open_transaction_begins_to_wait_for_is_kept(fixture: &dyn Fixture) {
    let mut web = session(fixture).await;
    if web.dialect() == Dialect::Sqlite {
        return; // One writer at a time.
    }
    let worker = worker(&mut web).await;
    let mut pruner = session(fixture).await;
    for adds in [false, true] {
        web.set_now(Some(at(0)));
        pruner.set_now(Some(at(3_601)));
        let over = over(&mut web, worker, None).await;
        let goal = after(&[over], ALL, OnPreconditionFailure::Strand);
        if adds {
            web.enqueue(&[NewJob { after: Vec::new(), ..goal.clone() }]).await.expect("enqueues");
        }

        web.begin().await.expect("begins");
        let now = web.now();
        if adds {
            let binds = [goal.id.to_string().into(), json(&[over]), "ann".into(), now];
            web.run(&ADD_PRECONDITIONS, &binds).await.expect("adds");
        } else {
            web.enqueue_within(std::slice::from_ref(&goal), now).await.expect("enqueues");
        }
        assert_eq!(pruner.prune(HOUR, 10).await.expect("does not wait"), 0);
        web.end(Ok(())).await.expect("commits");
        // When it is looked at again.
        pruner.set_now(Some(at(4_300)));
        assert_eq!(pruner.prune(HOUR, 10).await.expect("prunes"), 0);
        propagate(&mut web).await;

        assert_eq!(state(&mut web, goal.id).await, "ready");
        let claimed = claim_one(&mut web, worker).await;
        web.finish(&[ended(&claimed, success())]).await.expect("finishes");
        pruner.set_now(Some(at(10_000)));
        assert_eq!(pruner.prune(HOUR, 10).await.expect("prunes"), 2);
    }
}

async fn a_pruned_job_gives_up_its_key(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let asked = || unique("k", UniqueUntil::Pruned);
    session.enqueue(&[asked()]).await.expect("enqueues");
    let claimed = claim_one(&mut session, worker).await;
    session.finish(&[ended(&claimed, success())]).await.expect("finishes");
    session.set_now(Some(at(3_601)));
    assert_eq!(session.enqueue(&[asked()]).await.expect("enqueues").jobs, [(claimed.id, true)]);

    session.prune(HOUR, 10).await.expect("prunes");

    let again = asked();
    assert_eq!(session.enqueue(std::slice::from_ref(&again)).await.expect("enqueues").jobs, [(again.id, false)]);
}

/// What became of each job.
async fn forget(session: &mut Session, jobs: &[JobId]) -> Vec<(JobId, String)> {
    let mut done: Vec<_> =
        session.forget(jobs).await.expect("forgets").into_iter().map(|acted| (acted.id, acted.done)).collect();
    done.sort_unstable();
    done
}

fn forgotten(jobs: &[JobId]) -> Vec<(JobId, String)> {
    let mut done: Vec<_> = jobs.iter().map(|id| (*id, "forgotten".to_owned())).collect();
    done.sort_unstable();
    done
}

async fn everything_about_a_chosen_job_is_forgotten_at_once(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let kept = over(&mut session, worker, None).await;
    let before = dump(&mut session).await;
    session.enqueue(&[unique("k", UniqueUntil::Pruned)]).await.expect("enqueues");
    let claimed = claim_one(&mut session, worker).await;
    session.cancel(&[claimed.id], "ann").await.expect("asks");
    session.finish(&[ended(&claimed, error())]).await.expect("finishes");

    assert_eq!(forget(&mut session, &[claimed.id]).await, forgotten(&[claimed.id]));

    assert_eq!(dump(&mut session).await, before);
    assert_eq!(state(&mut session, kept).await, "successful");
}

async fn a_chosen_job_that_has_not_ended_is_left(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let jobs = [job(), job(), NewJob { run_after: Some(at(1)), ..job() }];
    session.enqueue(&jobs).await.expect("enqueues");
    claim_one(&mut session, worker).await;
    let before = dump(&mut session).await;

    assert_eq!(forget(&mut session, &jobs.map(|job| job.id)).await, []);

    assert_eq!(dump(&mut session).await, before);
}

async fn a_chosen_job_that_another_waits_for_is_refused(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let first = over(&mut session, worker, None).await;
    let open = job();
    let goal = after(&[first, open.id], ALL, OnPreconditionFailure::Strand);
    session.enqueue(&[open.clone(), goal.clone()]).await.expect("enqueues");
    propagate(&mut session).await;

    let refused = vec![(first, "refused: a job waits for it that has not ended".to_owned())];
    assert_eq!(forget(&mut session, &[first]).await, refused);
    for _ in 0..2 {
        let claimed = claim_one(&mut session, worker).await;
        session.finish(&[ended(&claimed, success())]).await.expect("finishes");
        propagate(&mut session).await;
    }

    let all = [first, open.id, goal.id];
    assert_eq!(forget(&mut session, &all).await, forgotten(&all));
    assert_eq!(number(&mut session, "select count(*) from gristmill_edge").await, 0);
}

async fn a_chosen_job_with_very_many_preconditions_goes_bit_by_bit(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let over = over(&mut session, worker, None).await;
    let many = match session.dialect() {
        Dialect::Postgres => {
            "insert into gristmill_edge (precondition_id, dependent_id, state)
            select lpad(n::text, 32, '0')::uuid, id, 'successful' from generate_series(1, 20500) as n cross join gristmill_job"
        }
        Dialect::Sqlite => {
            "with recursive n (n) as (select 1 union all select n + 1 from n where n < 20500)
            insert into gristmill_edge (precondition_id, dependent_id, state)
            select printf('%032d', n), id, 'successful' from n cross join gristmill_job"
        }
    };
    super::scene::meddle(&mut session, many).await;

    assert_eq!(forget(&mut session, &[over]).await, [(over, "thinned".to_owned())]);
    for _ in 0..10 {
        if forget(&mut session, &[over]).await == forgotten(&[over]) {
            assert_eq!(number(&mut session, "select count(*) from gristmill_edge").await, 0);
            return;
        }
    }
    panic!("it is never forgotten");
}

async fn a_chosen_job_that_someone_begins_to_wait_for_is_refused(fixture: &dyn Fixture) {
    let mut web = session(fixture).await;
    if web.dialect() == Dialect::Sqlite {
        return; // One writer at a time.
    }
    let worker = worker(&mut web).await;
    let mut other = session(fixture).await;
    let over = over(&mut web, worker, None).await;

    web.begin().await.expect("begins");
    let now = web.now();
    web.enqueue_within(&[after(&[over], ALL, OnPreconditionFailure::Strand)], now).await.expect("enqueues");
    let refused = vec![(over, "refused: a job begins to wait for it".to_owned())];
    assert_eq!(forget(&mut other, &[over]).await, refused);
    web.end(Ok(())).await.expect("commits");

    let refused = vec![(over, "refused: a job waits for it that has not ended".to_owned())];
    assert_eq!(forget(&mut other, &[over]).await, refused);
}

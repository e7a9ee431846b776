//! What a claim promises.

use std::collections::HashSet;

use gristmill_core::{Attempt, ClaimCursor, Counts, Outcome, Token, WorkerId};
use gristmill_store::{Error, NewJob, Session};

use super::scene::{
    at, claim_one, claimed_ids, claimed_job, crash, cursor, cursor_of, dump, ended, error, ids, incompatible, job,
    jobs, lane, meddle, number, session, success, waiting_for_locks, worker,
};
use super::{Fixture, asks};

asks![
    claim_takes_jobs_in_order_of_deadline_then_id,
    claim_takes_the_earliest_of_several_cursors,
    claim_takes_nothing_from_other_lanes_or_priorities,
    claim_takes_at_most_the_limit,
    claim_sees_only_what_is_behind_the_watermark,
    a_watermark_without_an_id_includes_the_job_at_it,
    more_cursors_than_the_bound_are_refused,
    a_claimed_job_is_handed_over_whole,
    eight_concurrent_claimers_never_share_a_job,
    claimers_do_not_wait_for_each_other,
    the_token_grows_by_one_at_every_claim,
    the_running_row_is_committed_before_claim_answers,
    an_unknown_worker_claims_nothing,
    a_lost_worker_claims_nothing,
    a_worker_that_signed_off_claims_nothing,
    a_worker_is_not_declared_lost_in_the_middle_of_its_claim,
    a_job_that_is_replaced_under_a_claim_is_never_handed_over_as_it_was,
    owned_names_the_open_attempts_of_one_worker,
    counts_that_cannot_be_read_are_no_zeroes_and_stay_until_a_retry,
    a_claim_tells_how_often_the_code_did_not_fit_the_job_and_since_when,
    ready_jobs_of_a_lane_are_counted_to_a_limit,
    what_a_worker_knows_may_change_until_it_has_signed_off,
];

async fn what_a_worker_knows_may_change_until_it_has_signed_off(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let (worker, other) = (worker(&mut session).await, worker(&mut session).await);
    session.know(worker, r#"["app.new"]"#).await.expect("tells");
    session.sign_off(other, 0, None).await.expect("signs off");
    session.know(other, r#"["app.new"]"#).await.expect("answers");

    let knowing = r#"select count(*) from gristmill_worker where tasks = '["app.new"]'"#;
    assert_eq!(number(&mut session, knowing).await, 1);
}

async fn ready_jobs_of_a_lane_are_counted_to_a_limit(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let other = NewJob { lane: lane("app.other"), ..job() };
    let urgent = NewJob { priority: 9, ..job() };
    session.enqueue(&[job(), job(), urgent, other]).await.expect("enqueues");

    for (limit, count) in [(10, 3), (3, 3), (2, 2)] {
        assert_eq!(session.count_ready(&lane("app.tasks.grind"), limit).await.expect("counts"), count);
    }
    assert_eq!(session.count_ready(&lane("app.nothing"), 10).await.expect("counts"), 0);
}

async fn claim_takes_jobs_in_order_of_deadline_then_id(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let early = [job(), job()];
    let late = [job(), job()];
    session.set_now(Some(at(60)));
    session.enqueue(&late).await.expect("enqueues");
    session.set_now(Some(at(0)));
    session.enqueue(&early).await.expect("enqueues");

    let claimed = session.claim(worker, &[cursor()], 10, None).await.expect("claims");

    assert_eq!(claimed_ids(&claimed), [ids(&early), ids(&late)].concat());
}

async fn claim_takes_the_earliest_of_several_cursors(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let tasks = ["app.a", "app.b", "app.c", "app.a", "app.b", "app.c"];
    let jobs = tasks.map(|task| NewJob { lane: lane(task), ..job() });
    session.enqueue(&jobs).await.expect("enqueues");

    let cursors = ["app.c", "app.b", "app.a"].map(|task| cursor_of(task, 0));
    let claimed = session.claim(worker, &cursors, 4, None).await.expect("claims");

    assert_eq!(claimed_ids(&claimed), ids(&jobs[..4]));
}

async fn claim_takes_nothing_from_other_lanes_or_priorities(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let mut others = [job(), job(), job(), job(), job()];
    others[0].lane.backend = "other".into();
    others[1].lane.queue_name = "other".into();
    others[2].lane.task_name = "other".into();
    others[3].priority = 1;
    others[4].priority = -1;
    session.enqueue(&others).await.expect("enqueues");

    assert_eq!(session.claim(worker, &[cursor()], 10, None).await.expect("claims"), []);
}

async fn claim_takes_at_most_the_limit(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let jobs = jobs(5);
    session.enqueue(&jobs).await.expect("enqueues");

    assert_eq!(claimed_ids(&session.claim(worker, &[cursor()], 0, None).await.expect("claims")), []);
    assert_eq!(claimed_ids(&session.claim(worker, &[cursor()], 2, None).await.expect("claims")), ids(&jobs[..2]));
    assert_eq!(claimed_ids(&session.claim(worker, &[cursor()], 9, None).await.expect("claims")), ids(&jobs[2..]));
}

async fn claim_sees_only_what_is_behind_the_watermark(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let jobs = jobs(3);
    session.enqueue(&jobs).await.expect("enqueues");
    let deadline = session.survey(None).await.expect("surveys").cursors.remove(0).deadline;

    let mark = ClaimCursor { deadline, id: Some(jobs[0].id), ..cursor() };
    let claimed = session.claim(worker, &[mark], 10, None).await.expect("claims");

    assert_eq!(claimed_ids(&claimed), ids(&jobs[1..]));
}

async fn a_watermark_without_an_id_includes_the_job_at_it(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let jobs = jobs(2);
    session.enqueue(&jobs).await.expect("enqueues");

    let cursors = session.survey(None).await.expect("surveys").cursors;
    assert_eq!(cursors[0].id, None);
    let claimed = session.claim(worker, &cursors, 10, None).await.expect("claims");

    assert_eq!(claimed_ids(&claimed), ids(&jobs));
}

async fn more_cursors_than_the_bound_are_refused(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let cursors = vec![cursor(); Session::CURSORS_PER_CLAIM + 1];
    assert!(matches!(session.claim(worker, &cursors, 1, None).await, Err(Error::Refused(_))));
}

async fn a_claimed_job_is_handed_over_whole(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let asked = NewJob {
        priority: -7,
        run_after: Some(at(-30)),
        args: r#"["ü", "\u0000", "\ud83d\ude00", 9007199254740993]"#.into(),
        kwargs: r#"{"b": 1, "a": {"deep": [null]}}"#.into(),
        options_json: Some(r#"{"takes_context": true}"#.into()),
        ..job()
    };
    session.enqueue(std::slice::from_ref(&asked)).await.expect("enqueues");
    session.set_now(Some(at(5)));

    let claimed =
        session.claim(worker, &[ClaimCursor { priority: -7, ..cursor() }], 1, None).await.expect("claims").remove(0);

    assert_eq!(claimed.id, asked.id);
    assert_eq!(claimed.token, Token(1));
    assert_eq!(claimed.lane, asked.lane);
    assert_eq!(claimed.priority, -7);
    assert_eq!(claimed.run_after, Some(at(-30)));
    assert_eq!(claimed.enqueued_at, at(0));
    assert_eq!(claimed.claimed_at, at(5));
    assert_eq!(claimed.started_at, None);
    assert_eq!(claimed.generation, 1);
    assert_eq!(claimed.counts, Counts::default());
    assert_eq!(claimed.args, asked.args);
    assert_eq!(claimed.kwargs, asked.kwargs);
    assert_eq!(claimed.stored_options.json(), asked.options_json.as_deref());
    assert!(claimed.deadline > at(-30));
}

async fn eight_concurrent_claimers_never_share_a_job(fixture: &dyn Fixture) {
    const JOBS: usize = 400;
    let mut first = session(fixture).await;
    first.enqueue(&jobs(JOBS)).await.expect("enqueues");
    let mut claimers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let mut session = session(fixture).await;
        let worker = worker(&mut session).await;
        claimers.spawn(async move {
            let mut mine = Vec::new();
            loop {
                let claimed = session.claim(worker, &[cursor()], 7, None).await.expect("claims");
                if claimed.is_empty() {
                    // Others may hold what is left; only an empty table is the end.
                    if number(&mut session, "select count(*) from gristmill_ready").await == 0 {
                        return mine;
                    }
                }
                mine.extend(claimed_ids(&claimed));
            }
        });
    }

    let claimed: Vec<_> = claimers.join_all().await.into_iter().flatten().collect();

    assert_eq!(claimed.len(), JOBS);
    assert_eq!(claimed.iter().collect::<HashSet<_>>().len(), JOBS);
    assert_eq!(number(&mut first, "select count(*) from gristmill_running").await, 400);
}

async fn claimers_do_not_wait_for_each_other(fixture: &dyn Fixture) {
    let mut first = session(fixture).await;
    if first.dialect() == gristmill_store::Dialect::Sqlite {
        return; // One writer at a time: they do wait, for as long as a claim takes.
    }
    let (one, other) = (worker(&mut first).await, worker(&mut first).await);
    let jobs = jobs(4);
    first.enqueue(&jobs).await.expect("enqueues");
    let mut second = session(fixture).await;

    first.begin().await.expect("begins");
    let held = first.claim_within(one, &[cursor()], 2, None).await.expect("claims");
    let meanwhile = second.claim(other, &[cursor()], 4, None).await.expect("does not wait");
    first.end(Ok(())).await.expect("commits");

    assert_eq!(claimed_ids(&held), ids(&jobs[..2]));
    assert_eq!(claimed_ids(&meanwhile), ids(&jobs[2..]));
}

async fn the_token_grows_by_one_at_every_claim(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let first = claimed_job(&mut session, worker).await;
    session.finish(&[ended(&first, crash())]).await.expect("finishes");
    let second = claim_one(&mut session, worker).await;
    session.hand_back(&[(second.id, second.token)]).await.expect("hands back");
    let third = claim_one(&mut session, worker).await;

    assert_eq!([first.token, second.token, third.token], [Token(1), Token(2), Token(3)]);
    assert_eq!([second.id, third.id], [first.id, first.id]);
}

async fn the_running_row_is_committed_before_claim_answers(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let claimed = claimed_job(&mut session, worker).await;

    let mut other = super::scene::session(fixture).await;

    assert_eq!(other.owned(worker).await.expect("reads"), [(claimed.id, claimed.token)]);
    assert_eq!(number(&mut other, "select count(*) from gristmill_ready").await, 0);
}

async fn an_unknown_worker_claims_nothing(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    session.enqueue(&[job()]).await.expect("enqueues");
    let before = dump(&mut session).await;

    assert_eq!(session.claim(WorkerId::new(), &[cursor()], 1, None).await.expect("answers"), []);

    assert_eq!(dump(&mut session).await, before);
}

async fn a_lost_worker_claims_nothing(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let lost = worker(&mut session).await;
    session.enqueue(&[job()]).await.expect("enqueues");
    super::rescue::declare_lost(&mut session).await;
    let before = dump(&mut session).await;

    assert_eq!(session.claim(lost, &[cursor()], 1, None).await.expect("answers"), []);

    assert_eq!(dump(&mut session).await, before);
}

async fn a_worker_that_signed_off_claims_nothing(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    session.enqueue(&[job()]).await.expect("enqueues");
    session.sign_off(worker, 0, None).await.expect("signs off");
    let before = dump(&mut session).await;

    assert_eq!(session.claim(worker, &[cursor()], 1, None).await.expect("answers"), []);

    assert_eq!(dump(&mut session).await, before);
}

async fn a_worker_is_not_declared_lost_in_the_middle_of_its_claim(fixture: &dyn Fixture) {
    let mut first = session(fixture).await;
    if first.dialect() == gristmill_store::Dialect::Sqlite {
        return; // One writer at a time.
    }
    let slow = worker(&mut first).await;
    first.enqueue(&[job()]).await.expect("enqueues");
    let mut second = session(fixture).await;
    second.set_now(Some(at(60)));
    assert_eq!(second.suspect(WorkerId::new()).await.expect("suspects"), [slow]);

    // The second session begins to declare it lost; the claim comes while that is not committed.
    second.set_now(Some(at(75)));
    second.begin().await.expect("begins");
    let lost = second.declare_lost_within(WorkerId::new()).await.expect("declares");
    assert_eq!(lost, [slow]);
    let claim = tokio::spawn(async move { first.claim(slow, &[cursor()], 1, None).await });
    // Until the claim waits for the worker's row; or, if it does not wait, until it had its time.
    let mut third = session(fixture).await;
    for _ in 0..1_000 {
        if claim.is_finished() || waiting_for_locks(&mut third).await > 0 {
            break;
        }
    }
    second.end(Ok(())).await.expect("commits");

    assert_eq!(claim.await.expect("joins").expect("answers"), []);
}

async fn a_job_that_is_replaced_under_a_claim_is_never_handed_over_as_it_was(fixture: &dyn Fixture) {
    let mut first = session(fixture).await;
    if first.dialect() == gristmill_store::Dialect::Sqlite {
        return; // One writer at a time.
    }
    let worker = worker(&mut first).await;
    first.enqueue(&[job(), job()]).await.expect("enqueues");
    let (mut second, mut third) = (session(fixture).await, session(fixture).await);

    // The claim has begun, and waits for the worker's row; meanwhile one job gets other arguments.
    second.begin().await.expect("begins");
    meddle(&mut second, "select id::text from gristmill_worker for update").await;
    let claim = tokio::spawn(async move {
        let claimed = first.claim(worker, &[cursor()], 2, None).await.expect("claims");
        (first, claimed)
    });
    while waiting_for_locks(&mut third).await == 0 {
        assert!(!claim.is_finished(), "the claim did not wait");
    }
    third.begin().await.expect("begins");
    meddle(
        &mut third,
        "update gristmill_job set args = '[2]' where id = (select max(id::text)::uuid from gristmill_ready)",
    )
    .await;
    meddle(
        &mut third,
        "update gristmill_ready set deadline = deadline where id = (select max(id::text)::uuid from gristmill_ready)",
    )
    .await;
    third.end(Ok(())).await.expect("commits");
    second.end(Ok(())).await.expect("lets go");
    let (mut first, claimed) = claim.await.expect("joins");

    assert_eq!(claimed.iter().map(|job| job.args.as_str()).collect::<Vec<_>>(), ["[1]"]);
    let next = first.claim(worker, &[cursor()], 2, None).await.expect("claims");
    assert_eq!(next.iter().map(|job| job.args.as_str()).collect::<Vec<_>>(), ["[2]"]);
}

async fn owned_names_the_open_attempts_of_one_worker(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let (one, other) = (worker(&mut session).await, worker(&mut session).await);
    let done = claimed_job(&mut session, one).await;
    let open = claimed_job(&mut session, one).await;
    claimed_job(&mut session, other).await;
    session.finish(&[ended(&done, success())]).await.expect("finishes");

    assert_eq!(session.owned(one).await.expect("reads"), [(open.id, open.token)]);
    session.finish(&[ended(&open, error())]).await.expect("finishes");
    assert_eq!(session.owned(one).await.expect("reads"), []);
}

async fn counts_that_cannot_be_read_are_no_zeroes_and_stay_until_a_retry(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let asked = job();
    session.enqueue(std::slice::from_ref(&asked)).await.expect("enqueues");
    meddle(&mut session, "update gristmill_ready set counts = 'none'").await;

    for hour in [0, 1] {
        session.set_now(Some(at(hour * 3_600)));
        session.promote(10).await.expect("promotes");
        let claimed = claim_one(&mut session, worker).await;
        let why = claimed.stored_options.unreadable().expect("must not start");
        assert!(why.starts_with("its counts are no JSON object"), "{why}");
        let outcome = Outcome::Incompatible { why: why.to_owned() };
        session.finish(&[Attempt::unstarted(claimed, outcome)]).await.expect("finishes");
        // People see the job all the same.
        let seen = session.get(asked.id).await.expect("reads").expect("exists");
        assert_eq!((seen.state.as_str(), seen.counts), ("scheduled", Counts::default()));
    }

    session.cancel(&[asked.id], "ann").await.expect("cancels");
    session.retry(&[asked.id], "ann").await.expect("retries");
    assert_eq!(claim_one(&mut session, worker).await.stored_options.unreadable(), None);
}

async fn a_claim_tells_how_often_the_code_did_not_fit_the_job_and_since_when(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let asked = job();
    session.enqueue(std::slice::from_ref(&asked)).await.expect("enqueues");
    let mut told = Vec::new();
    let ends = [incompatible(), crash(), incompatible(), incompatible(), Outcome::HandedBack];
    for (hour, outcome) in ends.into_iter().enumerate() {
        session.set_now(Some(at(i64::try_from(hour).expect("few") * 3_600)));
        session.promote(10).await.expect("promotes");
        let claimed = claim_one(&mut session, worker).await;
        told.push((claimed.misfits.count, claimed.misfits.first_at.clone()));
        session.finish(&[Attempt::unstarted(claimed, outcome)]).await.expect("finishes");
    }
    assert_eq!(told, [(0, None), (1, Some(at(0))), (1, Some(at(0))), (2, Some(at(0))), (3, Some(at(0)))]);

    // Whoever retries it by hand lets it try as often again.
    let claimed = claim_one(&mut session, worker).await;
    let outcome = Outcome::Cancelled { how: "asked".into() };
    session.finish(&[Attempt::unstarted(claimed, outcome)]).await.expect("finishes");
    session.retry(&[asked.id], "ann").await.expect("retries");
    assert_eq!(claim_one(&mut session, worker).await.misfits.count, 0);
}

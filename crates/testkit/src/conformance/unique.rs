//! What unique keys promise.

use std::time::Duration;

use gristmill_core::{Attempt, JobId, Outcome, Until};
use gristmill_store::{Dialect, NewJob, UniqueUntil};

use super::scene::{
    at, claim_one, crash, cursor, done, ended, error, ids, incompatible, job, keys, meddle, number, session, success,
    unique, worker,
};
use super::{Fixture, asks};

asks![
    of_two_jobs_with_one_key_the_first_is_made,
    of_two_with_one_key_in_one_call_the_first_is_made,
    unique_and_plain_jobs_are_answered_in_order,
    until_started_the_key_is_free_once_the_job_is_claimed,
    until_finished_the_key_is_free_once_the_job_has_ended,
    until_pruned_the_key_stays_when_the_job_has_ended,
    a_run_that_is_tried_again_keeps_a_key_until_finished,
    a_job_that_comes_back_unstarted_takes_its_key_again,
    a_job_that_comes_back_unstarted_leaves_its_key_to_who_has_it,
    a_job_that_has_started_does_not_take_its_key_again,
    a_job_that_is_unique_until_each_start_has_its_key_whenever_it_waits,
    an_expired_key_is_taken_over,
    a_key_whose_job_is_gone_is_free,
    a_key_that_is_taken_again_runs_out_when_it_would_have,
    a_retry_needs_no_key_that_has_run_out,
    the_end_of_who_had_an_expired_key_leaves_it_to_the_new_holder,
    enqueuers_of_one_key_make_one_job,
    two_who_enqueue_many_keys_never_lock_each_other_out,
    the_end_of_a_job_waits_for_nobody_who_wants_its_key,
    neither_claim_nor_end_waits_for_who_takes_an_expired_key_over,
];

fn one_key(key: &str, id: JobId) -> Vec<(String, JobId)> {
    vec![(key.to_owned(), id)]
}

async fn of_two_jobs_with_one_key_the_first_is_made(fixture: &dyn Fixture) {
    for until in [UniqueUntil::Started, UniqueUntil::EachStart, UniqueUntil::Finished, UniqueUntil::Pruned] {
        let mut session = session(fixture).await;
        let key = format!("{until:?}");
        let (first, second) = (unique(&key, until), unique(&key, until));

        let made = session.enqueue(std::slice::from_ref(&first)).await.expect("enqueues");
        let found = session.enqueue(std::slice::from_ref(&second)).await.expect("enqueues");

        assert_eq!((made.jobs, found.jobs), (vec![(first.id, false)], vec![(first.id, true)]));
        assert_eq!(session.get(second.id).await.expect("reads"), None);
    }
    let mut session = session(fixture).await;
    assert_eq!(number(&mut session, "select count(*) from gristmill_job where unique_until is not null").await, 4);
}

async fn of_two_with_one_key_in_one_call_the_first_is_made(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    // The second's id is smaller: the order of the call counts.
    let second = unique("k", UniqueUntil::Started);
    let first = unique("k", UniqueUntil::Started);

    let made = session.enqueue(&[first.clone(), second]).await.expect("enqueues");

    assert_eq!(made.jobs, [(first.id, false), (first.id, true)]);
    assert_eq!(number(&mut session, "select count(*) from gristmill_ready").await, 1);
}

async fn unique_and_plain_jobs_are_answered_in_order(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let known = unique("b", UniqueUntil::Finished);
    session.enqueue(std::slice::from_ref(&known)).await.expect("enqueues");
    let jobs = [job(), unique("c", UniqueUntil::Started), unique("b", UniqueUntil::Finished), job()];
    session.set_now(Some(at(5)));

    let got = session.enqueue(&jobs).await.expect("enqueues");

    assert_eq!(got.at, at(5));
    assert_eq!(got.jobs, [(jobs[0].id, false), (jobs[1].id, false), (known.id, true), (jobs[3].id, false)]);
    assert_eq!(session.enqueue(&[]).await.expect("answers").jobs, []);
}

async fn until_started_the_key_is_free_once_the_job_is_claimed(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let jobs = [unique("a", UniqueUntil::Started), unique("b", UniqueUntil::Finished)];
    session.enqueue(&jobs).await.expect("enqueues");

    let claimed = session.claim(worker, &[cursor()], 2, None).await.expect("claims");

    assert_eq!((claimed.len(), keys(&mut session).await), (2, one_key("b", jobs[1].id)));
    let next = unique("a", UniqueUntil::Started);
    assert_eq!(session.enqueue(std::slice::from_ref(&next)).await.expect("enqueues").jobs, [(next.id, false)]);
}

async fn until_finished_the_key_is_free_once_the_job_has_ended(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    for outcome in [success(), error(), Outcome::Expired, Outcome::Cancelled { how: "asked".into() }] {
        let job = unique("k", UniqueUntil::Finished);
        session.enqueue(std::slice::from_ref(&job)).await.expect("enqueues");
        let claimed = claim_one(&mut session, worker).await;
        assert_eq!(keys(&mut session).await, one_key("k", job.id));

        session.finish(&[ended(&claimed, outcome)]).await.expect("finishes");

        assert_eq!(keys(&mut session).await, []);
    }
}

async fn until_pruned_the_key_stays_when_the_job_has_ended(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let job = unique("k", UniqueUntil::Pruned);
    session.enqueue(std::slice::from_ref(&job)).await.expect("enqueues");
    let claimed = claim_one(&mut session, worker).await;

    session.finish(&[ended(&claimed, success())]).await.expect("finishes");

    assert_eq!(keys(&mut session).await, one_key("k", job.id));
}

async fn a_run_that_is_tried_again_keeps_a_key_until_finished(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let job = unique("k", UniqueUntil::Finished);
    session.enqueue(std::slice::from_ref(&job)).await.expect("enqueues");
    for outcome in [crash(), Outcome::Lost, Outcome::HandedBack] {
        let claimed = claim_one(&mut session, worker).await;
        session.finish(&[ended(&claimed, outcome)]).await.expect("finishes");
        assert_eq!(keys(&mut session).await, one_key("k", job.id));
    }
}

async fn a_job_that_comes_back_unstarted_takes_its_key_again(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let job = unique("k", UniqueUntil::Started);
    session.enqueue(std::slice::from_ref(&job)).await.expect("enqueues");

    let claimed = claim_one(&mut session, worker).await;
    session.hand_back(&[(claimed.id, claimed.token)]).await.expect("hands back");
    assert_eq!(keys(&mut session).await, one_key("k", job.id));

    for outcome in [Outcome::HandedBack, incompatible()] {
        let claimed = claim_one(&mut session, worker).await;
        assert_eq!(keys(&mut session).await, []);
        session.finish(&[ended(&claimed, outcome)]).await.expect("finishes");
        assert_eq!(keys(&mut session).await, one_key("k", job.id));
    }
}

async fn a_job_that_comes_back_unstarted_leaves_its_key_to_who_has_it(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    session.enqueue(&[unique("k", UniqueUntil::Started)]).await.expect("enqueues");
    let claimed = claim_one(&mut session, worker).await;
    let other = NewJob { run_after: Some(at(60)), ..unique("k", UniqueUntil::Started) };
    session.enqueue(std::slice::from_ref(&other)).await.expect("enqueues");

    session.hand_back(&[(claimed.id, claimed.token)]).await.expect("hands back");
    assert_eq!(keys(&mut session).await, one_key("k", other.id));

    let claimed = claim_one(&mut session, worker).await;
    assert_eq!(keys(&mut session).await, one_key("k", other.id));
    session.finish(&[ended(&claimed, Outcome::HandedBack)]).await.expect("finishes");
    assert_eq!(keys(&mut session).await, one_key("k", other.id));
}

async fn a_job_that_has_started_does_not_take_its_key_again(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    session.enqueue(&[unique("k", UniqueUntil::Started)]).await.expect("enqueues");
    for outcome in [crash(), Outcome::Lost, Outcome::Interrupted] {
        let claimed = claim_one(&mut session, worker).await;
        session.finish(&[ended(&claimed, outcome)]).await.expect("finishes");
        assert_eq!(keys(&mut session).await, []);
    }
}

async fn a_job_that_is_unique_until_each_start_has_its_key_whenever_it_waits(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let job = NewJob { options_json: Some(r#"{"max_attempts":3}"#.into()), ..unique("k", UniqueUntil::EachStart) };
    session.enqueue(std::slice::from_ref(&job)).await.expect("enqueues");
    let later = Outcome::Postponed { until: Until::After(Duration::ZERO), after: None, why: "later".into() };
    for outcome in [Outcome::HandedBack, crash(), later] {
        let claimed = claim_one(&mut session, worker).await;
        assert_eq!(keys(&mut session).await, []);
        session.finish(&[ended(&claimed, outcome)]).await.expect("finishes");
        assert_eq!(keys(&mut session).await, one_key("k", job.id));
    }

    // While it runs another may take it, and keeps it.
    let claimed = claim_one(&mut session, worker).await;
    let other = NewJob { run_after: Some(at(60)), ..unique("k", UniqueUntil::EachStart) };
    session.enqueue(std::slice::from_ref(&other)).await.expect("enqueues");
    session.finish(&[ended(&claimed, crash())]).await.expect("finishes");
    assert_eq!(keys(&mut session).await, one_key("k", other.id));
    let claimed = claim_one(&mut session, worker).await;
    session.finish(&[ended(&claimed, success())]).await.expect("finishes");
    assert_eq!(keys(&mut session).await, one_key("k", other.id));
}

/// The only key ends at the beginning.
async fn expire(session: &mut gristmill_store::Session) {
    let sql = match session.dialect() {
        Dialect::Postgres => "update gristmill_unique_key set expires_at = to_timestamp(1900000000)",
        Dialect::Sqlite => {
            "update gristmill_unique_key
            set expires_at = strftime('%Y-%m-%d %H:%M:%f', 1900000000, 'unixepoch') || '000'"
        }
    };
    meddle(session, sql).await;
}

async fn an_expired_key_is_taken_over(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let jobs = [unique("k", UniqueUntil::Finished), unique("k", UniqueUntil::Finished)];
    session.set_now(Some(at(-1)));
    session.enqueue(&jobs[..1]).await.expect("enqueues");
    expire(&mut session).await;
    assert_eq!(session.enqueue(&jobs[1..]).await.expect("enqueues").jobs, [(jobs[0].id, true)]);

    session.set_now(Some(at(0)));
    assert_eq!(session.enqueue(&jobs[1..]).await.expect("enqueues").jobs, [(jobs[1].id, false)]);

    assert_eq!(keys(&mut session).await, one_key("k", jobs[1].id));
    session.set_now(Some(at(9)));
    let third = unique("k", UniqueUntil::Finished);
    assert_eq!(session.enqueue(&[third]).await.expect("enqueues").jobs, [(jobs[1].id, true)]);
}

/// A job that keeps others away until it has left these states, and for a hundred seconds at most.
fn for_a_while(until: UniqueUntil) -> NewJob {
    NewJob { unique_period: Some(100.0), ..unique("k", until) }
}

async fn a_key_whose_job_is_gone_is_free(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let (gone, here) = (unique("gone", UniqueUntil::Finished), unique("here", UniqueUntil::Finished));
    session.enqueue(&[gone, here.clone()]).await.expect("enqueues");
    meddle(&mut session, "delete from gristmill_job where unique_key = 'gone'").await;

    let again = [unique("gone", UniqueUntil::Finished), unique("here", UniqueUntil::Finished)];
    let answer = session.enqueue(&again).await.expect("enqueues");

    assert_eq!(answer.jobs, [(again[0].id, false), (here.id, true)]);
    assert_eq!(keys(&mut session).await, [one_key("gone", again[0].id), one_key("here", here.id)].concat());
}

async fn a_key_that_is_taken_again_runs_out_when_it_would_have(fixture: &dyn Fixture) {
    for how in ["enqueued", "handed back", "never started", "incompatible", "retried"] {
        let mut session = session(fixture).await;
        meddle(&mut session, "delete from gristmill_unique_key").await;
        let worker = worker(&mut session).await;
        let job = for_a_while(if how == "retried" { UniqueUntil::Finished } else { UniqueUntil::Started });
        session.enqueue(std::slice::from_ref(&job)).await.expect("enqueues");
        session.set_now(Some(at(10)));
        if how != "enqueued" {
            let claimed = claim_one(&mut session, worker).await;
            let attempt = match how {
                "retried" => ended(&claimed, error()),
                "incompatible" => Attempt::unstarted(claimed.clone(), incompatible()),
                _ => Attempt::unstarted(claimed.clone(), Outcome::HandedBack),
            };
            if how == "handed back" {
                session.hand_back(&[(claimed.id, claimed.token)]).await.expect("hands back");
            } else {
                session.finish(&[attempt]).await.expect("finishes");
            }
            if how == "retried" {
                session.retry(&[job.id], "ann").await.expect("retries");
            }
        }

        session.set_now(Some(at(99)));
        let within = session.enqueue(&[for_a_while(UniqueUntil::Started)]).await.expect("enqueues");
        assert_eq!(within.jobs, [(job.id, true)], "{how}");
        session.set_now(Some(at(101)));
        let later = for_a_while(UniqueUntil::Started);
        let after = session.enqueue(std::slice::from_ref(&later)).await.expect("enqueues");
        assert_eq!(after.jobs, [(later.id, false)], "{how}");
        session.cancel(&[job.id, later.id], "ann").await.expect("cancels");
    }
}

async fn a_retry_needs_no_key_that_has_run_out(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let job = for_a_while(UniqueUntil::Finished);
    session.enqueue(std::slice::from_ref(&job)).await.expect("enqueues");
    let claimed = claim_one(&mut session, worker).await;
    session.finish(&[ended(&claimed, error())]).await.expect("finishes");
    session.set_now(Some(at(10)));
    let other = for_a_while(UniqueUntil::Finished);
    session.enqueue(std::slice::from_ref(&other)).await.expect("enqueues");

    let refused = session.retry(&[job.id], "ann").await.expect("answers");
    assert_eq!(done(&refused), [(job.id, "refused: another job has its unique key")]);
    // It keeps nobody away any more, as if it had run all the time.
    session.set_now(Some(at(101)));
    let retried = session.retry(&[job.id], "ann").await.expect("retries");
    assert_eq!(done(&retried), [(job.id, "retried")]);
    assert_eq!(keys(&mut session).await, one_key("k", other.id));
}

async fn the_end_of_who_had_an_expired_key_leaves_it_to_the_new_holder(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let jobs = [unique("k", UniqueUntil::Finished), unique("k", UniqueUntil::Finished)];
    session.enqueue(&jobs[..1]).await.expect("enqueues");
    let claimed = claim_one(&mut session, worker).await;
    expire(&mut session).await;
    session.enqueue(&jobs[1..]).await.expect("enqueues");

    session.finish(&[ended(&claimed, success())]).await.expect("finishes");

    assert_eq!(keys(&mut session).await, one_key("k", jobs[1].id));
}

async fn enqueuers_of_one_key_make_one_job(fixture: &dyn Fixture) {
    let mut first = session(fixture).await;
    let mut enqueuers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let mut session = session(fixture).await;
        enqueuers.spawn(async move {
            let mut got = Vec::new();
            for round in 0..10 {
                let job = unique(&format!("k{round}"), UniqueUntil::Finished);
                got.push(session.enqueue(&[job]).await.expect("enqueues").jobs[0]);
            }
            got
        });
    }

    let got = enqueuers.join_all().await;

    for round in 0..10 {
        let answers: Vec<_> = got.iter().map(|got| got[round]).collect();
        assert!(answers.iter().all(|(id, _)| *id == answers[0].0), "{answers:?}");
        assert_eq!(answers.iter().filter(|(_, existing)| !existing).count(), 1);
    }
    assert_eq!(number(&mut first, "select count(*) from gristmill_job").await, 10);
    assert_eq!(number(&mut first, "select count(*) from gristmill_ready").await, 10);
}

async fn two_who_enqueue_many_keys_never_lock_each_other_out(fixture: &dyn Fixture) {
    let mut enqueuers = tokio::task::JoinSet::new();
    for n in 0..4 {
        let mut session = session(fixture).await;
        enqueuers.spawn(async move {
            for round in 0..5 {
                let mut jobs: Vec<_> =
                    (0..50).map(|key| unique(&format!("{round}-{key}"), UniqueUntil::Finished)).collect();
                if n % 2 == 0 {
                    jobs.reverse();
                }
                session.enqueue(&jobs).await.expect("is not locked out");
            }
        });
    }
    enqueuers.join_all().await;

    let mut session = session(fixture).await;
    assert_eq!(number(&mut session, "select count(*) from gristmill_job").await, 250);
}

async fn the_end_of_a_job_waits_for_nobody_who_wants_its_key(fixture: &dyn Fixture) {
    let mut first = session(fixture).await;
    if first.dialect() == Dialect::Sqlite {
        return; // One writer at a time.
    }
    let worker = worker(&mut first).await;
    let jobs = ["a", "b", "c"].map(|key| unique(key, UniqueUntil::Started));
    let kept = unique("d", UniqueUntil::Finished);
    first.enqueue(&[&jobs[..], std::slice::from_ref(&kept)].concat()).await.expect("enqueues");
    let claimed = first.claim(worker, &[cursor()], 4, None).await.expect("claims");
    let mut second = session(fixture).await;

    // A web process asks for the same again, and its transaction stays open.
    second.begin().await.expect("begins");
    let wanted = ["a", "b", "d"].map(|key| unique(key, UniqueUntil::Finished));
    let now = second.now();
    second.enqueue_within(&wanted, now).await.expect("enqueues");
    let back = first.hand_back(&[(claimed[0].id, claimed[0].token)]).await.expect("does not wait");
    let ends = [
        ended(&claimed[1], Outcome::HandedBack),
        ended(&claimed[2], Outcome::HandedBack),
        ended(&claimed[3], success()),
    ];
    let accepted = first.finish(&ends).await.expect("does not wait").accepted;
    second.end(Ok(())).await.expect("commits");

    assert_eq!((back.len(), accepted.len()), (1, 3));
    let held = [("a", wanted[0].id), ("b", wanted[1].id), ("c", jobs[2].id)];
    assert_eq!(keys(&mut first).await, held.map(|(key, id)| (key.to_owned(), id)));
    let ready = ids(&jobs).len();
    assert_eq!(
        number(&mut first, "select count(*) from gristmill_ready").await,
        i64::try_from(ready + 2).expect("few")
    );
}

async fn neither_claim_nor_end_waits_for_who_takes_an_expired_key_over(fixture: &dyn Fixture) {
    let mut first = session(fixture).await;
    if first.dialect() == Dialect::Sqlite {
        return; // One writer at a time.
    }
    let worker = worker(&mut first).await;
    for (until, claims_first) in [(UniqueUntil::Finished, true), (UniqueUntil::Started, false)] {
        let old = unique("k", until);
        first.enqueue(std::slice::from_ref(&old)).await.expect("enqueues");
        expire(&mut first).await;
        let running = if claims_first { Some(claim_one(&mut first, worker).await) } else { None };
        let mut second = session(fixture).await;
        second.begin().await.expect("begins");
        let new = NewJob { run_after: Some(at(60)), ..unique("k", until) };
        let now = second.now();
        second.enqueue_within(std::slice::from_ref(&new), now).await.expect("takes the key over");

        match &running {
            Some(claimed) => {
                let accepted = first.finish(&[ended(claimed, success())]).await.expect("does not wait").accepted;
                assert_eq!(accepted, [(old.id, claimed.token)]);
            }
            None => assert_eq!(claim_one(&mut first, worker).await.id, old.id),
        }
        second.end(Ok(())).await.expect("commits");

        assert_eq!(keys(&mut first).await, one_key("k", new.id));
        first.cancel(&[new.id], "ann").await.expect("cancels");
    }
}

//! What an enqueue promises that meets a job with its key.

use std::time::Duration;

use gristmill_core::{JobId, Moment, Outcome, Until};

use super::scene::{at, claim_one, cursor, ended, job, session, unique, worker};
use super::{Fixture, asks};
use gristmill_store::{NewJob, OnConflict, Session, UniqueUntil};

asks![
    a_date_may_be_a_delay_from_the_enqueue,
    a_job_that_is_kept_only_comes_earlier,
    a_job_that_is_replaced_has_the_new_arguments_and_place,
    a_job_that_is_held_stays_held_when_it_is_replaced,
    a_job_that_runs_is_left_as_it_is,
    a_job_that_waits_for_its_retry_only_comes_earlier,
    a_job_that_waits_for_its_retry_is_left_alone_unless_its_key_is_its_own_until_each_start,
    a_merge_is_given_the_arguments_of_the_job_that_waits,
    of_many_each_meets_the_job_with_its_own_key,
    a_request_meets_no_job_of_its_own_call,
];

fn asked(on_conflict: OnConflict, run_after: Option<Moment>) -> NewJob {
    NewJob { on_conflict: Some(on_conflict), run_after, ..unique("k", UniqueUntil::EachStart) }
}

async fn enqueue(session: &mut Session, job: &NewJob) -> (JobId, bool) {
    session.enqueue(std::slice::from_ref(job)).await.expect("enqueues").jobs[0]
}

/// Its state, when it is due, and its deadline.
async fn place(session: &mut Session, id: JobId) -> (String, Option<Moment>, Moment) {
    let view = session.get(id).await.expect("reads").expect("is there");
    (view.state, view.due_at, view.deadline)
}

async fn a_date_may_be_a_delay_from_the_enqueue(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let delayed = NewJob { run_delay: Some(60.0), deadline_delay: Some(90.0), ..job() };
    let past = NewJob { run_delay: Some(-60.0), ..job() };
    enqueue(&mut session, &delayed).await;
    session.enqueue(&[NewJob { id: JobId::new(), ..delayed.clone() }, past.clone()]).await.expect("enqueues");

    assert_eq!(place(&mut session, delayed.id).await, ("scheduled".into(), Some(at(60)), at(90)));
    let week = 7 * 24 * 3600;
    assert_eq!(place(&mut session, past.id).await, ("ready".into(), Some(at(-60)), at(week - 60)));
}

async fn a_job_that_is_kept_only_comes_earlier(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let first = asked(OnConflict::Keep, Some(at(60)));
    enqueue(&mut session, &first).await;

    for (date, due) in [(Some(at(90)), Some(at(60))), (Some(at(30)), Some(at(30))), (None, None)] {
        let again = NewJob { args: "[2]".into(), ..asked(OnConflict::Keep, date) };
        assert_eq!(enqueue(&mut session, &again).await, (first.id, true));
        let (state, now_due, _) = place(&mut session, first.id).await;
        assert_eq!((state.as_str(), &now_due), (if due.is_none() { "ready" } else { "scheduled" }, &due));
    }
    let worker = worker(&mut session).await;
    assert_eq!(claim_one(&mut session, worker).await.args, "[1]");
}

async fn a_job_that_is_replaced_has_the_new_arguments_and_place(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let first = asked(OnConflict::Replace, None);
    enqueue(&mut session, &first).await;
    let later = NewJob { args: "[2]".into(), deadline: Some(at(99)), ..asked(OnConflict::Replace, Some(at(60))) };
    assert_eq!(enqueue(&mut session, &later).await, (first.id, true));
    assert_eq!(place(&mut session, first.id).await, ("scheduled".into(), Some(at(60)), at(99)));

    let options = Some(r#"{"max_attempts":3}"#.to_owned());
    let now = NewJob { args: "[3]".into(), options_json: options, ..asked(OnConflict::Replace, None) };
    session.set_now(Some(at(1)));
    assert_eq!(enqueue(&mut session, &now).await, (first.id, true));

    let worker = worker(&mut session).await;
    let claimed = session.claim(worker, &[cursor()], 2, None).await.expect("claims");
    assert_eq!(claimed.len(), 1);
    assert_eq!((claimed[0].args.as_str(), claimed[0].enqueued_at.clone()), ("[3]", at(1)));
}

async fn a_job_that_is_held_stays_held_when_it_is_replaced(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let first = NewJob { held: true, ..asked(OnConflict::Replace, None) };
    enqueue(&mut session, &first).await;

    enqueue(&mut session, &asked(OnConflict::Replace, Some(at(60)))).await;

    assert_eq!(place(&mut session, first.id).await.0, "held");
}

async fn a_job_that_runs_is_left_as_it_is(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let first = unique("k", UniqueUntil::Finished);
    enqueue(&mut session, &first).await;
    claim_one(&mut session, worker).await;

    let again =
        NewJob { args: "[2]".into(), on_conflict: Some(OnConflict::Replace), ..unique("k", UniqueUntil::Finished) };

    assert_eq!(enqueue(&mut session, &again).await, (first.id, true));
    assert_eq!(place(&mut session, first.id).await.0, "running");
}

async fn a_job_that_waits_for_its_retry_only_comes_earlier(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let first = asked(OnConflict::Keep, None);
    enqueue(&mut session, &first).await;
    let claimed = claim_one(&mut session, worker).await;
    let until = Until::After(Duration::from_mins(1));
    let postponed = Outcome::Postponed { until, after: None, why: "later".into() };
    session.finish(&[ended(&claimed, postponed)]).await.expect("finishes");
    assert_eq!(place(&mut session, first.id).await.0, "scheduled");

    let again = NewJob { args: "[2]".into(), ..asked(OnConflict::Replace, None) };
    assert_eq!(enqueue(&mut session, &again).await, (first.id, true));

    assert_eq!(claim_one(&mut session, worker).await.args, "[1]");
}

async fn a_job_that_waits_for_its_retry_is_left_alone_unless_its_key_is_its_own_until_each_start(
    fixture: &dyn Fixture,
) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let first = unique("k", UniqueUntil::Finished);
    enqueue(&mut session, &first).await;
    let claimed = claim_one(&mut session, worker).await;
    let until = Until::After(Duration::from_mins(1));
    let postponed = Outcome::Postponed { until, after: None, why: "later".into() };
    session.finish(&[ended(&claimed, postponed)]).await.expect("finishes");

    for on_conflict in [OnConflict::Keep, OnConflict::Replace] {
        let again = NewJob { on_conflict: Some(on_conflict), ..unique("k", UniqueUntil::Finished) };
        assert_eq!(enqueue(&mut session, &again).await, (first.id, true));
        assert_eq!(place(&mut session, first.id).await.0, "scheduled", "{on_conflict:?}");
    }
}

async fn a_merge_is_given_the_arguments_of_the_job_that_waits(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let first = asked(OnConflict::Keep, None);
    enqueue(&mut session, &first).await;
    let new = NewJob { args: "[2]".into(), ..asked(OnConflict::Keep, None) };

    let merge = |holder: &gristmill_store::Holder, new: &NewJob| {
        let args = format!("[{},{}]", holder.args, new.args);
        NewJob { args, ..new.clone() }
    };
    let nobody = NewJob { unique_key: Some("free".into()), ..new.clone() };
    let mut met = session.merge(&[new, nobody], merge).await.expect("merges");
    met.sort();

    assert_eq!(met, [("free".to_owned(), None), ("k".to_owned(), Some(first.id))]);
    let worker = worker(&mut session).await;
    assert_eq!(claim_one(&mut session, worker).await.args, "[[1],[2]]");
}

async fn of_many_each_meets_the_job_with_its_own_key(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let old: Vec<NewJob> = ["a", "b", "c"].map(|key| unique(key, UniqueUntil::Finished)).into();
    session.enqueue(&old).await.expect("enqueues");
    let new = ["c", "d", "a"].map(|key| NewJob {
        on_conflict: Some(if key == "a" { OnConflict::Replace } else { OnConflict::Keep }),
        run_after: Some(at(60)),
        ..unique(key, UniqueUntil::Finished)
    });

    let got = session.enqueue(&new).await.expect("enqueues").jobs;

    assert_eq!(got, [(old[2].id, true), (new[1].id, false), (old[0].id, true)]);
    assert_eq!(place(&mut session, old[0].id).await.0, "scheduled");
    assert_eq!(place(&mut session, old[2].id).await.0, "ready");
}

async fn a_request_meets_no_job_of_its_own_call(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let asked = [asked(OnConflict::Replace, Some(at(60))), asked(OnConflict::Replace, None)];

    let got = session.enqueue(&asked).await.expect("enqueues").jobs;

    assert_eq!(got, [(asked[0].id, false), (asked[0].id, true)]);
    assert_eq!(place(&mut session, asked[0].id).await.0, "scheduled");
}

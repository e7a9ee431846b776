//! What pausing a queue promises.

use gristmill_store::NewJob;

use super::scene::{at, claimed_ids, claimed_job, cursor, ended, ids, job, lane, number, session, success, worker};
use super::{Fixture, asks};

asks![
    nothing_is_claimed_from_a_paused_queue,
    a_pause_is_of_one_queue_of_one_backend,
    what_runs_goes_on_in_a_paused_queue,
    a_survey_leaves_paused_queues_out,
    a_survey_goes_on_after_a_page_of_paused_cursors,
    pausing_again_gives_another_reason,
];

async fn nothing_is_claimed_from_a_paused_queue(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let job = job();
    session.enqueue(std::slice::from_ref(&job)).await.expect("enqueues");

    session.pause("default", "default", "the printer burns").await.expect("pauses");
    assert_eq!(session.claim(worker, &[cursor()], 10, None).await.expect("claims"), []);

    assert!(session.resume("default", "default").await.expect("resumes"));
    assert_eq!(claimed_ids(&session.claim(worker, &[cursor()], 10, None).await.expect("claims")), [job.id]);
    assert!(!session.resume("default", "default").await.expect("answers"));
}

async fn a_pause_is_of_one_queue_of_one_backend(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let mut jobs = [job(), job(), job()];
    jobs[1].lane.queue_name = "mail".into();
    jobs[2].lane.backend = "other".into();
    session.enqueue(&jobs).await.expect("enqueues");
    session.pause("default", "default", "").await.expect("pauses");

    let cursors = jobs.clone().map(|job| gristmill_core::ClaimCursor { lane: job.lane, ..cursor() });
    let claimed = session.claim(worker, &cursors, 10, None).await.expect("claims");

    assert_eq!(claimed_ids(&claimed), ids(&jobs[1..]));
}

async fn what_runs_goes_on_in_a_paused_queue(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let claimed = claimed_job(&mut session, worker).await;

    session.pause("default", "default", "").await.expect("pauses");

    assert_eq!(session.finish(&[ended(&claimed, success())]).await.expect("finishes").accepted.len(), 1);
}

async fn a_survey_leaves_paused_queues_out(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let mut jobs = [job(), job()];
    jobs[1].lane.queue_name = "mail".into();
    session.enqueue(&jobs).await.expect("enqueues");
    assert_eq!(session.survey(None).await.expect("surveys").cursors.len(), 2);

    session.pause("default", "default", "").await.expect("pauses");

    let cursors = session.survey(None).await.expect("surveys").cursors;
    assert_eq!(cursors.iter().map(|cursor| cursor.lane.queue_name.as_str()).collect::<Vec<_>>(), ["mail"]);
}

async fn a_survey_goes_on_after_a_page_of_paused_cursors(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let mut jobs: Vec<_> = (0..1_005).map(|n| NewJob { lane: lane(&format!("app.task{n:05}")), ..job() }).collect();
    jobs[1_004].lane.queue_name = "mail".into();
    session.enqueue(&jobs).await.expect("enqueues");
    session.pause("default", "default", "").await.expect("pauses");

    let cursors = session.survey(None).await.expect("surveys").cursors;

    assert_eq!(cursors.iter().map(|cursor| cursor.lane.queue_name.as_str()).collect::<Vec<_>>(), ["mail"]);
}

async fn pausing_again_gives_another_reason(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    session.pause("default", "default", "one").await.expect("pauses");
    session.set_now(Some(at(5)));
    session.pause("default", "default", "two").await.expect("pauses");

    let counted = "select count(*) from gristmill_queue where reason = 'two'";
    assert_eq!(number(&mut session, counted).await, 1);
    assert_eq!(number(&mut session, "select count(*) from gristmill_queue").await, 1);
}

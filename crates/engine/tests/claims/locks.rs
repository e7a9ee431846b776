//! Locks that somebody's transaction holds on rows of ours, for as long as the test says: they keep back the one thing that needs
//! them, and nothing else. SQLite has one writer at a time, who keeps everything back for as long as that takes.

use std::time::Duration;

use crate::common::{
    Database, FAIL, Running, WAIT, WORK, in_time, job, mortal, quick, soon, success, text, until_done,
};
use gristmill_core::schedule::{Announced, Announcement, Definition, JobTemplate};
use gristmill_core::{JobId, OnPreconditionFailure};
use gristmill_engine::{Ending, Options};
use gristmill_store::{Connection, Dialect, NewJob, UniqueUntil};

/// Someone whose transaction is open.
struct Web(Box<dyn Connection>);

impl Web {
    /// None where there is one writer at a time.
    async fn holding(database: &Database, sql: &'static str) -> Option<Self> {
        let mut connection = database.store.open().await.unwrap().into_connection();
        if connection.dialect() == Dialect::Sqlite {
            return None;
        }
        connection.begin().await.unwrap();
        assert!(!connection.run(sql, &[]).await.unwrap().is_empty(), "{sql} holds nothing");
        Some(Self(connection))
    }

    async fn let_go(mut self) {
        self.0.rollback().await.unwrap();
    }
}

/// Waits for what a query counts.
async fn until(database: &Database, sql: &'static str) {
    soon(async {
        while database.sql(sql).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

async fn until_successful(database: &Database, ids: &[JobId]) {
    for id in ids {
        database.until_state(*id, "successful").await;
    }
}

fn schedule(name: &str, key: Option<&str>) -> Announced {
    Announced {
        name: name.into(),
        queue_name: "default".into(),
        task_name: WORK.into(),
        definition: Definition { cron: Some("* * * * * *".into()), ..Definition::default() },
        job: JobTemplate { unique_key: key.map(Into::into), ..JobTemplate::default() },
    }
}

#[tokio::test]
async fn an_end_that_someone_holds_keeps_no_other_job_from_starting_or_ending() {
    let database = Database::fresh().await;
    let held = database.enqueue(WAIT, &[0]).await[0];
    let worker = Running::start(&database.store, 3, 1, quick());
    worker.until_started(1).await;
    let Some(web) = Web::holding(&database, "select id::text from gristmill_running for update").await else { return };
    worker.control.end(held, success());
    for _ in 0..5 {
        let others = database.enqueue(WORK, &[0; 7]).await;
        until_successful(&database, &others).await;
    }
    assert_eq!(database.state(held).await, "running");
    web.let_go().await;
    until_successful(&database, &[held]).await;
    assert_eq!(database.outcomes(held).await, ["successful"]);
    assert_eq!(worker.stop().await, Ending::Drained);
}

#[tokio::test]
async fn a_key_that_someone_holds_keeps_back_its_job_alone() {
    let database = Database::fresh().await;
    let held = NewJob { unique_key: Some("k".into()), unique_until: UniqueUntil::Started, ..job(WORK, "default", 9) };
    database.enqueue_jobs(std::slice::from_ref(&held)).await;
    let Some(web) = Web::holding(&database, "select key from gristmill_unique_key for update").await else { return };
    let worker = Running::start(&database.store, 2, 1, quick());
    for _ in 0..5 {
        let others = database.enqueue(WORK, &[0, 9, 10]).await;
        until_successful(&database, &others).await;
    }
    assert_eq!(database.state(held.id).await, "ready");
    web.let_go().await;
    until_successful(&database, &[held.id]).await;
    worker.stop().await;
}

#[tokio::test]
async fn a_chore_that_cannot_get_a_lock_keeps_no_other_from_its_turn() {
    for held in [
        "select name from gristmill_schedule for update",
        "select job_id::text from gristmill_edge for update",
        "select id::text from gristmill_result for update",
        "select job_id::text from gristmill_cancel_request for update",
        "select label from gristmill_worker where label = 'dead' for update",
    ] {
        let database = Database::fresh().await;
        let dead = Running::start(&database.store, 1, 0, Options { label: "dead".into(), ..mortal() });
        let over = database.enqueue(WORK, &[0]).await;
        until_successful(&database, &over).await;
        let lost = database.enqueue(WAIT, &[0]).await[0];
        dead.until_started(2).await;
        let waits = NewJob { after: vec![lost], ..job(WORK, "default", 0) };
        database.enqueue_jobs(&[waits]).await;
        database.store.open().await.unwrap().define_schedule("default", &schedule("kept", None)).await.unwrap();
        // Whoever lives would see to that request.
        dead.kill().await;
        let late = "insert into gristmill_cancel_request (job_id, token, asked_at)
            select id, token, finished_at from gristmill_result";
        database.sql(late).await;
        let held =
            if held.contains("gristmill_edge") { "select epoch::text from gristmill_edge for update" } else { held };
        let Some(web) = Web::holding(&database, held).await else { return };

        let soon = NewJob { run_after: Some(in_time(Duration::from_millis(700))), ..job(WORK, "default", 0) };
        let dated = database.enqueue_jobs(&[soon]).await;
        let worker = Running::start(&database.store, 2, 0, mortal());
        until_successful(&database, &dated).await;
        if !held.contains("gristmill_worker") {
            // It was lost with its worker, and runs again.
            soon_started(&worker, lost).await;
        }
        let again = NewJob { run_after: Some(in_time(Duration::from_millis(300))), ..job(WORK, "default", 0) };
        let again = database.enqueue_jobs(&[again]).await;
        until_successful(&database, &again).await;
        web.let_go().await;
        soon_started(&worker, lost).await;
        worker.control.end_if_it_runs(lost, success());
        until_successful(&database, &[lost]).await;
        worker.kill().await;
    }
}

async fn soon_started(worker: &Running, id: JobId) {
    soon(worker.control.started().wait_for(|started| started.contains(&id))).await.unwrap();
}

#[tokio::test]
async fn a_tick_whose_key_someone_holds_is_put_off_by_itself_and_is_not_lost() {
    let database = Database::fresh().await;
    let all = [schedule("free", None), schedule("held", Some("k")), schedule("keyed", Some("j"))];
    let announcement = Announcement { schedules: all.to_vec(), ..Announcement::default() };
    // A web request asks for a job of the same key, and its transaction stays open.
    let takes = "insert into gristmill_unique_key (key, job_id, until)
        values ('k', '00000000-0000-7000-8000-000000000000', 'started') returning key";
    let Some(web) = Web::holding(&database, takes).await else { return };
    let worker = Running::announce(&database.store, Options::default(), announcement);
    for _ in 0..4 {
        for name in ["free", "keyed"] {
            let before = ticks(&database, name).await;
            soon(async {
                while ticks(&database, name).await == before {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            })
            .await;
        }
    }
    assert_eq!(ticks(&database, "held").await, 0);
    web.let_go().await;
    until(&database, "select schedule from gristmill_tick where schedule = 'held' and job_id is not null").await;
    worker.stop().await;
    // Each second is there: it was made or is told to have been missed.
    let spans = database
        .sql(
            "select schedule from gristmill_tick group by schedule
            having count(*) <> extract(epoch from max(nominal) - min(nominal)) + 1",
        )
        .await;
    assert!(spans.is_empty(), "{spans:?}");
    let late = database
        .sql("select schedule from gristmill_tick where schedule <> 'held' and found_at - nominal > interval '1 second' and skipped is null")
        .await;
    assert!(
        late.len() <= 2,
        "ticks of others were late: {:?}",
        late.iter().map(|row| text(&row[0])).collect::<Vec<_>>()
    );
}

async fn ticks(database: &Database, name: &str) -> usize {
    let rows = database.sql("select schedule from gristmill_tick").await;
    rows.iter().filter(|row| text(&row[0]) == name).count()
}

#[tokio::test]
async fn a_heartbeat_goes_on_once_its_row_is_let_go() {
    let database = Database::fresh().await;
    let mut worker = Running::start(&database.store, 1, 0, Options::default());
    worker.until(|progress| progress.idle).await;
    let Some(web) = Web::holding(&database, "select label from gristmill_worker for update").await else { return };
    let id = database.enqueue(WORK, &[0]).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    web.let_go().await;
    until_successful(&database, &id).await;
    assert_eq!(worker.stop().await, Ending::Drained);
}

#[tokio::test]
async fn who_works_until_all_is_done_waits_for_what_someone_holds_up() {
    for held in [
        "select epoch::text from gristmill_gate for update",
        "select epoch::text from gristmill_edge for update",
        "select kind from gristmill_propagation for update",
    ] {
        for workers in [1, 2] {
            let database = Database::fresh().await;
            let first = job(WORK, "default", 0);
            let after = |on_precondition_failure| NewJob {
                after: vec![first.id],
                on_precondition_failure,
                ..job(WORK, "default", 0)
            };
            let (done, then) =
                (first.clone(), [after(OnPreconditionFailure::Strand), after(OnPreconditionFailure::Proceed)]);
            database.enqueue_jobs(&[done]).await;
            database.enqueue_jobs(&then).await;
            let Some(web) = Web::holding(&database, held).await else { return };
            let drains: Vec<Running> =
                (0..workers).map(|_| Running::start(&database.store, 2, 0, until_done())).collect();
            database.until_state(first.id, "successful").await;
            // Far longer than a propagation is put off, and than a drain takes to end.
            tokio::time::sleep(Duration::from_millis(1_600)).await;
            web.let_go().await;
            for drain in drains {
                assert_eq!(drain.ending().await, Ending::Drained);
                assert_eq!(database.states().await, "successful 3", "{held}, {workers} workers");
            }
        }
    }
}

#[tokio::test]
async fn who_works_until_all_is_done_waits_for_what_runs_elsewhere_if_jobs_wait_for_it() {
    let database = Database::fresh().await;
    let first = database.enqueue(WAIT, &[0]).await[0];
    let then = [NewJob { after: vec![first], ..job(WORK, "default", 0) }];
    let elsewhere = Running::start(&database.store, 1, 0, Options::default());
    elsewhere.until_started(1).await;
    let then = database.enqueue_jobs(&then).await[0];
    let mut drain = Running::start(&database.store, 1, 0, until_done());
    let others = database.enqueue(FAIL, &[0; 3]).await;
    database.until_state(others[2], "failed").await;
    drain.until(|progress| progress.idle).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    elsewhere.control.end(first, success());
    assert_eq!(drain.ending().await, Ending::Drained);
    let state = database.state(then).await;
    assert!(["running", "successful"].contains(&state.as_str()), "{state}");
    assert_eq!(elsewhere.stop().await, Ending::Drained);
    // What nobody waits for is no reason to stay.
    database.enqueue(WAIT, &[0]).await;
    let busy = Running::start(&database.store, 1, 0, Options::default());
    busy.until_started(1).await;
    assert_eq!(Running::start(&database.store, 1, 0, until_done()).ending().await, Ending::Drained);
    busy.kill().await;
}

#[tokio::test]
async fn who_works_until_all_is_done_waits_for_ticks_that_are_due_and_held_up() {
    let database = Database::fresh().await;
    let mut held = schedule("held", Some("k"));
    held.definition = Definition { cron: Some("0 0 1 1 *".into()), run_on_creation: true, ..Definition::default() };
    let takes = "insert into gristmill_unique_key (key, job_id, until)
        values ('k', '00000000-0000-7000-8000-000000000000', 'started') returning key";
    let Some(web) = Web::holding(&database, takes).await else { return };
    let announcement = Announcement { schedules: vec![held], ..Announcement::default() };
    let other = database.enqueue(WORK, &[0]).await;
    let drain = Running::announce(&database.store, until_done(), announcement);
    // It claims what is there meanwhile.
    until_successful(&database, &other).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    web.let_go().await;
    assert_eq!(drain.ending().await, Ending::Drained);
    assert_eq!(database.states().await, "successful 2");
}

//! Asks a worker on a database file to keep its promises.
#![allow(unreachable_pub, missing_docs, clippy::missing_panics_doc, clippy::unwrap_used)]

mod claims;
mod common;

use std::path::PathBuf;
use std::time::Duration;

use common::faults::Fault;
use common::{CRASH, Database, FAIL, Faulty, Running, WAIT, WORK, in_time, job, quick, success, until_done};
use gristmill_core::JobId;
use gristmill_engine::Ending;
use gristmill_store::{Settings, Store};

/// A file of its own for each test, removed at its end.
pub struct Place(PathBuf);

impl Place {
    pub async fn fresh() -> (Self, Store) {
        let folder = std::env::temp_dir().join(format!("gristmill-engine-{}", JobId::new()));
        std::fs::create_dir(&folder).unwrap();
        let store = Store::new(Settings::sqlite(folder.join("jobs.sqlite3"))).unwrap();
        store.migrate().await.unwrap();
        (Self(folder), store)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn a_task_that_blocks_the_database_file_past_the_fence_interrupts_nothing() {
    let database = Database::fresh().await;
    let id = database.enqueue(WAIT, &[0]).await[0];
    let mut worker = Running::start(&database.store, 1, 0, quick());
    worker.until_started(1).await;
    let name = worker.standing.borrow().worker;
    let mut handler = database.store.open().await.unwrap().into_connection();
    handler.begin().await.unwrap();
    // Three times the fence of a heartbeat of 0.2 s.
    tokio::time::sleep(Duration::from_millis(1200)).await;
    handler.commit().await.unwrap();
    worker.control.end(id, success());
    worker.until(|progress| progress.done == 1).await;
    assert_eq!(worker.control.interrupts(), 0);
    assert_eq!(worker.standing.borrow().worker, name);
    worker.stop().await;
}

#[tokio::test]
async fn whichever_call_fails_or_loses_its_answer_every_job_ends_as_it_would_have() {
    for fault in [Fault::Before, Fault::Lost] {
        // Each call of an undisturbed run has its turn; a run that is over before its call came is the last.
        for first in (1..).step_by(6) {
            let runs = (first..first + 6).map(|n| tokio::spawn(spoil_one_call(n, fault)));
            let mut came = true;
            for run in runs.collect::<Vec<_>>() {
                came &= run.await.unwrap();
            }
            if !came {
                assert!(first > 6, "a run has more calls than that");
                break;
            }
        }
    }
}

// Whether the call came.
async fn spoil_one_call(n: u64, fault: Fault) -> bool {
    let database = Database::fresh().await;
    let (sessions, faults) = Faulty::new(&database.store);
    let mut scheduled = job(WORK, "default", 0);
    scheduled.run_after = Some(in_time(Duration::from_millis(1)));
    let jobs = [job(WORK, "a", 1), job(WORK, "b", 0), job(FAIL, "a", 0), job(CRASH, "b", 0), scheduled];
    database.enqueue_jobs(&jobs).await;
    faults.spoil_call(n, fault);
    let worker = Running::start(&sessions, 1, 1, until_done());
    assert_eq!(worker.ending().await, Ending::Drained, "{fault:?} of call {n}");
    assert_eq!(database.states().await, "failed 1, poisoned 1, successful 3", "{fault:?} of call {n}");
    assert_eq!(database.sql("select 1 from gristmill_attempt").await.len(), 7, "{fault:?} of call {n}");
    !faults.is_call_awaited()
}

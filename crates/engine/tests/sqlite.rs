//! Asks a worker on a database file to keep its promises.
#![allow(unreachable_pub, missing_docs)]

mod claims;
mod common;

use std::path::PathBuf;
use std::time::Duration;

use common::{Database, Running, WAIT, quick, success};
use gristmill_core::JobId;
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

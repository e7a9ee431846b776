//! Asks a worker on a database file to keep its promises.
#![allow(unreachable_pub, missing_docs, clippy::missing_panics_doc, clippy::unwrap_used)]

mod claims;
mod common;
mod sweep;

use std::path::PathBuf;
use std::time::Duration;

use common::{Database, Running, WAIT, quick, success};
use gristmill_core::JobId;
use gristmill_store::{Settings, Store};
use tokio::sync::OnceCell;

/// A database file with the schema and nothing else: to copy it is quicker than to migrate.
static SCHEMA: OnceCell<Vec<u8>> = OnceCell::const_new();

/// A file of its own for each test, removed at its end.
pub struct Place(PathBuf);

impl Place {
    pub async fn fresh() -> (Self, Store) {
        let schema = SCHEMA.get_or_init(schema).await;
        let (place, file) = Self::empty();
        std::fs::write(&file, schema).unwrap();
        (place, Store::new(Settings::sqlite(file)).unwrap())
    }

    fn empty() -> (Self, PathBuf) {
        let folder = std::env::temp_dir().join(format!("gristmill-engine-{}", JobId::new()));
        std::fs::create_dir(&folder).unwrap();
        let file = folder.join("jobs.sqlite3");
        (Self(folder), file)
    }
}

async fn schema() -> Vec<u8> {
    let (_place, file) = Place::empty();
    let store = Store::new(Settings::sqlite(&file)).unwrap();
    store.migrate().await.unwrap();
    let mut connection = store.open().await.unwrap().into_connection();
    // What the log holds goes into the file.
    connection.run("pragma wal_checkpoint(truncate)", &[]).await.unwrap();
    std::fs::read(file).unwrap()
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
async fn whichever_call_breaks_a_worker_gets_over_it() {
    // Most of a play is work, not waiting: more of them at once only starve each other.
    sweep::sweep(sweep::scenarios::all(), 16).await;
}

//! What ends a worker that cannot go on, and what it leaves.

use gristmill_engine::{Ending, Event, Options, shutdown};
use gristmill_store::Value;

use crate::common::{Database, Running, WAIT, int, soon};

#[tokio::test]
async fn a_loop_that_panics_ends_the_worker() {
    let database = Database::fresh().await;
    let mut worker = Running::start(&database.store, 1, 0, Options::default());
    worker.until(|progress| progress.idle).await;
    worker.control.panic_next();
    let ending = worker.ending().await;
    assert!(matches!(ending, Ending::Crashed(_)));
    assert_eq!(ending.exit_status(), 99);
    let row = database.sql("select cast(exit_status as bigint), last_error from gristmill_worker").await.remove(0);
    assert_eq!(int(&row[0]), 99);
    assert!(matches!(&row[1], Value::Text(_)));
}

#[tokio::test]
async fn an_executor_that_cannot_go_on_ends_the_worker_with_its_reason() {
    let database = Database::fresh().await;
    let id = database.enqueue(WAIT, &[0]).await[0];
    let worker = Running::start(&database.store, 1, 0, Options::default());
    worker.until_started(1).await;
    worker.control.say(Event::Broken("python does not start".into()));
    assert_eq!(worker.ending().await, Ending::Crashed("python does not start".into()));
    database.until_state(id, "ready").await;
}

#[tokio::test]
async fn a_database_without_the_tables_ends_the_worker_with_an_error() {
    let database = Database::fresh().await;
    database.sql("drop table gristmill_schema").await;
    let (fake, _control) = crate::common::Fake::new(1, 0);
    let (_stopper, shutdown) = shutdown::channel();
    let worker = gristmill_engine::Worker::new(database.store.clone(), fake, Options::default());
    assert!(soon(worker.run(shutdown)).await.is_err());
}

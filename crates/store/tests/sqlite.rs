//! Asks SQLite every question of the conformance suite, each on a file of its own.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use gristmill_core::{ClaimCursor, Lane, Lease, Moment, WorkerId};
use gristmill_store::{Error, NewWorker, Session, Settings, Store};
use gristmill_testkit::conformance::{Databases, Fixture, Pending, Question, runner};
use sqlx::{Connection, Executor, SqliteConnection};

fn main() -> ExitCode {
    runner::run(&Files, own_questions())
}

struct Files;

impl Databases for Files {
    fn fresh(&self) -> Pending<'_, Box<dyn Fixture>> {
        Box::pin(async {
            let directory = a_directory();
            let store = Store::new(Settings::sqlite(directory.join("db.sqlite3"))).expect("settings");
            store.migrate().await.expect("migrates");
            Box::new(Directory { store, directory }) as Box<dyn Fixture>
        })
    }
}

fn a_directory() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("gristmill-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let directory = std::env::temp_dir().join(name);
    std::fs::create_dir(&directory).expect("a directory of its own");
    directory
}

struct Directory {
    store: Store,
    directory: PathBuf,
}

impl Fixture for Directory {
    fn session(&self) -> Pending<'_, Session> {
        Box::pin(async { self.store.open().await.expect("opens") })
    }

    fn store(&self) -> Option<Store> {
        Some(self.store.clone())
    }

    fn close(self: Box<Self>) -> Pending<'static, ()> {
        Box::pin(async move { std::fs::remove_dir_all(&self.directory).expect("removes") })
    }
}

/// What only SQLite is asked.
fn own_questions() -> Vec<Question> {
    vec![
        Question { name: "a_missing_file_is_refused", ask: |_| Box::pin(a_missing_file_is_refused()) },
        Question { name: "a_relative_path_is_refused", ask: |_| Box::pin(async { a_relative_path_is_refused() }) },
        Question { name: "a_file_without_wal_is_refused", ask: |_| Box::pin(a_file_without_wal_is_refused()) },
        Question {
            name: "migrate_says_that_it_turned_wal_on",
            ask: |_| Box::pin(migrate_says_that_it_turned_wal_on()),
        },
        Question {
            name: "a_file_that_is_replaced_or_gone_is_neither_read_nor_written_any_more",
            ask: |_| Box::pin(a_file_that_is_replaced_or_gone_is_neither_read_nor_written_any_more()),
        },
        Question {
            name: "what_is_enqueued_while_a_claim_waits_is_not_claimed_before_that",
            ask: |_| Box::pin(what_is_enqueued_while_a_claim_waits_is_not_claimed_before_that()),
        },
    ]
}

async fn a_missing_file_is_refused() {
    let directory = a_directory();
    let store = Store::new(Settings::sqlite(directory.join("missing.sqlite3"))).expect("settings");

    let refused = store.open().await.map(drop);

    assert!(matches!(&refused, Err(Error::Schema(why)) if why.contains("manage.py migrate")), "{refused:?}");
    assert!(!directory.join("missing.sqlite3").exists(), "looking made it");
    std::fs::remove_dir_all(directory).expect("removes");
}

fn a_relative_path_is_refused() {
    let refused = Store::new(Settings::sqlite("db.sqlite3")).map(drop);
    assert!(matches!(refused, Err(Error::Settings(_))), "{refused:?}");
}

async fn a_file_without_wal_is_refused() {
    let directory = a_directory();
    let path = directory.join("db.sqlite3");
    let mut connection =
        SqliteConnection::connect(&format!("sqlite://{}?mode=rwc", path.display())).await.expect("connects");
    connection.execute("create table photo (id integer primary key)").await.expect("creates");
    connection.close().await.expect("closes");

    let refused = Store::new(Settings::sqlite(path)).expect("settings").open().await.map(drop);

    assert!(matches!(&refused, Err(Error::Schema(why)) if why.contains("WAL")), "{refused:?}");
    std::fs::remove_dir_all(directory).expect("removes");
}

async fn migrate_says_that_it_turned_wal_on() {
    let directory = a_directory();
    let store = Store::new(Settings::sqlite(directory.join("db.sqlite3"))).expect("settings");

    let first = store.migrate().await.expect("migrates");
    let again = store.migrate().await.expect("migrates");

    assert!(first.wal_turned_on && !again.wal_turned_on);
    assert_eq!((first.applied, again.applied), (vec!["0001_initial"], vec![]));
    std::fs::remove_dir_all(directory).expect("removes");
}

async fn a_file_that_is_replaced_or_gone_is_neither_read_nor_written_any_more() {
    for (replaced, said) in [(true, "replaced or restored"), (false, "moved or deleted")] {
        let directory = a_directory();
        let (path, aside) = (directory.join("db.sqlite3"), directory.join("aside.sqlite3"));
        let store = Store::new(Settings::sqlite(path.clone())).expect("settings");
        store.migrate().await.expect("migrates");
        let mut session = store.open().await.expect("opens");
        session.pause("default", "mail", "before").await.expect("pauses");

        for part in ["", "-wal", "-shm"] {
            let beside = |name: &str| directory.join(format!("{name}.sqlite3{part}"));
            std::fs::rename(beside("db"), beside("aside")).expect("moves");
        }
        if replaced {
            store.migrate().await.expect("migrates");
        }

        for refused in [
            session.pause("default", "mail", "after").await,
            session.resume("default", "mail").await.map(drop),
            session.enqueue(&[]).await.map(drop),
        ] {
            assert!(
                matches!(&refused, Err(Error::Moved(why)) if why.contains(said) && why.contains("start the worker again")),
                "{refused:?}"
            );
        }
        drop(session);
        let mut put_back = Store::new(Settings::sqlite(aside)).expect("settings").open().await.expect("opens");
        assert!(put_back.resume("default", "mail").await.expect("resumes"), "it was written to");
        std::fs::remove_dir_all(directory).expect("removes");
    }
}

async fn what_is_enqueued_while_a_claim_waits_is_not_claimed_before_that() {
    let directory = a_directory();
    let path = directory.join("db.sqlite3");
    let store = Store::new(Settings::sqlite(path.clone())).expect("settings");
    store.migrate().await.expect("migrates");
    let mut session = store.open().await.expect("opens");
    let worker = NewWorker {
        id: WorkerId::new(),
        label: String::new(),
        host: String::new(),
        pid: 1,
        backend: "default".into(),
        queues_json: "{}".into(),
        tasks_json: "[]".into(),
        processes: 1,
        lease: Lease::new(Duration::from_secs(5)),
        before: None,
    };
    session.register(&worker).await.expect("registers");
    let lane = Lane { backend: "default".into(), queue_name: "default".into(), task_name: "t".into() };
    let cursor = ClaimCursor { lane, priority: 0, deadline: Moment::earliest(), id: None };
    let mut other = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.expect("connects");
    other.execute("begin immediate").await.expect("holds the write lock");

    let cursors = [cursor];
    let claim = session.claim(worker.id, &cursors, 1, None);
    let enqueue = async {
        let insert = "insert into gristmill_enqueue
                (id, backend, queue_name, task_name, priority, now, args, kwargs)
            values ('00000000000000000000000000000001', 'default', 'default', 't', 0,
                strftime('%Y-%m-%d %H:%M:%f', 'now', '+0.001 seconds') || '000', '[]', '{}')";
        other.execute(insert).await.expect("enqueues");
        // The clock has to pass the millisecond that it was rounded up to.
        let count =
            "with recursive n (i) as (select 1 union all select i + 1 from n where i < 100000) select max(i) from n";
        other.execute(count).await.expect("counts");
        other.execute("commit").await.expect("commits");
    };
    // In this order: the claim waits when the job is enqueued.
    let (claimed, ()) = tokio::join!(claim, enqueue);

    let claimed = claimed.expect("claims");
    assert_eq!(claimed.len(), 1);
    assert!(claimed[0].claimed_at >= claimed[0].enqueued_at, "{claimed:?}");
    std::fs::remove_dir_all(directory).expect("removes");
}

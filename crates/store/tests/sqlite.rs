//! Asks SQLite every question of the conformance suite, each on a file of its own.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};

use gristmill_store::conformance::{Databases, Fixture, Pending, runner};
use gristmill_store::{Session, Settings, Store};

fn main() -> ExitCode {
    runner::run(&Files)
}

struct Files;

impl Databases for Files {
    fn fresh(&self) -> Pending<'_, Box<dyn Fixture>> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        Box::pin(async {
            let name = format!("gristmill-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
            let directory = std::env::temp_dir().join(name);
            std::fs::create_dir(&directory).expect("a directory of its own");
            let store = Store::new(Settings::sqlite(directory.join("db.sqlite3"))).expect("settings");
            store.migrate().await.expect("migrates");
            Box::new(Directory { store, directory }) as Box<dyn Fixture>
        })
    }
}

struct Directory {
    store: Store,
    directory: PathBuf,
}

impl Fixture for Directory {
    fn session(&self) -> Pending<'_, Session> {
        Box::pin(async { self.store.open().await.expect("opens") })
    }

    fn close(self: Box<Self>) -> Pending<'static, ()> {
        Box::pin(async move { std::fs::remove_dir_all(&self.directory).expect("removes") })
    }
}

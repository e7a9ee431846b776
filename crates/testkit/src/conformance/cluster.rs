//! Databases on a PostgreSQL server, one for each question.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use gristmill_store::{Session, Settings, Store};
use sqlx::{AssertSqlSafe, Connection as _, Executor, PgConnection};

use super::{Databases, Fixture, Pending};
use crate::server::{Durability, Server};

/// A server, and a migrated database on it to copy from: a copy costs a third of the migrations.
pub struct Cluster {
    server: Server,
    template: OnceLock<String>,
    made: AtomicU32,
}

impl Databases for Cluster {
    fn fresh(&self) -> Pending<'_, Box<dyn Fixture>> {
        Box::pin(async {
            let template = self.template.get_or_init(|| on_a_thread_of_its_own(self.migrated()));
            let name = self.new_name();
            administer(self.server.url(), format!("create database {name} template {template}")).await;
            let store = store_at(&self.server.url_of(&name));
            Box::new(Database { store, name, url: self.server.url().to_owned() }) as Box<dyn Fixture>
        })
    }
}

impl Cluster {
    /// Starts it, or takes the one that is named; commits do not wait for the disk.
    pub fn start() -> Self {
        Self { server: Server::start(Durability::Off), template: OnceLock::new(), made: AtomicU32::new(0) }
    }

    /// Drops the database that was copied from: call it at the end.
    pub fn drop_template(&self) {
        if let Some(name) = self.template.get() {
            on_a_thread_of_its_own(administer(self.server.url(), format!("drop database {name}")));
        }
    }

    fn new_name(&self) -> String {
        format!("gristmill_{}_{}", std::process::id(), self.made.fetch_add(1, Ordering::Relaxed))
    }

    async fn migrated(&self) -> String {
        let name = self.new_name();
        administer(self.server.url(), format!("create database {name}")).await;
        store_at(&self.server.url_of(&name)).migrate().await.expect("migrates");
        name
    }
}

fn store_at(url: &str) -> Store {
    Store::new(Settings::from_url(url).expect("a URL")).expect("settings")
}

fn on_a_thread_of_its_own<T: Send>(work: impl Future<Output = T> + Send) -> T {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    std::thread::scope(|scope| scope.spawn(|| runtime().block_on(work)).join().expect("a database to copy from"))
}

struct Database {
    store: Store,
    name: String,
    url: String,
}

impl Fixture for Database {
    fn session(&self) -> Pending<'_, Session> {
        Box::pin(async { self.store.open().await.expect("opens") })
    }

    fn store(&self) -> Option<Store> {
        Some(self.store.clone())
    }

    fn close(self: Box<Self>) -> Pending<'static, ()> {
        Box::pin(async move { administer(&self.url, format!("drop database {} with (force)", self.name)).await })
    }
}

async fn administer(url: &str, sql: String) {
    let mut connection = PgConnection::connect(url).await.expect("connects");
    connection.execute(AssertSqlSafe(sql)).await.expect("may create and drop databases");
    let _ = connection.close().await;
}

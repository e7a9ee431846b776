//! Asks PostgreSQL every question of the conformance suite, each on a database of its own.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};

use gristmill_store::conformance::server::{Durability, Server};
use gristmill_store::conformance::{Databases, Fixture, Pending, runner};
use gristmill_store::{Session, Settings, Store};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

fn main() -> ExitCode {
    runner::run(&Cluster(Server::start(Durability::Off)))
}

struct Cluster(Server);

impl Databases for Cluster {
    fn fresh(&self) -> Pending<'_, Box<dyn Fixture>> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        Box::pin(async {
            let name = format!("gristmill_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
            administer(self.0.url(), format!("create database {name}")).await;
            let settings = Settings::from_url(&self.0.url_of(&name)).expect("a URL");
            let store = Store::new(settings).expect("settings");
            store.migrate().await.expect("migrates");
            Box::new(Database { store, name, server: self.0.url().to_owned() }) as Box<dyn Fixture>
        })
    }
}

struct Database {
    store: Store,
    name: String,
    server: String,
}

impl Fixture for Database {
    fn session(&self) -> Pending<'_, Session> {
        Box::pin(async { self.store.open().await.expect("opens") })
    }

    fn close(self: Box<Self>) -> Pending<'static, ()> {
        Box::pin(async move {
            administer(&self.server, format!("drop database {} with (force)", self.name)).await;
        })
    }
}

async fn administer(url: &str, sql: String) {
    let mut connection = PgConnection::connect(url).await.expect("connects");
    connection.execute(AssertSqlSafe(sql)).await.expect("may create and drop databases");
    let _ = connection.close().await;
}

//! Asks PostgreSQL every question of the conformance suite, each on a database of its own.

use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use gristmill_store::conformance::server::{Durability, Server};
use gristmill_store::conformance::{Databases, Fixture, Pending, Question, runner};
use gristmill_store::{Error, Session, Settings, Store};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

fn main() -> ExitCode {
    let cluster = Cluster { server: Server::start(Durability::Off), made: Mutex::default(), free: Arc::default() };
    let status = runner::run(&cluster, own_questions());
    cluster.drop_all();
    status
}

/// A server, and the databases on it that were made for questions: making one costs more than emptying it.
struct Cluster {
    server: Server,
    made: Mutex<Vec<String>>,
    free: Arc<Mutex<Vec<String>>>,
}

impl Databases for Cluster {
    fn fresh(&self) -> Pending<'_, Box<dyn Fixture>> {
        Box::pin(async {
            let free = self.free.lock().expect("no panic holds it").pop();
            let name = match free {
                Some(name) => name,
                None => self.make().await,
            };
            let url = self.server.url_of(&name);
            administer(&url, "drop schema if exists public cascade; create schema public".into()).await;
            let store = Store::new(Settings::from_url(&url).expect("a URL")).expect("settings");
            store.migrate().await.expect("migrates");
            Box::new(Database { store, name, free: self.free.clone() }) as Box<dyn Fixture>
        })
    }
}

impl Cluster {
    async fn make(&self) -> String {
        let name = {
            let mut made = self.made.lock().expect("no panic holds it");
            let name = format!("gristmill_{}_{}", std::process::id(), made.len());
            made.push(name.clone());
            name
        };
        administer(self.server.url(), format!("create database {name}")).await;
        name
    }

    fn drop_all(&self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        for name in self.made.lock().expect("no panic holds it").drain(..) {
            runtime.block_on(administer(self.server.url(), format!("drop database {name} with (force)")));
        }
    }
}

struct Database {
    store: Store,
    name: String,
    free: Arc<Mutex<Vec<String>>>,
}

impl Fixture for Database {
    fn session(&self) -> Pending<'_, Session> {
        Box::pin(async { self.store.open().await.expect("opens") })
    }

    fn store(&self) -> Option<Store> {
        Some(self.store.clone())
    }

    fn close(self: Box<Self>) -> Pending<'static, ()> {
        Box::pin(async move { self.free.lock().expect("no panic holds it").push(self.name) })
    }
}

async fn administer(url: &str, sql: String) {
    let mut connection = PgConnection::connect(url).await.expect("connects");
    connection.execute(AssertSqlSafe(sql)).await.expect("may create and drop databases");
    let _ = connection.close().await;
}

/// What only PostgreSQL is asked.
fn own_questions() -> Vec<Question> {
    vec![
        Question { name: "a_standby_is_refused", ask: |_| Box::pin(a_standby_is_refused()) },
        Question { name: "a_server_that_is_not_there_is_unavailable", ask: |_| Box::pin(nobody_listens()) },
    ]
}

async fn a_standby_is_refused() {
    let standby = Server::standby();
    let store = Store::new(Settings::from_url(standby.url()).expect("a URL")).expect("settings");

    let refused = store.open().await.map(drop);

    assert!(matches!(&refused, Err(Error::Unavailable(why)) if why.contains("standby")), "{refused:?}");
}

async fn nobody_listens() {
    let settings = Settings::from_url("postgres://127.0.0.1:1/nothing").expect("a URL");
    let refused = Store::new(settings).expect("settings").open().await.map(drop);
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
}

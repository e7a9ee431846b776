//! Asks a worker on a server to keep the same promises: the server of `GRISTMILL_TEST_POSTGRES`, or a throw-away one.
#![allow(unreachable_pub, missing_docs, clippy::missing_panics_doc, clippy::unwrap_used)]

mod claims;
mod common;
mod doors;
mod sweep;

use std::sync::OnceLock;

use gristmill_core::JobId;
use gristmill_store::{Settings, Store};
use gristmill_testkit::server::{Durability, Server};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::sync::OnceCell;

static SERVER: OnceLock<Server> = OnceLock::new();
/// A migrated database: to copy it is quicker than to migrate.
static TEMPLATE: OnceCell<String> = OnceCell::const_new();

/// A database of its own for each test; it goes with a throw-away server.
pub struct Place {
    name: String,
}

impl Place {
    pub async fn fresh() -> (Self, Store) {
        let template = TEMPLATE.get_or_init(migrated).await;
        Self::made(&format!("template {template}")).await
    }

    async fn made(how: &str) -> (Self, Store) {
        let name = format!("gristmill_engine_{}", JobId::new());
        administer(format!("create database {name} {how}")).await;
        let store = Store::new(Settings::from_url(&server().url_of(&name)).unwrap()).unwrap();
        (Self { name }, store)
    }

    /// The server lets nobody in, and nobody stay, as for maintenance: SQLSTATE 55000.
    pub async fn close_doors(&self) {
        administer(format!("alter database {} allow_connections false", self.name)).await;
        administer(format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{}'", self.name))
            .await;
    }

    pub async fn open_doors(&self) {
        administer(format!("alter database {} allow_connections true", self.name)).await;
    }
}

fn server() -> &'static Server {
    SERVER.get_or_init(|| Server::start(Durability::Off))
}

async fn administer(sql: String) {
    let mut connection = PgConnection::connect(server().url()).await.unwrap();
    connection.execute(AssertSqlSafe(sql)).await.unwrap();
    connection.close().await.unwrap();
}

async fn migrated() -> String {
    let (place, store) = Place::made("").await;
    store.migrate().await.unwrap();
    place.name
}

#[tokio::test]
async fn whichever_call_breaks_a_worker_gets_over_it() {
    sweep::sweep(sweep::scenarios::some(), 16).await;
}

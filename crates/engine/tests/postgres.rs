//! Asks a worker on a server to keep the same promises: the server of `GRISTMILL_TEST_POSTGRES`, or a throw-away one.
#![allow(unreachable_pub, missing_docs, clippy::missing_panics_doc, clippy::unwrap_used)]

mod claims;
mod common;
mod sweep;

use std::sync::OnceLock;

use gristmill_core::JobId;
use gristmill_store::conformance::server::{Durability, Server};
use gristmill_store::{Settings, Store};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

static SERVER: OnceLock<Server> = OnceLock::new();

/// A database of its own for each test; it goes with a throw-away server.
pub struct Place;

impl Place {
    pub async fn fresh() -> (Self, Store) {
        let server = SERVER.get_or_init(|| Server::start(Durability::Off));
        let name = format!("gristmill_engine_{}", JobId::new());
        let mut connection = PgConnection::connect(server.url()).await.unwrap();
        connection.execute(AssertSqlSafe(format!("create database {name}"))).await.unwrap();
        let store = Store::new(Settings::from_url(&server.url_of(&name)).unwrap()).unwrap();
        store.migrate().await.unwrap();
        (Self, store)
    }
}

#[tokio::test]
async fn whichever_call_breaks_a_worker_gets_over_it() {
    sweep::sweep(sweep::scenarios::some(), 16).await;
}

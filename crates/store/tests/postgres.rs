//! Asks PostgreSQL every question of the conformance suite, each on a database of its own.

use std::process::ExitCode;

use gristmill_store::{Error, Settings, Store};
use gristmill_testkit::conformance::cluster::Cluster;
use gristmill_testkit::conformance::{Question, runner};
use gristmill_testkit::server::Server;

fn main() -> ExitCode {
    let cluster = Cluster::start();
    let status = runner::run(&cluster, own_questions());
    cluster.drop_template();
    status
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

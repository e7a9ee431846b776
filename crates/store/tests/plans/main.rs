//! A plan does not depend on luck: whatever the statistics say of the tables, a statement reads as much as it was asked for.
//!
//! PostgreSQL is asked every question of the conformance suite over a connection that looks at each statement before it
//! runs it: among a thousand strange rows a table, under made-up statistics, as a worker's session plans and as a web
//! process does. On SQLite each statement has to have one plan, whatever `sqlite_stat1` holds. What there is to look at
//! is what lies in the two folders of SQL files.

mod explained;
mod files;
mod sqlite;
mod watched;

use std::process::ExitCode;
use std::sync::Arc;

use files::Files;
use gristmill_store::Dialect;
use gristmill_testkit::conformance::cluster::Cluster;
use gristmill_testkit::conformance::runner;
use watched::{Watched, Watcher};

fn main() -> ExitCode {
    let sqlite = each_statement_of_sqlite_has_one_plan_whatever_the_statistics_say();
    tell("each_statement_of_sqlite_has_one_plan_whatever_the_statistics_say", &sqlite);
    let (asked, postgres) = each_statement_of_postgres_reads_what_it_was_asked_for_whatever_the_statistics_say();
    tell("each_statement_of_postgres_reads_what_it_was_asked_for_whatever_the_statistics_say", &postgres);
    // A question that fails here has failed in `tests/postgres.rs` too, unless looking has disturbed it.
    if sqlite.is_empty() && postgres.is_empty() { asked } else { ExitCode::FAILURE }
}

fn each_statement_of_sqlite_has_one_plan_whatever_the_statistics_say() -> Vec<String> {
    sqlite::complaints(&Files::of(Dialect::Sqlite))
}

fn each_statement_of_postgres_reads_what_it_was_asked_for_whatever_the_statistics_say() -> (ExitCode, Vec<String>) {
    let cluster = Cluster::start();
    let watcher = Arc::new(Watcher::new(Files::of(Dialect::Postgres)));
    let asked = runner::run_plain(&Watched { databases: &cluster, watcher: Arc::clone(&watcher) });
    cluster.drop_template();
    (asked, watcher.complaints())
}

fn tell(claim: &str, complaints: &[String]) {
    for complaint in complaints {
        println!("{complaint}");
    }
    println!("test {claim} ... {}", if complaints.is_empty() { "ok" } else { "FAILED" });
    println!("\n1 asked, {} failed\n", usize::from(!complaints.is_empty()));
}

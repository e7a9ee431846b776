//! The plans of SQLite's statements under made-up statistics.

use std::collections::BTreeSet;

use gristmill_store::{Dialect, MIGRATIONS};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _, Row as _};

use crate::files::{File, Files};

/// What ANALYZE may have seen in a table: nothing, a row or ten, millions; and the places empty among millions of jobs.
const STATISTICS: [&str; 5] = ["empty", "tiny", "ten", "huge", "used"];

/// What is wrong with the statements' plans.
pub(crate) fn complaints(files: &Files) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(all(files))
}

async fn all(files: &Files) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut never = database(files).await;
    let mut analysed = Vec::new();
    for statistics in STATISTICS {
        let mut database = database(files).await;
        make_up(&mut database, statistics).await;
        analysed.push((statistics, database));
    }
    for file in &files.0 {
        for statement in file.statements().filter(|statement| !makes_a_table(statement)) {
            let usual = plan(&mut never, statement).await;
            let scanned = usual.iter().filter_map(|step| scanned(file, statement, step));
            complaints
                .extend(scanned.map(|table| format!("{}.sql reads all of {table}: {}", file.name, usual.join("; "))));
            for (statistics, database) in &mut analysed {
                let other = plan(database, statement).await;
                if other != usual {
                    complaints.push(format!(
                        "{}.sql, {:?}…, has another plan where statistics are {statistics:?}:\n  {}\n  {}",
                        file.name,
                        head(statement),
                        usual.join("; "),
                        other.join("; ")
                    ));
                }
            }
        }
    }
    complaints
}

/// One with Gristmill's tables, those that a connection makes for itself included.
async fn database(files: &Files) -> SqliteConnection {
    let mut connection = SqliteConnectOptions::new().in_memory(true).connect().await.expect("opens");
    for statement in MIGRATIONS.iter().flat_map(|migration| migration.statements(Dialect::Sqlite)) {
        connection.execute(statement).await.expect("migrates");
    }
    for statement in files.0.iter().flat_map(File::statements).filter(|statement| makes_a_table(statement)) {
        connection.execute(AssertSqlSafe(statement.to_owned())).await.expect("makes a table");
    }
    connection
}

fn makes_a_table(statement: &str) -> bool {
    bare(statement).starts_with("create ")
}

/// Without the comments before it.
fn bare(statement: &str) -> &str {
    let mut rest = statement.trim_start();
    while rest.starts_with("--") {
        rest = rest.split_once('\n').map_or("", |(_, after)| after).trim_start();
    }
    rest
}

fn head(statement: &str) -> &str {
    bare(statement).split('\n').next().unwrap_or_default()
}

/// `sqlite_stat1` as ANALYZE would have left it: rows of the table, then of each longer prefix of an index.
async fn make_up(database: &mut SqliteConnection, statistics: &str) {
    database.execute("analyze").await.expect("makes the table");
    let indexes = "select m.tbl_name, i.name, (select count(*) from pragma_index_info(i.name))
        from sqlite_master as m join pragma_index_list(m.tbl_name) as i
        where m.type = 'table' and m.name like 'gristmill%'";
    for index in database.fetch_all(indexes).await.expect("lists them") {
        let (table, name): (String, String) = (index.get(0), index.get(1));
        let columns: i64 = index.get(2);
        let rows = match statistics {
            "empty" => 0,
            "tiny" => 1,
            "ten" => 10,
            "huge" => 5_000_000,
            _ => {
                i64::from(["job", "attempt", "result", "edge", "action"].iter().any(|kept| table.ends_with(kept)))
                    * 5_000_000
            }
        };
        let prefixes = (1..=columns).map(|column| if column == columns { 1.min(rows) } else { rows });
        let stat: Vec<String> = std::iter::once(rows).chain(prefixes).map(|number| number.to_string()).collect();
        let insert = format!("insert into sqlite_stat1 values ('{table}', '{name}', '{}')", stat.join(" "));
        database.execute(AssertSqlSafe(insert)).await.expect("makes them up");
    }
    database.execute("analyze sqlite_schema").await.expect("takes them in");
}

/// How each table is read, each way once. How a list that was given is laid out is not asked, as that reads nothing more; nor
/// whether an index is followed to the row's number: where statistics say that an instant has one propagation, those of
/// one instant and kind are walked over.
async fn plan(database: &mut SqliteConnection, statement: &str) -> Vec<String> {
    let explain = format!("explain query plan {}", bare(statement));
    let rows = database.fetch_all(AssertSqlSafe(explain)).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    let reads = |step: &String| step.starts_with("SEARCH ") || step.starts_with("SCAN ");
    let steps = rows.iter().map(|row| row.get::<String, _>(3)).filter(reads);
    let steps: BTreeSet<String> = steps.map(|step| step.replace(" AND rowid=?", "")).collect();
    steps.into_iter().collect()
}

/// The table that a step walks over, be it by an index that is made for the occasion; none where it is one of the
/// connection's own, a list that was given, or what the file says that it reads.
fn scanned(file: &File, statement: &str, step: &str) -> Option<String> {
    let mut words = step.split(' ');
    let walks = words.next() == Some("SCAN") || step.contains(" AUTOMATIC ");
    let name = words.next().filter(|_| walks && !step.contains("VIRTUAL TABLE"))?;
    let table = if name.starts_with("gristmill_") { name } else { of_alias(statement, name)? };
    // The view is made of what its tables are asked for.
    let is_view = table == "gristmill_jobs";
    (!is_view && !statement.contains(&format!("temp.{table}")) && !file.reads_all_of(table)).then(|| table.to_owned())
}

/// The table that a statement calls by another name.
fn of_alias<'a>(statement: &'a str, alias: &str) -> Option<&'a str> {
    statement.split(['\n', ',', '(', ')']).find_map(|line| {
        let (before, after) = line.split_once(" as ")?;
        let called = after.split_whitespace().next() == Some(alias);
        before.split_whitespace().next_back().filter(|table| called && table.starts_with("gristmill_"))
    })
}

//! Statements that are carried out by someone else, on a connection and in a transaction of theirs: Python on Django's.
//!
//! A [`Script`] is one verb to be carried out far away. A [`Hosted`] connection puts a [`Carrier`] under all the verbs
//! of a [`crate::Session`]: `Session::over(Box::new(Hosted::new(dialect, carrier)))`.

use std::time::SystemTime;

use gristmill_core::{Attempt, Moment};
use serde::Serialize;

use crate::connection::Answer;
use crate::statement::{File, Sql, file, split, sql};
use crate::verbs::finish::{Ends, FINISH, FINISH_REST};
use crate::{Bind, Connection, Dialect, Row};

/// Where `finish.sql` puts its attempts, on a dialect that has them in a temporary table.
static ENDED: Sql = sql!(some: "ended");

/// A verb as someone else is to carry it out: its statements in order, all with the same numbered binds.
#[derive(Clone, Debug, Serialize)]
pub struct Script {
    /// `$1` on PostgreSQL, `?1` on SQLite. A statement names its binds from 1 on without a gap, but perhaps not all.
    pub statements: Vec<&'static str>,
    /// JSON null, numbers and strings.
    pub binds: Vec<serde_json::Value>,
}

/// How to end one attempt in the handler's own transaction. The last statement gives the accepted attempt: no row (or,
/// packed, an empty list) is a token that is not the job's any more, and the transaction has to be undone.
pub fn finish(dialect: Dialect, attempt: &Attempt) -> Script {
    let ends = Ends::of(std::slice::from_ref(attempt));
    let made_once = ENDED.file_if_any(dialect).into_iter().flat_map(File::split);
    let mut statements: Vec<_> = made_once.chain(FINISH.file(dialect).split()).collect();
    if ends.some_go_on {
        let rest = FINISH_REST.file_if_any(dialect).into_iter().flat_map(File::split);
        statements.splice(statements.len() - 1..statements.len() - 1, rest);
    }
    Script { statements, binds: [ends.json, present(dialect)].iter().map(Bind::as_json).collect() }
}

/// Carries statements to someone else's connection, inside whatever transaction is open there.
///
/// Text stays text: a carrier whose driver turns dates into objects of its own (as Django's does with SQLite's
/// columns) turns them back, into UTC text.
pub trait Carrier: Send {
    /// Runs the statements one after another, all with the same binds, and gives all their rows.
    fn run<'a>(&'a mut self, statements: Vec<&'static str>, binds: &'a [Bind<'a>]) -> Answer<'a, Vec<Row>>;
    /// What a verb writes from here on is kept or undone together: a savepoint will do.
    fn begin(&mut self) -> Answer<'_, ()>;
    /// Keeps it.
    fn commit(&mut self) -> Answer<'_, ()>;
    /// Undoes it.
    fn rollback(&mut self) -> Answer<'_, ()>;
}

/// A [`Connection`] that someone else keeps. It sets nothing there and controls no transaction but by asking.
pub struct Hosted {
    dialect: Dialect,
    carrier: Box<dyn Carrier>,
    /// The temporary tables are there; a transaction that is undone takes it with it.
    prepared: bool,
}

impl Hosted {
    /// Over a carrier to a database that understands `dialect`.
    pub fn new(dialect: Dialect, carrier: Box<dyn Carrier>) -> Self {
        Self { dialect, carrier, prepared: dialect.scratch().is_empty() }
    }
}

impl Connection for Hosted {
    fn dialect(&self) -> Dialect {
        self.dialect
    }

    fn run<'a>(&'a mut self, sql: &'static str, binds: &'a [Bind<'a>]) -> Answer<'a, Vec<Row>> {
        Box::pin(async move {
            if !self.prepared {
                self.carrier.run(scratch(self.dialect).flat_map(split).collect(), &[]).await?;
                self.prepared = true;
            }
            self.carrier.run(split(sql), binds).await
        })
    }

    fn begin(&mut self) -> Answer<'_, ()> {
        self.carrier.begin()
    }

    fn commit(&mut self) -> Answer<'_, ()> {
        self.carrier.commit()
    }

    fn rollback(&mut self) -> Answer<'_, ()> {
        self.prepared = self.dialect.scratch().is_empty();
        self.carrier.rollback()
    }
}

/// The texts that make a dialect's temporary tables.
pub(crate) fn scratch(dialect: Dialect) -> impl Iterator<Item = &'static str> {
    dialect.scratch().iter().map(move |name| file(dialect, name).expect("it is in the dialect's folder").text)
}

/// The present, as a statement takes it: null where it reads the server's clock itself. Else it is this machine's: several
/// statements have to agree on it.
pub(crate) fn present(dialect: Dialect) -> Bind<'static> {
    if dialect.has_a_clock() { Bind::Null } else { Bind::Text(this_machines_clock().0.into()) }
}

pub(crate) fn this_machines_clock() -> Moment {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Moment::from_unix_micros(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
}

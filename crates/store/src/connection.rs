//! The seam below the verbs: one connection that runs one verb's SQL at a time.
//!
//! Binds and rows are our own plain values, so that a statement may also be carried out by someone else:
//! by Python on Django's own connection, or by a test that injects faults.

use std::future::Future;
use std::pin::Pin;

use crate::{Dialect, Result};

/// A value given to a statement. On PostgreSQL every bind travels as text and the SQL casts it
/// (`$1::bigint`), so that one prepared statement never meets two types. Lists travel as JSON text.
#[derive(Clone, Debug, PartialEq)]
pub enum Bind<'a> {
    /// SQL null.
    Null,
    /// A whole number.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// Text, JSON lists included.
    Text(std::borrow::Cow<'a, str>),
}

/// A value a statement gave back; read from JSON null, a number, text or a boolean.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// SQL null.
    Null,
    /// A whole number or a boolean.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// Text.
    Text(String),
}

impl Bind<'_> {
    /// As JSON: null, a number or a string.
    pub fn as_json(&self) -> serde_json::Value {
        match self {
            Self::Null => serde_json::Value::Null,
            Self::Int(int) => (*int).into(),
            Self::Float(float) => (*float).into(),
            Self::Text(text) => text.as_ref().into(),
        }
    }
}

impl From<&str> for Bind<'_> {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned().into())
    }
}

impl From<String> for Bind<'_> {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

/// The values of one row, in the order the statement names them.
pub type Row = Vec<Value>;

/// A future that a connection gives back.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// One connection to one database.
pub trait Connection: Send {
    /// Which SQL it understands.
    fn dialect(&self) -> Dialect;
    /// Runs one statement, or on SQLite several that stand one after another with the same binds, and gives all
    /// their rows: a driver that runs them in a thread of its own is woken once a verb.
    fn run<'a>(&'a mut self, sql: &'static str, binds: &'a [Bind<'a>]) -> Answer<'a, Vec<Row>>;
    /// Begins a transaction that may write at once (`begin immediate` on SQLite).
    fn begin(&mut self) -> Answer<'_, ()>;
    /// Commits it.
    fn commit(&mut self) -> Answer<'_, ()>;
    /// Undoes it.
    fn rollback(&mut self) -> Answer<'_, ()>;
}

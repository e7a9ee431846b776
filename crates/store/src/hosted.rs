//! Statements that are carried out by someone else, on a connection and in a transaction of theirs: Python on Django's.

use gristmill_core::Attempt;
use serde::Serialize;

use crate::Dialect;

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
pub fn finish(_dialect: Dialect, _attempt: &Attempt) -> Script {
    Script { statements: Vec::new(), binds: Vec::new() }
}

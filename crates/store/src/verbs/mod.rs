//! What the engine asks of a database, one verb a file.

mod claim;
mod control;
pub(crate) mod enqueue;
pub(crate) mod errands;
pub(crate) mod finish;
pub(crate) mod operate;
mod progress;
pub(crate) mod promote;
pub(crate) mod prune;
pub(crate) mod register;
mod rescue;
pub(crate) mod schedules;
pub(crate) mod survey;

use gristmill_core::{JobId, Token};
use serde::Serialize;

use crate::row::Fields;
use crate::{Bind, Error, Result, Row};

/// A list as one bind.
pub(crate) fn json<T: Serialize>(list: &T) -> Bind<'static> {
    serde_json::to_string(list).expect("plain structs have a JSON form").into()
}

fn id_and_token(row: Row) -> Result<(JobId, Token)> {
    let mut fields = Fields::of(row);
    Ok((fields.id()?, Token(fields.int()?)))
}

/// The one number that a verb gives.
fn count(mut rows: Vec<Row>) -> Result<u64> {
    let row = rows.pop().ok_or_else(|| Error::Refused("a verb gave no count".into()))?;
    Fields::of(row).int()
}

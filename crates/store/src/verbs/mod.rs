//! What the engine asks of a database, one verb a file.

mod cancel_requests;
mod claim;
pub(crate) mod enqueue;
pub(crate) mod finish;
mod note;
mod notice;
pub(crate) mod operate;
mod progress;
pub(crate) mod promote;
pub(crate) mod propagation;
pub(crate) mod prune;
pub(crate) mod pulse;
pub(crate) mod register;
mod rescue;
pub(crate) mod schedules;
pub(crate) mod survey;

use std::borrow::Cow;

use gristmill_core::{JobId, Token};
use serde::Serialize;

use crate::row::Fields;
use crate::{Bind, Error, Result, Row};

/// A list as one bind.
///
/// # Panics
/// Where it holds what has no JSON form.
pub fn json<T: Serialize>(list: &T) -> Bind<'static> {
    serde_json::to_string(list).expect("plain structs have a JSON form").into()
}

/// Text as every database takes it. PostgreSQL stores every character but NUL, and storing what happened must never fail.
fn storable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\\0").into() } else { text.into() }
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

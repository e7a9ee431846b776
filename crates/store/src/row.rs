//! Reads the values of a row in the order the statement names them.

use std::str::FromStr;

use gristmill_core::Moment;

use crate::{Error, Result, Row, Value};

/// The values of one row that have not been read yet.
pub(crate) struct Fields(std::vec::IntoIter<Value>);

impl Fields {
    pub(crate) fn of(row: Row) -> Self {
        Self(row.into_iter())
    }

    fn next(&mut self) -> Result<Value> {
        self.0.next().ok_or_else(|| refused("a row has too few columns"))
    }

    pub(crate) fn optional_int(&mut self) -> Result<Option<i64>> {
        match self.next()? {
            Value::Null => Ok(None),
            Value::Int(int) => Ok(Some(int)),
            other => Err(refused(&format!("expected a whole number, found {other:?}"))),
        }
    }

    /// A whole number that fits what the caller keeps it in.
    pub(crate) fn int<T: TryFrom<i64>>(&mut self) -> Result<T> {
        let int = self.optional_int()?.ok_or_else(|| refused("expected a whole number, found null"))?;
        T::try_from(int).map_err(|_| refused(&format!("{int} is out of range")))
    }

    pub(crate) fn optional_text(&mut self) -> Result<Option<String>> {
        match self.next()? {
            Value::Null => Ok(None),
            Value::Text(text) => Ok(Some(text)),
            other => Err(refused(&format!("expected text, found {other:?}"))),
        }
    }

    pub(crate) fn text(&mut self) -> Result<String> {
        self.optional_text()?.ok_or_else(|| refused("expected text, found null"))
    }

    pub(crate) fn moment(&mut self) -> Result<Moment> {
        self.text().map(Moment)
    }

    pub(crate) fn optional_moment(&mut self) -> Result<Option<Moment>> {
        Ok(self.optional_text()?.map(Moment))
    }

    pub(crate) fn optional_id<T: FromStr>(&mut self) -> Result<Option<T>> {
        let text = self.optional_text()?;
        text.map(|text| text.parse().map_err(|_| refused(&format!("{text:?} is not an id")))).transpose()
    }

    /// A job's or a worker's id.
    pub(crate) fn id<T: FromStr>(&mut self) -> Result<T> {
        self.optional_id()?.ok_or_else(|| refused("expected an id, found null"))
    }
}

/// Whether a statement answers all its rows in one, as a JSON list of lists. On SQLite the driver wakes a thread for
/// each row, which costs a busy worker more than the row itself.
pub(crate) fn is_packed(statement: &str) -> bool {
    statement.contains(")) as packed\n")
}

/// The rows that a packed one holds.
pub(crate) fn unpack(rows: Vec<Row>) -> Result<Vec<Row>> {
    let mut unpacked = Vec::new();
    for row in rows {
        let packed: Vec<Vec<Packed>> =
            serde_json::from_str(&Fields::of(row).text()?).map_err(|error| refused(&error.to_string()))?;
        unpacked.extend(packed.into_iter().map(|row| row.into_iter().map(Value::from).collect::<Row>()));
    }
    Ok(unpacked)
}

/// A value of a packed row.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Packed {
    Null,
    Int(i64),
    Float(f64),
    Text(String),
}

impl From<Packed> for Value {
    fn from(packed: Packed) -> Self {
        match packed {
            Packed::Null => Self::Null,
            Packed::Int(int) => Self::Int(int),
            Packed::Float(float) => Self::Float(float),
            Packed::Text(text) => Self::Text(text),
        }
    }
}

fn refused(why: &str) -> Error {
    Error::Refused(why.to_owned())
}

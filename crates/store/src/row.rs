//! Reads the values of a row in the order the statement names them.

use std::fmt;
use std::str::FromStr;

use gristmill_core::Moment;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};

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

    pub(crate) fn optional_float(&mut self) -> Result<Option<f64>> {
        match self.next()? {
            Value::Null => Ok(None),
            Value::Float(float) => Ok(Some(float)),
            // SQLite's JSON writes a whole number so.
            #[expect(clippy::cast_precision_loss)]
            Value::Int(int) => Ok(Some(int as f64)),
            other @ Value::Text(_) => Err(refused(&format!("expected a number, found {other:?}"))),
        }
    }

    pub(crate) fn bool(&mut self) -> Result<bool> {
        self.int::<i64>().map(|int| int != 0)
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

/// The rows that a packed one holds.
pub(crate) fn unpack(rows: Vec<Row>) -> Result<Vec<Row>> {
    let mut unpacked = Vec::new();
    for row in rows {
        let packed: Vec<Row> =
            serde_json::from_str(&Fields::of(row).text()?).map_err(|error| refused(&error.to_string()))?;
        unpacked.extend(packed);
    }
    Ok(unpacked)
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl Visitor<'_> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("null, a number, text or a boolean")
    }

    fn visit_unit<E>(self) -> std::result::Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, bool: bool) -> std::result::Result<Value, E> {
        Ok(Value::Int(bool.into()))
    }

    fn visit_i64<E>(self, int: i64) -> std::result::Result<Value, E> {
        Ok(Value::Int(int))
    }

    fn visit_u64<E: de::Error>(self, int: u64) -> std::result::Result<Value, E> {
        i64::try_from(int).map(Value::Int).map_err(E::custom)
    }

    fn visit_f64<E>(self, float: f64) -> std::result::Result<Value, E> {
        Ok(Value::Float(float))
    }

    fn visit_str<E>(self, text: &str) -> std::result::Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> std::result::Result<Value, E> {
        Ok(Value::Text(text))
    }
}

fn refused(why: &str) -> Error {
    Error::Refused(why.into())
}

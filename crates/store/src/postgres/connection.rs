//! Carries statements to a PostgreSQL server through sqlx.

use std::borrow::Cow;

use sqlx::error::DatabaseError;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Column, Executor, Row as _, TypeInfo};

use super::login;
use crate::connection::Answer;
use crate::{Bind, Connection, Dialect, Error, Result, Row, Server, Value, codes};

/// One connection to a PostgreSQL server.
pub(crate) struct Postgres(PgConnection);

impl Postgres {
    pub(crate) async fn open(server: &Server) -> Result<Self> {
        login::reach(server).await.map(|reached| Self(reached.connection))
    }
}

impl Connection for Postgres {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    fn run<'a>(&'a mut self, sql: &'static str, binds: &'a [Bind<'a>]) -> Answer<'a, Vec<Row>> {
        Box::pin(async move {
            let mut query = sqlx::query(sql);
            for bind in binds {
                query = query.bind(as_text(bind));
            }
            let rows = query.fetch_all(&mut self.0).await.map_err(error)?;
            rows.iter().map(values).collect()
        })
    }

    fn begin(&mut self) -> Answer<'_, ()> {
        self.control("begin")
    }

    fn commit(&mut self) -> Answer<'_, ()> {
        self.control("commit")
    }

    fn rollback(&mut self) -> Answer<'_, ()> {
        self.control("rollback")
    }
}

impl Postgres {
    fn control(&mut self, sql: &'static str) -> Answer<'_, ()> {
        Box::pin(async move { self.0.execute(sqlx::raw_sql(sql)).await.map(drop).map_err(error) })
    }
}

fn as_text<'a>(bind: &'a Bind<'_>) -> Option<Cow<'a, str>> {
    match bind {
        Bind::Null => None,
        Bind::Int(int) => Some(int.to_string().into()),
        Bind::Float(float) => Some(float.to_string().into()),
        Bind::Text(text) => Some(Cow::Borrowed(text)),
    }
}

fn values(row: &PgRow) -> Result<Row> {
    row.columns()
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let value = match column.type_info().name() {
                "INT8" => row.try_get::<Option<i64>, _>(index).map(|int| int.map(Value::Int)),
                "BOOL" => row.try_get::<Option<bool>, _>(index).map(|bool| bool.map(|bool| Value::Int(bool.into()))),
                "FLOAT8" => row.try_get::<Option<f64>, _>(index).map(|float| float.map(Value::Float)),
                _ => row.try_get::<Option<String>, _>(index).map(|text| text.map(Value::Text)),
            };
            value.map(|value| value.unwrap_or(Value::Null)).map_err(error)
        })
        .collect()
}

/// What the caller should do about it, by the server's SQLSTATE.
pub(super) fn error(error: sqlx::Error) -> Error {
    let Some(code) = error.as_database_error().and_then(DatabaseError::code) else {
        return match error {
            sqlx::Error::Configuration(why) => Error::Settings(why.to_string()),
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Error::Refused(error.to_string().into()),
            other => Error::Unavailable(other.to_string()),
        };
    };
    codes::postgres(&code).error(error.to_string())
}

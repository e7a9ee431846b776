//! Carries statements to a PostgreSQL server through sqlx.

use std::borrow::Cow;

use sqlx::error::DatabaseError;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow, PgSslMode};
use sqlx::{Column, ConnectOptions, Connection as _, Executor, Row as _, TypeInfo};

use crate::connection::Answer;
use crate::{Bind, Connection, Dialect, Error, Result, Row, Settings, Value};

/// What every engine session asks of the server when it connects.
///
/// The plan is pinned to nested loops over indexes. The tables that rows move through are small and often empty
/// when a statement is first planned; left alone, the planner then picks a sequential scan and keeps it while dead
/// rows pile up under someone's long transaction. One generic plan a statement makes that choice once and for all,
/// and the cost that a switched-off scan is given must not call the just-in-time compiler.
const PARAMETERS: [(&str, &str); 14] = [
    // Each statement sees what was committed before it, also what it has just waited for; locks rely on that.
    ("default_transaction_isolation", "read committed"),
    ("timezone", "UTC"),
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("enable_bitmapscan", "off"),
    ("plan_cache_mode", "force_generic_plan"),
    ("jit", "off"),
    // A lock that someone forgot must not freeze a worker: its loops try again.
    ("lock_timeout", "5s"),
    // A worker that stops between begin and commit holds row locks that others skip, so not for long.
    ("idle_in_transaction_session_timeout", "15s"),
    // The server notices within 25 s that a worker's host is gone, and frees what it held.
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "25s"),
];

/// One connection to a PostgreSQL server.
pub(crate) struct Postgres(PgConnection);

impl Postgres {
    pub(crate) async fn open(settings: &Settings) -> Result<Self> {
        let mut connection = options(settings)?.connect().await.map_err(error)?;
        let standby: bool =
            sqlx::query_scalar("select pg_is_in_recovery()").fetch_one(&mut connection).await.map_err(error)?;
        if standby {
            let _ = connection.close().await;
            // Passing: in a failover the name that leads here will soon lead to the new primary.
            return Err(Error::Unavailable(
                "the server is a standby: it cannot be written to; connect to the primary".into(),
            ));
        }
        Ok(Self(connection))
    }
}

/// How to connect, from settings that are for PostgreSQL.
pub(crate) fn options(settings: &Settings) -> Result<PgConnectOptions> {
    let Settings::Postgres { host, port, user, password, name, sslmode, sslrootcert } = settings else {
        return Err(Error::Settings("these settings are not for PostgreSQL".into()));
    };
    // Without the password file: whoever made the settings has looked there.
    let mut options =
        PgConnectOptions::new_without_pgpass().database(name).application_name("gristmill").options(PARAMETERS);
    if let Some(host) = host.as_deref().filter(|host| !host.is_empty()) {
        options = if host.starts_with('/') { options.socket(host) } else { options.host(host) };
    }
    if let Some(port) = port {
        options = options.port(*port);
    }
    if let Some(user) = user.as_deref().filter(|user| !user.is_empty()) {
        options = options.username(user);
    }
    if let Some(password) = password {
        options = options.password(password);
    }
    if let Some(sslmode) = sslmode {
        let mode: PgSslMode = sslmode.parse().map_err(|_| Error::Settings(format!("unknown sslmode {sslmode:?}")))?;
        options = options.ssl_mode(mode);
    }
    if let Some(certificate) = sslrootcert {
        options = options.ssl_root_cert(certificate);
    }
    Ok(options.disable_statement_logging())
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

/// What the caller should do about it, by the class of the server's SQLSTATE.
pub(super) fn error(error: sqlx::Error) -> Error {
    let Some(code) = error.as_database_error().and_then(DatabaseError::code) else {
        return match error {
            sqlx::Error::Configuration(why) => Error::Settings(why.to_string()),
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Error::Refused(error.to_string()),
            other => Error::Unavailable(other.to_string()),
        };
    };
    // Connection exceptions, a server that stops, too few resources, serialization, deadlock, lock time-out,
    // read-only (a demoted primary), cancelled, and a transaction that was ended under us.
    let passing = ["08", "57P0", "53", "40001", "40P01", "55P03", "25006", "57014", "25P03"];
    if passing.iter().any(|prefix| code.starts_with(prefix)) {
        Error::Unavailable(error.to_string())
    } else {
        Error::Refused(error.to_string())
    }
}

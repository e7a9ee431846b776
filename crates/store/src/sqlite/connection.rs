//! Carries statements to a SQLite file through sqlx, which keeps a thread for each connection.

use std::path::Path;
use std::time::Duration;

use sqlx::error::DatabaseError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow, SqliteSynchronous};
use sqlx::{ConnectOptions, Executor, Row as _, TypeInfo, ValueRef};

use crate::connection::Answer;
use crate::hosted::SCRATCH;
use crate::settings::Synchronous;
use crate::{Bind, Connection, Dialect, Error, Result, Row, Value};

/// How long a statement waits for another writer: a transactional task may hold the file for a while.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// One connection to a SQLite file.
pub(crate) struct Sqlite(SqliteConnection);

impl Sqlite {
    pub(crate) async fn open(path: &Path, synchronous: Synchronous) -> Result<Self> {
        let mut connection = connect(path, synchronous).await?;
        let mode: String = sqlx::query_scalar("pragma journal_mode").fetch_one(&mut connection).await.map_err(error)?;
        if mode != "wal" {
            return Err(Error::Schema(format!(
                "{} is not in WAL mode, so a worker and the web would block each other; \
                 run manage.py migrate (or gristmill migrate), which sets it",
                path.display()
            )));
        }
        for table in SCRATCH {
            connection.execute(table).await.map_err(error)?;
        }
        Ok(Self(connection))
    }
}

/// Refuses a path that cannot name one file for every process.
pub(crate) fn check_path(path: &Path) -> Result<()> {
    if path.is_absolute() {
        Ok(())
    } else {
        Err(Error::Settings(format!("{:?} is not the absolute path of a SQLite file", path.display().to_string())))
    }
}

/// Makes the file if it is missing and sets WAL mode, which stays with the file. True: it was not set.
pub(crate) async fn turn_wal_on(path: &Path) -> Result<bool> {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true).busy_timeout(BUSY_TIMEOUT);
    let mut connection = options.disable_statement_logging().connect().await.map_err(error)?;
    let before: String = sqlx::query_scalar("pragma journal_mode").fetch_one(&mut connection).await.map_err(error)?;
    let after: String =
        sqlx::query_scalar("pragma journal_mode = wal").fetch_one(&mut connection).await.map_err(error)?;
    if after != "wal" {
        return Err(Error::Schema(format!("{} cannot be put in WAL mode; is it on a network disk?", path.display())));
    }
    Ok(before != after)
}

async fn connect(path: &Path, synchronous: Synchronous) -> Result<SqliteConnection> {
    // SQLite would say "unable to open database file". Asking the file system opens no descriptor: closing one of
    // the database file drops every lock that SQLite holds on it in this process.
    if !path.exists() {
        return Err(Error::Schema(format!(
            "there is no database at {}; run manage.py migrate (or gristmill migrate)",
            path.display()
        )));
    }
    let synchronous = match synchronous {
        Synchronous::Normal => SqliteSynchronous::Normal,
        Synchronous::Full => SqliteSynchronous::Full,
    };
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .busy_timeout(BUSY_TIMEOUT)
        .synchronous(synchronous)
        // The thread hands rows over one by one; with room for all of a batch it need not wait for their reader.
        .row_buffer_size(1_000)
        .disable_statement_logging()
        .connect()
        .await
        .map_err(error)
}

impl Connection for Sqlite {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    fn run<'a>(&'a mut self, sql: &'static str, binds: &'a [Bind<'a>]) -> Answer<'a, Vec<Row>> {
        Box::pin(async move {
            let mut query = sqlx::query(sql);
            for bind in binds {
                query = match bind {
                    Bind::Null => query.bind(None::<String>),
                    Bind::Int(int) => query.bind(*int),
                    Bind::Float(float) => query.bind(*float),
                    Bind::Text(text) => query.bind(text.as_ref()),
                };
            }
            let rows = query.fetch_all(&mut self.0).await.map_err(error)?;
            rows.iter().map(values).collect()
        })
    }

    fn begin(&mut self) -> Answer<'_, ()> {
        // A deferred transaction that has read fails at its first write if someone else has committed since.
        self.control("begin immediate")
    }

    fn commit(&mut self) -> Answer<'_, ()> {
        self.control("commit")
    }

    fn rollback(&mut self) -> Answer<'_, ()> {
        self.control("rollback")
    }
}

impl Sqlite {
    fn control(&mut self, sql: &'static str) -> Answer<'_, ()> {
        Box::pin(async move { self.0.execute(sqlx::query(sql)).await.map(drop).map_err(error) })
    }
}

fn values(row: &SqliteRow) -> Result<Row> {
    (0..row.len())
        .map(|index| {
            let raw = row.try_get_raw(index).map_err(error)?;
            if raw.is_null() {
                return Ok(Value::Null);
            }
            // The value's own type, not the column's: an expression has none.
            let value = match raw.type_info().name() {
                "INTEGER" => row.try_get_unchecked(index).map(Value::Int),
                "REAL" => row.try_get_unchecked(index).map(Value::Float),
                _ => row.try_get_unchecked(index).map(Value::Text),
            };
            value.map_err(error)
        })
        .collect()
}

/// What the caller should do about it, by SQLite's primary result code.
fn error(error: sqlx::Error) -> Error {
    const BUSY: i32 = 5;
    const LOCKED: i32 = 6;
    const INPUT_OUTPUT: i32 = 10;
    const FULL: i32 = 13;
    const CANNOT_OPEN: i32 = 14;
    let code = error.as_database_error().and_then(DatabaseError::code).and_then(|code| code.parse::<i32>().ok());
    match code.map(|extended| extended & 0xff) {
        Some(BUSY | LOCKED | INPUT_OUTPUT | FULL | CANNOT_OPEN) => Error::Unavailable(error.to_string()),
        Some(_) => Error::Refused(error.to_string()),
        None => match error {
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Error::Refused(error.to_string()),
            other => Error::Unavailable(other.to_string()),
        },
    }
}

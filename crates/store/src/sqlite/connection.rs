//! Carries statements to a SQLite file through sqlx, which keeps a thread for each connection.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::error::DatabaseError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow, SqliteSynchronous};
use sqlx::{ConnectOptions, Executor, Row as _, TypeInfo, ValueRef};

use crate::connection::Answer;
use crate::hosted::scratch;
use crate::settings::Synchronous;
use crate::{Bind, Connection, Dialect, Error, Result, Row, Value, codes};

/// How long a statement waits for another writer: a transactional task may hold the file for a while.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// One connection to a SQLite file.
pub(crate) struct Sqlite {
    connection: SqliteConnection,
    file: Opened,
    in_transaction: bool,
}

impl Sqlite {
    pub(crate) async fn open(path: &Path, synchronous: Synchronous) -> Result<Self> {
        let before = Opened::at(path);
        let mut connection = connect(path, synchronous).await?;
        let file = before.ok_or_else(|| Error::Unavailable(format!("{} has just come to be", path.display())))?;
        file.is_still_there()?;
        let mode: String = sqlx::query_scalar("pragma journal_mode").fetch_one(&mut connection).await.map_err(error)?;
        if mode != "wal" {
            return Err(Error::Schema(format!(
                "{} is not in WAL mode, so a worker and the web would block each other; \
                 run manage.py migrate (or gristmill migrate), which sets it",
                path.display()
            )));
        }
        for table in scratch(Dialect::Sqlite) {
            connection.execute(table).await.map_err(error)?;
        }
        Ok(Self { connection, file, in_transaction: false })
    }
}

/// A file by its name and by what has that name.
struct Opened {
    path: PathBuf,
    file: (u64, u64),
}

impl Opened {
    fn at(path: &Path) -> Option<Self> {
        Some(Self { path: path.to_owned(), file: identity(path)? })
    }

    /// Refuses a file that was replaced, moved or deleted. SQLite goes on with the one that it has opened, whatever its
    /// name; whoever restored another one wants nothing of that.
    fn is_still_there(&self) -> Result<()> {
        let path = self.path.display();
        match identity(&self.path) {
            Some(file) if file == self.file => Ok(()),
            Some(_) => Err(Error::Moved(format!(
                "{path} is another file than this worker has opened: someone has replaced or restored it; \
                 start the worker again"
            ))),
            None => Err(Error::Moved(format!(
                "{path} is gone: someone has moved or deleted it; put it back, or run manage.py migrate, \
                 and start the worker again"
            ))),
        }
    }
}

// Of the name alone: no descriptor is opened, as closing one would drop SQLite's locks.
fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|named| (named.dev(), named.ino()))
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
            if !self.in_transaction {
                self.file.is_still_there()?;
            }
            let mut query = sqlx::query(sql);
            for bind in binds {
                query = match bind {
                    Bind::Null => query.bind(None::<String>),
                    Bind::Int(int) => query.bind(*int),
                    Bind::Float(float) => query.bind(*float),
                    Bind::Text(text) => query.bind(text.as_ref()),
                };
            }
            let rows = query.fetch_all(&mut self.connection).await.map_err(error)?;
            rows.iter().map(values).collect()
        })
    }

    fn begin(&mut self) -> Answer<'_, ()> {
        Box::pin(async move {
            self.file.is_still_there()?;
            // A deferred transaction that has read fails at its first write if someone else has committed since.
            self.control("begin immediate").await?;
            self.in_transaction = true;
            Ok(())
        })
    }

    fn commit(&mut self) -> Answer<'_, ()> {
        self.in_transaction = false;
        self.control("commit")
    }

    fn rollback(&mut self) -> Answer<'_, ()> {
        self.in_transaction = false;
        self.control("rollback")
    }
}

impl Sqlite {
    fn control(&mut self, sql: &'static str) -> Answer<'_, ()> {
        Box::pin(async move { self.connection.execute(sqlx::query(sql)).await.map(drop).map_err(error) })
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

/// What the caller should do about it, by SQLite's result code.
fn error(error: sqlx::Error) -> Error {
    let code = error.as_database_error().and_then(DatabaseError::code).and_then(|code| code.parse().ok());
    match code {
        Some(code) => codes::sqlite(code).error(error.to_string()),
        None => match error {
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Error::Refused(error.to_string().into()),
            other => Error::Unavailable(other.to_string()),
        },
    }
}

//! The SQL files of a verb, one for each database.

use std::sync::OnceLock;

use crate::Dialect;

/// One verb's SQL, as it is kept in `postgres/<verb>.sql` and `sqlite/<verb>.sql`.
pub(crate) struct Sql {
    postgres: &'static str,
    sqlite: &'static str,
    sqlite_statements: OnceLock<Vec<&'static str>>,
}

impl Sql {
    pub(crate) const fn new(postgres: &'static str, sqlite: &'static str) -> Self {
        Self { postgres, sqlite, sqlite_statements: OnceLock::new() }
    }

    /// What to run, in order, with the same binds for each. PostgreSQL does every verb in one statement.
    pub(crate) fn statements(&'static self, dialect: Dialect) -> &'static [&'static str] {
        match dialect {
            Dialect::Postgres => std::slice::from_ref(&self.postgres),
            Dialect::Sqlite => self.sqlite_statements.get_or_init(|| split(self.sqlite)),
        }
    }
}

/// A file's statements: each ends with a semicolon and an empty line; nothing else separates them.
pub(crate) fn split(file: &'static str) -> Vec<&'static str> {
    file.split(";\n\n").map(str::trim).filter(|statement| !statement.is_empty()).collect()
}

/// The SQL files named after a verb.
macro_rules! sql {
    ($name:literal) => {
        $crate::statement::Sql::new(
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/postgres/", $name, ".sql")),
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/sqlite/", $name, ".sql")),
        )
    };
}
pub(crate) use sql;

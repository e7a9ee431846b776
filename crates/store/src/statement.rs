//! The SQL files of a verb, one for each database.

use crate::Dialect;

/// One verb's SQL, as it is kept in `postgres/<verb>.sql` and `sqlite/<verb>.sql`.
pub(crate) struct Sql {
    postgres: &'static str,
    sqlite: &'static str,
}

impl Sql {
    pub(crate) const fn new(postgres: &'static str, sqlite: &'static str) -> Self {
        Self { postgres, sqlite }
    }

    /// What to run.
    pub(crate) fn text(&self, dialect: Dialect) -> &'static str {
        match dialect {
            Dialect::Postgres => self.postgres,
            Dialect::Sqlite => self.sqlite,
        }
    }

    /// Whether it is several statements, which need a transaction around them. PostgreSQL does every verb in one.
    pub(crate) fn is_several(&self, dialect: Dialect) -> bool {
        split(self.text(dialect)).nth(1).is_some()
    }
}

/// A file's statements: each ends with a semicolon and an empty line; nothing else separates them.
pub(crate) fn split(file: &'static str) -> impl Iterator<Item = &'static str> {
    file.split(";\n\n").map(str::trim).filter(|statement| !statement.is_empty())
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

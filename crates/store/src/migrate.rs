//! The migrations, as plain SQL kept once for Rust and Django.

use crate::Dialect;

/// One step of the schema. The same numbers and names exist for every database.
pub struct Migration {
    /// 1, 2, 3 …
    pub version: u32,
    /// `0001_initial`.
    pub name: &'static str,
    postgres: &'static str,
    sqlite: &'static str,
}

impl Migration {
    /// Its statements, in order.
    pub fn statements(&self, dialect: Dialect) -> Vec<&'static str> {
        let text = match dialect {
            Dialect::Postgres => self.postgres,
            Dialect::Sqlite => self.sqlite,
        };
        text.split(";\n\n").map(str::trim).filter(|statement| !statement.is_empty()).collect()
    }
}

/// All of them, oldest first.
pub const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "0001_initial",
    postgres: include_str!("../migrations/postgres/0001_initial.sql"),
    sqlite: include_str!("../migrations/sqlite/0001_initial.sql"),
}];

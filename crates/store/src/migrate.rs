//! The migrations, as plain SQL kept once for Rust and Django; and what `gristmill_schema` says of a database.

use crate::row::Fields;
use crate::statement::{Sql, split, sql};
use crate::{Dialect, Error, Result, Session, Settings, Store};

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
        split(match dialect {
            Dialect::Postgres => self.postgres,
            Dialect::Sqlite => self.sqlite,
        })
        .collect()
    }
}

/// All of them, oldest first.
pub const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "0001_initial",
    postgres: include_str!("../migrations/postgres/0001_initial.sql"),
    sqlite: include_str!("../migrations/sqlite/0001_initial.sql"),
}];

/// What [`Store::migrate`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Migrated {
    /// Names of the migrations that were missing and are applied now.
    pub applied: Vec<&'static str>,
    /// The SQLite file was put in WAL mode, and stays in it.
    pub wal_turned_on: bool,
}

const HOW: &str = "run manage.py migrate (or gristmill migrate)";

static EXISTS: Sql = sql!("schema_exists");
static VERSION: Sql = sql!("schema_version");
static DUMP: Sql = sql!("schema_dump");
static LOCK: Sql = sql!("schema_lock");

impl Store {
    /// Applies the migrations that are missing, each in a transaction of its own. Two who migrate at once apply each
    /// of them once.
    pub async fn migrate(&self) -> Result<Migrated> {
        let mut migrated = Migrated::default();
        #[cfg(feature = "sqlite")]
        if let Settings::Sqlite { path, .. } = self.settings() {
            migrated.wal_turned_on = crate::sqlite::turn_wal_on(path).await?;
        }
        let mut session = self.connect().await?;
        for migration in MIGRATIONS {
            session.begin().await?;
            let applied = apply(&mut session, migration).await;
            if session.end(applied).await? {
                migrated.applied.push(migration.name);
            }
        }
        Ok(migrated)
    }
}

impl Session {
    /// What the database itself says of Gristmill's tables, indexes and views, in one order whoever made them.
    pub async fn dump_schema(&mut self) -> Result<String> {
        let mut dump = String::new();
        for row in self.carry_out(&DUMP, &[]).await? {
            dump.push_str(&Fields::of(row).text()?);
            dump.push('\n');
        }
        Ok(dump)
    }
}

/// Applies a migration unless someone has. True: it was missing.
async fn apply(session: &mut Session, migration: &Migration) -> Result<bool> {
    session.run(&LOCK, &[]).await?;
    if version(session).await?.is_some_and(|version| version >= migration.version) {
        return Ok(false);
    }
    for statement in migration.statements(session.dialect()) {
        session.connection.run(statement, &[]).await?;
    }
    Ok(true)
}

/// Refuses a database whose tables this program does not know.
pub(crate) async fn check(session: &mut Session) -> Result<()> {
    let known = MIGRATIONS.last().map_or(0, |migration| migration.version);
    match version(session).await? {
        None => Err(Error::Schema(format!("the database has no Gristmill tables; {HOW}"))),
        Some(found) if found < known => Err(Error::Schema(format!(
            "the database's Gristmill tables are of version {found} and this program needs version {known}; {HOW}"
        ))),
        Some(found) if found > known => Err(Error::Schema(format!(
            "the database's Gristmill tables are of version {found} and this program knows version {known}; \
             upgrade this program"
        ))),
        Some(_) => Ok(()),
    }
}

/// The newest migration that was applied; none when there is not even the table that would say so.
async fn version(session: &mut Session) -> Result<Option<u32>> {
    if session.run(&EXISTS, &[]).await?.is_empty() {
        return Ok(None);
    }
    let rows = session.run(&VERSION, &[]).await?;
    rows.into_iter().map(|row| Fields::of(row).int()).next().transpose()
}

//! The migrations, as plain SQL kept once for Rust and Django; and what `gristmill_schema` says of a database.

use crate::row::Fields;
use crate::statement::{File, Sql, file, sql};
use crate::{Dialect, Error, Result, Session, Settings, Store, Whereabouts};

/// One step of the schema. The same numbers and names exist for every database.
pub struct Migration {
    /// 1, 2, 3 …
    pub version: u32,
    /// `0001_initial`.
    pub name: &'static str,
    /// The files of it in `sql/<dialect>/migrations`, in order.
    files: &'static [&'static str],
}

impl Migration {
    /// The migration's statements, in order.
    pub fn statements(&self, dialect: Dialect) -> Vec<&'static str> {
        self.files.iter().filter_map(|name| file(dialect, name)).flat_map(File::split).collect()
    }
}

/// Every migration, oldest first.
pub const MIGRATIONS: &[Migration] =
    &[Migration { version: 1, name: "0001_initial", files: &["migrations/0001_initial", "migrations/0001_routines"] }];

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
/// A SQLite file is one place, and has no roles.
pub(crate) static WHEREABOUTS: Sql = sql!(some: "whereabouts");

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
    /// Where the session is; nothing on SQLite, whose file is one place for all.
    pub async fn whereabouts(&mut self) -> Result<Option<Whereabouts>> {
        if WHEREABOUTS.file_if_any(self.dialect()).is_none() {
            return Ok(None);
        }
        let row = self.carry_out(&WHEREABOUTS, &[]).await?.pop();
        let mut fields = Fields::of(row.ok_or_else(|| Error::Refused("a session was nowhere".into()))?);
        Ok(Some(Whereabouts {
            database: fields.text()?,
            schema: fields.text()?,
            table: fields.text()?,
            role: fields.text()?,
            encrypted: fields.bool()?,
        }))
    }

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
pub async fn check(session: &mut Session) -> Result<()> {
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

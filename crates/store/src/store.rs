//! Knows how to reach one database, and opens what the engine needs of it.

use gristmill_core::WorkerId;

use crate::life::{LifeLock, Lives};
#[cfg(feature = "postgres")]
use crate::postgres;
#[cfg(feature = "sqlite")]
use crate::sqlite;
use crate::{Connection, Result, Session, Settings, WakeUps, migrate};

/// Knows how to reach one database; cheap to clone.
#[derive(Clone)]
pub struct Store {
    settings: Settings,
}

impl Store {
    /// Checks the settings; opens nothing yet.
    pub fn new(settings: Settings) -> Result<Self> {
        match &settings {
            #[cfg(feature = "postgres")]
            Settings::Postgres(server) => postgres::check(server)?,
            #[cfg(feature = "sqlite")]
            Settings::Sqlite { path, .. } => sqlite::check_path(path)?,
            #[allow(unreachable_patterns)]
            _ => return Err(crate::Error::Settings("this build does not speak to that database".into())),
        }
        Ok(Self { settings })
    }

    /// Opens a session and checks that the schema is the one this program knows.
    pub async fn open(&self) -> Result<Session> {
        let mut session = self.connect().await?;
        migrate::check(&mut session).await?;
        Ok(session)
    }

    /// Starts to watch for commits of others; see [`WakeUps`].
    pub async fn wake_ups(&self) -> Result<WakeUps> {
        WakeUps::of(&self.settings).await
    }

    /// Shows that `worker` lives until the lock is dropped or this process ends, however it ends. Take it before
    /// [`Session::register`]: others judge a worker on SQLite by its lock alone. Nothing to hold on PostgreSQL.
    pub fn hold_life(&self, worker: WorkerId) -> Result<LifeLock> {
        match &self.settings {
            Settings::Postgres(_) => Ok(LifeLock::none()),
            Settings::Sqlite { path, .. } => Lives::beside(path).hold(worker),
        }
    }

    /// A session whose schema nobody has checked.
    pub(crate) async fn connect(&self) -> Result<Session> {
        let connection: Box<dyn Connection> = match &self.settings {
            #[cfg(feature = "postgres")]
            Settings::Postgres(server) => Box::new(postgres::Postgres::open(server).await?),
            #[cfg(feature = "sqlite")]
            Settings::Sqlite { path, synchronous } => Box::new(sqlite::Sqlite::open(path, *synchronous).await?),
            #[allow(unreachable_patterns)]
            _ => unreachable!("refused by Store::new"),
        };
        let mut session = Session::over(connection);
        if let Settings::Sqlite { path, .. } = &self.settings {
            session.lives = Some(Lives::beside(path));
        }
        Ok(session)
    }

    /// Which database it is, and how it is reached.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }
}

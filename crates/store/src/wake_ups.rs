//! Tells when someone may have enqueued.

#[cfg(feature = "postgres")]
use crate::postgres::Notifications;
#[cfg(feature = "sqlite")]
use crate::sqlite::Commits;
use crate::{Error, Result, Settings};

/// Hints that new jobs may be there. A hint is never needed for correctness: polling is the truth.
///
/// PostgreSQL: a NOTIFY on channel `gristmill`. SQLite: the header of the write-ahead log's index changed.
pub struct WakeUps(Source);

enum Source {
    #[cfg(feature = "postgres")]
    Notifications(Notifications),
    #[cfg(feature = "sqlite")]
    Commits(Commits),
}

impl WakeUps {
    pub(crate) async fn of(settings: &Settings) -> Result<Self> {
        match settings {
            #[cfg(feature = "postgres")]
            Settings::Postgres(server) => Notifications::listen(server).await.map(Source::Notifications).map(Self),
            #[cfg(feature = "sqlite")]
            Settings::Sqlite { path, .. } => Ok(Self(Source::Commits(Commits::of(path)))),
            #[allow(unreachable_patterns)]
            _ => Err(Error::Settings("this build does not speak to that database".into())),
        }
    }

    /// Waits for the next hint. Cancel safe. An error means: open a new one after a while, poll meanwhile.
    pub async fn next(&mut self) -> Result<()> {
        match &mut self.0 {
            #[cfg(feature = "postgres")]
            Source::Notifications(notifications) => notifications.next().await,
            #[cfg(feature = "sqlite")]
            Source::Commits(commits) => {
                commits.next().await;
                Ok(())
            }
        }
    }
}

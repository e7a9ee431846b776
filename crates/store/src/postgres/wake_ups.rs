//! Hears the notifications that enqueuers send after their commit.

use sqlx::postgres::{PgListener, PgPoolOptions};

use super::connection::{error, options};
use crate::{Error, Result, Settings};

/// A connection of its own that listens.
pub(crate) struct Notifications(PgListener);

impl Notifications {
    pub(crate) async fn listen(settings: &Settings) -> Result<Self> {
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .max_lifetime(None)
            .idle_timeout(None)
            .connect_with(options(settings)?)
            .await
            .map_err(error)?;
        let mut listener = PgListener::connect_with(&pool).await.map_err(error)?;
        // A lost connection is told, not mended in silence: the caller looks at once and listens anew.
        listener.eager_reconnect(false);
        listener.listen("gristmill").await.map_err(error)?;
        Ok(Self(listener))
    }

    pub(crate) async fn next(&mut self) -> Result<()> {
        match self.0.try_recv().await.map_err(error)? {
            Some(_) => {
                // Many notifications are one hint.
                while self.0.next_buffered().is_some() {}
                Ok(())
            }
            None => Err(Error::Unavailable("the connection that listens for wake-ups was closed".into())),
        }
    }
}

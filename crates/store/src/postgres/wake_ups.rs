//! Hears the notifications that enqueuers send after their commit.

use sqlx::Connection as _;
use sqlx::postgres::{PgListener, PgPoolOptions};

use super::connection::error;
use super::login;
use crate::{Error, Result, Server};

/// A connection of its own that listens.
pub(crate) struct Notifications(PgListener);

impl Notifications {
    pub(crate) async fn listen(server: &Server) -> Result<Self> {
        // Found out with a session of its own: the driver's listener takes one way to the server, and no list of them.
        let reached = login::reach(server).await?;
        let _ = reached.connection.close().await;
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .max_lifetime(None)
            .idle_timeout(None)
            .connect_with(reached.options)
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

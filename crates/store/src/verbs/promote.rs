//! Moves scheduled jobs whose date has come to ready.

use std::time::Duration;

use crate::row::Fields;
use crate::statement::{Sql, sql};
use crate::{Bind, Error, Result, Session};

/// What one promotion did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promoted {
    /// Jobs that are ready now.
    pub moved: u64,
    /// How long until the next scheduled job is due; zero when some may be due already, `None` when there is none.
    pub next_due: Option<Duration>,
}

/// Makes ready what is due.
pub static PROMOTE: Sql = sql!("promote");

impl Session {
    /// Moves at most `limit` due jobs, earliest first, skipping what another worker is moving.
    pub async fn promote(&mut self, limit: u32) -> Result<Promoted> {
        let binds = [self.now(), Bind::Int(limit.into())];
        let mut rows = self.carry_out(&PROMOTE, &binds).await?;
        let mut fields = Fields::of(rows.pop().ok_or_else(|| Error::Refused("promote gave no count".into()))?);
        let moved = fields.int()?;
        let next_due = fields.optional_int()?.map(|millis| Duration::from_millis(millis.try_into().unwrap_or(0)));
        Ok(Promoted { moved, next_due })
    }
}

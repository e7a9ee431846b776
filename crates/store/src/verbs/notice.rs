//! Who tells of failures of one cause.

use gristmill_core::{JobId, Moment};

use crate::statement::{Sql, sql};
use crate::{Result, Session};

static NOTICE: Sql = sql!("notice");

impl Session {
    /// Whether it is for the caller to tell of this cause in this hour: for one of all who ask, if they commit.
    pub async fn notice(&mut self, fingerprint: &str, hour: &Moment, job: JobId) -> Result<bool> {
        let binds = [fingerprint.to_owned().into(), hour.0.clone().into(), job.to_string().into()];
        self.carry_out(&NOTICE, &binds).await.map(|rows| !rows.is_empty())
    }
}

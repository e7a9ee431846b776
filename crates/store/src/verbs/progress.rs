//! What running handlers say of themselves.

use std::borrow::Cow;
use std::collections::BTreeMap;

use gristmill_core::{JobId, Progress, Token};
use serde::Serialize;

use crate::statement::{Sql, sql};
use crate::verbs::json;
use crate::verbs::storable;
use crate::{Result, Session};

static PROGRESS: Sql = sql!("progress");

impl Session {
    /// Writes the newest of each; one whose token is not the running row's changes nothing.
    pub async fn progress(&mut self, said: &[Progress]) -> Result<()> {
        // In order of the jobs, so that two workers never wait for each other; the last that each said.
        let newest: BTreeMap<_, _> = said.iter().map(|said| ((said.job, said.token), Said::of(said))).collect();
        let newest: BTreeMap<_, _> = newest.into_iter().map(|((job, _), said)| (job, said)).collect();
        let binds = [json(&newest.values().collect::<Vec<_>>()), self.now()];
        self.carry_out(&PROGRESS, &binds).await.map(drop)
    }
}

/// What `progress.sql` reads.
#[derive(Serialize)]
struct Said<'a> {
    job: JobId,
    token: Token,
    done: Option<f64>,
    total: Option<f64>,
    message: Option<Cow<'a, str>>,
    metadata: Option<Cow<'a, str>>,
}

impl<'a> Said<'a> {
    fn of(said: &'a Progress) -> Self {
        Self {
            job: said.job,
            token: said.token,
            done: said.done,
            total: said.total,
            message: said.message.as_deref().map(storable),
            metadata: said.metadata.as_deref().map(storable),
        }
    }
}

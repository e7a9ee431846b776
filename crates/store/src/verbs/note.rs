//! What is said of attempts after they have ended.

use std::borrow::Cow;
use std::collections::BTreeMap;

use gristmill_core::{JobId, Note, Token};
use serde::Serialize;

use crate::statement::{Sql, sql};
use crate::verbs::json;
use crate::verbs::storable;
use crate::{Result, Session};

static NOTE: Sql = sql!("note");

impl Session {
    /// Adds lines to the output of attempts that have ended; one that is not there gets nothing.
    pub async fn note(&mut self, notes: &[Note]) -> Result<()> {
        // In order of the attempts, so that two workers never wait for each other; each of them once.
        let mut lines: BTreeMap<(JobId, Token), Cow<'_, str>> = BTreeMap::new();
        for note in notes {
            let so_far = lines.entry((note.job, note.token)).or_default();
            *so_far += storable(&note.text);
        }
        let lines: Vec<_> = lines.iter().map(|(&(job, token), text)| Lines { job, token, text }).collect();
        self.carry_out(&NOTE, &[json(&lines)]).await.map(drop)
    }
}

/// What `note.sql` reads.
#[derive(Serialize)]
struct Lines<'a> {
    job: JobId,
    token: Token,
    text: &'a str,
}

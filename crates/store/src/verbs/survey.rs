//! Finds out where there are ready jobs, and whether propagations are due.

use std::time::Duration;

use gristmill_core::{ClaimCursor, Lane};

use crate::row::Fields;
use crate::statement::{Sql, sql};
use crate::verbs::claim::latest;
use crate::verbs::count;
use crate::{Bind, Result, Session};

/// Cursors that one statement looks for.
const PAGE: usize = 1_000;
/// Pages of one survey: enough for 20,000 cursors, and a bound on what a runaway number of task names can cost.
const PAGES: usize = 20;

static SURVEY: Sql = sql!("survey");
static COUNT_READY: Sql = sql!("count_ready");

/// What there is to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// A cursor for each lane and priority that may be claimed from, before its first job.
    pub cursors: Vec<ClaimCursor>,
    /// Propagations are due; see [`Session::propagate`].
    pub propagations: bool,
    /// Something is under way that may make jobs ready without anybody enqueueing: a propagation, due or put off, an
    /// attempt whose end a job waits for, or one of a worker that is suspected or gone. Asked by
    /// [`Session::survey_to_end`] alone.
    pub under_way: bool,
}

impl Session {
    /// A cursor for each lane and priority that has a ready job with a deadline no later than `horizon` from now, and whose queue is not paused.
    /// Costs one index probe a cursor, however many jobs are behind it.
    pub async fn survey(&mut self, horizon: Option<Duration>) -> Result<Survey> {
        self.look_around(horizon, false).await
    }

    /// The same for who ends when all is done: of the same moment it also says whether something is under way.
    pub async fn survey_to_end(&mut self, horizon: Option<Duration>) -> Result<Survey> {
        let mut found = self.look_around(horizon, true).await?;
        if found.cursors.is_empty() && !found.under_way {
            found.under_way = self.is_left_by_the_dead().await?;
        }
        Ok(found)
    }

    async fn look_around(&mut self, horizon: Option<Duration>, to_end: bool) -> Result<Survey> {
        let mut found: Vec<(ClaimCursor, bool)> = Vec::new();
        let (mut propagations, mut under_way) = (false, false);
        for _ in 0..PAGES {
            let (lane, priority) = found.last().map_or_else(before_all, |(last, _)| (last.lane.clone(), last.priority));
            let given = [
                lane.backend.into(),
                lane.queue_name.into(),
                lane.task_name.into(),
                Bind::Int(priority.into()),
                Bind::Int(i64::try_from(PAGE).unwrap_or(i64::MAX)),
                self.now(),
                latest(horizon),
                Bind::Int(to_end.into()),
            ];
            let page = self.carry_out(&SURVEY, &given).await?;
            let full = page.len() == PAGE;
            for row in page {
                let mut fields = Fields::of(row);
                propagations |= fields.bool()?;
                under_way |= fields.bool()?;
                found.extend(cursor(fields)?);
            }
            if !full {
                break;
            }
        }
        let cursors = found.into_iter().filter(|(_, is_closed)| !is_closed).map(|(cursor, _)| cursor).collect();
        Ok(Survey { cursors, propagations, under_way })
    }
}

impl Session {
    /// How many jobs of a lane are ready, counted to `limit`.
    pub async fn count_ready(&mut self, lane: &Lane, limit: u32) -> Result<u64> {
        let binds = [
            lane.backend.as_str().into(),
            lane.queue_name.as_str().into(),
            lane.task_name.as_str().into(),
            Bind::Int(limit.into()),
        ];
        count(self.carry_out(&COUNT_READY, &binds).await?)
    }
}

fn before_all() -> (Lane, i16) {
    (Lane { backend: String::new(), queue_name: String::new(), task_name: String::new() }, i16::MIN)
}

/// A cursor, and whether it is closed: its queue is paused, or its first job is beyond the horizon.
fn cursor(mut fields: Fields) -> Result<Option<(ClaimCursor, bool)>> {
    let Some(backend) = fields.optional_text()? else { return Ok(None) };
    let cursor = ClaimCursor {
        lane: Lane { backend, queue_name: fields.text()?, task_name: fields.text()? },
        priority: fields.int()?,
        deadline: fields.moment()?,
        id: None,
    };
    Ok(Some((cursor, fields.bool()?)))
}

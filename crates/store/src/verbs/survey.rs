//! Finds out which bands have ready jobs, and whether errands are due.

use std::time::Duration;

use gristmill_core::{Band, Lane};

use crate::row::Fields;
use crate::statement::{Sql, sql};
use crate::verbs::claim::latest;
use crate::{Bind, Result, Session};

/// Bands that one statement looks for.
const PAGE: usize = 1_000;
/// Pages of one survey: enough for 20,000 bands, and a bound on what a runaway number of task names can cost.
const PAGES: usize = 20;

static SURVEY: Sql = sql!("survey");

/// What there is to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Every band that may be claimed from, marked at its first job.
    pub bands: Vec<Band>,
    /// Errands are due; see [`Session::work_off`].
    pub errands: bool,
}

impl Session {
    /// Every band that has a ready job with a deadline no later than `horizon` from now, and whose queue is not paused.
    /// Costs one index probe a band, however many jobs are in it.
    pub async fn survey(&mut self, horizon: Option<Duration>) -> Result<Survey> {
        let mut found: Vec<(Band, bool)> = Vec::new();
        let mut errands = false;
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
            ];
            let page = self.carry_out(&SURVEY, &given).await?;
            let full = page.len() == PAGE;
            for row in page {
                let mut fields = Fields::of(row);
                errands |= fields.bool()?;
                found.extend(band(fields)?);
            }
            if !full {
                break;
            }
        }
        let bands = found.into_iter().filter(|(_, is_closed)| !is_closed).map(|(band, _)| band).collect();
        Ok(Survey { bands, errands })
    }
}

fn before_all() -> (Lane, i16) {
    (Lane { backend: String::new(), queue_name: String::new(), task_name: String::new() }, i16::MIN)
}

/// A band, and whether it is closed: its queue is paused, or its first job is beyond the horizon.
fn band(mut fields: Fields) -> Result<Option<(Band, bool)>> {
    let Some(backend) = fields.optional_text()? else { return Ok(None) };
    let band = Band {
        lane: Lane { backend, queue_name: fields.text()?, task_name: fields.text()? },
        priority: fields.int()?,
        deadline: fields.moment()?,
        id: None,
    };
    Ok(Some((band, fields.bool()?)))
}

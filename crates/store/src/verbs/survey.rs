//! Finds out which bands have ready jobs.

use std::time::Duration;

use gristmill_core::{Band, Lane};

use crate::row::Fields;
use crate::statement::{Sql, sql};
use crate::{Bind, Result, Row, Session};

/// Bands that one statement looks for.
const PAGE: usize = 1_000;
/// Pages of one survey: enough for 20,000 bands, and a bound on what a runaway number of task names can cost.
const PAGES: usize = 20;

/// What a survey found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// The bands.
    pub bands: Vec<Band>,
    /// Some errand is due.
    pub errands: bool,
}

static SURVEY: Sql = sql!("survey");

impl Session {
    /// Every band that has a ready job and whose queue is not paused, marked at its first one. Costs one index probe a band, however many
    /// jobs are in it.
    pub async fn survey(&mut self, _horizon: Option<Duration>) -> Result<Survey> {
        let mut found: Vec<(Band, bool)> = Vec::new();
        for _ in 0..PAGES {
            let (lane, priority) = found.last().map_or_else(before_all, |(last, _)| (last.lane.clone(), last.priority));
            let given = [
                lane.backend.into(),
                lane.queue_name.into(),
                lane.task_name.into(),
                Bind::Int(priority.into()),
                Bind::Int(i64::try_from(PAGE).unwrap_or(i64::MAX)),
            ];
            let page = self.carry_out(&SURVEY, &given).await?;
            let full = page.len() == PAGE;
            found.extend(page.into_iter().map(band).collect::<Result<Vec<_>>>()?);
            if !full {
                break;
            }
        }
        let bands = found.into_iter().filter(|(_, is_paused)| !is_paused).map(|(band, _)| band).collect();
        Ok(Survey { bands, errands: false })
    }
}

fn before_all() -> (Lane, i16) {
    (Lane { backend: String::new(), queue_name: String::new(), task_name: String::new() }, i16::MIN)
}

/// A band, and whether its queue is paused.
fn band(row: Row) -> Result<(Band, bool)> {
    let mut fields = Fields::of(row);
    let band = Band {
        lane: Lane { backend: fields.text()?, queue_name: fields.text()?, task_name: fields.text()? },
        priority: fields.int()?,
        deadline: fields.moment()?,
        id: None,
    };
    Ok((band, fields.bool()?))
}

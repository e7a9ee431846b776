//! Puts jobs in place.

use gristmill_core::{JobId, Lane, Moment, OnFailure, UniqueUntil, cycle};
use serde::Serialize;

use crate::row::Fields;
use crate::statement::{Sql, sql};
use crate::verbs::json;
use crate::{Error, Result, Row, Session};

/// A job to be asked for.
#[derive(Clone, Debug, Serialize)]
pub struct NewJob {
    /// Its id.
    pub id: JobId,
    /// Where it queues up.
    #[serde(flatten)]
    pub lane: Lane,
    /// -100 to 100; larger first.
    pub priority: i16,
    /// Not before this date.
    pub run_after: Option<Moment>,
    /// A JSON array.
    pub args: String,
    /// A JSON object.
    pub kwargs: String,
    /// A JSON object of options.
    #[serde(rename = "options")]
    pub options_json: Option<String>,
    /// Orders work of one priority; `None` is seven days after it is due.
    pub deadline: Option<Moment>,
    /// While a job holds this key, no other with it is made.
    pub unique_key: Option<String>,
    /// Until when it holds the key.
    pub unique_until: UniqueUntil,
    /// Jobs that it waits for; each once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<JobId>,
    /// How many of them have to be done; `None` is all.
    pub needed: Option<u32>,
    /// What it means when too many of them fail.
    pub on_failure: OnFailure,
    /// Kept back until someone releases it.
    pub held: bool,
}

impl NewJob {
    /// A job of a fresh id, due at once, with these positional arguments (a JSON array) and everything else the default.
    pub fn new(lane: Lane, args: impl Into<String>) -> Self {
        Self {
            id: JobId::new(),
            lane,
            priority: 0,
            run_after: None,
            args: args.into(),
            kwargs: "{}".into(),
            options_json: None,
            deadline: None,
            unique_key: None,
            unique_until: UniqueUntil::Started,
            after: Vec::new(),
            needed: None,
            on_failure: OnFailure::Strand,
            held: false,
        }
    }
}

/// What became of requests for jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enqueued {
    /// When, by the database's clock.
    pub at: Moment,
    /// The job that each request got, in their order, and whether it had been there: then it has the unique key, and
    /// none was made.
    pub jobs: Vec<(JobId, bool)>,
}

/// How often it looks again for who took a key while it looked.
const LOOKS: usize = 10;

pub(crate) static ENQUEUE: Sql = sql!("enqueue");

impl Session {
    /// Enqueues all of them in one transaction; those whose unique key was being taken meanwhile, in the next. They may
    /// wait for each other, but not in a circle. Refused as a whole where one waits for a job that is not there.
    pub async fn enqueue(&mut self, jobs: &[NewJob]) -> Result<Enqueued> {
        let edges = jobs.iter().flat_map(|job| job.after.iter().map(|&precondition| (job.id, precondition)));
        if let Some(circle) = cycle(edges) {
            let circle: Vec<String> = circle.iter().map(ToString::to_string).collect();
            return Err(Error::Cycle(circle.join(" waits for ")));
        }
        let (at, mut got) = self.enqueue_once(jobs).await?;
        for _ in 1..LOOKS {
            let open: Vec<usize> = (0..got.len()).filter(|&at| got[at].is_none()).collect();
            if open.is_empty() {
                break;
            }
            let again: Vec<NewJob> = open.iter().map(|&at| jobs[at].clone()).collect();
            let (_, found) = self.enqueue_once(&again).await?;
            for (at, found) in open.into_iter().zip(found) {
                got[at] = found;
            }
        }
        let jobs: Option<Vec<_>> = got.into_iter().collect();
        // Nothing is lost: those that are there have their ids, and asking again for these is refused.
        let jobs = jobs.ok_or_else(|| Error::Refused("a unique key changed hands again and again".into()))?;
        Ok(Enqueued { at, jobs })
    }

    async fn enqueue_once(&mut self, jobs: &[NewJob]) -> Result<Got> {
        // Only what waits can be refused after something was written.
        if jobs.iter().all(|job| job.after.is_empty()) {
            let rows = self.carry_out(&ENQUEUE, &[json(&jobs), self.now()]).await?;
            return enqueued(rows, jobs.len());
        }
        self.begin().await?;
        let answer = self.run(&ENQUEUE, &[json(&jobs), self.now()]).await;
        let answer = answer.and_then(|rows| enqueued(rows, jobs.len()));
        self.end(answer).await
    }
}

/// The moment, and the job that each request got, if any.
pub(super) type Got = (Moment, Vec<Option<(JobId, bool)>>);

pub(super) fn enqueued(rows: Vec<Row>, asked: usize) -> Result<Got> {
    let (mut at, mut got) = (None, Vec::with_capacity(rows.len()));
    for row in rows {
        let mut fields = Fields::of(row);
        at = Some(fields.moment()?);
        let id: Option<JobId> = fields.optional_id()?;
        let existing = fields.bool()?;
        if let Some(unknown) = fields.optional_id()? {
            return Err(Error::UnknownJob(unknown));
        }
        got.push(id.map(|id| (id, existing)));
    }
    // No job gives the moment alone.
    got.truncate(asked);
    if got.len() < asked {
        return Err(Error::Refused("enqueue gave too few jobs".into()));
    }
    Ok((at.ok_or_else(|| Error::Refused("enqueue gave no moment".into()))?, got))
}

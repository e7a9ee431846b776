//! Puts jobs in place.

use std::collections::{BTreeSet, HashMap, HashSet};

use gristmill_core::{JobId, Lane, Moment, OnPreconditionFailure, UniqueUntil, cycle};
use serde::Serialize;

use crate::row::Fields;
use crate::statement::{Sql, sql};
use crate::verbs::json;
use crate::{Bind, Error, Result, Row, Session};

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
    /// Not before so many seconds after its enqueue, where it has no date.
    pub run_delay: Option<f64>,
    /// A JSON array.
    pub args: String,
    /// A JSON object.
    pub kwargs: String,
    /// A JSON object of options.
    #[serde(rename = "options")]
    pub options_json: Option<String>,
    /// Orders work of one priority; `None` is seven days after it is due.
    pub deadline: Option<Moment>,
    /// So many seconds after its enqueue, where it has no date.
    pub deadline_delay: Option<f64>,
    /// While a job holds this key, no other with it is made.
    pub unique_key: Option<String>,
    /// Until when it holds the key.
    pub unique_until: UniqueUntil,
    /// So many seconds after the enqueue it keeps nobody away any more, whatever has become of it; `None` is no bound.
    pub unique_period: Option<f64>,
    /// How long its result is kept, in seconds; `None` is as long as the worker says.
    pub retention: Option<f64>,
    /// What becomes of a job that has its key; `None` leaves it to itself, without looking.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_conflict: Option<OnConflict>,
    /// Jobs that it waits for; each once.
    #[serde(skip)]
    pub after: Vec<JobId>,
    /// How many of them have to be done; `None` is all.
    #[serde(skip)]
    pub needed: Option<u32>,
    /// What it means when too many of them fail.
    #[serde(skip)]
    pub on_precondition_failure: OnPreconditionFailure,
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
            run_delay: None,
            args: args.into(),
            kwargs: "{}".into(),
            options_json: None,
            deadline: None,
            deadline_delay: None,
            unique_key: None,
            unique_until: UniqueUntil::Started,
            unique_period: None,
            retention: None,
            on_conflict: None,
            after: Vec::new(),
            needed: None,
            on_precondition_failure: OnPreconditionFailure::Strand,
            held: false,
        }
    }
}

/// What an enqueue does with a waiting job that has its key. What the job waits for stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnConflict {
    /// Leaves it, but for an earlier date, which moves it earlier.
    Keep,
    /// Gives one that has not started the new arguments, options, priority and dates; one that has only comes earlier.
    Replace,
}

/// The job that has a key, locked where it waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its key.
    pub key: String,
    /// The job.
    pub id: JobId,
    /// Whether [`OnConflict::Replace`] would give it other arguments.
    pub may_be_replaced: bool,
    /// A JSON array.
    pub args: String,
    /// A JSON object.
    pub kwargs: String,
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

static ENQUEUE_ONE: Sql = sql!("enqueue_one");
static ENQUEUE: Sql = sql!("enqueue");
static ENQUEUE_GATES: Sql = sql!("enqueue_gates");
static UNKNOWN_JOBS: Sql = sql!("unknown_jobs");
static CONFLICT: Sql = sql!("conflict");
static HOLDERS: Sql = sql!("holders");

/// A job among others of one request.
#[derive(Serialize)]
struct Asked<'a> {
    #[serde(flatten)]
    job: &'a NewJob,
    waits: bool,
    awaited: bool,
}

/// What a job waits for.
#[derive(Serialize)]
struct Gate {
    jobs: [JobId; 1],
    after: Vec<JobId>,
    after_new: Vec<JobId>,
    needed: Option<u32>,
    on_precondition_failure: OnPreconditionFailure,
}

impl Session {
    /// Enqueues all of them in one transaction; those whose unique key was being taken meanwhile, in the next. They may
    /// wait for each other, but not in a circle. Refused as a whole where one waits for a job that is not there, or has a date
    /// beyond the ends of time.
    pub async fn enqueue(&mut self, jobs: &[NewJob]) -> Result<Enqueued> {
        for job in jobs {
            for (what, date) in [("run_after", &job.run_after), ("deadline", &job.deadline)] {
                if let Some(date) = date.as_ref().filter(|date| !date.is_a_date()) {
                    return Err(Error::NoDate { what, date: date.clone() });
                }
            }
        }
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
        if let [job] = jobs
            && let Some(at) = self.enqueue_one(job).await?
        {
            return Ok((at, vec![Some((job.id, false))]));
        }
        // Only what waits can be refused after something was written.
        if jobs.iter().all(|job| job.after.is_empty() && job.on_conflict.is_none()) {
            let rows = self.carry_out(&ENQUEUE, &[asked(jobs), self.now(), Bind::Null]).await?;
            return got(rows, jobs);
        }
        self.begin().await?;
        let answer = self.enqueue_within(jobs, self.now()).await;
        self.end(answer).await
    }

    /// Gives the moment at which the job was asked for; `None` where another job has its key.
    async fn enqueue_one(&mut self, job: &NewJob) -> Result<Option<Moment>> {
        let text = |text: &Option<String>| text.clone().map_or(Bind::Null, Bind::from);
        let moment = |moment: &Option<Moment>| moment.clone().map_or(Bind::Null, |moment| moment.0.into());
        let float = |number: Option<f64>| number.map_or(Bind::Null, Bind::Float);
        let binds = [
            job.id.to_string().into(),
            job.lane.backend.clone().into(),
            job.lane.queue_name.clone().into(),
            job.lane.task_name.clone().into(),
            Bind::Int(job.priority.into()),
            job.args.clone().into(),
            job.kwargs.clone().into(),
            text(&job.options_json),
            moment(&job.run_after),
            float(job.run_delay),
            moment(&job.deadline),
            float(job.deadline_delay),
            float(job.retention),
            Bind::Int(job.held.into()),
            text(&job.unique_key),
            job.unique_until.word().into(),
            float(job.unique_period),
            if job.after.is_empty() { Bind::Null } else { json(&job.after) },
            job.needed.map_or(Bind::Null, |needed| Bind::Int(needed.into())),
            job.on_precondition_failure.word().into(),
            self.now(),
        ];
        let row = self.carry_out(&ENQUEUE_ONE, &binds).await?.pop();
        let mut fields = Fields::of(row.ok_or_else(|| Error::Refused("enqueue_one gave no answer".into()))?);
        let is_made = fields.bool()?;
        let (at, _due_at, _is_idle) = (fields.optional_moment()?, fields.optional_moment()?, fields.bool()?);
        if let Some(unknown) = fields.optional_text()? {
            let unknown: Vec<JobId> =
                serde_json::from_str(&unknown).map_err(|error| Error::Refused(error.to_string().into()))?;
            return Err(Error::UnknownJob(unknown[0]));
        }
        Ok(at.filter(|_| is_made))
    }

    /// Enqueues jobs in the transaction that is open; an error leaves it to be undone.
    pub async fn enqueue_within(&mut self, jobs: &[NewJob], now: Bind<'static>) -> Result<Got> {
        let rows = self.run(&ENQUEUE, &[asked(jobs), now, Bind::Null]).await?;
        let (at, mut got) = got(rows, jobs)?;
        let made: HashSet<JobId> = got.iter().flatten().filter(|(_, existing)| !existing).map(|(id, _)| *id).collect();
        self.gate_within(jobs, &made, &at).await?;
        let conflicts: Vec<&NewJob> = jobs
            .iter()
            .zip(&got)
            .filter(|(job, got)| job.on_conflict.is_some() && got.is_none_or(|(id, _)| !made.contains(&id)))
            .map(|(job, _)| job)
            .collect();
        if !conflicts.is_empty() {
            let met: HashMap<String, Option<JobId>> = self.conflict_within(&conflicts).await?.into_iter().collect();
            for (job, got) in jobs.iter().zip(&mut got) {
                if let Some(holder) = job.unique_key.as_ref().and_then(|key| met.get(key)) {
                    *got = holder.map(|id| (id, true));
                }
            }
        }
        Ok((at, got))
    }

    async fn gate_within(&mut self, jobs: &[NewJob], made: &HashSet<JobId>, at: &Moment) -> Result<()> {
        let gates: Vec<Gate> = jobs
            .iter()
            .filter(|job| !job.after.is_empty() && made.contains(&job.id))
            .map(|job| {
                let each: BTreeSet<JobId> = job.after.iter().copied().collect();
                let (after_new, after) = each.into_iter().partition(|id| made.contains(id));
                Gate {
                    jobs: [job.id],
                    after,
                    after_new,
                    needed: job.needed,
                    on_precondition_failure: job.on_precondition_failure,
                }
            })
            .collect();
        if gates.is_empty() {
            return Ok(());
        }
        let old: Vec<&JobId> = gates.iter().flat_map(|gate| &gate.after).collect();
        if let Some(row) = self.run(&UNKNOWN_JOBS, &[json(&old)]).await?.into_iter().next() {
            return Err(Error::UnknownJob(Fields::of(row).id()?));
        }
        self.run(&ENQUEUE_GATES, &[json(&gates), at.0.clone().into()]).await.map(drop)
    }

    /// Settles with the jobs that have the keys of these, as each asks for, in the transaction that is open. Gives each
    /// key with the job that has it, which stays locked until the transaction ends; `None`: it has moved on or the key
    /// is free, so enqueue again.
    async fn conflict_within(&mut self, jobs: &[&NewJob]) -> Result<Vec<(String, Option<JobId>)>> {
        let rows = self.run(&CONFLICT, &[json(&jobs), self.now()]).await?;
        rows.into_iter()
            .map(|row| {
                let mut fields = Fields::of(row);
                Ok((fields.text()?, fields.optional_id()?))
            })
            .collect()
    }

    /// Merges: gives `merge` each job that has one of these keys, and settles with what it makes of the request, all in
    /// one transaction. Gives each key with the job that has it; `None`: enqueue again.
    pub async fn merge(
        &mut self,
        jobs: &[NewJob],
        merge: impl Fn(&Holder, &NewJob) -> NewJob,
    ) -> Result<Vec<(String, Option<JobId>)>> {
        self.begin().await?;
        let answer = self.merge_within(jobs, merge).await;
        self.end(answer).await
    }

    async fn merge_within(
        &mut self,
        jobs: &[NewJob],
        merge: impl Fn(&Holder, &NewJob) -> NewJob,
    ) -> Result<Vec<(String, Option<JobId>)>> {
        let keys: Vec<&String> = jobs.iter().filter_map(|job| job.unique_key.as_ref()).collect();
        let rows = self.run(&HOLDERS, &[json(&keys)]).await?;
        let holders: Vec<Holder> = rows.into_iter().map(Holder::of).collect::<Result<_>>()?;
        let merged: Vec<NewJob> = jobs
            .iter()
            .map(|job| {
                let holder = holders.iter().find(|holder| job.unique_key.as_ref() == Some(&holder.key));
                match holder.filter(|holder| holder.may_be_replaced) {
                    Some(holder) => NewJob { on_conflict: Some(OnConflict::Replace), ..merge(holder, job) },
                    None => NewJob { on_conflict: Some(OnConflict::Keep), ..job.clone() },
                }
            })
            .collect();
        self.conflict_within(&merged.iter().collect::<Vec<_>>()).await
    }
}

impl Holder {
    fn of(row: Row) -> Result<Self> {
        let mut fields = Fields::of(row);
        Ok(Self {
            key: fields.text()?,
            id: fields.id()?,
            may_be_replaced: fields.bool()?,
            args: fields.text()?,
            kwargs: fields.text()?,
        })
    }
}

/// The moment, and the job that each request got, if any.
pub(super) type Got = (Moment, Vec<Option<(JobId, bool)>>);

fn asked(jobs: &[NewJob]) -> Bind<'static> {
    let awaited: HashSet<&JobId> = jobs.iter().flat_map(|job| &job.after).collect();
    let asked = |job| Asked { job, waits: !job.after.is_empty(), awaited: awaited.contains(&job.id) };
    json(&jobs.iter().map(asked).collect::<Vec<_>>())
}

/// Of the rows of `enqueue.sql`: the first has the moment, each other a job that was not made.
fn got(rows: Vec<Row>, jobs: &[NewJob]) -> Result<Got> {
    let (mut at, mut left) = (None, HashMap::new());
    for row in rows {
        let mut fields = Fields::of(row);
        let moment = fields.optional_moment()?;
        if let Some(id) = fields.optional_id::<JobId>()? {
            left.insert(id, fields.optional_id()?.map(|holder: JobId| (holder, true)));
        }
        at = moment.or(at);
    }
    let got = jobs.iter().map(|job| left.remove(&job.id).unwrap_or(Some((job.id, false)))).collect();
    Ok((at.ok_or_else(|| Error::Refused("enqueue gave no moment".into()))?, got))
}

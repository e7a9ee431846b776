//! What becomes of the ticks of schedules that are locked: written down with their jobs, in the transaction that is open.

use std::collections::HashSet;
use std::time::Duration;

use gristmill_core::schedule::{Definition, Fate, JobTemplate, Look, Micros, Overlap, Standing, Tick, jitter};
use gristmill_core::{JobId, Lane, Moment};
use serde::Serialize;

use super::tick::Ticked;
use crate::row::Fields;
use crate::statement::{Sql, sql};
use crate::verbs::json;
use crate::verbs::storable;
use crate::{Bind, NewJob, Result, Session};

static BUSY_SCHEDULES: Sql = sql!("busy_schedules");
static RECORD_TICKS: Sql = sql!("record_ticks");
static SKIP_TICKS: Sql = sql!("skip_ticks");
/// Writes down how far schedules have come.
pub static MARK_SCHEDULES: Sql = sql!("mark_schedules");

/// So many ticks are enough for one transaction: the schedules behind them stay due. The last one may go beyond.
const TICKS_AT_ONCE: usize = 2_000;
/// Jobs and ticks in one statement.
const ROWS_AT_ONCE: usize = 1_000;

/// A schedule that this transaction has locked.
pub(super) struct Locked {
    pub(super) name: String,
    pub(super) task_name: String,
    pub(super) definition: String,
    pub(super) job: String,
    pub(super) created_at: Moment,
    pub(super) high_water: Option<Moment>,
}

impl Session {
    /// Settles what these schedules owe up to `now`, in the transaction that has locked them. Gives what it did, and how
    /// many of them, from the first on, it came to.
    pub(super) async fn settle_ticks_within(
        &mut self,
        backend: &str,
        due: &[Locked],
        now: &Moment,
    ) -> Result<(Ticked, usize)> {
        let read: Vec<_> = due.iter().map(Locked::definition).collect();
        let wary = due.iter().zip(&read).filter(|(_, read)| read.as_ref().is_ok_and(Defined::is_wary));
        let busy = self.busy_within(backend, &wary.map(|(locked, _)| &*locked.name).collect::<Vec<_>>()).await?;
        let (mut ticks, mut marks) = (Vec::new(), Vec::new());
        for (locked, read) in due.iter().zip(&read) {
            if ticks.len() >= TICKS_AT_ONCE {
                break;
            }
            let looked = read.as_ref().map_err(Clone::clone).and_then(|defined| {
                let look = defined.definition.look(locked.standing(now, busy.contains(&locked.name))?);
                Ok((defined, look.map_err(|error| error.to_string())?))
            });
            marks.push(Mark::of(locked, looked.as_ref().map(|(_, look)| look)));
            if let Ok((defined, look)) = looked {
                ticks.extend(look.ticks.iter().map(|tick| Made::of(backend, locked, defined, *tick, now)));
            }
        }
        if marks.is_empty() {
            return Ok((Ticked::default(), 0));
        }
        let ticked = self.make_within(backend, ticks, now).await?;
        self.mark_within(backend, &marks).await?;
        Ok((ticked, marks.len()))
    }

    async fn busy_within(&mut self, backend: &str, names: &[&str]) -> Result<HashSet<String>> {
        if names.is_empty() {
            return Ok(HashSet::new());
        }
        let rows = self.run(&BUSY_SCHEDULES, &[backend.into(), json(&names)]).await?;
        rows.into_iter().map(|row| Fields::of(row).text()).collect()
    }

    /// Writes ticks down, and enqueues the jobs of those that were not there.
    async fn make_within(&mut self, backend: &str, mut ticks: Vec<Made>, now: &Moment) -> Result<Ticked> {
        let mut new = HashSet::new();
        for some in ticks.chunks(ROWS_AT_ONCE) {
            let binds = [backend.into(), json(&some), Bind::from(now.0.clone())];
            for row in self.run(&RECORD_TICKS, &binds).await? {
                let mut fields = Fields::of(row);
                new.insert((fields.text()?, fields.moment()?));
            }
        }
        ticks.retain(|tick| new.contains(&(tick.schedule.clone(), tick.nominal.clone())));
        let recorded = ticks.len() as u64;
        let mut jobs: Vec<NewJob> = ticks.into_iter().filter_map(|tick| tick.job).collect();
        // Keys are taken in their order, so that two who enqueue never wait for each other in a circle.
        jobs.sort_by(|one, other| one.unique_key.cmp(&other.unique_key));
        let asked = jobs.len() as u64;
        let mut refused = Vec::new();
        for some in jobs.chunks(ROWS_AT_ONCE) {
            let (_, got) = self.enqueue_within(some, Bind::from(now.0.clone())).await?;
            let made = |got: &Option<(JobId, bool)>| matches!(got, Some((_, false)));
            refused.extend(some.iter().zip(&got).filter(|(_, got)| !made(got)).map(|(job, _)| job.id));
        }
        if !refused.is_empty() {
            self.run(&SKIP_TICKS, &[json(&refused)]).await?;
        }
        let jobs = asked - refused.len() as u64;
        Ok(Ticked { jobs, skipped: recorded - jobs, ..Ticked::default() })
    }

    pub(super) async fn mark_within(&mut self, backend: &str, marks: &[Mark<'_>]) -> Result<()> {
        self.run(&MARK_SCHEDULES, &[backend.into(), json(&marks)]).await.map(drop)
    }
}

impl Locked {
    /// Reads the columns that `due_schedules.sql` and `schedules.sql` begin with.
    pub(super) fn read(fields: &mut Fields) -> Result<Self> {
        Ok(Self {
            name: fields.text()?,
            task_name: fields.text()?,
            definition: fields.text()?,
            job: fields.text()?,
            created_at: fields.moment()?,
            high_water: fields.optional_moment()?,
        })
    }

    pub(super) fn has_key(&self) -> bool {
        self.definition().is_ok_and(|defined| defined.job.unique_key.is_some())
    }

    fn definition(&self) -> Result<Defined, String> {
        let definition = serde_json::from_str(&self.definition).map_err(|error| unreadable("definition", &error))?;
        let job: JobTemplate = serde_json::from_str(&self.job).map_err(|error| unreadable("job", &error))?;
        // The database would refuse such a job, in words that help nobody.
        if !(-100..=100).contains(&job.priority) {
            return Err(format!("the priority of its jobs is {}, not between -100 and 100", job.priority));
        }
        Ok(Defined { definition, job })
    }

    fn standing(&self, now: &Moment, busy: bool) -> Result<Standing, String> {
        let micros = |moment: &Moment| moment.unix_micros().ok_or_else(|| format!("{moment:?} is no moment"));
        let high_water = self.high_water.as_ref().map(micros).transpose()?;
        Ok(Standing { created_at: micros(&self.created_at)?, high_water, now: micros(now)?, busy })
    }
}

fn unreadable(what: &str, error: &serde_json::Error) -> String {
    format!("its {what} cannot be read: {error}")
}

/// A stored schedule that makes sense so far.
struct Defined {
    definition: Definition,
    job: JobTemplate,
}

impl Defined {
    /// Whether it matters that the job of an earlier tick has not ended.
    fn is_wary(&self) -> bool {
        self.definition.overlap == Overlap::Skip
    }

    fn job(&self, backend: &str, schedule: &Locked, nominal: Micros, now: Micros) -> NewJob {
        let Self { definition, job } = self;
        let after =
            |delay: Duration| nominal.saturating_add(Micros::try_from(delay.as_micros()).unwrap_or(Micros::MAX));
        let due = after(jitter(&schedule.name, nominal, definition.jitter()));
        let lane =
            Lane { backend: backend.into(), queue_name: job.queue_name.clone(), task_name: schedule.task_name.clone() };
        let mut options = job.options.clone().unwrap_or_default();
        let says = serde_json::json!({
            "name": schedule.name,
            "nominal": Moment::from_unix_micros(nominal),
            "datetime_kwarg": definition.datetime_kwarg,
        });
        options.insert("schedule".into(), says);
        NewJob {
            priority: job.priority,
            run_after: (due > now).then(|| Moment::from_unix_micros(due)),
            kwargs: definition.kwargs.clone(),
            options_json: Some(serde_json::Value::Object(options).to_string()),
            deadline: job.deadline_after().map(|delay| Moment::from_unix_micros(after(delay))),
            unique_key: job.unique_key.clone(),
            unique_until: job.unique_until.unwrap_or_default(),
            unique_period: job.unique_period,
            retention: job.retention,
            held: job.held,
            ..NewJob::new(lane, definition.args.clone())
        }
    }
}

/// A tick as it is written down.
#[derive(Serialize)]
struct Made {
    schedule: String,
    nominal: Moment,
    job_id: Option<JobId>,
    skipped: Option<&'static str>,
    #[serde(skip)]
    job: Option<NewJob>,
}

impl Made {
    fn of(backend: &str, schedule: &Locked, defined: &Defined, tick: Tick, now: &Moment) -> Self {
        let now = now.unix_micros().unwrap_or(tick.nominal);
        let (job, skipped) = match tick.fate {
            Fate::Run => (Some(defined.job(backend, schedule, tick.nominal, now)), None),
            Fate::Skip(why) => (None, Some(why.word())),
        };
        let nominal = Moment::from_unix_micros(tick.nominal);
        Self { schedule: schedule.name.clone(), nominal, job_id: job.as_ref().map(|job| job.id), skipped, job }
    }
}

/// How a schedule moves on.
#[derive(Serialize)]
pub(super) struct Mark<'a> {
    name: &'a str,
    high_water: Option<Moment>,
    next_at: Option<Moment>,
    problem: Option<String>,
}

impl<'a> Mark<'a> {
    /// The schedule ticks no more until it is defined or announced anew.
    pub(super) fn broken(name: &'a str, problem: &str) -> Self {
        Self { name, high_water: None, next_at: None, problem: Some(storable(problem).into_owned()) }
    }

    fn of(schedule: &'a Locked, looked: std::result::Result<&Look, &String>) -> Self {
        let name = &schedule.name;
        match looked {
            Ok(look) => Self {
                name,
                high_water: Some(Moment::from_unix_micros(look.high_water)),
                next_at: look.next_at.map(Moment::from_unix_micros),
                problem: None,
            },
            Err(problem) => Self::broken(name, problem),
        }
    }
}

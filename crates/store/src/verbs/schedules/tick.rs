//! A round of ticks: schedules that are due are locked, their ticks written down and their jobs enqueued in one
//! transaction, so that whoever looks, however often and whatever goes wrong, each tick has one job or one reason.

use std::collections::HashSet;
use std::time::Duration;

use gristmill_core::schedule::{Definition, Fate, JobTemplate, Look, Micros, Overlap, Standing, Tick, jitter};
use gristmill_core::{JobId, Lane, Moment};
use serde::Serialize;

use crate::row::Fields;
use crate::statement::{Sql, sql};
use crate::verbs::enqueue::{ENQUEUE, enqueued};
use crate::verbs::finish::storable;
use crate::verbs::json;
use crate::{Bind, Error, NewJob, Result, Session};

static NEXT_TICK: Sql = sql!("next_tick");
static DUE_SCHEDULES: Sql = sql!("due_schedules");
static BUSY_SCHEDULES: Sql = sql!("busy_schedules");
static RECORD_TICKS: Sql = sql!("record_ticks");
static SKIP_TICKS: Sql = sql!("skip_ticks");
static MARK_SCHEDULES: Sql = sql!("mark_schedules");

/// The most schedules that one round takes.
const SCHEDULES_AT_ONCE: u32 = 100;
/// So many ticks are enough for one transaction: the schedules behind them stay due. The last one may go beyond.
const TICKS_AT_ONCE: usize = 2_000;
/// Jobs and ticks in one statement.
const ROWS_AT_ONCE: usize = 1_000;
/// When to look again at what another worker is settling: it has most likely done so by then, but may have died.
const SETTLED_ELSEWHERE: Duration = Duration::from_millis(250);

/// The queues whose schedules a worker ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Served<'a> {
    /// These alone; `None` is all.
    pub queues: Option<&'a [String]>,
    /// But none of these.
    pub exclude: &'a [String],
}

/// What one round of ticks did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ticked {
    /// Jobs that were enqueued.
    pub jobs: u64,
    /// Ticks that were recorded without a job.
    pub skipped: u64,
    /// How long until the next tick is due; zero when some may be due already, `None` when there is none at all.
    pub next_due: Option<Duration>,
}

/// A schedule that this transaction has locked.
pub(super) struct Locked {
    pub(super) name: String,
    pub(super) task_name: String,
    pub(super) definition: String,
    pub(super) job: String,
    pub(super) created_at: Moment,
    pub(super) high_water: Option<Moment>,
}

/// What a round came to, besides what it did.
#[derive(Default)]
pub(crate) struct Round {
    /// Schedules that it settles in one transaction.
    together: Vec<String>,
    /// Schedules whose jobs have a unique key. Who enqueues may wait for someone who is taking the same key and does not
    /// commit; that must not keep back any other schedule.
    alone: Vec<String>,
    /// Some that are due are left for the next round.
    leaves_some: bool,
}

impl Session {
    /// Settles what is due of at most `limit` schedules (and of 100), most of it in one transaction. Never waits for another
    /// worker: what that is settling is left to it. A schedule whose ticks the database refuses has a problem from then on;
    /// the others go on. Costs one statement when nothing is due.
    pub async fn tick(&mut self, backend: &str, served: &Served<'_>, limit: u32) -> Result<Ticked> {
        let next_due = self.next_tick(backend, served).await?;
        if next_due != Some(Duration::ZERO) {
            return Ok(Ticked { next_due, ..Ticked::default() });
        }
        self.begin().await?;
        let mut round = Round::default();
        let settled = self.round_within(backend, served, limit.min(SCHEDULES_AT_ONCE), &mut round).await;
        let mut ticked = match self.end(settled).await {
            Err(Error::Refused(_)) => {
                round.alone.append(&mut round.together);
                Ticked::default()
            }
            answer => answer?,
        };
        let alone = self.tick_each_alone(backend, served, &round).await?;
        ticked.jobs += alone.jobs;
        ticked.skipped += alone.skipped;
        ticked.next_due = self.next_tick(backend, served).await?;
        if ticked.next_due == Some(Duration::ZERO) && !round.leaves_some {
            ticked.next_due = Some(SETTLED_ELSEWHERE);
        }
        Ok(ticked)
    }

    /// Gives those that the database refuses a problem, unless it refuses them all: then it is not they who have it.
    async fn tick_each_alone(&mut self, backend: &str, served: &Served<'_>, round: &Round) -> Result<Ticked> {
        let (mut ticked, mut refused) = (Ticked::default(), Vec::new());
        for name in &round.alone {
            self.begin().await?;
            let settled = self.tick_alone_within(backend, served, name).await;
            match self.end(settled).await {
                Err(Error::Refused(why)) => refused.push((name, why)),
                answer => {
                    let Ticked { jobs, skipped, .. } = answer?;
                    ticked.jobs += jobs;
                    ticked.skipped += skipped;
                }
            }
        }
        let is_their_own = !round.together.is_empty() || refused.len() < round.alone.len();
        match refused.pop() {
            Some((_, why)) if !is_their_own => return Err(Error::Refused(why)),
            last => refused.extend(last),
        }
        for (name, why) in refused {
            self.begin().await?;
            let blamed = self.blame_within(backend, served, name, why).await;
            self.end(blamed).await?;
        }
        Ok(ticked)
    }

    async fn tick_alone_within(&mut self, backend: &str, served: &Served<'_>, name: &str) -> Result<Ticked> {
        match self.due_within(backend, served, 1, Some(name)).await? {
            Some((due, now)) => self.settle_ticks_within(backend, &due, &now).await.map(|(ticked, _)| ticked),
            None => Ok(Ticked::default()),
        }
    }

    async fn blame_within(&mut self, backend: &str, served: &Served<'_>, name: &str, why: String) -> Result<()> {
        if self.due_within(backend, served, 1, Some(name)).await?.is_some() {
            let mark = Mark { name, high_water: None, next_at: None, problem: Some(storable(&why).into_owned()) };
            self.run(&MARK_SCHEDULES, &[backend.into(), json(&[mark])]).await?;
        }
        Ok(())
    }

    async fn next_tick(&mut self, backend: &str, served: &Served<'_>) -> Result<Option<Duration>> {
        let [backend, queues, exclude] = served.binds(backend);
        let mut rows = self.carry_out(&NEXT_TICK, &[backend, queues, exclude, self.now()]).await?;
        let row = rows.pop().ok_or_else(|| Error::Refused("next_tick gave no answer".into()))?;
        let mut fields = Fields::of(row);
        let (next_at, now) = (fields.optional_moment()?, fields.moment()?);
        Ok(next_at.and_then(|next_at| next_at.since(&now)))
    }

    /// Settles what is due and can be settled together, in the transaction that is open.
    pub(crate) async fn round_within(
        &mut self,
        backend: &str,
        served: &Served<'_>,
        limit: u32,
        round: &mut Round,
    ) -> Result<Ticked> {
        let Some((due, now)) = self.due_within(backend, served, limit, None).await? else {
            return Ok(Ticked::default());
        };
        round.leaves_some = due.len() >= limit as usize;
        let (alone, together): (Vec<_>, Vec<_>) = due.into_iter().partition(Locked::has_key);
        let names = |schedules: &[Locked]| schedules.iter().map(|locked| locked.name.clone()).collect();
        (round.alone, round.together) = (names(&alone), names(&together));
        let (ticked, settled) = self.settle_ticks_within(backend, &together, &now).await?;
        round.leaves_some |= settled < together.len();
        Ok(ticked)
    }

    /// Locks schedules that are due: all of them, or one by its name. None: there are none, or others settle them.
    async fn due_within(
        &mut self,
        backend: &str,
        served: &Served<'_>,
        limit: u32,
        name: Option<&str>,
    ) -> Result<Option<(Vec<Locked>, Moment)>> {
        let [on_backend, queues, exclude] = served.binds(backend);
        let name = name.map_or(Bind::Null, Bind::from);
        let binds = [on_backend, queues, exclude, self.now(), Bind::Int(limit.into()), name];
        let (mut due, mut now) = (Vec::new(), None);
        for row in self.run(&DUE_SCHEDULES, &binds).await? {
            let mut fields = Fields::of(row);
            due.push(Locked::read(&mut fields)?);
            now = Some(fields.moment()?);
        }
        Ok(now.map(|now| (due, now)))
    }

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
        self.run(&MARK_SCHEDULES, &[backend.into(), json(&marks)]).await?;
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
            let rows = self.run(&ENQUEUE, &[json(&some), Bind::from(now.0.clone())]).await?;
            let (_, got) = enqueued(rows, some.len())?;
            let made = |got: &Option<(JobId, bool)>| matches!(got, Some((_, false)));
            refused.extend(some.iter().zip(&got).filter(|(_, got)| !made(got)).map(|(job, _)| job.id));
        }
        if !refused.is_empty() {
            self.run(&SKIP_TICKS, &[json(&refused)]).await?;
        }
        let jobs = asked - refused.len() as u64;
        Ok(Ticked { jobs, skipped: recorded - jobs, next_due: None })
    }
}

impl Served<'_> {
    fn binds(&self, backend: &str) -> [Bind<'static>; 3] {
        [backend.into(), self.queues.map_or(Bind::Null, |queues| json(&queues)), json(&self.exclude)]
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

    fn has_key(&self) -> bool {
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
struct Mark<'a> {
    name: &'a str,
    high_water: Option<Moment>,
    next_at: Option<Moment>,
    problem: Option<String>,
}

impl<'a> Mark<'a> {
    fn of(schedule: &'a Locked, looked: std::result::Result<&Look, &String>) -> Self {
        let name = &schedule.name;
        match looked {
            Ok(look) => Self {
                name,
                high_water: Some(Moment::from_unix_micros(look.high_water)),
                next_at: look.next_at.map(Moment::from_unix_micros),
                problem: None,
            },
            Err(problem) => Self { name, high_water: None, next_at: None, problem: Some(problem.clone()) },
        }
    }
}

//! Carries ends through the graph of jobs that wait for each other: each errand in a short transaction, a level at a time.
//!
//! Spreading and settling are two statements. The first locks the gates of the dependents (and, settling, the places of
//! the preconditions); the second sees at least what whoever held those locks before has written. So of an end and an
//! edge that are written at the same time, one always sees the other.

use gristmill_core::{Band, JobId, Lane};
use serde::Serialize;

use crate::row::Fields;
use crate::statement::{Sql, sql};
use crate::verbs::json;
use crate::{Bind, Error, Result, Row, Session};

static ERRANDS: Sql = sql!("errands");
static SPREAD: Sql = sql!("spread");
static SETTLE: Sql = sql!("settle");
static SYNC: Sql = sql!("sync");
/// PostgreSQL does it in the same statement, and never asks for it.
static SYNC_REST: Sql = Sql::new("", include_str!("../sqlite/sync_rest.sql"));
static CHECK_LOCK: Sql = sql!("check_lock");
static CHECK: Sql = sql!("check");
static HURRY: Sql = sql!("hurry");

/// Errands that one statement takes up.
const ERRANDS_AT_ONCE: u32 = 250;
/// Edges that one statement looks at. It holds lists of them against each other, so twice as many take four times as long.
const EDGES_AT_ONCE: u32 = 250;
/// Levels of a graph that one transaction goes through: of a deep and narrow one a commit for each would be most of the
/// work, and of all of them together would keep their locks too long.
const LEVELS_AT_ONCE: usize = 50;

/// What working off errands did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkedOff {
    /// There may be more: call again at once.
    pub more: bool,
    /// Errands that were taken up.
    pub errands: u64,
    /// Edges that were looked at.
    pub edges: u64,
    /// What it did to the jobs that wait.
    pub moved: Moved,
}

/// What became of jobs that wait for others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Bands of jobs that are ready now, each with the earliest deadline of these.
    pub bands: Vec<Band>,
    /// Jobs that are ready now.
    pub readied: u64,
    /// Jobs that may run when their date has come.
    pub scheduled: u64,
    /// Jobs that wait again.
    pub taken_back: u64,
    /// Jobs too many of whose preconditions have failed.
    pub stranded: u64,
    /// Jobs that were stranded and are not any more.
    pub healed: u64,
    /// Jobs that failed because their preconditions did, or because they wait for themselves.
    pub failed: u64,
}

impl Moved {
    pub(crate) fn add(&mut self, other: Self) {
        for band in other.bands {
            match self.bands.iter_mut().find(|known| known.lane == band.lane && known.priority == band.priority) {
                Some(known) if known.deadline > band.deadline => known.deadline = band.deadline,
                Some(_) => {}
                None => self.bands.push(band),
            }
        }
        self.readied += other.readied;
        self.scheduled += other.scheduled;
        self.taken_back += other.taken_back;
        self.stranded += other.stranded;
        self.healed += other.healed;
        self.failed += other.failed;
    }
}

impl Session {
    /// Works off what errands are due: those of each kind in a transaction of their own, which looks at `limit` edges at
    /// most and one more for each errand. Never waits for anybody's open transaction; what is locked comes again later.
    pub async fn work_off(&mut self, limit: u32) -> Result<WorkedOff> {
        let mut done = WorkedOff::default();
        let due = self.errands_due().await?;
        if due.spread {
            self.begin().await?;
            let spread = self.spread_levels_within(limit).await;
            done.add(self.end(spread).await?);
        }
        if due.check {
            self.begin().await?;
            let checked = self.check_within().await;
            done.add(self.end(checked).await?);
        }
        if due.settle {
            self.begin().await?;
            let settled = self.settle_within(limit).await;
            done.add(self.end(settled).await?);
        }
        if due.hurry {
            let rows = self.carry_out(&HURRY, &self.errand_binds(limit)).await?;
            let errands = crate::verbs::count(rows)?;
            done.add(WorkedOff { errands, ..WorkedOff::default() });
        }
        done.more = done.errands > 0;
        Ok(done)
    }

    async fn spread_levels_within(&mut self, limit: u32) -> Result<WorkedOff> {
        let mut done = WorkedOff::default();
        let mut edges = 0;
        for _ in 0..LEVELS_AT_ONCE {
            let level = self.spread_within(limit).await?;
            edges += level.edges;
            let is_last = !level.leaves_more(limit) || edges >= u64::from(limit);
            done.add(level);
            if is_last {
                break;
            }
        }
        Ok(done)
    }

    /// Tells what waits for ended, stranded and retried jobs what became of them, in the transaction that is open.
    pub(crate) async fn spread_within(&mut self, limit: u32) -> Result<WorkedOff> {
        let rows = self.run(&SPREAD, &self.errand_binds(limit)).await?;
        let mut taken = Taken::default();
        for row in rows {
            let mut fields = Fields::of(row);
            taken.errands = fields.int()?;
            if let Some(precondition_id) = fields.optional_id()? {
                taken.edges.push(Edge { precondition_id, dependent_id: fields.id()? });
            }
        }
        self.sync_within(taken, false).await
    }

    async fn settle_within(&mut self, limit: u32) -> Result<WorkedOff> {
        let rows = self.run(&SETTLE, &self.errand_binds(limit)).await?;
        let mut taken = Taken::default();
        for row in rows {
            let mut fields = Fields::of(row);
            taken.errands = fields.int()?;
            let precondition: Option<JobId> = fields.optional_id()?;
            let dependent: Option<JobId> = fields.optional_id()?;
            match (precondition, dependent) {
                (Some(precondition_id), Some(dependent_id)) => taken.edges.push(Edge { precondition_id, dependent_id }),
                (None, Some(job_id)) => taken.judged.push(Judged { job_id, settled: fields.bool()? }),
                _ => {}
            }
        }
        self.sync_within(taken, true).await
    }

    async fn sync_within(&mut self, taken: Taken, settles: bool) -> Result<WorkedOff> {
        let edges = taken.edges.len() as u64;
        let mut done = WorkedOff { errands: taken.errands, edges, ..WorkedOff::default() };
        if taken.edges.is_empty() && taken.judged.is_empty() {
            return Ok(done);
        }
        let binds = [json(&taken.edges), json(&taken.judged), Bind::Int(settles.into()), self.now()];
        let mut is_all = true;
        for row in self.run(&SYNC, &binds).await? {
            is_all &= done.moved.read(row)?;
        }
        if !is_all {
            for row in self.run(&SYNC_REST, &[self.now()]).await? {
                done.moved.read(row)?;
            }
        }
        Ok(done)
    }

    async fn check_within(&mut self) -> Result<WorkedOff> {
        self.run(&CHECK_LOCK, &[]).await?;
        let mut done = WorkedOff::default();
        for row in self.run(&CHECK, &[self.now()]).await? {
            let mut fields = Fields::of(row);
            let _: JobId = fields.id()?;
            done.errands = 1;
            done.moved.failed = u64::from(fields.bool()?);
        }
        Ok(done)
    }

    async fn errands_due(&mut self) -> Result<Due> {
        let mut rows = self.carry_out(&ERRANDS, &[self.now()]).await?;
        let row = rows.pop().ok_or_else(|| Error::Refused("errands gave no answer".into()))?;
        let mut fields = Fields::of(row);
        Ok(Due { spread: fields.bool()?, settle: fields.bool()?, check: fields.bool()?, hurry: fields.bool()? })
    }

    fn errand_binds(&self, limit: u32) -> [Bind<'static>; 3] {
        [self.now(), Bind::Int(ERRANDS_AT_ONCE.into()), Bind::Int(limit.min(EDGES_AT_ONCE).into())]
    }
}

impl WorkedOff {
    /// Whether one statement may have left something, or made more of it.
    pub(crate) fn leaves_more(&self, limit: u32) -> bool {
        let full = self.errands >= u64::from(ERRANDS_AT_ONCE) || self.edges >= u64::from(limit.min(EDGES_AT_ONCE));
        let Moved { stranded, healed, failed, taken_back, .. } = self.moved;
        full || stranded + healed + failed + taken_back > 0
    }

    fn add(&mut self, other: Self) {
        self.errands += other.errands;
        self.edges += other.edges;
        self.moved.add(other.moved);
    }
}

impl Moved {
    /// False for a row that says that there is more to see to.
    fn read(&mut self, row: Row) -> Result<bool> {
        let mut fields = Fields::of(row);
        let what = fields.text()?;
        let lane = Lane { backend: fields.text()?, queue_name: fields.text()?, task_name: fields.text()? };
        let band = Band { lane, priority: fields.int()?, deadline: fields.moment()?, id: None };
        let jobs: u64 = fields.int()?;
        match what.as_str() {
            "ready" => self.add(Self { bands: vec![band], readied: jobs, ..Self::default() }),
            "scheduled" => self.scheduled += jobs,
            "waiting" => self.taken_back += jobs,
            "stranded" => self.stranded += jobs,
            "healed" => self.healed += jobs,
            "failed" => self.failed += jobs,
            "rest" => return Ok(false),
            other => return Err(Error::Refused(format!("sync did the unknown {other:?}"))),
        }
        Ok(true)
    }
}

/// Which kinds of errands there are to do.
#[allow(clippy::struct_excessive_bools)]
struct Due {
    spread: bool,
    settle: bool,
    check: bool,
    hurry: bool,
}

/// What a first statement has locked for the second.
#[derive(Default)]
struct Taken {
    errands: u64,
    edges: Vec<Edge>,
    judged: Vec<Judged>,
}

#[derive(Serialize)]
struct Edge {
    precondition_id: JobId,
    dependent_id: JobId,
}

#[derive(Serialize)]
struct Judged {
    job_id: JobId,
    settled: bool,
}

//! Carries ends through the graph of jobs that wait for each other: each propagation in a short transaction, a level at
//! a time.
//!
//! To notify takes two statements, and so does to resolve. The first locks the gates of the dependents (and, to resolve,
//! the places of the preconditions); the second sees at least what whoever held those locks before has written. So of
//! an end and an edge that are written at the same time, one always sees the other.

use gristmill_core::{ClaimCursor, JobId, Lane};
use serde::Serialize;

use crate::row::Fields;
use crate::statement::{Sql, sql};
use crate::verbs::json;
use crate::{Bind, Error, Result, Row, Session};

static PROPAGATIONS: Sql = sql!("propagations");
static NOTIFY: Sql = sql!("notify");
static RESOLVE: Sql = sql!("resolve");
static SYNC: Sql = sql!("sync");
/// PostgreSQL does it in the same statement, and never asks for it.
static SYNC_REST: Sql = sql!(some: "sync_rest");
static CHECK_LOCK: Sql = sql!("check_lock");
static CHECK: Sql = sql!("check");
static RAISE_DEADLINE: Sql = sql!("raise_deadline");
static PUT_OFF: Sql = sql!("put_off_propagation");

/// Propagations that one statement takes up.
const PROPAGATIONS_AT_ONCE: u32 = 250;
/// Edges that one statement looks at. It holds lists of them against each other, so twice as many take four times as long.
const EDGES_AT_ONCE: u32 = 250;
/// Jobs that one statement looks for circles through, together: a bulk that is retried is looked at over its graph once, and
/// not once a job.
const CHECKS_AT_ONCE: u32 = 10_000;
/// Propagations that are put off in one go because of somebody's lock: to find each out costs the time that a statement
/// waits.
const PUT_OFF_AT_ONCE: u32 = 2;
/// Levels of a graph that one transaction goes through: of a deep and narrow one a commit for each would be most of the
/// work, and of all of them together would keep their locks too long.
const LEVELS_AT_ONCE: usize = 50;

/// What carrying out propagations did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Propagated {
    /// There may be more: call again at once.
    pub more: bool,
    /// Propagations that were taken up.
    pub propagations: u64,
    /// Edges that were looked at.
    pub edges: u64,
    /// What it did to the jobs that wait.
    pub moved: Moved,
    /// Times that somebody's transaction held something up. That was put off.
    pub held: u64,
}

/// What became of jobs that wait for others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Cursors of jobs that are ready now, each with the earliest deadline of these.
    pub cursors: Vec<ClaimCursor>,
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
        for cursor in other.cursors {
            match self.cursors.iter_mut().find(|known| known.lane == cursor.lane && known.priority == cursor.priority) {
                Some(known) if known.deadline > cursor.deadline => known.deadline = cursor.deadline,
                Some(_) => {}
                None => self.cursors.push(cursor),
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
    /// Carries out what propagations are due: those of each kind in a transaction of their own, which looks at `limit`
    /// edges at most and one more for each propagation. Never waits for anybody's open transaction; what is locked
    /// comes again later.
    pub async fn propagate(&mut self, limit: u32) -> Result<Propagated> {
        let mut done = Propagated::default();
        let due = self.propagations_due().await?;
        if due.notify {
            self.propagate_around(&["notify"], &mut done, limit).await?;
        }
        if due.check {
            self.begin().await?;
            let checked = self.check_within().await;
            let checked = self.end(checked).await;
            done.add_unless_held(checked)?;
        }
        if due.resolve {
            self.propagate_around(&["resolve", "evaluate"], &mut done, limit).await?;
        }
        if due.raise_deadline {
            let [now, at_once, edges, _] = self.gate_binds(PROPAGATIONS_AT_ONCE, limit);
            let rows = self.carry_out(&RAISE_DEADLINE, &[now, at_once, edges]).await;
            let raised = rows.and_then(crate::verbs::count);
            done.add_unless_held(raised.map(|propagations| Propagated { propagations, ..Propagated::default() }))?;
        }
        done.more = done.propagations > 0;
        Ok(done)
    }

    /// Carries out propagations of these kinds, around what somebody holds. Where there is no way around, they are
    /// taken one by one, and each of which that is true is put off.
    async fn propagate_around(&mut self, kinds: &[&str], done: &mut Propagated, limit: u32) -> Result<()> {
        let mut propagated = self.propagate_some(kinds, PROPAGATIONS_AT_ONCE, limit).await;
        if self.goes_around(&propagated) {
            done.held += 1;
            propagated = self.propagate_some(kinds, PROPAGATIONS_AT_ONCE, limit).await;
        }
        match propagated {
            Err(Error::Locked(_)) => done.held += 1,
            answer => return answer.map(|some| done.add(some)),
        }
        let (mut one_by_one, mut put_off) = (0, 0);
        while put_off < PUT_OFF_AT_ONCE && one_by_one < PROPAGATIONS_AT_ONCE {
            one_by_one += 1;
            match self.propagate_some(kinds, 1, limit).await {
                Err(Error::Locked(_)) => {
                    self.carry_out(&PUT_OFF, &[self.now(), json(&kinds)]).await?;
                    put_off += 1;
                }
                answer => {
                    let one = answer?;
                    if one.propagations == 0 {
                        break;
                    }
                    done.add(one);
                }
            }
        }
        Ok(())
    }

    async fn propagate_some(&mut self, kinds: &[&str], at_once: u32, limit: u32) -> Result<Propagated> {
        self.begin().await?;
        let propagated = match kinds {
            ["notify"] => self.notify_levels_within(at_once, limit).await,
            _ => self.resolve_within(at_once, limit).await,
        };
        self.end(propagated).await
    }

    async fn notify_levels_within(&mut self, at_once: u32, limit: u32) -> Result<Propagated> {
        let mut done = Propagated::default();
        let mut edges = 0;
        let levels = if at_once > 1 { LEVELS_AT_ONCE } else { 1 };
        for _ in 0..levels {
            let level = self.notify_some_within(at_once, limit).await?;
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
    pub(crate) async fn notify_within(&mut self, limit: u32) -> Result<Propagated> {
        self.notify_some_within(PROPAGATIONS_AT_ONCE, limit).await
    }

    async fn notify_some_within(&mut self, at_once: u32, limit: u32) -> Result<Propagated> {
        let rows = self.run(&NOTIFY, &self.gate_binds(at_once, limit)).await?;
        let mut taken = Taken::default();
        for row in rows {
            let mut fields = Fields::of(row);
            taken.propagations = fields.int()?;
            if let Some(precondition_id) = fields.optional_id()? {
                taken.edges.push(Edge { precondition_id, dependent_id: fields.id()? });
            }
        }
        self.sync_within(taken, false).await
    }

    async fn resolve_within(&mut self, at_once: u32, limit: u32) -> Result<Propagated> {
        let rows = self.run(&RESOLVE, &self.gate_binds(at_once, limit)).await?;
        let mut taken = Taken::default();
        for row in rows {
            let mut fields = Fields::of(row);
            taken.propagations = fields.int()?;
            let precondition: Option<JobId> = fields.optional_id()?;
            let dependent: Option<JobId> = fields.optional_id()?;
            match (precondition, dependent) {
                (Some(precondition_id), Some(dependent_id)) => taken.edges.push(Edge { precondition_id, dependent_id }),
                (None, Some(job_id)) => taken.evaluated.push(Evaluated { job_id, resolved: fields.bool()? }),
                _ => {}
            }
        }
        self.sync_within(taken, true).await
    }

    async fn sync_within(&mut self, taken: Taken, resolves: bool) -> Result<Propagated> {
        let edges = taken.edges.len() as u64;
        let mut done = Propagated { propagations: taken.propagations, edges, ..Propagated::default() };
        if taken.edges.is_empty() && taken.evaluated.is_empty() {
            return Ok(done);
        }
        let binds = [json(&taken.edges), json(&taken.evaluated), Bind::Int(resolves.into()), self.now()];
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

    async fn check_within(&mut self) -> Result<Propagated> {
        self.run(&CHECK_LOCK, &[]).await?;
        let mut done = Propagated::default();
        for row in self.run(&CHECK, &[self.now(), Bind::Int(CHECKS_AT_ONCE.into())]).await? {
            let mut fields = Fields::of(row);
            let _: JobId = fields.id()?;
            done.propagations += 1;
            done.moved.failed += u64::from(fields.bool()?);
        }
        Ok(done)
    }

    async fn propagations_due(&mut self) -> Result<Due> {
        let mut rows = self.carry_out(&PROPAGATIONS, &[self.now()]).await?;
        let row = rows.pop().ok_or_else(|| Error::Refused("propagations gave no answer".into()))?;
        let mut fields = Fields::of(row);
        Ok(Due {
            notify: fields.bool()?,
            resolve: fields.bool()?,
            check: fields.bool()?,
            raise_deadline: fields.bool()?,
        })
    }

    fn gate_binds(&self, at_once: u32, limit: u32) -> [Bind<'static>; 4] {
        let edges = limit.min(EDGES_AT_ONCE);
        [self.now(), Bind::Int(at_once.into()), Bind::Int(edges.into()), Bind::Int(self.is_wary().into())]
    }
}

impl Propagated {
    /// Whether one statement may have left something, or made more of it.
    pub(crate) fn leaves_more(&self, limit: u32) -> bool {
        let full =
            self.propagations >= u64::from(PROPAGATIONS_AT_ONCE) || self.edges >= u64::from(limit.min(EDGES_AT_ONCE));
        let Moved { stranded, healed, failed, taken_back, .. } = self.moved;
        full || stranded + healed + failed + taken_back > 0
    }

    fn add(&mut self, other: Self) {
        self.propagations += other.propagations;
        self.edges += other.edges;
        self.moved.add(other.moved);
        self.held += other.held;
    }

    fn add_unless_held(&mut self, other: Result<Self>) -> Result<()> {
        match other {
            Err(Error::Locked(_)) => self.held += 1,
            other => self.add(other?),
        }
        Ok(())
    }
}

impl Moved {
    /// False for a row that says that there is more to see to.
    fn read(&mut self, row: Row) -> Result<bool> {
        let mut fields = Fields::of(row);
        let what = fields.text()?;
        let lane = Lane { backend: fields.text()?, queue_name: fields.text()?, task_name: fields.text()? };
        let cursor = ClaimCursor { lane, priority: fields.int()?, deadline: fields.moment()?, id: None };
        let jobs: u64 = fields.int()?;
        match what.as_str() {
            "ready" => self.add(Self { cursors: vec![cursor], readied: jobs, ..Self::default() }),
            "scheduled" => self.scheduled += jobs,
            "waiting" => self.taken_back += jobs,
            "stranded" => self.stranded += jobs,
            "healed" => self.healed += jobs,
            "failed" => self.failed += jobs,
            "rest" => return Ok(false),
            other => return Err(Error::Refused(format!("sync did the unknown {other:?}").into())),
        }
        Ok(true)
    }
}

/// Which kinds of propagations there are to do.
#[allow(clippy::struct_excessive_bools)]
struct Due {
    notify: bool,
    resolve: bool,
    check: bool,
    raise_deadline: bool,
}

/// What a first statement has locked for the second.
#[derive(Default)]
struct Taken {
    propagations: u64,
    edges: Vec<Edge>,
    evaluated: Vec<Evaluated>,
}

#[derive(Serialize)]
struct Edge {
    precondition_id: JobId,
    dependent_id: JobId,
}

#[derive(Serialize)]
struct Evaluated {
    job_id: JobId,
    resolved: bool,
}

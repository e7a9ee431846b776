//! What the oracle asks of gates, edges and propagations: that the gates count right, that the edges follow their
//! preconditions, and that nobody waits in vain, runs too early, or is forgotten.

use std::collections::HashSet;

use gristmill_core::{JobId, OnPreconditionFailure};
use gristmill_store::{Bind, Row, Value};
use gristmill_testkit::gate::{Gate, Verdict};

use super::connection::Shared;
use super::rows::{id, int, text};

/// Each gate, a recount of its edges, and where its job is. Columns as in [`Seen::of`].
const GATES: &str = "
    select gate.job_id, gate.needed, gate.on_precondition_failure, gate.resolved,
        gate.open, gate.successful, gate.failed,
        (select count(*) from gristmill_edge where dependent_id = gate.job_id and epoch = gate.epoch and state = 'open'),
        (select count(*) from gristmill_edge
            where dependent_id = gate.job_id and epoch = gate.epoch and state = 'successful'),
        (select count(*) from gristmill_edge where dependent_id = gate.job_id and epoch = gate.epoch and state = 'failed'),
        case when waiting.held then 'held' when waiting.stranded then 'stranded' when waiting.id is not null then 'waiting'
            when ready.id is not null then 'ready' when scheduled.id is not null then 'scheduled'
            when running.id is not null then 'running' else 'elsewhere' end,
        coalesce(waiting.stranded, 0),
        coalesce(ready.started_at, scheduled.started_at, running.started_at) is not null,
        exists (select 1 from gristmill_propagation where job_id = gate.job_id and kind = 'resolve'),
        exists (select 1 from gristmill_propagation where job_id = gate.job_id and kind = 'evaluate')
    from gristmill_gate as gate
    left join gristmill_waiting as waiting on waiting.id = gate.job_id
    left join gristmill_ready as ready on ready.id = gate.job_id
    left join gristmill_scheduled as scheduled on scheduled.id = gate.job_id
    left join gristmill_running as running on running.id = gate.job_id
    where ?1 is null or gate.job_id in (select value from json_each(?1))
    order by gate.job_id";

/// An edge that says something else than its precondition, with no propagation on its way that would tell it.
const LYING_EDGE: &str = "
    select edge.precondition_id, edge.dependent_id, edge.state, coalesce(result.state, waiting.stranded, job.id, 'forgotten')
    from gristmill_edge as edge
    left join gristmill_job as job on job.id = edge.precondition_id
    left join gristmill_result as result on result.id = edge.precondition_id
    left join gristmill_waiting as waiting on waiting.id = edge.precondition_id
    where edge.state <> case
            when result.state = 'successful' then 'successful'
            when result.id is not null or waiting.stranded then 'failed'
            when job.id is null and edge.state <> 'open' then edge.state
            when job.id is null then 'failed'
            else 'open'
        end
        and not exists (
            select 1 from gristmill_propagation as propagation
            where propagation.kind = 'notify' and propagation.job_id = edge.precondition_id
                and coalesce(propagation.other_id, edge.dependent_id) = edge.dependent_id
                and coalesce(propagation.seen, '') < edge.dependent_id
        )
        and not exists (
            select 1 from gristmill_propagation as propagation
            where propagation.kind = 'resolve' and propagation.job_id = edge.dependent_id
                and coalesce(propagation.other_id, edge.precondition_id) = edge.precondition_id
                and coalesce(propagation.seen, '') < edge.precondition_id
        )
    limit 1";

/// A precondition that would not tell a job which waits for it that it has ended: a wake-up that gets lost.
const DEAF_PRECONDITION: &str = "
    select edge.precondition_id, edge.dependent_id
    from gristmill_edge as edge
    join gristmill_waiting as dependent on dependent.id = edge.dependent_id
    join (
        select id, awaited from gristmill_ready
        union all select id, awaited from gristmill_scheduled
        union all select id, awaited from gristmill_waiting
        union all select id, awaited from gristmill_running
        union all select id, awaited from gristmill_result
    ) as place on place.id = edge.precondition_id
    where not place.awaited
        and not exists (
            select 1 from gristmill_propagation as propagation
            where propagation.kind = 'resolve' and propagation.job_id = edge.dependent_id
                and coalesce(propagation.other_id, edge.precondition_id) = edge.precondition_id
                and coalesce(propagation.seen, '') < edge.precondition_id
        )
    limit 1";

/// A job that waits and has neither a gate nor someone who holds it.
const GATELESS: &str = "
    select id from gristmill_waiting where not held and id not in (select job_id from gristmill_gate) limit 1";

/// Jobs that still wait for one of these.
const WAITED_FOR: &str = "
    select edge.precondition_id, edge.dependent_id,
        gate.resolved || ' ' || gate.epoch || ' ' || edge.epoch || ' ' || edge.state
    from gristmill_edge as edge
    join gristmill_gate as gate on gate.job_id = edge.dependent_id
    where edge.precondition_id in (select value from json_each(?1))
        and edge.dependent_id in (select id from gristmill_job)
        and edge.dependent_id not in (select id from gristmill_result)
    limit 1";

/// Whether a job waits for itself by way of its edges, whatever they say.
const ON_A_CIRCLE: &str = "
    with recursive above (id) as (
        select precondition_id from gristmill_edge where dependent_id = ?1
        union
        select edge.precondition_id from above join gristmill_edge as edge on edge.dependent_id = above.id
    )
    select 1 from above where id = ?1";

/// One gate and its job.
#[allow(clippy::struct_excessive_bools)]
struct Seen {
    id: JobId,
    gate: Gate,
    resolved: bool,
    /// Its counts as they are stored, and what a recount of its edges gives.
    counts: [i64; 3],
    recount: [i64; 3],
    place: String,
    stranded: bool,
    /// Its job has started in this generation.
    started: bool,
    /// A propagation to resolve it is on its way.
    resolves: bool,
    /// A propagation to evaluate it is on its way.
    evaluates: bool,
}

impl Seen {
    fn of(row: &Row) -> Self {
        let counts = [int(&row[4]), int(&row[5]), int(&row[6])];
        let [open, successful, failed] = counts.map(|count| u64::try_from(count).unwrap_or(0));
        let flag = |at: usize| int(&row[at]) != 0;
        Self {
            id: id(&row[0]),
            gate: Gate {
                needed: (row[1] != Value::Null).then(|| u32::try_from(int(&row[1])).expect("few")),
                on_precondition_failure: match text(&row[2]) {
                    "strand" => OnPreconditionFailure::Strand,
                    "proceed" => OnPreconditionFailure::Proceed,
                    _ => OnPreconditionFailure::Fail,
                },
                open,
                successful,
                failed,
            },
            resolved: flag(3),
            counts,
            recount: [int(&row[7]), int(&row[8]), int(&row[9])],
            place: text(&row[10]).to_owned(),
            stranded: flag(11),
            started: flag(12),
            resolves: flag(13),
            evaluates: flag(14),
        }
    }

    fn judge(&self) -> Result<(), String> {
        let Self { id, gate, place, counts, recount, .. } = self;
        if counts != recount {
            return Err(format!("the gate of job {id} counts {counts:?}; its edges are {recount:?}"));
        }
        if !self.resolved {
            return if self.resolves { Ok(()) } else { Err(format!("nobody will resolve the gate of job {id}")) };
        }
        if self.evaluates || self.resolves {
            return Ok(());
        }
        let verdict = gate.verdict();
        let waits = ["waiting", "stranded", "held"].contains(&place.as_str());
        if waits && self.stranded != (verdict == Verdict::Hopeless) {
            return Err(format!(
                "job {id} is {place}, stranded: {}; its gate says {verdict:?}: {gate:?}",
                self.stranded
            ));
        }
        if waits && verdict == Verdict::Hopeless && gate.on_precondition_failure == OnPreconditionFailure::Fail {
            return Err(format!("job {id} is {place} and should have failed: {gate:?}"));
        }
        if place == "waiting" && verdict == Verdict::Holds {
            return Err(format!("job {id} waits in vain: its gate holds: {gate:?}"));
        }
        let untouched = ["ready", "scheduled"].contains(&place.as_str()) && !self.started;
        if untouched && gate.needed.is_none() && verdict != Verdict::Holds {
            return Err(format!("job {id} is {place}, has not started, and its gate says {verdict:?}: {gate:?}"));
        }
        Ok(())
    }

    // Claimed this moment. `reopened` are the jobs that were ever retried: who needs only some of its preconditions is
    // not taken back for one of them.
    fn may_run(&self, reopened: bool) -> Result<(), String> {
        let held_once = reopened || self.gate.on_precondition_failure == OnPreconditionFailure::Proceed;
        let excused = self.started || self.evaluates || self.resolves || (self.gate.needed.is_some() && held_once);
        if (self.resolved && self.gate.verdict() == Verdict::Holds) || excused {
            return Ok(());
        }
        Err(format!("job {} was claimed before its time: {:?}", self.id, self.gate))
    }
}

/// What has to be true of all gates and edges at any time. `asked` are the edges that people asked for.
pub(super) async fn sweep(database: &Shared, asked: impl Iterator<Item = (JobId, JobId)>) -> Result<(), String> {
    let rows = database.ask("select precondition_id, dependent_id from gristmill_edge", &[]).await;
    let edges: HashSet<(JobId, JobId)> = rows.iter().map(|row| (id(&row[0]), id(&row[1]))).collect();
    if let Some((above, job)) = asked.into_iter().find(|edge| !edges.contains(edge)) {
        return Err(format!("job {job} was to wait for job {above}, and there is no edge"));
    }
    for row in database.ask(GATES, &[Bind::Null]).await {
        Seen::of(&row).judge()?;
    }
    if let Some(row) = database.ask(LYING_EDGE, &[]).await.first() {
        let (precondition, dependent, state) = (id(&row[0]), id(&row[1]), text(&row[2]));
        return Err(format!("job {dependent} takes job {precondition} for {state}, and nobody tells it: {:?}", row[3]));
    }
    if let Some(row) = database.ask(DEAF_PRECONDITION, &[]).await.first() {
        return Err(format!(
            "job {} does not know that job {} waits for it ({})",
            id(&row[0]),
            id(&row[1]),
            text(&row[2])
        ));
    }
    match database.ask(GATELESS, &[]).await.first() {
        Some(row) => Err(format!("job {} waits for nothing", id(&row[0]))),
        None => Ok(()),
    }
}

/// Jobs were claimed: their gates have to hold.
pub(super) async fn claimed(database: &Shared, jobs: &[JobId], retried: &HashSet<JobId>) -> Result<(), String> {
    if jobs.is_empty() {
        return Ok(());
    }
    for row in database.ask(GATES, &[list(jobs)]).await {
        let seen = Seen::of(&row);
        let preconditions = "select precondition_id from gristmill_edge where dependent_id = ?1";
        let above = database.ask(preconditions, &[seen.id.to_string().into()]).await;
        seen.may_run(above.iter().any(|row| retried.contains(&id(&row[0]))))?;
    }
    Ok(())
}

/// Jobs were forgotten: none may wait for them.
pub(super) async fn forgotten(database: &Shared, jobs: &[JobId]) -> Result<(), String> {
    match database.ask(WAITED_FOR, &[list(jobs)]).await.first() {
        Some(row) => {
            Err(format!("job {} was forgotten, and job {} waits for it ({})", id(&row[0]), id(&row[1]), text(&row[2])))
        }
        None => Ok(()),
    }
}

/// Whether a job waits for itself.
pub(super) async fn is_on_a_circle(database: &Shared, job: JobId) -> bool {
    !database.ask(ON_A_CIRCLE, &[job.to_string().into()]).await.is_empty()
}

/// Propagations that are left.
pub(super) async fn propagations(database: &Shared) -> i64 {
    int(&database.ask("select count(*) from gristmill_propagation", &[]).await[0][0])
}

/// Propagations and attempts that may make jobs ready.
pub(super) async fn to_come(database: &Shared) -> i64 {
    let to_come = "
        select (select count(*) from gristmill_propagation where kind <> 'raise_deadline')
            + (select count(*) from gristmill_running where awaited or worker_id not in (
                select id from gristmill_worker where suspect_at is null and lost_at is null and stopped_at is null))";
    int(&database.ask(to_come, &[]).await[0][0])
}

/// The preconditions of a job that have failed for good, until someone retries them.
pub(super) async fn failed_preconditions(database: &Shared, job: JobId) -> Vec<JobId> {
    let failed = "
        select precondition_id from gristmill_edge
        where dependent_id = ?1 and precondition_id in (select id from gristmill_result where state <> 'successful')
        order by precondition_id";
    database.ask(failed, &[job.to_string().into()]).await.iter().map(|row| id(&row[0])).collect()
}

/// What a job that has not ended waits for, in words.
pub(super) async fn story(database: &Shared, job: JobId) -> String {
    let mut words: Vec<String> = Vec::new();
    for row in database.ask(GATES, &[list(&[job])]).await {
        let Seen { gate, resolved, resolves, evaluates, .. } = Seen::of(&row);
        words.push(format!(
            "{gate:?}, resolved: {resolved}; to be resolved: {resolves}, to be evaluated: {evaluates}; waits for"
        ));
    }
    let above = "
        select edge.precondition_id, edge.state, edge.epoch, jobs.state
        from gristmill_edge as edge left join gristmill_jobs as jobs on jobs.id = edge.precondition_id
        where edge.dependent_id = ?1";
    for row in database.ask(above, &[job.to_string().into()]).await {
        let place = if row[3] == Value::Null { "forgotten" } else { text(&row[3]) };
        words.push(format!("{} ({place}; edge of epoch {} {})", id(&row[0]), int(&row[2]), text(&row[1])));
    }
    words.join(" ")
}

fn list(jobs: &[JobId]) -> Bind<'static> {
    serde_json::json!(jobs).to_string().into()
}

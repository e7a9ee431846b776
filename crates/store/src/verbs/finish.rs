//! Ends open attempts: whatever the outcome, one statement moves the jobs to where `decide` sends them.

use std::borrow::Cow;
use std::time::Duration;

use gristmill_core::{
    Attempt, ClaimCursor, Claimed, JobId, Lane, Moment, Next, Options, Outcome, Reason, Token, WorkerId, decide,
    fingerprint,
};
use serde::Serialize;

use crate::row::Fields;
use crate::statement::{Sql, sql};
use crate::verbs::propagation::Moved;
use crate::verbs::{id_and_token, json, storable};
use crate::{Bind, Result, Row, Session};

/// Longer delays are cut to this, so that a date stays one that both databases can hold.
pub(super) const LONGEST_DELAY: Duration = Duration::from_hours(100 * 366 * 24);

pub(crate) static FINISH: Sql = sql!("finish");
/// PostgreSQL does it in the same statement.
pub(crate) static FINISH_REST: Sql = sql!(some: "finish_rest");
pub(crate) static HAND_BACK: Sql = sql!("hand_back");
/// SQLite has one writer at a time, and nobody's lock to go around.
static FREE_ENDS: Sql = sql!(some: "free_ends");

/// Dependents of ended jobs that are told in the commit of the end; the others are told soon after.
const TOLD_AT_ONCE: u32 = 250;

/// What became of attempts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finished {
    /// Those that were accepted. One that is neither here nor held was superseded: its token is not the job's any more,
    /// and nothing was changed.
    pub accepted: Vec<(JobId, Token)>,
    /// Those that somebody's transaction stands in the way of: to be tried again.
    pub held: Vec<(JobId, Token)>,
    /// Those of them whose jobs are cancelled now: also where they were to go on, as a cancel request wins over every
    /// end but success.
    pub cancelled: Vec<(JobId, Token)>,
    /// What the ends did to jobs that wait for these.
    pub moved: Moved,
    /// There may be propagations left; see [`Session::propagate`].
    pub more: bool,
}

/// What a turn did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turned {
    /// What became of the attempts.
    pub finished: Finished,
    /// The jobs that it claimed.
    pub claimed: Vec<Claimed>,
    /// The cursors that it claimed from.
    pub asked: Vec<ClaimCursor>,
}

/// What a turn claims.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    /// Who claims.
    pub worker: WorkerId,
    /// From where: of one priority, [`Session::CURSORS_PER_CLAIM`] at most. Without any, from what the ends of the same
    /// turn make ready.
    pub cursors: &'a [ClaimCursor],
    /// How many jobs at most.
    pub limit: u32,
    /// Only jobs whose deadline is no later than that from now.
    pub horizon: Option<Duration>,
    /// What the worker takes of what is made ready.
    pub serves: &'a (dyn Fn(&Lane) -> bool + Sync),
}

impl Session {
    /// Ends these attempts. What waits for their jobs is told by the propagations that this leaves. Waits for nobody's
    /// transaction longer than once: those that one stands in the way of are named, and the others end.
    pub async fn finish(&mut self, attempts: &[Attempt]) -> Result<Finished> {
        let ended = self.finish_once(attempts).await;
        if self.goes_around(&ended) { self.finish_once(attempts).await } else { ended }
    }

    /// [`Session::finish`] and [`Session::claim`] in one commit: the turn of a busy worker.
    pub async fn finish_and_claim(&mut self, attempts: &[Attempt], wanted: Wanted<'_>) -> Result<Turned> {
        let turned = self.turn_once(attempts, wanted).await;
        if self.goes_around(&turned) { self.turn_once(attempts, wanted).await } else { turned }
    }

    async fn finish_once(&mut self, attempts: &[Attempt]) -> Result<Finished> {
        if !self.is_wary() {
            return finished(self.end_attempts(&Ends::of(attempts)).await?);
        }
        self.begin().await?;
        let finished = self.finish_within(attempts).await;
        self.end(finished).await
    }

    async fn turn_once(&mut self, attempts: &[Attempt], wanted: Wanted<'_>) -> Result<Turned> {
        self.begin().await?;
        let turn = self.turn(attempts, wanted).await;
        self.end(turn).await
    }

    /// Ends attempts and claims, in the transaction that is open.
    pub async fn turn(&mut self, attempts: &[Attempt], wanted: Wanted<'_>) -> Result<Turned> {
        let mut finished = self.finish_within(attempts).await?;
        if finished.more {
            let notified = self.notify_within(TOLD_AT_ONCE).await?;
            finished.more = notified.leaves_more(TOLD_AT_ONCE);
            finished.moved = notified.moved;
        }
        let Wanted { worker, cursors, limit, horizon, serves } = wanted;
        let asked = if cursors.is_empty() { served(&finished.moved.cursors, serves) } else { cursors.to_vec() };
        let claimed =
            if asked.is_empty() { Vec::new() } else { self.claim_within(worker, &asked, limit, horizon).await? };
        Ok(Turned { finished, claimed, asked })
    }

    /// In the transaction that is open. Who is wary ends only those that nobody stands in the way of.
    async fn finish_within(&mut self, attempts: &[Attempt]) -> Result<Finished> {
        if !self.is_wary() || FREE_ENDS.file_if_any(self.dialect()).is_none() {
            return finished(self.end_within(&Ends::of(attempts)).await?);
        }
        let rows = self.run(&FREE_ENDS, &Ends::of(attempts).binds(self.now())).await?;
        let held: Vec<(JobId, Token)> = rows.into_iter().map(id_and_token).collect::<Result<_>>()?;
        let is_free = |attempt: &&Attempt| !held.contains(&(attempt.claimed.id, attempt.claimed.token));
        let free: Vec<Attempt> = attempts.iter().filter(is_free).cloned().collect();
        let finished = finished(self.end_within(&Ends::of(&free)).await?)?;
        Ok(Finished { held, ..finished })
    }

    /// In one statement, or in a transaction of its own.
    pub async fn end_attempts(&mut self, ends: &Ends) -> Result<Vec<Row>> {
        if FINISH.file(self.dialect()).statements == 1 {
            return self.carry_out(&FINISH, &ends.binds(self.now())).await;
        }
        self.begin().await?;
        let rows = self.end_within(ends).await;
        self.end(rows).await
    }

    async fn end_within(&mut self, ends: &Ends) -> Result<Vec<Row>> {
        let rows = self.run(&FINISH, &ends.binds(self.now())).await?;
        if ends.some_go_on && FINISH_REST.file_if_any(self.dialect()).is_some() {
            self.run(&FINISH_REST, &[]).await?;
        }
        Ok(rows)
    }

    /// Puts open attempts that never started back to ready, uncharged, naming them by token only: for claims
    /// whose answer was lost.
    pub async fn hand_back(&mut self, attempts: &[(JobId, Token)]) -> Result<Vec<(JobId, Token)>> {
        let mut returned: Vec<_> = attempts.iter().map(|&(id, token)| Returned { id, token }).collect();
        returned.sort_by_key(|returned| (returned.id, returned.token));
        returned.dedup_by_key(|returned| (returned.id, returned.token));
        let rows = self.carry_out(&HAND_BACK, &[json(&returned)]).await?;
        rows.into_iter().map(id_and_token).collect()
    }
}

fn finished(rows: Vec<Row>) -> Result<Finished> {
    let mut finished = Finished::default();
    for row in rows {
        let mut fields = Fields::of(row);
        let key = (fields.id()?, Token(fields.int()?));
        finished.accepted.push(key);
        finished.more |= fields.bool()?;
        finished.cancelled.extend(fields.bool()?.then_some(key));
    }
    Ok(finished)
}

/// Those of the highest priority that are served, as many as one claim may ask.
fn served(cursors: &[ClaimCursor], serves: &(dyn Fn(&Lane) -> bool + Sync)) -> Vec<ClaimCursor> {
    let mut wanted: Vec<&ClaimCursor> = cursors.iter().filter(|cursor| serves(&cursor.lane)).collect();
    wanted.sort_by(|one, other| other.priority.cmp(&one.priority).then_with(|| one.deadline.cmp(&other.deadline)));
    let highest = wanted.first().map(|cursor| cursor.priority);
    let wanted = wanted.into_iter().filter(|cursor| Some(cursor.priority) == highest);
    wanted.take(Session::CURSORS_PER_CLAIM).cloned().collect()
}

/// Attempts as `finish.sql` reads them.
pub struct Ends {
    /// A JSON list.
    pub json: Bind<'static>,
    /// There are jobs among them that may not have come to their end.
    pub some_go_on: bool,
}

impl Ends {
    /// These, in the order in which everybody ends them.
    pub fn of(attempts: &[Attempt]) -> Self {
        let mut ended: Vec<Ended<'_>> = attempts.iter().map(Ended::of).collect();
        // One order for all who finish, so that two of them never wait for each other; and each attempt ends once.
        ended.sort_by_key(|ended| (ended.id, ended.token));
        ended.dedup_by_key(|ended| (ended.id, ended.token));
        Self { json: json(&ended), some_go_on: ended.iter().any(|ended| ended.next != "result") }
    }

    fn binds(&self, now: Bind<'static>) -> [Bind<'static>; 2] {
        [self.json.clone(), now]
    }
}

#[derive(Serialize)]
struct Returned {
    id: JobId,
    token: Token,
}

/// What `finish.sql` reads of one attempt; what is left out is null.
#[derive(Serialize)]
struct Ended<'a> {
    id: JobId,
    token: Token,
    worker_id: WorkerId,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    runner_pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_after_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    return_value: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exception_class_path: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceback: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Cow<'a, str>>,
    next: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    due_at: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retention: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    preconditions: Option<&'a [JobId]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    needed: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_precondition_failure: Option<&'static str>,
    /// Where they change: else what the row carries stays, whether it can be read or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    counts: Option<String>,
}

impl<'a> Ended<'a> {
    fn of(attempt: &'a Attempt) -> Self {
        let claimed = &attempt.claimed;
        let options = claimed.options();
        let (counts, next) = decide(claimed, options, &attempt.outcome);
        let group = fingerprint(claimed, &attempt.outcome, &next);
        let mut ended = Self {
            id: claimed.id,
            token: claimed.token,
            worker_id: claimed.worker_id,
            outcome: Some(attempt.outcome.word()),
            runner_pid: attempt.runner_pid,
            started_after_us: attempt.started_after.map(micros),
            reason: None,
            return_value: None,
            exception_class_path: None,
            traceback: None,
            output: attempt.output.as_deref().map(storable),
            next: "ready",
            state: None,
            state_reason: None,
            fingerprint: group.map(|group| group.to_string()),
            delay_us: None,
            due_at: None,
            preconditions: None,
            needed: None,
            on_precondition_failure: None,
            retention: options.retention,
            counts: (counts != claimed.counts).then(|| counts.stored()),
        };
        match &attempt.outcome {
            Outcome::Successful { return_value } => ended.return_value = Some(storable(return_value)),
            Outcome::Failed { reason, exception_class_path, traceback, .. } => {
                ended.reason = Some(reason.word().into());
                ended.raised(exception_class_path, traceback);
            }
            Outcome::Conflict { exception_class_path, traceback } => ended.raised(exception_class_path, traceback),
            Outcome::Crashed { how: why }
            | Outcome::Cancelled { how: why }
            | Outcome::Incompatible { why }
            | Outcome::Postponed { why, .. } => ended.reason = Some(storable(why)),
            Outcome::Lost | Outcome::Interrupted | Outcome::Expired => {}
            Outcome::HandedBack => ended.outcome = None,
        }
        match next {
            Next::Finished { state, reason } => {
                ended.next = "result";
                ended.state = Some(state.word());
                ended.state_reason = reason.map(Reason::word);
            }
            Next::Ready => {}
            Next::Scheduled { delay } => {
                ended.next = "scheduled";
                ended.delay_us = Some(micros(delay));
            }
            Next::ScheduledAt(moment) => ended.next_at("scheduled", &moment, options.postpone_delay),
            Next::Waiting { delay } => {
                ended.wait_for(&attempt.outcome, options);
                ended.delay_us = Some(micros(delay));
            }
            Next::WaitingUntil(moment) => {
                ended.wait_for(&attempt.outcome, options);
                ended.next_at("waiting", &moment, options.postpone_delay);
            }
        }
        ended
    }

    fn raised(&mut self, exception_class_path: &'a str, traceback: &'a str) {
        self.exception_class_path = Some(storable(exception_class_path));
        self.traceback = Some(storable(traceback));
    }

    fn next_at(&mut self, next: &'static str, moment: &Moment, otherwise: f64) {
        self.next = next;
        self.due_at = storable_moment(moment);
        self.delay_us = self.due_at.is_none().then(|| micros(seconds(otherwise)));
    }

    fn wait_for(&mut self, outcome: &'a Outcome, options: &Options) {
        self.next = "waiting";
        self.needed = options.needed;
        self.on_precondition_failure = Some(options.on_precondition_failure.word());
        if let Outcome::Postponed { after, .. } = outcome {
            self.preconditions = after.as_deref();
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.min(LONGEST_DELAY).as_micros()).unwrap_or(u64::MAX)
}

/// Seconds from a job's options; what is too long for a duration is cut like every other.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(LONGEST_DELAY)
}

/// A date from a handler as both databases take it, normal even where it named the 31st of February; `None` for what
/// is no date with a year of four digits.
fn storable_moment(moment: &Moment) -> Option<Moment> {
    let sane = moment.0.len() <= 26 && moment.0.find('-') == Some(4);
    let normal = Moment::from_unix_micros(sane.then(|| moment.unix_micros())??);
    Some(normal.clamp(Moment::earliest(), Moment::latest()))
}

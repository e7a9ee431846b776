//! Runs due jobs one after the other for a caller who lends the connection and calls the tasks himself: what a test
//! does with its own jobs, in its own transaction and by its own clock.
//!
//! The same decisions as a worker's, without its loops: nothing runs beside a step, and nothing is retried.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use gristmill_core::schedule::Announcement;
use gristmill_core::{
    Attempt, ClaimCursor, Claimed, JobId, Lane, Lease, Moment, Next, Outcome, Progress, Token, WorkerId, decide,
};
use gristmill_store::{NewWorker, Result, Served, Session};

use crate::propagation;

/// Jobs that one statement promotes, resolves or evaluates.
const BATCH: u32 = 1_000;
/// Schedules that one transaction looks at.
const SCHEDULES: u32 = 100;
/// Batches of one step: a bound on what a clock that runs ahead can cost.
const BATCHES: usize = 1_000;

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Options {
    /// `TASKS` aliases.
    pub backends: HashSet<String>,
    /// Queues; `None` is any.
    pub queues: Option<HashSet<String>>,
    /// Names of tasks.
    pub tasks: HashSet<String>,
    /// Attempts after which it stops.
    pub max_jobs: u64,
    /// What to announce to each of these `TASKS` aliases, whose schedules are ticked then.
    pub schedules: BTreeMap<String, Announcement>,
    /// Shown to people as the worker's label.
    pub label: String,
    /// Host name.
    pub host: String,
    /// The caller's process.
    pub pid: u32,
}

/// Who calls the tasks.
pub trait Caller {
    /// The present, by the caller's clock.
    fn now(&self) -> Moment;

    /// Calls a job's task to its end. `None`: it will not, and wants to stop.
    fn call(&mut self, claimed: &Claimed, worker: WorkerId) -> Result<Option<Called>>;

    /// Learns what became of an attempt: where its job goes next, or `None` when it was superseded and nothing was
    /// changed.
    fn ended(&mut self, attempt: &Attempt, next: Option<&Next>) -> Result<Go>;
}

/// How a call went.
#[derive(Debug)]
pub struct Called {
    /// How it ended.
    pub outcome: Outcome,
    /// What the handler logged.
    pub output: Option<String>,
    /// What it said of itself last.
    pub progress: Option<Progress>,
}

/// Whether to take the next job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Go {
    /// Yes.
    On,
    /// No.
    Stop,
}

/// What a run left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Jobs are due that would have been run, were it not for the bound.
    pub more: bool,
    /// Names of tasks that have due jobs here and are not among the options'.
    pub unserved: Vec<String>,
}

/// Runs what is due, what that makes due included, until nothing is left.
pub async fn run(mut session: Session, caller: &mut impl Caller, options: &Options) -> Result<Left> {
    let mut worker = None;
    let left = Steps { session: &mut session, caller, options, worker: &mut worker }.run().await;
    if let Some(worker) = worker {
        session.set_now(Some(caller.now()));
        let why = left.as_ref().err().map(ToString::to_string);
        let signed_off = session.sign_off(worker, 0, why.as_deref()).await;
        // The first error is the one to tell.
        return left.and_then(|left| signed_off.map(|()| left));
    }
    left
}

struct Steps<'a, C> {
    session: &'a mut Session,
    caller: &'a mut C,
    options: &'a Options,
    /// Who claims; registered before the first claim, so that a run without jobs leaves no trace.
    worker: &'a mut Option<WorkerId>,
}

impl<C: Caller> Steps<'_, C> {
    async fn run(mut self) -> Result<Left> {
        let mut attempts = 0;
        self.announce().await?;
        loop {
            self.tick().await?;
            self.make_ready().await?;
            let (cursors, unserved) = self.look().await?;
            if attempts >= self.options.max_jobs && !cursors.is_empty() {
                return Ok(Left { more: true, unserved });
            }
            let Some(claimed) = self.claim(cursors).await? else {
                return Ok(Left { more: false, unserved });
            };
            attempts += 1;
            if self.attempt(claimed).await? == Go::Stop {
                return Ok(Left { more: false, unserved });
            }
        }
    }

    /// The session, at the caller's present.
    fn session(&mut self) -> &mut Session {
        self.session.set_now(Some(self.caller.now()));
        self.session
    }

    async fn announce(&mut self) -> Result<()> {
        for (backend, announcement) in &self.options.schedules {
            self.session().announce(backend, announcement).await?;
        }
        Ok(())
    }

    /// What is due by now of the schedules in the queues that are asked for.
    async fn tick(&mut self) -> Result<()> {
        let queues: Option<Vec<String>> = self.options.queues.as_ref().map(|queues| queues.iter().cloned().collect());
        let served = Served { queues: queues.as_deref(), ..Served::default() };
        for backend in self.options.schedules.keys() {
            for _ in 0..BATCHES {
                let ticked = self.session().tick(backend, &served, SCHEDULES).await?;
                if ticked.next_due != Some(Duration::ZERO) {
                    break;
                }
            }
        }
        Ok(())
    }

    async fn make_ready(&mut self) -> Result<()> {
        for _ in 0..BATCHES {
            if self.session().promote(BATCH).await?.next_due != Some(Duration::ZERO) {
                break;
            }
        }
        self.session().sweep_cancel_requests(BATCH).await.map(drop)
    }

    /// Where there is work that is served, what to claim from first in front; and the names of due tasks that are not served.
    async fn look(&mut self) -> Result<(Vec<ClaimCursor>, Vec<String>)> {
        let found = self.survey().await?;
        let options = self.options;
        let (mut cursors, others): (Vec<ClaimCursor>, Vec<ClaimCursor>) = found
            .into_iter()
            .filter(|cursor| is_asked_for(options, &cursor.lane))
            .partition(|cursor| options.tasks.contains(&cursor.lane.task_name));
        cursors.sort_by(|a, b| b.priority.cmp(&a.priority).then_with(|| a.deadline.cmp(&b.deadline)));
        for cursor in &mut cursors {
            // Nothing was claimed before that a scan from the start would have to walk over.
            cursor.deadline = Moment::earliest();
        }
        let mut unserved: Vec<String> = others.into_iter().map(|cursor| cursor.lane.task_name).collect();
        unserved.sort();
        unserved.dedup();
        Ok((cursors, unserved))
    }

    /// Where there are jobs, once what has ended is carried to the jobs that wait for it.
    async fn survey(&mut self) -> Result<Vec<ClaimCursor>> {
        let found = self.session().survey(None).await?;
        if !found.propagations {
            return Ok(found.cursors);
        }
        for _ in 0..BATCHES {
            let propagated = self.session().propagate(BATCH).await?;
            propagation::tell(&propagated);
            if !propagated.more {
                break;
            }
        }
        Ok(self.session().survey(None).await?.cursors)
    }

    /// The first job of the first cursors that give one: a survey may find some that a claim leaves alone.
    async fn claim(&mut self, cursors: Vec<ClaimCursor>) -> Result<Option<Claimed>> {
        for peers in cursors.chunk_by(|one, other| one.priority == other.priority) {
            for asked in peers.chunks(Session::CURSORS_PER_CLAIM) {
                let worker = self.worker().await?;
                if let Some(claimed) = self.session().claim(worker, asked, 1, None).await?.pop() {
                    return Ok(Some(claimed));
                }
            }
        }
        Ok(None)
    }

    async fn worker(&mut self) -> Result<WorkerId> {
        if let Some(worker) = *self.worker {
            return Ok(worker);
        }
        let worker = NewWorker {
            id: WorkerId::new(),
            label: self.options.label.clone(),
            host: self.options.host.clone(),
            pid: self.options.pid,
            backend: self.options.backends.iter().min().cloned().unwrap_or_default(),
            queues_json: queues_json(self.options),
            tasks_json: tasks_json(self.options),
            processes: 1,
            lease: Lease::new(Duration::from_secs(5)),
            before: None,
        };
        self.session().register(&worker).await?;
        *self.worker = Some(worker.id);
        Ok(worker.id)
    }

    async fn attempt(&mut self, claimed: Claimed) -> Result<Go> {
        let worker = self.worker().await?;
        if let Some(why) = claimed.stored_options.unreadable() {
            let outcome = Outcome::Incompatible { why: why.to_owned() };
            return self.end(Attempt::unstarted(claimed, outcome)).await;
        }
        if claimed.is_expired() {
            return self.end(Attempt::unstarted(claimed, Outcome::Expired)).await;
        }
        let Some(Called { outcome, output, progress }) = self.caller.call(&claimed, worker)? else {
            self.end(Attempt::unstarted(claimed, Outcome::HandedBack)).await?;
            return Ok(Go::Stop);
        };
        if let Some(progress) = progress {
            self.session().progress(&[progress]).await?;
        }
        let started = !matches!(outcome, Outcome::Incompatible { .. } | Outcome::HandedBack);
        let outcome = self.unless_cancelled(worker, (claimed.id, claimed.token), outcome).await?;
        // Called as soon as it was claimed; the caller's clock may stand still in between.
        let started_after = started.then_some(Duration::ZERO);
        let runner_pid = started.then_some(self.options.pid);
        self.end(Attempt { claimed, started_after, runner_pid, outcome, output }).await
    }

    /// A job that was asked to end while it ran is cancelled, unless it was successful first.
    async fn unless_cancelled(&mut self, worker: WorkerId, key: (JobId, Token), outcome: Outcome) -> Result<Outcome> {
        if !matches!(outcome, Outcome::Failed { .. } | Outcome::Postponed { .. }) {
            return Ok(outcome);
        }
        let asked = self.session().cancel_requests(worker).await?.contains(&key);
        Ok(if asked { Outcome::Cancelled { how: "asked to while it ran".into() } } else { outcome })
    }

    async fn end(&mut self, attempt: Attempt) -> Result<Go> {
        let accepted = self.session().finish(std::slice::from_ref(&attempt)).await?.accepted;
        let claimed = &attempt.claimed;
        let next = accepted
            .contains(&(claimed.id, claimed.token))
            .then(|| decide(claimed, claimed.options(), &attempt.outcome).1);
        self.caller.ended(&attempt, next.as_ref())
    }
}

fn is_asked_for(options: &Options, lane: &Lane) -> bool {
    options.backends.contains(&lane.backend)
        && options.queues.as_ref().is_none_or(|queues| queues.contains(&lane.queue_name))
}

fn queues_json(options: &Options) -> String {
    let mut include: Option<Vec<&String>> = options.queues.as_ref().map(|queues| queues.iter().collect());
    if let Some(names) = &mut include {
        names.sort();
    }
    serde_json::json!({"include": include, "exclude": []}).to_string()
}

fn tasks_json(options: &Options) -> String {
    let mut names: Vec<&String> = options.tasks.iter().collect();
    names.sort();
    serde_json::json!(names).to_string()
}

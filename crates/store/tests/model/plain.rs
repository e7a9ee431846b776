//! What the tables should hold: the promises of the verbs, over plain maps.

use std::collections::{BTreeMap, BTreeSet};

use gristmill_core::{Claimed, Counts, JobId, Moment, Next, Outcome, decide};
use gristmill_store::UniqueUntil;

use crate::tables::{Picture, Standing};

/// Microseconds.
pub(crate) const SECOND: i64 = 1_000_000;
/// A job without a deadline of its own has one that long after it is due.
const USUAL_DEADLINE: i64 = 168 * 3_600 * SECOND;
/// Nothing is forgotten earlier.
const SHORTEST_RETENTION: i64 = 60 * SECOND;

#[derive(Clone, Debug, PartialEq)]
enum Place {
    Ready,
    Scheduled,
    Held,
    Running,
    Result { state: &'static str, reason: Option<&'static str>, finished_at: i64, prune_at: Option<i64> },
}

#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) id: JobId,
    pub(crate) queue: usize,
    priority: i16,
    place: Place,
    run_after: Option<i64>,
    deadline: i64,
    token: i64,
    generation: i64,
    counts: Counts,
    started: bool,
    attempts: i64,
    acts: i64,
    unique: Option<(String, UniqueUntil)>,
    /// Of its own, in seconds.
    retention: Option<f64>,
}

impl Job {
    fn has_ended(&self) -> bool {
        matches!(self.place, Place::Result { .. })
    }

    fn waits(&self) -> bool {
        matches!(self.place, Place::Ready | Place::Scheduled | Place::Held)
    }
}

/// A new job, as far as it matters.
pub(crate) struct New {
    pub(crate) id: JobId,
    pub(crate) queue: usize,
    pub(crate) run_after: Option<i64>,
    pub(crate) unique: Option<(String, UniqueUntil)>,
    pub(crate) retention: Option<f64>,
}

#[derive(Default)]
pub(crate) struct Plain {
    pub(crate) now: i64,
    jobs: BTreeMap<JobId, Job>,
    keys: BTreeMap<String, JobId>,
    cancel_requests: BTreeMap<JobId, i64>,
    paused: BTreeSet<usize>,
}

impl Plain {
    pub(crate) fn at(now: i64) -> Self {
        Self { now, ..Self::default() }
    }

    pub(crate) fn picture(&self) -> Picture {
        let standing = |job: &Job| {
            let (place, reason, is_dated) = match &job.place {
                Place::Ready => ("ready", None, false),
                Place::Scheduled => ("scheduled", None, false),
                Place::Held => ("held", None, false),
                Place::Running => ("running", None, false),
                Place::Result { state, reason, prune_at, .. } => (*state, *reason, prune_at.is_some()),
            };
            Standing {
                place: place.into(),
                reason: reason.map(Into::into),
                numbers: [job.token, job.generation, job.priority.into()],
                queue: format!("queue{}", job.queue),
                counts: job.counts,
                flags: [job.started, is_dated],
            }
        };
        let written = |job: &Job| (job.attempts + job.acts > 0).then_some((job.id, (job.attempts, job.acts)));
        Picture {
            places: self.jobs.values().map(|job| (job.id, standing(job))).collect(),
            jobs: self.jobs.keys().copied().collect(),
            keys: self.keys.clone(),
            cancel_requests: self.cancel_requests.clone(),
            written: self.jobs.values().filter_map(written).collect(),
        }
    }

    pub(crate) fn enqueue(&mut self, new: New) -> (JobId, bool) {
        if let Some((key, _)) = &new.unique {
            if let Some(holder) = self.keys.get(key) {
                return (*holder, true);
            }
            self.keys.insert(key.clone(), new.id);
        }
        let is_later = new.run_after.is_some_and(|date| date > self.now);
        let job = Job {
            id: new.id,
            queue: new.queue,
            priority: 0,
            place: if is_later { Place::Scheduled } else { Place::Ready },
            run_after: new.run_after,
            deadline: new.run_after.unwrap_or(self.now) + USUAL_DEADLINE,
            token: 0,
            generation: 1,
            counts: Counts::default(),
            started: false,
            attempts: 0,
            acts: 0,
            unique: new.unique,
            retention: new.retention,
        };
        self.jobs.insert(new.id, job);
        (new.id, false)
    }

    /// The highest priority that a claim finds something of.
    pub(crate) fn highest_priority(&self) -> i16 {
        let open = self.jobs.values().filter(|job| job.place == Place::Ready && !self.paused.contains(&job.queue));
        open.map(|job| job.priority).max().unwrap_or(0)
    }

    /// Claims, and gives the ids in order with what each should be handed over with.
    pub(crate) fn claim(&mut self, limit: usize) -> Vec<(JobId, i64, i64, Counts)> {
        let highest = self.highest_priority();
        let open =
            |job: &&mut Job| job.place == Place::Ready && job.priority == highest && !self.paused.contains(&job.queue);
        let mut ready: Vec<&mut Job> = self.jobs.values_mut().filter(open).collect();
        ready.sort_by_key(|job| (job.deadline, job.id));
        let mut claimed = Vec::new();
        for job in ready.into_iter().take(limit) {
            job.place = Place::Running;
            job.token += 1;
            claimed.push((job.id, job.token, job.generation, job.counts));
            if let Some((key, UniqueUntil::Started | UniqueUntil::EachStart)) = &job.unique
                && self.keys.get(key) == Some(&job.id)
            {
                self.keys.remove(key);
            }
        }
        claimed
    }

    /// The running ones, oldest first.
    pub(crate) fn running(&self) -> Vec<JobId> {
        self.jobs.values().filter(|job| job.place == Place::Running).map(|job| job.id).collect()
    }

    /// Ends an attempt; whether it was accepted.
    pub(crate) fn finish(&mut self, claimed: &Claimed, outcome: &Outcome, started: bool) -> bool {
        let Some(job) = self.jobs.get_mut(&claimed.id) else { return false };
        if job.place != Place::Running || job.token != claimed.token.0 {
            return false;
        }
        let (counts, next) = decide(claimed, claimed.options(), outcome);
        job.counts = counts;
        let never_began = *outcome == Outcome::HandedBack;
        job.attempts += i64::from(!never_began);
        job.started |= started && !never_began;
        let is_success = matches!(outcome, Outcome::Successful { .. });
        let is_requested = self.cancel_requests.get(&claimed.id).is_some_and(|token| *token <= claimed.token.0);
        if is_requested && !is_success {
            self.end(claimed.id, "cancelled", None);
            return true;
        }
        let returns_unstarted = never_began || matches!(outcome, Outcome::Incompatible { .. });
        match next {
            Next::Finished { state, reason } => {
                self.end(claimed.id, state.word(), reason.map(gristmill_core::Reason::word));
                return true;
            }
            Next::Ready => job.place = Place::Ready,
            Next::Scheduled { delay } => {
                job.place = Place::Scheduled;
                job.run_after = Some(self.now + i64::try_from(delay.as_micros()).expect("short"));
            }
            Next::ScheduledAt(Moment(date)) => {
                job.place = Place::Scheduled;
                job.run_after = Moment(date).unix_micros();
            }
            Next::Waiting { .. } | Next::WaitingUntil(_) => unreachable!("no job of this model waits for another"),
        }
        self.take_key_again(claimed.id, returns_unstarted);
        true
    }

    pub(crate) fn hand_back(&mut self, id: JobId, token: i64) -> bool {
        let Some(job) = self.jobs.get_mut(&id) else { return false };
        if job.place != Place::Running || job.token != token {
            return false;
        }
        job.place = Place::Ready;
        self.take_key_again(id, true);
        true
    }

    fn take_key_again(&mut self, id: JobId, is_unstarted: bool) {
        if let Some((key, until)) = &self.jobs[&id].unique
            && (*until == UniqueUntil::EachStart || (*until == UniqueUntil::Started && is_unstarted))
        {
            self.keys.entry(key.clone()).or_insert(id);
        }
    }

    fn end(&mut self, id: JobId, state: &'static str, reason: Option<&'static str>) {
        let job = self.jobs.get_mut(&id).expect("is there");
        #[allow(clippy::cast_possible_truncation)]
        let own = job.retention.map(|seconds| self.now + ((seconds * 1e6) as i64).max(SHORTEST_RETENTION));
        job.place = Place::Result { state, reason, finished_at: self.now, prune_at: own };
        self.cancel_requests.remove(&id);
        if let Some((key, until)) = &job.unique
            && *until != UniqueUntil::Pruned
            && self.keys.get(key) == Some(&id)
        {
            self.keys.remove(key);
        }
    }

    pub(crate) fn cancel(&mut self, ids: &BTreeSet<JobId>) -> Vec<(JobId, String)> {
        let mut done = Vec::new();
        for id in ids {
            let Some(job) = self.jobs.get_mut(id) else { continue };
            if job.waits() {
                job.acts += 1;
                self.end(*id, "cancelled", None);
                done.push((*id, "cancelled".into()));
            } else if job.place == Place::Running {
                job.acts += 1;
                self.cancel_requests.entry(*id).or_insert(job.token);
                done.push((*id, "asked".into()));
            }
        }
        done
    }

    pub(crate) fn hold(&mut self, ids: &BTreeSet<JobId>) -> Vec<(JobId, String)> {
        self.act(ids, "held", |job, _| {
            let may = matches!(job.place, Place::Ready | Place::Scheduled);
            may.then(|| job.place = Place::Held)
        })
    }

    pub(crate) fn release(&mut self, ids: &BTreeSet<JobId>) -> Vec<(JobId, String)> {
        self.act(ids, "released", |job, now| {
            let is_due = job.run_after.is_none_or(|date| date <= now);
            (job.place == Place::Held).then(|| job.place = if is_due { Place::Ready } else { Place::Scheduled })
        })
    }

    pub(crate) fn run_now(&mut self, ids: &BTreeSet<JobId>) -> Vec<(JobId, String)> {
        self.act(ids, "readied", |job, now| {
            (job.place == Place::Scheduled).then(|| {
                job.place = Place::Ready;
                job.run_after = Some(now);
                // No job of this model has a deadline of its own.
                job.deadline = job.deadline.min(now + USUAL_DEADLINE);
            })
        })
    }

    pub(crate) fn change(
        &mut self,
        ids: &BTreeSet<JobId>,
        priority: Option<i16>,
        queue: Option<usize>,
    ) -> Vec<(JobId, String)> {
        let mut done = Vec::new();
        for id in ids {
            let Some(job) = self.jobs.get_mut(id).filter(|job| job.waits()) else { continue };
            let wanted = (priority.unwrap_or(job.priority), queue.unwrap_or(job.queue));
            if wanted == (job.priority, job.queue) {
                done.push((*id, "refused: it is like that already".into()));
                continue;
            }
            (job.priority, job.queue) = wanted;
            job.acts += 1;
            done.push((*id, "changed".into()));
        }
        done
    }

    fn act(
        &mut self,
        ids: &BTreeSet<JobId>,
        done: &str,
        how: impl Fn(&mut Job, i64) -> Option<()>,
    ) -> Vec<(JobId, String)> {
        let now = self.now;
        let mut acted = Vec::new();
        for id in ids {
            let Some(job) = self.jobs.get_mut(id) else { continue };
            if how(job, now).is_some() {
                job.acts += 1;
                acted.push((*id, done.into()));
            }
        }
        acted
    }

    pub(crate) fn retry(&mut self, ids: &BTreeSet<JobId>) -> Vec<(JobId, String)> {
        let mut done = Vec::new();
        for id in ids {
            let Some(job) = self.jobs.get_mut(id).filter(|job| job.has_ended()) else { continue };
            if let Some((key, until)) = &job.unique
                && *until != UniqueUntil::Pruned
                && *self.keys.entry(key.clone()).or_insert(*id) != *id
            {
                done.push((*id, "refused: another job has its unique key".into()));
                continue;
            }
            job.place = Place::Ready;
            job.generation += 1;
            job.run_after = None;
            job.counts = Counts::default();
            job.started = false;
            job.acts += 1;
            self.cancel_requests.remove(id);
            done.push((*id, "retried".into()));
        }
        done
    }

    pub(crate) fn promote(&mut self, limit: usize) -> u64 {
        let now = self.now;
        let due = |job: &&mut Job| job.place == Place::Scheduled && job.run_after.is_some_and(|date| date <= now);
        let mut due: Vec<&mut Job> = self.jobs.values_mut().filter(due).collect();
        due.sort_by_key(|job| (job.run_after, job.id));
        due.truncate(limit);
        for job in &mut due {
            job.place = Place::Ready;
        }
        due.len() as u64
    }

    pub(crate) fn prune(&mut self, retention: i64) -> u64 {
        let now = self.now;
        let is_old = |job: &&Job| match job.place {
            Place::Result { finished_at, prune_at: Some(date), .. } => {
                date <= now && finished_at + SHORTEST_RETENTION <= now
            }
            Place::Result { finished_at, .. } => finished_at + retention.max(SHORTEST_RETENTION) <= now,
            _ => false,
        };
        let old: Vec<JobId> = self.jobs.values().filter(is_old).map(|job| job.id).collect();
        for id in &old {
            self.jobs.remove(id);
            self.cancel_requests.remove(id);
        }
        self.keys.retain(|_, holder| !old.contains(holder));
        old.len() as u64
    }

    pub(crate) fn sweep_cancel_requests(&mut self, limit: usize) -> u64 {
        let jobs = &self.jobs;
        let is_stray = |id: &JobId| jobs.get(id).is_none_or(|job| job.place != Place::Running);
        let stray: Vec<JobId> = self.cancel_requests.keys().copied().filter(is_stray).take(limit).collect();
        for id in &stray {
            if self.jobs.get(id).is_some_and(Job::waits) {
                self.end(*id, "cancelled", None);
            }
            self.cancel_requests.remove(id);
        }
        stray.len() as u64
    }

    pub(crate) fn pause(&mut self, queue: usize) {
        self.paused.insert(queue);
    }

    pub(crate) fn resume(&mut self, queue: usize) -> bool {
        self.paused.remove(&queue)
    }
}

//! The jobs in the executor, and what is known of each while it is there. Pure.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use gristmill_core::{Claimed, JobId, Progress, Token};

type Key = (JobId, Token);

/// What was known of a job that has left the executor.
pub(crate) struct Left {
    /// When it came in.
    pub(crate) since: Instant,
    /// The last that its handler said of itself, if that is not written yet.
    pub(crate) said: Option<Progress>,
}

/// The jobs that were handed to the executor and have not come back.
pub(crate) struct InFlight {
    /// Since when.
    jobs: HashMap<Key, Instant>,
    /// Since when there has always been one.
    since: Option<Instant>,
    /// The newest of each that is not written yet.
    said: HashMap<Key, Progress>,
    /// The executor knows that someone wants them to end.
    cancelled: HashSet<Key>,
    /// The queues that have a limit.
    queues: HashMap<String, Places>,
}

struct Places {
    limit: usize,
    taken: usize,
}

impl InFlight {
    /// None yet. `queue_limits` name the queues of which only so many may be held at once.
    pub(crate) fn new(queue_limits: &HashMap<String, u32>) -> Self {
        let places = |limit: &u32| Places { limit: usize::try_from(*limit).unwrap_or(usize::MAX), taken: 0 };
        Self {
            jobs: HashMap::new(),
            since: None,
            said: HashMap::new(),
            cancelled: HashSet::new(),
            queues: queue_limits.iter().map(|(queue, limit)| (queue.clone(), places(limit))).collect(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.jobs.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    pub(crate) fn contains(&self, key: Key) -> bool {
        self.jobs.contains_key(&key)
    }

    /// Since when there has always been a job.
    pub(crate) fn since(&self) -> Option<Instant> {
        self.since
    }

    /// How many more jobs of a queue it may take; `None` is no limit.
    pub(crate) fn left(&self, queue: &str) -> Option<usize> {
        self.queues.get(queue).map(|places| places.limit.saturating_sub(places.taken))
    }

    /// Takes a job in, unless its queue is at its limit.
    pub(crate) fn take_in(&mut self, job: &Claimed, now: Instant) -> bool {
        if let Some(places) = self.queues.get_mut(&job.lane.queue_name) {
            if places.taken >= places.limit {
                return false;
            }
            places.taken += 1;
        }
        self.jobs.insert((job.id, job.token), now);
        self.since.get_or_insert(now);
        true
    }

    /// Lets a job go; `None` when it was not there.
    pub(crate) fn let_go(&mut self, job: &Claimed) -> Option<Left> {
        let key = (job.id, job.token);
        let since = self.jobs.remove(&key)?;
        if let Some(places) = self.queues.get_mut(&job.lane.queue_name) {
            places.taken = places.taken.saturating_sub(1);
        }
        if self.jobs.is_empty() {
            self.since = None;
        }
        self.cancelled.remove(&key);
        Some(Left { since, said: self.said.remove(&key) })
    }

    /// Keeps what a handler says, in place of what it said before.
    pub(crate) fn hear(&mut self, progress: Progress) {
        let key = (progress.job, progress.token);
        if self.jobs.contains_key(&key) {
            self.said.insert(key, progress);
        }
    }

    pub(crate) fn has_heard(&self) -> bool {
        !self.said.is_empty()
    }

    /// What is to be written.
    pub(crate) fn said(&mut self) -> Vec<Progress> {
        std::mem::take(&mut self.said).into_values().collect()
    }

    /// What handlers said could not be written: kept, where there is nothing newer.
    pub(crate) fn unsaid(&mut self, said: Vec<Progress>) {
        for progress in said {
            let key = (progress.job, progress.token);
            if self.jobs.contains_key(&key) {
                self.said.entry(key).or_insert(progress);
            }
        }
    }

    /// Of those that someone wants to end: the ones that are here and whose executor does not know yet.
    pub(crate) fn cancel(&mut self, wanted: Vec<Key>) -> Vec<Key> {
        wanted.into_iter().filter(|key| self.jobs.contains_key(key) && self.cancelled.insert(*key)).collect()
    }
}

#[cfg(test)]
mod tests {
    use gristmill_core::{Counts, Lane, Moment, StoredOptions, WorkerId};

    use super::*;

    fn job(queue: &str) -> Claimed {
        let moment = Moment::from_unix_micros(0);
        Claimed {
            id: JobId::new(),
            token: Token(1),
            lane: Lane { backend: "default".into(), queue_name: queue.into(), task_name: "work".into() },
            priority: 0,
            deadline: moment.clone(),
            run_after: None,
            enqueued_at: moment.clone(),
            claimed_at: moment,
            started_at: None,
            generation: 1,
            counts: Counts::default(),
            misfits: gristmill_core::Misfits::default(),
            args: "[]".into(),
            kwargs: "{}".into(),
            stored_options: StoredOptions::default(),
            worker_id: WorkerId::new(),
        }
    }

    fn said(job: &Claimed, done: f64) -> Progress {
        Progress { job: job.id, token: job.token, done: Some(done), total: None, message: None, metadata: None }
    }

    fn unlimited() -> InFlight {
        InFlight::new(&HashMap::new())
    }

    #[test]
    fn a_queue_takes_no_more_than_its_limit_until_one_has_left() {
        let mut held = InFlight::new(&HashMap::from([("slow".to_owned(), 2)]));
        let (one, two, three) = (job("slow"), job("slow"), job("slow"));
        let now = Instant::now();
        assert_eq!((held.left("slow"), held.left("mail")), (Some(2), None));
        assert!(held.take_in(&one, now) && held.take_in(&two, now));
        assert!(!held.take_in(&three, now) && held.take_in(&job("mail"), now));
        assert_eq!(held.left("slow"), Some(0));
        held.let_go(&one);
        assert!(held.take_in(&three, now));
    }

    #[test]
    fn of_what_a_handler_says_the_newest_is_kept_and_of_strangers_nothing() {
        let (mut held, here, stranger) = (unlimited(), job("mail"), job("mail"));
        held.take_in(&here, Instant::now());
        held.hear(said(&stranger, 1.0));
        assert!(!held.has_heard());
        held.hear(said(&here, 1.0));
        held.hear(said(&here, 2.0));
        let written = held.said();
        assert_eq!(written, [said(&here, 2.0)]);
        held.hear(said(&here, 3.0));
        held.unsaid(written);
        assert_eq!(held.let_go(&here).and_then(|left| left.said), Some(said(&here, 3.0)));
        assert!(!held.has_heard());
    }

    #[test]
    fn an_executor_is_told_once_of_each_cancel_and_of_no_job_that_it_does_not_hold() {
        let (mut held, here, stranger) = (unlimited(), job("mail"), job("mail"));
        held.take_in(&here, Instant::now());
        let wanted = vec![(here.id, here.token), (stranger.id, stranger.token), (here.id, Token(2))];
        assert_eq!(held.cancel(wanted.clone()), [(here.id, here.token)]);
        assert!(held.cancel(wanted).is_empty());
    }

    #[test]
    fn it_knows_since_when_there_has_always_been_a_job() {
        let (mut held, one, two, now) = (unlimited(), job("mail"), job("mail"), Instant::now());
        held.take_in(&one, now);
        held.take_in(&two, now + std::time::Duration::from_secs(1));
        held.let_go(&one);
        assert_eq!(held.since(), Some(now));
        held.let_go(&two);
        assert_eq!(held.since(), None);
    }
}

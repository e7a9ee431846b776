//! The people of the simulated world: they ask for jobs, cancel, hold, release and retry them, have them run now or in
//! another lane, pause queues, and quiet and stop workers.

use gristmill_core::{JobId, Lane, Moment};
use gristmill_store::{Acted, Asked, Change, NewJob, UniqueUntil};

use super::connection::Weather;
use super::runners::TASKS;
use super::world::{World, uuid};

/// Jobs under way at most.
const JOBS: usize = 64;
const QUEUES: [&str; 2] = ["default", "mail"];

impl World {
    /// Now and then someone does something. Nothing goes wrong with it: what they do is one transaction of their own.
    pub(super) async fn people_act(&mut self) -> Result<(), String> {
        self.shared.set_weather(Weather::default());
        match self.rng.u32(0..300) {
            0..80 => self.enqueue().await?,
            80..90 => self.cancel().await?,
            90..94 => self.hold().await?,
            94..102 => self.release().await?,
            102..114 => self.retry().await?,
            114 => self.pause_a_queue().await,
            115..118 => self.resume_queues().await,
            118..124 => self.add_preconditions().await?,
            124..132 => self.look_after_stranded().await?,
            132 => self.deploy(),
            133..137 => self.steer_schedules().await?,
            137..139 => self.ask_a_worker().await,
            139..143 => self.let_workers_claim().await,
            143..149 => self.run_now().await?,
            149..155 => self.change().await?,
            _ => {}
        }
        self.shared.set_weather(self.weather_now());
        Ok(())
    }

    /// Nobody holds anything back any more, and nobody waits for code that does not come.
    pub(super) async fn people_let_go(&mut self) -> Result<(), String> {
        self.release().await?;
        self.resume_queues().await;
        self.let_workers_claim().await;
        let unreadable = self.oracle.unreadable_ids();
        self.cancel_these(&unreadable).await
    }

    async fn enqueue(&mut self) -> Result<(), String> {
        if self.oracle.alive() >= JOBS {
            return Ok(());
        }
        let count = self.rng.usize(1..8);
        let mut jobs: Vec<NewJob> = (0..count).map(|_| self.new_job()).collect();
        self.let_them_wait(&mut jobs);
        let enqueued = self.session().await.enqueue(&jobs).await.expect("enqueues");
        for (job, (got, existing)) in jobs.iter().zip(enqueued.jobs) {
            self.oracle.enqueued(job, got, existing, self.now)?;
            self.tally.jobs += u64::from(!existing);
            self.tally.kept_by_key += u64::from(existing);
        }
        self.look().await
    }

    fn new_job(&mut self) -> NewJob {
        let run_after =
            (self.rng.u32(0..5) == 0).then(|| Moment::from_unix_micros(self.now + self.rng.i64(0..60_000_000)));
        let lane = Lane {
            backend: "default".into(),
            queue_name: QUEUES[self.rng.usize(0..QUEUES.len())].into(),
            task_name: TASKS[self.rng.usize(0..TASKS.len())].into(),
        };
        let unique_key = (self.rng.u32(0..4) == 0).then(|| format!("key {}", self.rng.u32(0..6)));
        let untils = [UniqueUntil::Started, UniqueUntil::EachStart, UniqueUntil::Finished];
        let unique_until = untils[self.rng.usize(..untils.len())];
        let (options_json, retention) = self.options();
        NewJob {
            id: JobId(uuid(&mut self.rng, self.now)),
            priority: self.rng.i16(-1..=1),
            run_after,
            unique_key,
            unique_until,
            options_json,
            retention,
            held: self.rng.u32(0..20) == 0,
            ..NewJob::new(lane, "[]")
        }
    }

    /// Options, and the retention that is among them.
    fn options(&mut self) -> (Option<String>, Option<f64>) {
        let mut options = serde_json::Map::new();
        match self.rng.u32(0..4) {
            0 => drop(options.insert("max_attempts".into(), serde_json::Value::Null)),
            1..3 => drop(options.insert("max_attempts".into(), self.rng.u32(2..5).into())),
            _ => {}
        }
        let backoff = match self.rng.u32(0..4) {
            0 => serde_json::json!({"kind": "constant", "seconds": self.rng.u32(0..20)}),
            1 => serde_json::json!({"kind": "linear", "step": 2}),
            2 => serde_json::json!({"kind": "callable"}),
            _ => serde_json::json!({"kind": "exponential", "base": 1, "jitter": 0.5, "max": 30}),
        };
        options.insert("backoff".into(), backoff);
        if self.rng.u32(0..8) == 0 {
            let expires = if self.rng.bool() {
                self.rng.u32(0..60).into()
            } else {
                Moment::from_unix_micros(self.now + self.rng.i64(0..60_000_000)).0.into()
            };
            options.insert("expires".into(), expires);
        }
        if self.rng.u32(0..6) == 0 {
            options.insert("on_crash".into(), "fail".into());
        }
        if self.rng.u32(0..4) == 0 {
            options.insert("retention".into(), self.rng.u32(0..400).into());
        }
        if self.rng.bool() {
            options.insert("max_postpones".into(), self.rng.u32(0..3).into());
        }
        // Of code that is not there yet.
        if self.is_troubled() && self.rng.u32(0..30) == 0 {
            self.tally.unreadable += 1;
            options.insert("on_crash".into(), "ask".into());
        }
        if self.rng.u32(0..5) == 0 {
            return (None, None);
        }
        let retention = options.get("retention").and_then(serde_json::Value::as_f64);
        (Some(serde_json::Value::Object(options).to_string()), retention)
    }

    async fn cancel(&mut self) -> Result<(), String> {
        let ids = if self.rng.bool() { self.oracle.alive_ids() } else { self.oracle.open_ids() };
        let ids = self.some_of(ids);
        self.cancel_these(&ids).await
    }

    pub(super) async fn cancel_these(&mut self, ids: &[JobId]) -> Result<(), String> {
        for Acted { id, done, .. } in self.session().await.cancel(ids, "someone").await.expect("cancels") {
            assert!(done == "cancelled" || done == "asked", "{done}");
            self.oracle.cancelled(id);
        }
        self.look().await
    }

    async fn hold(&mut self) -> Result<(), String> {
        let ids = self.some_of(self.oracle.alive_ids());
        for Acted { id, done, .. } in self.session().await.hold(&ids, "someone", None).await.expect("holds") {
            if done == "held" {
                self.tally.held += 1;
                self.oracle.held(id);
            }
        }
        self.look().await
    }

    async fn release(&mut self) -> Result<(), String> {
        let ids = self.oracle.held_ids();
        for Acted { id, done, .. } in self.session().await.release(&ids, "someone").await.expect("releases") {
            assert_eq!(done, "released");
            self.oracle.released(id);
        }
        self.look().await
    }

    async fn run_now(&mut self) -> Result<(), String> {
        let ids = self.oracle.scheduled_ids();
        let ids = self.some_of(ids);
        for Acted { done, .. } in self.session().await.run_now(&ids, "someone").await.expect("makes them due") {
            assert_eq!(done, "readied");
            self.tally.run_now += 1;
        }
        self.look().await
    }

    /// Whoever gets into another lane has to be found there: nothing is left over when all is done.
    async fn change(&mut self) -> Result<(), String> {
        let ids = self.some_of(self.oracle.alive_ids());
        let queue_name = QUEUES[self.rng.usize(0..QUEUES.len())];
        let change = Change { priority: Some(self.rng.i16(-1..=1)), queue_name: Some(queue_name), backends: None };
        for Acted { done, .. } in self.session().await.change(&ids, "someone", change).await.expect("changes") {
            self.tally.changed += u64::from(done == "changed");
        }
        self.look().await
    }

    async fn retry(&mut self) -> Result<(), String> {
        if self.oracle.alive() >= JOBS {
            return Ok(());
        }
        let ids = self.some_of(self.oracle.ended_ids());
        self.retry_these(&ids).await
    }

    pub(super) async fn retry_these(&mut self, ids: &[JobId]) -> Result<(), String> {
        for Acted { id, done, .. } in self.session().await.retry(ids, "someone").await.expect("retries") {
            if done == "retried" {
                self.tally.retried += 1;
                self.oracle.retried(id)?;
            }
        }
        self.look().await
    }

    async fn pause_a_queue(&mut self) {
        let queue = QUEUES[self.rng.usize(0..QUEUES.len())];
        self.session().await.pause("default", queue, "a look at it").await.expect("pauses");
        self.tally.pauses_of_queues += 1;
        self.oracle.paused(queue, true);
    }

    async fn resume_queues(&mut self) {
        for queue in QUEUES {
            self.session().await.resume("default", queue).await.expect("resumes");
            self.oracle.paused(queue, false);
        }
    }

    async fn ask_a_worker(&mut self) {
        let worker = self.fleet[self.rng.usize(..self.fleet.len())].worker();
        let by = "someone".to_owned();
        let asked = if self.rng.u32(0..4) > 0 { Asked::Quiet { by } } else { Asked::Stop { by } };
        let done = self.session().await.ask_worker(worker, &asked).await.expect("answers");
        self.tally.workers_asked += u64::from(done);
    }

    async fn let_workers_claim(&mut self) {
        for n in 0..self.fleet.len() {
            let worker = self.fleet[n].worker();
            self.session().await.ask_worker(worker, &Asked::Nothing).await.expect("answers");
        }
    }

    pub(super) async fn look(&mut self) -> Result<(), String> {
        for (job, at) in self.oracle.ticks.look(&self.shared, self.now).await? {
            self.oracle.enqueued(&job, job.id, false, at)?;
            self.tally.jobs += 1;
        }
        self.oracle.look(&self.shared, &[], &[]).await
    }

    pub(super) fn some_of(&mut self, mut ids: Vec<JobId>) -> Vec<JobId> {
        self.rng.shuffle(&mut ids);
        ids.truncate(self.rng.usize(1..4));
        ids
    }
}

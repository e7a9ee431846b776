//! A database file with the schema, a worker on it, and the few words the tests are written in.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::missing_panics_doc, clippy::unwrap_used)]

pub mod executor;
pub mod faults;

use std::future::Future;
use std::time::Duration;

use gristmill_core::schedule::Announcement;
use gristmill_core::{JobId, Lane, Lease, Moment};
use gristmill_engine::{Ending, Figures, Options, Sessions, Shutdown, Standing, Stopper, Worker, shutdown};
use gristmill_store::{Connection, NewJob, Store, Value};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;

pub use executor::{CRASH, Control, FAIL, Fake, LATE, WAIT, WORK, error, success};
pub use faults::Faulty;

/// Nothing that a test waits for takes longer, even beside neighbours that take every core.
const PATIENCE: Duration = Duration::from_mins(2);

/// A database of its own.
pub struct Database {
    pub store: Store,
    /// What the test itself looks through.
    window: Mutex<Option<Box<dyn Connection>>>,
    pub place: crate::Place,
}

impl Database {
    pub async fn fresh() -> Self {
        let (place, store) = crate::Place::fresh().await;
        Self { store, window: Mutex::default(), place }
    }

    /// Enqueues jobs of a task with these priorities; gives their ids in the same order.
    pub async fn enqueue(&self, task: &str, priorities: &[i16]) -> Vec<JobId> {
        let jobs: Vec<NewJob> = priorities.iter().map(|priority| job(task, "default", *priority)).collect();
        self.enqueue_jobs(&jobs).await
    }

    pub async fn enqueue_jobs(&self, jobs: &[NewJob]) -> Vec<JobId> {
        self.store.open().await.unwrap().enqueue(jobs).await.unwrap();
        jobs.iter().map(|job| job.id).collect()
    }

    pub async fn sql(&self, sql: &'static str) -> Vec<Vec<Value>> {
        let mut window = self.window.lock().await;
        if window.is_none() {
            *window = Some(self.store.open().await.unwrap().into_connection());
        }
        window.as_mut().unwrap().run(sql, &[]).await.unwrap()
    }

    /// Forgets the connection that the test looks through: the server has closed it.
    pub async fn look_anew(&self) {
        *self.window.lock().await = None;
    }

    /// How many jobs are in each state, as `"ready 2, successful 1"`.
    pub async fn states(&self) -> String {
        let rows = self.sql("select state, count(*) from gristmill_jobs group by state order by state").await;
        let states: Vec<String> = rows.iter().map(|row| format!("{} {}", text(&row[0]), int(&row[1]))).collect();
        states.join(", ")
    }

    /// Outcomes of the attempts of a job, oldest first.
    pub async fn outcomes(&self, id: JobId) -> Vec<String> {
        let rows = self.sql("select cast(job_id as text), outcome from gristmill_attempt order by token").await;
        rows.iter().filter(|row| of(&row[0]) == id).map(|row| text(&row[1])).collect()
    }

    pub async fn state(&self, id: JobId) -> String {
        let rows = self.sql("select cast(id as text), state from gristmill_jobs").await;
        text(&rows.iter().find(|row| of(&row[0]) == id).unwrap()[1])
    }

    /// Waits until a job is in a state.
    pub async fn until_state(&self, id: JobId, state: &str) {
        soon(async {
            while self.state(id).await != state {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
}

/// A worker that runs in the background of a test.
pub struct Running {
    pub control: Control,
    pub stopper: Stopper,
    pub progress: watch::Receiver<Figures>,
    pub standing: watch::Receiver<Standing>,
    task: JoinHandle<Ending>,
}

impl Running {
    pub fn start<S: Sessions>(sessions: &S, slots: usize, prefetch: usize, options: Options) -> Self {
        let (stopper, shutdown) = shutdown::channel();
        Self::start_with(sessions, slots, prefetch, options, stopper, shutdown)
    }

    pub fn start_with<S: Sessions>(
        sessions: &S,
        slots: usize,
        prefetch: usize,
        options: Options,
        stopper: Stopper,
        shutdown: Shutdown,
    ) -> Self {
        let deadline = Duration::from_secs(10);
        Self::start_patiently(sessions, slots, prefetch, options, (stopper, shutdown), deadline)
    }

    /// A worker that waits so long for an answer of the database.
    pub fn start_patiently<S: Sessions>(
        sessions: &S,
        slots: usize,
        prefetch: usize,
        options: Options,
        (stopper, shutdown): (Stopper, Shutdown),
        deadline: Duration,
    ) -> Self {
        let worker = Fake::new(slots, prefetch);
        Self::spawn(sessions, worker, options, (stopper, shutdown), deadline)
    }

    /// A worker of two runners whose code has schedules.
    pub fn announce<S: Sessions>(sessions: &S, options: Options, announcement: Announcement) -> Self {
        let (fake, control) = Fake::new(2, 0);
        let worker = (fake.announcing(Some(announcement)), control);
        Self::spawn(sessions, worker, options, shutdown::channel(), Duration::from_secs(10))
    }

    fn spawn<S: Sessions>(
        sessions: &S,
        (fake, control): (Fake, Control),
        options: Options,
        (stopper, shutdown): (Stopper, Shutdown),
        deadline: Duration,
    ) -> Self {
        let worker = Worker::new(sessions.clone(), fake, options).with_deadline(deadline);
        let (progress, standing) = (worker.progress(), worker.standing());
        let task = tokio::spawn(async move { worker.run(shutdown).await.unwrap() });
        Self { control, stopper, progress, standing, task }
    }

    /// Waits until its progress is as wanted.
    pub async fn until(&mut self, wanted: impl FnMut(&Figures) -> bool) -> Figures {
        *soon(self.progress.wait_for(wanted)).await.unwrap()
    }

    /// Waits until so many jobs have started.
    pub async fn until_started(&self, count: usize) -> Vec<JobId> {
        soon(self.control.started().wait_for(|started| started.len() >= count)).await.unwrap().clone()
    }

    pub async fn ending(self) -> Ending {
        soon(self.task).await.unwrap()
    }

    /// Its end, however long that takes.
    pub async fn task_end(self) -> Ending {
        self.task.await.unwrap()
    }

    pub async fn stop(self) -> Ending {
        self.stopper.request();
        self.ending().await
    }

    /// As if it were killed: nothing is written any more.
    pub async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

/// Short times, and a lease that outlives whatever a busy machine does.
pub fn quick() -> Options {
    let poll_interval = Duration::from_millis(200);
    Options { lease: Lease::new(Duration::from_secs(1)), poll_interval, ..Options::default() }
}

/// A lease that is over in half a second, so that tests of what follows are quick.
pub fn mortal() -> Options {
    Options { lease: Lease::new(Duration::from_millis(200)), ..quick() }
}

pub fn until_done() -> Options {
    Options { until_done: true, ..Options::default() }
}

pub fn job(task: &str, queue: &str, priority: i16) -> NewJob {
    let lane = Lane { backend: "default".into(), queue_name: queue.into(), task_name: task.into() };
    NewJob { priority, ..NewJob::new(lane, "[]") }
}

/// The database's clock, moved.
pub fn in_time(duration: Duration) -> Moment {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap() + duration;
    Moment::from_unix_micros(i64::try_from(now.as_micros()).unwrap())
}

/// Bounds a wait.
pub async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it happens in time")
}

pub fn text(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        other => panic!("not text: {other:?}"),
    }
}

fn of(value: &Value) -> JobId {
    text(value).parse().unwrap()
}

pub fn int(value: &Value) -> i64 {
    match value {
        Value::Int(int) => *int,
        other => panic!("not a number: {other:?}"),
    }
}

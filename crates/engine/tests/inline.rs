//! The step-by-step driver, over a database file and a caller that answers from a list.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, HashSet};

use gristmill_core::{Attempt, Claimed, JobId, Lane, Moment, Next, OnPreconditionFailure, Outcome, Reason, WorkerId};
use gristmill_engine::inline::{self, Called, Caller, Go, Left, Options};
use gristmill_store::{NewJob, Result, Session, Settings, Store, Value};

/// Answers each call by the job's first argument, and stands in for a clock.
#[derive(Default)]
struct Test {
    second: i64,
    called: Vec<String>,
    ended: Vec<&'static str>,
    refuses: bool,
    stops_after: Option<usize>,
    cancelled_by: Option<Store>,
}

impl Caller for Test {
    fn now(&self) -> Moment {
        // 2031, and whole seconds.
        Moment::from_unix_micros((1_935_000_000 + self.second) * 1_000_000)
    }

    fn call(&mut self, claimed: &Claimed, _worker: WorkerId) -> Result<Option<Called>> {
        if self.refuses {
            return Ok(None);
        }
        self.called.push(claimed.args.clone());
        if let Some(store) = self.cancelled_by.clone() {
            cancel(store, claimed.id);
        }
        let outcome = if claimed.args == r#"["fail"]"# {
            Outcome::failed(Reason::Error, "builtins.ValueError", "no")
        } else {
            Outcome::Successful { return_value: "null".into() }
        };
        Ok(Some(Called { outcome, output: None, progress: None }))
    }

    fn ended(&mut self, attempt: &Attempt, next: Option<&Next>) -> Result<Go> {
        assert!(next.is_some(), "nobody else works here");
        self.ended.push(attempt.outcome.word());
        Ok(if self.stops_after == Some(self.ended.len()) { Go::Stop } else { Go::On })
    }
}

struct Place {
    folder: std::path::PathBuf,
    store: Store,
}

impl Place {
    async fn fresh() -> Self {
        let folder = std::env::temp_dir().join(format!("gristmill-inline-{}", JobId::new()));
        std::fs::create_dir(&folder).unwrap();
        let store = Store::new(Settings::sqlite(folder.join("jobs.sqlite3"))).unwrap();
        store.migrate().await.unwrap();
        Self { folder, store }
    }

    async fn session(&self) -> Session {
        self.store.open().await.unwrap()
    }

    async fn enqueue(&self, test: &Test, jobs: &[NewJob]) {
        let mut session = self.session().await;
        session.set_now(Some(test.now()));
        session.enqueue(jobs).await.unwrap();
    }

    async fn run(&self, test: &mut Test, options: &Options) -> Left {
        inline::run(self.session().await, test, options).await.unwrap()
    }

    async fn numbers(&self, sql: &'static str) -> Vec<Value> {
        let mut connection = self.session().await.into_connection();
        connection.run(sql, &[]).await.unwrap().into_iter().flatten().collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn job(task: &str, what: &str) -> NewJob {
    let lane = Lane { backend: "default".into(), queue_name: "default".into(), task_name: task.into() };
    NewJob::new(lane, format!("[{what:?}]"))
}

fn options() -> Options {
    Options {
        backends: HashSet::from(["default".into()]),
        queues: None,
        tasks: HashSet::from(["work".into()]),
        max_jobs: 100,
        schedules: BTreeMap::new(),
        label: "a test".into(),
        host: "here".into(),
        pid: 1,
    }
}

#[tokio::test]
async fn due_jobs_run_by_priority_then_in_the_order_of_their_ids_and_later_ones_stay() {
    let (place, mut test) = (Place::fresh().await, Test::default());
    let mut urgent = job("work", "urgent");
    urgent.priority = 1;
    let mut later = job("work", "later");
    later.run_after = Some(Test { second: 60, ..Test::default() }.now());
    place.enqueue(&test, &[job("work", "one"), job("work", "two"), urgent, later]).await;
    assert_eq!(place.run(&mut test, &options()).await, Left::default());
    assert_eq!(test.called, [r#"["urgent"]"#, r#"["one"]"#, r#"["two"]"#]);
    test.second = 60;
    place.run(&mut test, &options()).await;
    assert_eq!(test.called.last().unwrap(), r#"["later"]"#);
}

#[tokio::test]
async fn a_run_without_jobs_writes_nothing_and_names_the_tasks_it_does_not_serve() {
    let (place, mut test) = (Place::fresh().await, Test::default());
    place.enqueue(&test, &[job("other", "x"), job("other", "y")]).await;
    let left = place.run(&mut test, &options()).await;
    assert_eq!(left.unserved, ["other"]);
    assert_eq!(place.numbers("select count(*) from gristmill_worker").await, [Value::Int(0)]);
}

#[tokio::test]
async fn the_bound_stops_a_run_with_more_to_do_and_only_then_says_so() {
    let (place, mut test) = (Place::fresh().await, Test::default());
    place.enqueue(&test, &[job("work", "one"), job("work", "two"), job("work", "three")]).await;
    assert!(place.run(&mut test, &Options { max_jobs: 2, ..options() }).await.more);
    assert!(!place.run(&mut test, &Options { max_jobs: 1, ..options() }).await.more);
    assert_eq!(test.called.len(), 3);
}

#[tokio::test]
async fn a_caller_that_refuses_gets_its_job_put_back_untouched() {
    let (place, mut test) = (Place::fresh().await, Test { refuses: true, ..Test::default() });
    place.enqueue(&test, &[job("work", "one")]).await;
    place.run(&mut test, &options()).await;
    assert_eq!(test.ended, ["handed back"]);
    assert_eq!(place.numbers("select count(*) from gristmill_ready").await, [Value::Int(1)]);
    assert_eq!(place.numbers("select count(*) from gristmill_attempt").await, [Value::Int(0)]);
}

#[tokio::test]
async fn a_caller_can_stop_after_any_job_and_the_worker_signs_off() {
    let (place, mut test) = (Place::fresh().await, Test { stops_after: Some(1), ..Test::default() });
    place.enqueue(&test, &[job("work", "fail"), job("work", "two")]).await;
    place.run(&mut test, &options()).await;
    assert_eq!(test.ended, ["failed"]);
    assert_eq!(place.numbers("select stopped_at is not null from gristmill_worker").await, [Value::Int(1)]);
    assert_eq!(place.numbers("select count(*) from gristmill_running").await, [Value::Int(0)]);
}

#[tokio::test]
async fn a_job_that_is_asked_to_end_while_it_runs_is_cancelled_unless_it_is_successful() {
    let place = Place::fresh().await;
    let mut test = Test { cancelled_by: Some(place.store.clone()), ..Test::default() };
    place.enqueue(&test, &[job("work", "fail"), job("work", "one")]).await;
    place.run(&mut test, &options()).await;
    assert_eq!(test.ended, ["cancelled", "successful"]);
}

#[tokio::test]
async fn jobs_of_schedules_that_are_due_run_in_the_same_run_and_each_tick_once() {
    let (place, mut test) = (Place::fresh().await, Test::default());
    let minutely = r#"{"schedules": [{"name": "minutely", "task_name": "work", "definition": {
        "cron": "* * * * *", "run_on_creation": true, "args": "[\"tick\"]"}}]}"#;
    let schedules = BTreeMap::from([("default".to_owned(), serde_json::from_str(minutely).unwrap())]);
    let options = Options { schedules, ..options() };
    for (second, called) in [(5, 1), (30, 1), (60, 2), (61, 2)] {
        test.second = second;
        place.run(&mut test, &options).await;
        assert_eq!(test.called, vec![r#"["tick"]"#; called], "at second {second}");
    }
    test.second = 3_600;
    place.run(&mut test, &self::options()).await;
    assert_eq!(test.called.len(), 2, "who is not asked to tick does not");
    place.run(&mut test, &options).await;
    assert_eq!(test.called.len(), 3, "the newest one that was missed");
}

#[tokio::test]
async fn a_job_runs_after_those_that_it_waits_for_and_not_after_one_that_failed() {
    let (place, mut test) = (Place::fresh().await, Test::default());
    let (first, failing) = (job("work", "first"), job("work", "fail"));
    let after = |what: &str, preconditions: &[JobId]| NewJob { after: preconditions.to_vec(), ..job("work", what) };
    let mut last = after("last", &[first.id, failing.id]);
    last.on_precondition_failure = OnPreconditionFailure::Proceed;
    let stranded = after("stranded", &[failing.id]);
    place.enqueue(&test, &[last, stranded, first.clone(), failing]).await;
    place.run(&mut test, &options()).await;
    assert_eq!(test.called, [r#"["first"]"#, r#"["fail"]"#, r#"["last"]"#]);
    // One that has ended already.
    place.enqueue(&test, &[after("late", &[first.id])]).await;
    place.run(&mut test, &options()).await;
    assert_eq!(test.called.last().unwrap(), r#"["late"]"#);
}

/// Someone else, on a connection of theirs.
fn cancel(store: Store, job: JobId) {
    let work = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let done = runtime.block_on(async { store.open().await.unwrap().cancel(&[job], "someone").await.unwrap() });
        assert_eq!(done[0].done, "asked");
    };
    std::thread::spawn(work).join().unwrap();
}

//! Random sequences of verbs, held against a plain model in memory: after each step the tables must hold what the model
//! holds.
//!
//! `GRISTMILL_MODEL_CASES_SQLITE` and `GRISTMILL_MODEL_CASES_POSTGRES` say how many sequences of 60 steps;
//! `GRISTMILL_MODEL_SEED` (a number) repeats a run. The model decides by the same `decide` as the engine: it is the tables
//! that are asked here.

mod ops;
mod plain;
mod tables;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use gristmill_core::{Attempt, ClaimCursor, Claimed, JobId, Lane, Lease, Moment, Outcome, Reason, Until, WorkerId};
use gristmill_store::{Acted, Change, Connection, NewJob, NewWorker, Session, Settings, Store, UniqueUntil};
use gristmill_testkit::server::{Durability, Server};
use ops::{Asked, Ending, Op};
use plain::{New, Plain, SECOND};
use proptest::sample::Index;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use sqlx::{AssertSqlSafe, Connection as _, Executor, PgConnection};
use tables::{Picture, clear};
use uuid::Uuid;

const STEPS: usize = 60;
const BEGINNING: i64 = 1_900_000_000 * SECOND;
const OPTIONS: [Option<&str>; 4] = [
    None,
    Some(r#"{"max_attempts": 3, "backoff": {"kind": "constant", "seconds": 5}, "retention": 90.5}"#),
    Some(r#"{"on_crash": "fail", "retention": 1}"#),
    Some(r#"{"max_attempts": null, "backoff": {"kind": "constant", "seconds": 0}, "max_postpones": 1}"#),
];
const RETENTIONS: [Option<f64>; 4] = [None, Some(90.5), Some(1.0), None];

#[test]
fn sqlite_holds_what_the_model_holds() {
    let directory = std::env::temp_dir().join(format!("gristmill-model-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory of its own");
    let store = Store::new(Settings::sqlite(directory.join("db.sqlite3"))).expect("settings");

    let answer = compare(&store, cases("GRISTMILL_MODEL_CASES_SQLITE", 100));

    std::fs::remove_dir_all(&directory).expect("removes");
    answer.expect("the tables hold what the model holds");
}

#[test]
fn postgres_holds_what_the_model_holds() {
    let server = Server::start(Durability::Off);
    let name = format!("gristmill_model_{}", std::process::id());
    administer(&server, format!("create database {name}"));
    let store = Store::new(Settings::from_url(&server.url_of(&name)).expect("a URL")).expect("settings");

    let answer = compare(&store, cases("GRISTMILL_MODEL_CASES_POSTGRES", 25));

    administer(&server, format!("drop database {name} with (force)"));
    answer.expect("the tables hold what the model holds");
}

fn administer(server: &Server, sql: String) {
    block_on(async {
        let mut connection = PgConnection::connect(server.url()).await.expect("connects");
        connection.execute(AssertSqlSafe(sql)).await.expect("may create and drop databases");
    });
}

fn cases(variable: &str, default: u32) -> u32 {
    std::env::var(variable).ok().map_or(default, |number| number.parse().expect("a number of cases"))
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

fn compare(store: &Store, cases: u32) -> Result<(), String> {
    let seed: u64 = std::env::var("GRISTMILL_MODEL_SEED")
        .map_or_else(|_| fastrand::u64(..), |seed| seed.parse().expect("a number"));
    println!("GRISTMILL_MODEL_SEED={seed}, {cases} cases");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let case = runtime.block_on(async {
        store.migrate().await.expect("migrates");
        let session = store.open().await.expect("opens");
        let tables = store.open().await.expect("opens").into_connection();
        let mut case =
            Case { session, tables, workers: Vec::new(), plain: Plain::default(), claims: Vec::new(), made: 0 };
        case.workers = vec![case.worker().await, case.worker().await];
        tokio::sync::Mutex::new(case)
    });
    let answer = runner.run(&proptest::collection::vec(ops::op(), STEPS), |ops| {
        runtime.block_on(async { case.lock().await.run(&ops).await }).map_err(TestCaseError::fail)
    });
    answer.map_err(|error| match error {
        TestError::Fail(why, ops) => {
            // Nothing after the step that fails matters.
            let enough = (1..=ops.len())
                .find(|&end| runtime.block_on(async { case.lock().await.run(&ops[..end]).await }).is_err());
            let steps = ops[..enough.unwrap_or(ops.len())].iter().filter(|op| !matches!(op, Op::Nothing));
            format!("seed {seed}: {why}\nafter {:?}", steps.collect::<Vec<_>>())
        }
        TestError::Abort(why) => format!("seed {seed}: {why}"),
    })
}

struct Case {
    session: Session,
    tables: Box<dyn Connection>,
    workers: Vec<WorkerId>,
    plain: Plain,
    /// Every claim there ever was.
    claims: Vec<Claimed>,
    made: u128,
}

/// What a step should have answered, against what it did.
macro_rules! same {
    ($found:expr, $expected:expr, $what:literal) => {{
        let (found, expected) = ($found, $expected);
        if found != expected {
            return Err(format!("{}: the database answers {found:?}, the model {expected:?}", $what));
        }
    }};
}

impl Case {
    async fn worker(&mut self) -> WorkerId {
        let id = WorkerId::new();
        let worker = NewWorker {
            id,
            label: "model".into(),
            host: "localhost".into(),
            pid: 1,
            backend: "default".into(),
            queues_json: r#"{"include": null, "exclude": []}"#.into(),
            tasks_json: "[]".into(),
            processes: 1,
            lease: Lease::new(Duration::from_secs(5)),
            before: None,
        };
        self.session.register(&worker).await.expect("registers");
        id
    }

    async fn run(&mut self, ops: &[Op]) -> Result<(), String> {
        clear(&mut *self.tables).await;
        self.plain = Plain::at(BEGINNING);
        self.claims.clear();
        self.made = 0;
        self.session.set_now(Some(Moment::from_unix_micros(BEGINNING)));
        for (step, op) in ops.iter().enumerate() {
            if matches!(op, Op::Nothing) {
                continue;
            }
            self.step(op).await.map_err(|why| format!("step {step}, {op:?}: {why}"))?;
            let (found, expected) = (Picture::take(&mut *self.tables).await, self.plain.picture());
            if found != expected {
                return Err(format!("step {step}, {op:?}: {}", found.unlike(&expected)));
            }
        }
        Ok(())
    }

    async fn step(&mut self, op: &Op) -> Result<(), String> {
        match op {
            Op::Nothing => {}
            Op::Advance { seconds } => {
                self.plain.now += seconds * SECOND;
                self.session.set_now(Some(Moment::from_unix_micros(self.plain.now)));
            }
            Op::Enqueue { jobs } => self.enqueue(jobs).await?,
            Op::Claim { worker, limit } => self.claim(self.workers[*worker], *limit).await?,
            Op::Finish { picks } => {
                let running = self.plain.running();
                let mut ends: BTreeMap<JobId, Ending> = BTreeMap::new();
                for (pick, ending) in picks.iter().filter(|_| !running.is_empty()) {
                    ends.insert(*pick.get(&running), *ending);
                }
                let newest: BTreeMap<_, _> = self.claims.iter().map(|claimed| (claimed.id, claimed)).collect();
                let attempts = ends.iter().map(|(id, ending)| self.attempt(newest[id], *ending)).collect();
                self.finish(attempts).await?;
            }
            Op::FinishAny { pick, ending } => {
                if !self.claims.is_empty() {
                    let attempt = self.attempt(pick.get(&self.claims), *ending);
                    self.finish(vec![attempt]).await?;
                }
            }
            Op::HandBack { picks } => {
                if !self.claims.is_empty() {
                    let picked: BTreeSet<_> = picks
                        .iter()
                        .map(|pick| pick.get(&self.claims))
                        .map(|claimed| (claimed.id, claimed.token))
                        .collect();
                    let picked: Vec<_> = picked.into_iter().collect();
                    let mut found = self.session.hand_back(&picked).await.map_err(|error| error.to_string())?;
                    found.sort();
                    let expected = picked.into_iter().filter(|(id, token)| self.plain.hand_back(*id, token.0));
                    same!(found, expected.collect::<Vec<_>>(), "hand_back");
                }
            }
            Op::Cancel { picks } => {
                let ids = self.picked(picks);
                let found = self.session.cancel(&ids, "ann").await;
                same!(told(found)?, self.plain.cancel(&ids.into_iter().collect()), "cancel");
            }
            Op::Hold { picks } => {
                let ids = self.picked(picks);
                let found = self.session.hold(&ids, "ann", Some("why")).await;
                same!(told(found)?, self.plain.hold(&ids.into_iter().collect()), "hold");
            }
            Op::Release { picks } => {
                let ids = self.picked(picks);
                let found = self.session.release(&ids, "ann").await;
                same!(told(found)?, self.plain.release(&ids.into_iter().collect()), "release");
            }
            Op::Retry { picks } => {
                let ids = self.picked(picks);
                let found = self.session.retry(&ids, "ann").await;
                same!(told(found)?, self.plain.retry(&ids.into_iter().collect()), "retry");
            }
            Op::RunNow { picks } => {
                let ids = self.picked(picks);
                let found = self.session.run_now(&ids, "ann").await;
                same!(told(found)?, self.plain.run_now(&ids.into_iter().collect()), "run_now");
            }
            Op::Change { picks, priority, queue } => {
                let ids = self.picked(picks);
                let name = queue.map(queue_name);
                let change = Change { priority: *priority, queue_name: name.as_deref(), backends: None };
                let found = self.session.change(&ids, "ann", change).await;
                same!(told(found)?, self.plain.change(&ids.into_iter().collect(), *priority, *queue), "change");
            }
            Op::Promote { limit } => {
                let found = self.session.promote(*limit).await.map_err(|error| error.to_string())?.moved;
                same!(found, self.plain.promote(*limit as usize), "promote");
            }
            Op::Prune { retention } => {
                let found = self.session.prune(Duration::from_secs(*retention), 1_000).await;
                let expected = self.plain.prune(i64::try_from(*retention).expect("is small") * SECOND);
                same!(found.map_err(|error| error.to_string())?, expected, "prune");
            }
            Op::SweepCancelRequests { limit } => {
                let found = self.session.sweep_cancel_requests(*limit).await.map_err(|error| error.to_string())?;
                same!(found, self.plain.sweep_cancel_requests(*limit as usize), "sweep_cancel_requests");
            }
            Op::Pause { queue } => {
                self.session.pause("default", &queue_name(*queue), "why").await.map_err(|error| error.to_string())?;
                self.plain.pause(*queue);
            }
            Op::Resume { queue } => {
                let found = self.session.resume("default", &queue_name(*queue)).await;
                same!(found.map_err(|error| error.to_string())?, self.plain.resume(*queue), "resume");
            }
        }
        Ok(())
    }

    async fn enqueue(&mut self, asked: &[Asked]) -> Result<(), String> {
        let (mut jobs, mut expected) = (Vec::new(), Vec::new());
        for asked in asked {
            self.made += 1;
            let id = JobId(Uuid::from_u128(self.made));
            let run_after = asked.run_after.map(|seconds| self.plain.now + seconds * SECOND);
            let unique = asked.unique.map(|(key, until)| (format!("{until:?}-{key}"), until));
            jobs.push(NewJob {
                id,
                run_after: run_after.map(Moment::from_unix_micros),
                options_json: OPTIONS[asked.options].map(Into::into),
                unique_key: unique.as_ref().map(|(key, _)| key.clone()),
                unique_until: unique.as_ref().map_or(UniqueUntil::Started, |(_, until)| *until),
                retention: RETENTIONS[asked.options],
                ..NewJob::new(lane(asked.queue), "[]")
            });
            let retention = RETENTIONS[asked.options];
            expected.push(self.plain.enqueue(New { id, queue: asked.queue, run_after, unique, retention }));
        }
        let found = self.session.enqueue(&jobs).await.map_err(|error| error.to_string())?;
        same!(found.jobs, expected, "enqueue");
        same!(found.at, Moment::from_unix_micros(self.plain.now), "enqueue's moment");
        Ok(())
    }

    async fn claim(&mut self, worker: WorkerId, limit: u32) -> Result<(), String> {
        // A claim is of one priority: of the highest that it finds something of.
        let priority = self.plain.highest_priority();
        let cursors =
            [0, 1].map(|queue| ClaimCursor { lane: lane(queue), priority, deadline: Moment::earliest(), id: None });
        let claimed = self.session.claim(worker, &cursors, limit, None).await.map_err(|error| error.to_string())?;
        let found: Vec<_> =
            claimed.iter().map(|job| (job.id, job.token.0, i64::from(job.generation), job.counts)).collect();
        same!(found, self.plain.claim(limit as usize), "claim");
        self.claims.extend(claimed);
        Ok(())
    }

    async fn finish(&mut self, attempts: Vec<Attempt>) -> Result<(), String> {
        let mut found = self.session.finish(&attempts).await.map_err(|error| error.to_string())?.accepted;
        found.sort();
        let mut expected = Vec::new();
        for attempt in &attempts {
            if self.plain.finish(&attempt.claimed, &attempt.outcome, attempt.started_after.is_some()) {
                expected.push((attempt.claimed.id, attempt.claimed.token));
            }
        }
        same!(found, expected, "finish");
        Ok(())
    }

    fn attempt(&self, claimed: &Claimed, ending: Ending) -> Attempt {
        let outcome = match ending {
            Ending::Success => Outcome::Successful { return_value: "null".into() },
            Ending::Error => Outcome::Failed {
                reason: Reason::Error,
                exception_class_path: "builtins.ValueError".into(),
                traceback: "no".into(),
                classes: vec!["builtins.ValueError".into(), "builtins.Exception".into()],
                advice: gristmill_core::Advice::ByOptions,
            },
            Ending::Crash => Outcome::Crashed { how: "signal 9".into() },
            Ending::Lost => Outcome::Lost,
            Ending::Interrupted => Outcome::Interrupted,
            Ending::Cancelled => Outcome::Cancelled { how: "asked".into() },
            Ending::Expired => Outcome::Expired,
            Ending::Incompatible => Outcome::Incompatible { why: "odd".into() },
            Ending::Postponed => Outcome::Postponed { until: Until::Default, after: None, why: "later".into() },
            Ending::PostponedTo(seconds) => {
                let date = Moment::from_unix_micros(self.plain.now + seconds * SECOND);
                Outcome::Postponed { until: Until::At(date), after: None, why: "later".into() }
            }
            Ending::HandedBack => Outcome::HandedBack,
        };
        match ending {
            Ending::Expired | Ending::Incompatible | Ending::HandedBack => Attempt::unstarted(claimed.clone(), outcome),
            _ => Attempt {
                claimed: claimed.clone(),
                started_after: Some(Duration::from_millis(1)),
                runner_pid: Some(1),
                outcome,
                output: None,
            },
        }
    }

    /// Some of the ids there ever were; those of jobs that were never made or are forgotten too.
    fn picked(&self, picks: &[Index]) -> Vec<JobId> {
        let made = usize::try_from(self.made).expect("is small");
        picks.iter().filter(|_| made > 0).map(|pick| JobId(Uuid::from_u128(pick.index(made) as u128 + 1))).collect()
    }
}

fn lane(queue: usize) -> Lane {
    Lane { backend: "default".into(), queue_name: queue_name(queue), task_name: "app.tasks.grind".into() }
}

fn queue_name(queue: usize) -> String {
    format!("queue{queue}")
}

fn told(acted: gristmill_store::Result<Vec<Acted>>) -> Result<Vec<(JobId, String)>, String> {
    let acted = acted.map_err(|error| error.to_string())?;
    Ok(acted.into_iter().map(|acted| (acted.id, acted.done)).collect())
}

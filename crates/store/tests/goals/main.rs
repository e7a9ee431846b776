//! Jobs that wait for each other, in random order, held against a plain model in memory: after each step, once nothing is
//! left to be carried through the graph, every job is where the model has it, and every gate has counted right.
//!
//! `GRISTMILL_GOALS_CASES_SQLITE` and `GRISTMILL_GOALS_CASES_POSTGRES` say how many sequences of 40 steps;
//! `GRISTMILL_MODEL_SEED` (a number) repeats a run.

mod plain;

use std::time::Duration;

use gristmill_core::{
    Attempt, ClaimCursor, Claimed, JobId, Lane, Lease, Moment, OnPreconditionFailure, Outcome, Reason, Until, WorkerId,
};
use gristmill_store::{Acted, NewJob, NewWorker, Session, Settings, Store, Value};
use gristmill_testkit::server::{Durability, Server};
use plain::{New, Number, Place, Plain};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::Index;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use sqlx::{AssertSqlSafe, Connection as _, Executor, PgConnection};
use uuid::Uuid;

const STEPS: usize = 40;
const SECOND: i64 = 1_000_000;
const BEGINNING: i64 = 1_900_000_000 * SECOND;
/// Later than every step of a case.
const FAR: i64 = BEGINNING + 1_000_000 * SECOND;

#[derive(Clone, Debug)]
enum Step {
    /// Some jobs in one request; each waits for some that are there and some of the same request before it.
    Enqueue {
        jobs: Vec<Asked>,
    },
    /// One ready job runs to this end.
    Run {
        pick: Index,
        end: End,
    },
    Cancel {
        pick: Index,
    },
    Hold {
        pick: Index,
    },
    Release {
        pick: Index,
    },
    Retry {
        pick: Index,
    },
    Add {
        pick: Index,
        precondition: Index,
    },
}

#[derive(Clone, Debug)]
struct Asked {
    after: Vec<Index>,
    needed: Option<u32>,
    on_precondition_failure: OnPreconditionFailure,
    held: bool,
    dated: bool,
}

#[derive(Clone, Debug)]
enum End {
    Success,
    Error,
    Postponed { after: Option<Vec<Index>> },
}

fn step() -> impl Strategy<Value = Step> {
    let end = prop_oneof![
        4 => Just(End::Success),
        3 => Just(End::Error),
        2 => option::of(vec(any::<Index>(), 0..3)).prop_map(|after| End::Postponed { after }),
    ];
    prop_oneof![
        5 => vec(asked(), 1..4).prop_map(|jobs| Step::Enqueue { jobs }),
        8 => (any::<Index>(), end).prop_map(|(pick, end)| Step::Run { pick, end }),
        2 => any::<Index>().prop_map(|pick| Step::Cancel { pick }),
        1 => any::<Index>().prop_map(|pick| Step::Hold { pick }),
        2 => any::<Index>().prop_map(|pick| Step::Release { pick }),
        4 => any::<Index>().prop_map(|pick| Step::Retry { pick }),
        2 => (any::<Index>(), any::<Index>()).prop_map(|(pick, precondition)| Step::Add { pick, precondition }),
    ]
}

fn asked() -> impl Strategy<Value = Asked> {
    let needed = prop_oneof![3 => Just(None), 2 => Just(Some(1)), 1 => Just(Some(2))];
    let on_precondition_failure = prop_oneof![
        2 => Just(OnPreconditionFailure::Strand),
        1 => Just(OnPreconditionFailure::Proceed),
        1 => Just(OnPreconditionFailure::Fail),
    ];
    let flag = |often| proptest::bool::weighted(often);
    (vec(any::<Index>(), 0..4), needed, on_precondition_failure, flag(0.1), flag(0.1)).prop_map(
        |(after, needed, on_precondition_failure, held, dated)| Asked {
            after,
            needed,
            on_precondition_failure,
            held,
            dated,
        },
    )
}

#[test]
fn sqlite_carries_ends_through_the_graph_as_the_model_does() {
    let memory = std::path::Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let directory = parent.join(format!("gristmill-goals-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory of its own");
    let store = Store::new(Settings::sqlite(directory.join("db.sqlite3"))).expect("settings");

    let answer = compare(&store, cases("GRISTMILL_GOALS_CASES_SQLITE", 60));

    std::fs::remove_dir_all(&directory).expect("removes");
    answer.expect("the tables hold what the model holds");
}

#[test]
fn postgres_carries_ends_through_the_graph_as_the_model_does() {
    let server = Server::start(Durability::Off);
    let name = format!("gristmill_goals_{}", std::process::id());
    administer(&server, format!("create database {name}"));
    let store = Store::new(Settings::from_url(&server.url_of(&name)).expect("a URL")).expect("settings");

    let answer = compare(&store, cases("GRISTMILL_GOALS_CASES_POSTGRES", 20));

    administer(&server, format!("drop database {name} with (force)"));
    answer.expect("the tables hold what the model holds");
}

fn administer(server: &Server, sql: String) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(async {
        let mut connection = PgConnection::connect(server.url()).await.expect("connects");
        connection.execute(AssertSqlSafe(sql)).await.expect("may create and drop databases");
    });
}

fn cases(variable: &str, default: u32) -> u32 {
    std::env::var(variable).ok().map_or(default, |number| number.parse().expect("a number of cases"))
}

fn compare(store: &Store, cases: u32) -> Result<(), String> {
    let seed: u64 = std::env::var("GRISTMILL_MODEL_SEED")
        .map_or_else(|_| fastrand::u64(..), |seed| seed.parse().expect("a number"));
    println!("GRISTMILL_MODEL_SEED={seed}, {cases} cases");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 300, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let case = runtime.block_on(async {
        store.migrate().await.expect("migrates");
        let mut session = store.open().await.expect("opens");
        let tables = store.open().await.expect("opens").into_connection();
        let worker = register(&mut session).await;
        tokio::sync::Mutex::new(Case { session, tables, worker, plain: Plain::default(), now: BEGINNING })
    });
    let answer = runner.run(&vec(step(), STEPS), |steps| {
        runtime.block_on(async { case.lock().await.run(&steps).await }).map_err(TestCaseError::fail)
    });
    answer.map_err(|error| format!("seed {seed}: {error}"))
}

async fn register(session: &mut Session) -> WorkerId {
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
    session.register(&worker).await.expect("registers");
    id
}

struct Case {
    session: Session,
    tables: Box<dyn gristmill_store::Connection>,
    worker: WorkerId,
    plain: Plain,
    now: i64,
}

const TABLES: [&str; 11] = [
    "delete from gristmill_job",
    "delete from gristmill_ready",
    "delete from gristmill_scheduled",
    "delete from gristmill_waiting",
    "delete from gristmill_running",
    "delete from gristmill_result",
    "delete from gristmill_attempt",
    "delete from gristmill_gate",
    "delete from gristmill_edge",
    "delete from gristmill_propagation",
    "delete from gristmill_action",
];

/// Gates whose counts are not those of their edges.
const MISCOUNTED: &str = "select cast(count(*) as bigint) from gristmill_gate g where not g.resolved or
    g.open <> (select count(*) from gristmill_edge e where e.dependent_id = g.job_id and e.epoch = g.epoch and e.state = 'open')
    or g.successful <> (select count(*) from gristmill_edge e where e.dependent_id = g.job_id and e.epoch = g.epoch and e.state = 'successful')
    or g.failed <> (select count(*) from gristmill_edge e where e.dependent_id = g.job_id and e.epoch = g.epoch and e.state = 'failed')";

impl Case {
    async fn run(&mut self, steps: &[Step]) -> Result<(), String> {
        for table in TABLES {
            self.tables.run(table, &[]).await.expect("clears");
        }
        self.plain = Plain::default();
        self.now = BEGINNING;
        for (at, step) in steps.iter().enumerate() {
            self.now += SECOND;
            self.session.set_now(Some(Moment::from_unix_micros(self.now)));
            self.step(step).await.map_err(|why| format!("step {at}, {step:?}: {why}"))?;
            // What ends because of it ends later.
            self.session.set_now(Some(Moment::from_unix_micros(self.now + SECOND / 2)));
            self.propagate().await.map_err(|why| format!("step {at}, {step:?}: {why}"))?;
            self.compare().await.map_err(|why| format!("step {at}, {step:?}: {why}"))?;
        }
        Ok(())
    }

    async fn step(&mut self, step: &Step) -> Result<(), String> {
        let jobs = self.plain.jobs.len();
        match step {
            Step::Enqueue { jobs } => return self.enqueue(jobs).await,
            Step::Run { pick, end } => return self.run_one(*pick, end).await,
            _ if jobs == 0 => {}
            Step::Cancel { pick } => {
                let found = self.session.cancel(&[id(pick.index(jobs))], "ann").await;
                let expected = self.plain.cancel(pick.index(jobs));
                // One that ran would be asked; none runs here.
                agree("cancel", found, expected)?;
            }
            Step::Hold { pick } => {
                let found = self.session.hold(&[id(pick.index(jobs))], "ann", None).await;
                let expected = self.plain.hold(pick.index(jobs));
                agree("hold", found, expected)?;
            }
            Step::Release { pick } => {
                let found = self.session.release(&[id(pick.index(jobs))], "ann").await;
                let expected = self.plain.release(pick.index(jobs));
                agree("release", found, expected)?;
            }
            Step::Retry { pick } => {
                let found = self.session.retry(&[id(pick.index(jobs))], "ann").await;
                let expected = self.plain.retry(pick.index(jobs));
                agree("retry", found, expected)?;
            }
            Step::Add { pick, precondition } => {
                let (job, precondition) = (pick.index(jobs), precondition.index(jobs));
                if self.plain.waits_for(precondition, job) {
                    return Ok(());
                }
                let found = self.session.add_preconditions(id(job), &[id(precondition)], "ann").await;
                let expected = self.plain.add(job, precondition);
                agree("add_preconditions", found, expected)?;
            }
        }
        Ok(())
    }

    async fn enqueue(&mut self, asked: &[Asked]) -> Result<(), String> {
        let mut jobs = Vec::new();
        let mut news = Vec::new();
        for asked in asked {
            let number = self.plain.jobs.len() + news.len();
            let mut after: Vec<Number> =
                asked.after.iter().filter(|_| number > 0).map(|pick| pick.index(number)).collect();
            after.sort_unstable();
            after.dedup();
            let Asked { needed, on_precondition_failure, held, dated, .. } = *asked;
            jobs.push(NewJob {
                id: id(number),
                run_after: dated.then(|| Moment::from_unix_micros(FAR)),
                after: after.iter().copied().map(id).collect(),
                needed,
                on_precondition_failure,
                held,
                options_json: Some(options(needed, on_precondition_failure)),
                ..NewJob::new(lane(), "[]")
            });
            news.push(New { after, needed, on_precondition_failure, held, dated });
        }
        self.session.enqueue(&jobs).await.map_err(|error| error.to_string())?;
        for new in &news {
            self.plain.enqueue(new);
        }
        Ok(())
    }

    async fn run_one(&mut self, pick: Index, end: &End) -> Result<(), String> {
        let ready: Vec<Number> =
            (0..self.plain.jobs.len()).filter(|&number| self.plain.jobs[number].place == Place::Ready).collect();
        if ready.is_empty() {
            return Ok(());
        }
        let chosen = *pick.get(&ready);
        let cursor = ClaimCursor { lane: lane(), priority: 0, deadline: Moment::earliest(), id: None };
        let claimed =
            self.session.claim(self.worker, &[cursor], 1_000, None).await.map_err(|error| error.to_string())?;
        let (mine, others): (Vec<Claimed>, _) = claimed.into_iter().partition(|claimed| claimed.id == id(chosen));
        let others: Vec<Attempt> =
            others.into_iter().map(|other| Attempt::unstarted(other, Outcome::HandedBack)).collect();
        self.session.finish(&others).await.map_err(|error| error.to_string())?;
        let claimed = mine.into_iter().next().ok_or_else(|| format!("job {chosen} was not ready"))?;
        self.plain.start(chosen);
        let outcome = match end {
            End::Success => Outcome::Successful { return_value: "null".into() },
            End::Error => Outcome::failed(Reason::Error, "builtins.ValueError", "no"),
            End::Postponed { after } => {
                let jobs = self.plain.jobs.len();
                let until = if after.is_none() { Until::At(Moment::from_unix_micros(FAR)) } else { Until::Default };
                let after = after.as_ref().map(|picks| {
                    let mut after: Vec<Number> = picks.iter().map(|pick| pick.index(jobs)).collect();
                    after.sort_unstable();
                    after.dedup();
                    after.retain(|&each| !self.plain.waits_for(each, chosen));
                    after.into_iter().map(id).collect()
                });
                Outcome::Postponed { until, after, why: String::new() }
            }
        };
        let attempt = Attempt {
            claimed,
            started_after: Some(Duration::from_millis(1)),
            runner_pid: Some(1),
            outcome: outcome.clone(),
            output: None,
        };
        self.session.finish(&[attempt]).await.map_err(|error| error.to_string())?;
        match outcome {
            Outcome::Successful { .. } => self.plain.end(chosen, "successful", None),
            Outcome::Failed { .. } => self.plain.end(chosen, "failed", Some("error")),
            Outcome::Postponed { after, .. } => {
                let after: Option<Vec<Number>> = after.map(|ids| ids.into_iter().map(number).collect());
                self.plain.postpone(chosen, after.as_deref());
            }
            _ => unreachable!("no other end is drawn"),
        }
        Ok(())
    }

    async fn propagate(&mut self) -> Result<(), String> {
        for _ in 0..1_000 {
            // In small pieces, so that a propagation often goes on where it left off.
            if !self.session.propagate(3).await.map_err(|error| error.to_string())?.more {
                return Ok(());
            }
        }
        Err("propagations come without end".into())
    }

    async fn compare(&mut self) -> Result<(), String> {
        let rows = self.tables.run("select cast(id as text), state, reason from gristmill_jobs", &[]).await;
        let mut found = vec![("gone".to_owned(), None); self.plain.jobs.len()];
        for row in rows.map_err(|error| error.to_string())? {
            let [Value::Text(job), Value::Text(state), reason] = row.as_slice() else {
                return Err(format!("a row of the view is {row:?}"));
            };
            let reason = if let Value::Text(reason) = reason { Some(reason.clone()) } else { None };
            found[number(job.parse().expect("an id"))] = (state.clone(), reason);
        }
        for (number, (job, (state, reason))) in self.plain.jobs.iter().zip(&found).enumerate() {
            let expected = job.state();
            if (state.as_str(), reason.as_deref()) != expected {
                let all: Vec<_> = self.plain.jobs.iter().zip(&found).enumerate().collect();
                let why = format!("job {number} is {state} ({reason:?}), and {expected:?} in the model: {job:?}");
                return Err(format!("{why}\nof {all:#?}"));
            }
        }
        let miscounted = self.tables.run(MISCOUNTED, &[]).await.map_err(|error| error.to_string())?;
        if miscounted != [vec![Value::Int(0)]] {
            return Err(format!("{miscounted:?} gates have miscounted"));
        }
        Ok(())
    }
}

fn agree(verb: &str, found: gristmill_store::Result<Vec<Acted>>, expected: bool) -> Result<(), String> {
    let found = found.map_err(|error| error.to_string())?;
    if found.len() == usize::from(expected) {
        return Ok(());
    }
    Err(format!("{verb}: the database answers {found:?}, and the model {expected}"))
}

fn options(needed: Option<u32>, on_precondition_failure: OnPreconditionFailure) -> String {
    let needed = needed.map_or("null".into(), |needed| needed.to_string());
    format!(
        r#"{{"max_postpones":null,"needed":{needed},"on_precondition_failure":"{}"}}"#,
        on_precondition_failure.word()
    )
}

fn lane() -> Lane {
    Lane { backend: "default".into(), queue_name: "default".into(), task_name: "app.tasks.grind".into() }
}

fn id(number: Number) -> JobId {
    JobId(Uuid::from_u128(number as u128 + 1))
}

fn number(id: JobId) -> Number {
    usize::try_from(id.0.as_u128() - 1).expect("is small")
}

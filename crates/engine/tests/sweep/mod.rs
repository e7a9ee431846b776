//! Breaks one call to the database after the other, in every way, and looks whether a worker gets over it.
//!
//! A scenario is played again and again: with the first call of its worker broken, with the second, and so on until it
//! is over before the call came. However it went, every job has to be in its right place, none lost and none doubled,
//! and the worker has to go on working. `SWEEP_EVERY=4` breaks every fourth call only, beginning with one that `SEED`
//! (printed) chooses; without it each is broken.

pub mod scenarios;

use std::sync::Arc;
use std::time::{Duration, Instant};

use gristmill_engine::{Ending, Options, shutdown};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use scenarios::Scenario;

use crate::common::faults::{Fault, Faults};
use crate::common::{Database, Faulty, Running, WORK, in_time, int, job};

const FAULTS: [Fault; 4] = [Fault::Before, Fault::Lost, Fault::Late, Fault::Refused];
/// Plays of one scenario and fault under way at once.
const AHEAD: u64 = 6;
/// No play has more calls than that.
const MOST_CALLS: u64 = 200;
/// How long the worker waits for an answer that never comes.
const PATIENCE: Duration = Duration::from_millis(500);

/// A stage for one scenario, with one call to be broken.
pub struct Stage {
    pub database: Database,
    pub faults: Arc<Faults>,
    sessions: Faulty,
    broken: (u64, Fault),
}

impl Stage {
    async fn new(broken: (u64, Fault)) -> Self {
        let database = Database::fresh().await;
        let (sessions, faults) = Faulty::new(&database.store);
        faults.count_opening();
        Self { database, faults, sessions, broken }
    }

    /// A worker of which one call will break.
    pub fn start(&self, slots: usize, prefetch: usize, options: Options) -> Running {
        self.faults.spoil_call(self.broken.0, self.broken.1);
        Running::start_patiently(&self.sessions, slots, prefetch, options, shutdown::channel(), PATIENCE)
    }
}

/// Plays these scenarios until none has a call left to break, at most `at_once` plays at a time.
pub async fn sweep(scenarios: Vec<Scenario>, at_once: usize) {
    let (began, places) = (Instant::now(), Arc::new(Semaphore::new(at_once)));
    let every = number("SWEEP_EVERY").unwrap_or(1).max(1);
    let seed = number("SEED").unwrap_or_else(|| fastrand::u64(0..1_000_000));
    println!("SEED={seed} SWEEP_EVERY={every}");
    let mut sweeps = JoinSet::new();
    for (scenario, nth) in scenarios.into_iter().zip(0..) {
        for (fault, kind) in FAULTS.into_iter().zip(0..) {
            // Each begins elsewhere, so that together they break early calls and late ones.
            let first = 1 + (seed + nth + kind) % every;
            sweeps.spawn(break_calls(scenario, fault, first, every, Arc::clone(&places)));
        }
    }
    let mut calls = 0;
    while let Some(broken) = sweeps.join_next().await {
        calls += broken.unwrap();
    }
    println!("{calls} calls were broken in {:.1} s", began.elapsed().as_secs_f64());
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

// How many calls were broken.
async fn break_calls(scenario: Scenario, fault: Fault, first: u64, every: u64, places: Arc<Semaphore>) -> u64 {
    let mut broken = 0;
    for first in (first..MOST_CALLS).step_by(usize::try_from(AHEAD * every).unwrap()) {
        let mut plays = JoinSet::new();
        for n in (first..).step_by(usize::try_from(every).unwrap()).take(usize::try_from(AHEAD).unwrap()) {
            let places = Arc::clone(&places);
            plays.spawn(async move {
                let _place = places.acquire_owned().await.unwrap();
                let came = tokio::spawn(play(scenario, n, fault)).await;
                came.unwrap_or_else(|error| panic!("{}: {fault:?} of call {n}: {error}", scenario.name))
            });
        }
        let came: Vec<bool> = plays.join_all().await;
        broken += came.iter().filter(|came| **came).count() as u64;
        if came.contains(&false) {
            assert!(broken > 5 || every > 1 && broken > 0, "{}: a play has more calls than {broken}", scenario.name);
            return broken;
        }
    }
    panic!("{}: more than {MOST_CALLS} calls", scenario.name);
}

// Whether the call came.
async fn play(scenario: Scenario, n: u64, fault: Fault) -> bool {
    let stage = Stage::new((n, fault)).await;
    let worker = (scenario.play)(&stage).await;
    let came = !stage.faults.is_call_awaited();
    stage.faults.spoil_nothing();
    if let Some(worker) = worker {
        Box::pin(goes_on(&stage.database)).await;
        assert_eq!(worker.stop().await, Ending::Drained);
    }
    is_in_order(&stage.database).await;
    came
}

// It takes jobs that are ready and jobs that become due.
async fn goes_on(database: &Database) {
    let mut due = job(WORK, "due", 0);
    due.run_after = Some(in_time(Duration::from_millis(1)));
    for id in database.enqueue_jobs(&[job(WORK, "ready", 0), due]).await {
        database.until_state(id, "successful").await;
    }
}

async fn is_in_order(database: &Database) {
    let rows = database
        .sql(
            "select (select count(*) from gristmill_job), count(*), count(distinct id),
                (select count(*) from gristmill_running)
            from gristmill_jobs",
        )
        .await;
    let counts: Vec<i64> = rows[0].iter().map(int).collect();
    assert!(counts[0] == counts[1] && counts[1] == counts[2], "a job is nowhere or twice: {counts:?}");
    assert_eq!(counts[3], 0, "an attempt is open for ever");
}

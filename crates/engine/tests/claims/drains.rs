//! Random graphs whose jobs join again and again, drained by one, two and four workers that end when all is done: none of them
//! ends while anything is still to come.
//!
//! `GRAPHS` says how many (4 without it), `SEED` repeats them.

use crate::common::{Database, Running, WORK, int, job, until_done};
use gristmill_core::OnPreconditionFailure;
use gristmill_engine::{Ending, Options};
use gristmill_store::NewJob;

/// Jobs of one graph.
const JOBS: std::ops::Range<usize> = 4..40;

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// Each job waits for some before it: mostly for a few, now and then for all of a level.
fn graph(rng: &mut fastrand::Rng) -> Vec<NewJob> {
    let mut jobs: Vec<NewJob> = Vec::new();
    for _ in 0..rng.usize(JOBS) {
        let mut new = job(WORK, "default", 0);
        let wide = rng.u32(0..4) == 0;
        let most = if wide { jobs.len() } else { jobs.len().min(3) };
        let mut before: Vec<_> = jobs.iter().map(|job| job.id).collect();
        rng.shuffle(&mut before);
        before.truncate(rng.usize(0..=most));
        new.needed = (rng.u32(0..5) == 0 && !before.is_empty()).then_some(1);
        new.on_precondition_failure =
            if rng.bool() { OnPreconditionFailure::Strand } else { OnPreconditionFailure::Proceed };
        new.after = before;
        jobs.push(new);
    }
    jobs
}

/// What may still come of itself.
const TO_COME: &str = "select (select count(*) from gristmill_waiting) + (select count(*) from gristmill_ready)
    + (select count(*) from gristmill_running where awaited)
    + (select count(*) from gristmill_propagation where kind <> 'raise_deadline')";

#[tokio::test]
async fn however_many_work_until_all_is_done_none_ends_before_the_last_join() {
    let (graphs, seed) = (number("GRAPHS", 4), number("SEED", fastrand::u64(0..1_000_000)));
    println!("SEED={seed} GRAPHS={graphs}");
    let a_drain = (graphs / 50).clamp(1, 10);
    for workers in [1, 2, 4] {
        let mut rng = fastrand::Rng::with_seed(seed);
        for drain in 0..graphs.div_ceil(a_drain) {
            let database = Database::fresh().await;
            let mut session = database.store.open().await.unwrap();
            let mut jobs = 0;
            for _ in 0..a_drain {
                let graph = graph(&mut rng);
                jobs += graph.len();
                // In one piece, or job by job: then each edge is resolved by itself.
                if rng.bool() {
                    session.enqueue(&graph).await.unwrap();
                } else {
                    for job in &graph {
                        session.enqueue(std::slice::from_ref(job)).await.unwrap();
                    }
                }
            }
            let mut running = tokio::task::JoinSet::new();
            for _ in 0..workers {
                let slots = rng.usize(1..4);
                let options = Options { schedules: false, ..until_done() };
                running.spawn(Running::start(&database.store, slots, 0, options).ending());
            }
            while let Some(ending) = running.join_next().await {
                assert_eq!(ending.unwrap(), Ending::Drained);
                let left = int(&database.sql(TO_COME).await[0][0]);
                assert_eq!(left, 0, "SEED={seed} GRAPHS={graphs}, {workers} workers, drain {drain}: ended too early");
            }
            assert_eq!(database.states().await, format!("successful {jobs}"), "SEED={seed}");
        }
    }
}

//! A simulation of several workers on one database: their mills, rescuers and promoters and the store's real SQL on
//! a real database file, under a virtual clock and seeded faults, with an oracle that judges every step.
//!
//! `SEED=7 cargo test -p gristmill-engine sim` repeats a run; `SIM_SECONDS=600` makes it long. It simulates what
//! surrounds those parts: heartbeats, runners, the guard that kills runners past the lease, crashes and pauses, and the
//! people who ask for jobs, have them wait for each other, cancel, hold and retry them, pause queues, and keep schedules.
//!
//! A check that has never failed proves little, so the second half plants defects, each of which the oracle must
//! find.

mod connection;
mod gates;
mod goals;
mod handlers;
mod oracle;
mod people;
mod rows;
mod rules;
mod runners;
mod schedules;
mod supervisor;
mod tally;
mod ticks;
mod trouble;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use connection::Defect;
use tally::Tally;
use world::World;

/// Steps of one seed: faults, then health until everything has ended.
const STEPS: u64 = 4_000;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

fn seconds() -> u64 {
    std::env::var("SIM_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(20)
}

fn first_seed() -> u64 {
    std::env::var("SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| fastrand::u64(0..1_000_000))
}

#[test]
fn no_step_of_a_simulated_fleet_breaks_a_promise() {
    let (seed, budget, began) = (first_seed(), Duration::from_secs(seconds()), Instant::now());
    let next = AtomicU64::new(seed);
    // A world waits for its database's thread and the other way round, so two keep two cores busy at most.
    let tally = std::thread::scope(|scope| {
        let worlds: Vec<_> = (0..2).map(|_| scope.spawn(|| run_worlds(&next, began + budget))).collect();
        worlds.into_iter().fold(Tally::default(), |mut sum, worlds| {
            sum.add(&worlds.join().expect("no promise was broken"));
            sum
        })
    });
    let seconds = began.elapsed().as_secs_f64();
    println!("seeds {seed}..{}: {tally}", next.into_inner());
    #[allow(clippy::cast_precision_loss)]
    let (rate, hours) = (tally.steps as f64 / seconds, tally.virtual_seconds / 3600.0);
    println!("{seconds:.1} s, {rate:.0} steps/s, {hours:.1} simulated hours");
    for (fault, count) in tally.faults() {
        assert!(count > 0, "SEED={seed}: the fault {fault:?} never happened, so this run says nothing about it");
    }
}

fn run_worlds(next: &AtomicU64, until: Instant) -> Tally {
    let mut tally = Tally::default();
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        let mut world = block_on(World::new(seed, None));
        if let Err(broken) = block_on(world.run(STEPS)) {
            panic!("SEED={seed}: step {}: {broken}\n{}", world.tally.steps, world.story());
        }
        tally.add(&world.tally);
        if Instant::now() >= until {
            return tally;
        }
    }
}

#[test]
fn the_oracle_finds_an_end_that_does_not_check_its_token() {
    assert_found(Defect::FinishWithoutToken);
}

#[test]
fn the_oracle_finds_a_claim_that_gives_the_same_token_again() {
    assert_found(Defect::ClaimWithoutNewToken);
}

#[test]
fn the_oracle_finds_a_rescue_that_comes_too_soon() {
    assert_found(Defect::RescueTooSoon);
}

#[test]
fn the_oracle_finds_a_move_that_leaves_its_row_behind() {
    assert_found(Defect::MoveWithoutDelete);
}

#[test]
fn the_oracle_finds_runners_that_outlive_their_lease() {
    assert_found(Defect::NoFence);
}

#[test]
fn the_oracle_finds_a_worker_that_forgets_a_claim_whose_answer_was_lost() {
    assert_found(Defect::NoAudit);
}

#[test]
fn the_oracle_finds_an_end_that_ignores_a_cancel() {
    assert_found(Defect::FinishIgnoresWishes);
}

#[test]
fn the_oracle_finds_a_cancel_that_is_forgotten_when_its_attempt_is_handed_back() {
    assert_found(Defect::WishesAreForgotten);
}

#[test]
fn the_oracle_finds_a_key_that_is_kept_too_long() {
    assert_found(Defect::ClaimKeepsKey);
}

#[test]
fn the_oracle_finds_two_jobs_with_one_key() {
    assert_found(Defect::FinishFreesKey);
}

#[test]
fn the_oracle_finds_a_retry_that_sets_the_token_back() {
    assert_found(Defect::RetrySetsTokenBack);
}

#[test]
fn the_oracle_finds_an_expired_job_that_starts() {
    assert_found(Defect::ExpiredStarts);
}

#[test]
fn the_oracle_finds_a_job_that_is_forgotten_too_early() {
    assert_found(Defect::PruneTooEarly);
}

#[test]
fn the_oracle_finds_a_claim_from_a_paused_queue() {
    assert_found(Defect::PauseIsIgnored);
}

#[test]
fn the_oracle_finds_a_job_that_is_tried_too_often() {
    assert_found(Defect::FailuresAreNotCounted);
}

#[test]
fn the_oracle_finds_a_precondition_that_is_not_told_who_waits_for_it() {
    assert_found(Defect::SettleMarksNothing);
}

#[test]
fn the_oracle_finds_a_gate_that_counts_an_end_twice() {
    assert_found(Defect::GateCountsTwice);
}

#[test]
fn the_oracle_finds_an_end_that_is_not_spread() {
    assert_found(Defect::FinishSpreadsNothing);
}

#[test]
fn the_oracle_finds_a_retry_that_nobody_who_waits_hears_of() {
    assert_found(Defect::RetrySpreadsNothing);
}

#[test]
fn the_oracle_finds_jobs_that_wait_for_each_other_for_ever() {
    assert_found(Defect::CirclesAreNotSeen);
}

#[test]
fn the_oracle_finds_a_tick_that_is_left_out() {
    assert_found(Defect::TickIsLeftOut);
}

#[test]
fn the_oracle_finds_a_tick_that_makes_a_second_job() {
    assert_found(Defect::TickIsMadeAgain);
}

fn assert_found(defect: Defect) {
    let seed = first_seed();
    for seed in seed..seed + 40 {
        let mut world = block_on(World::new(seed, Some(defect)));
        if let Err(broken) = block_on(world.run(STEPS)) {
            println!("{defect:?} found with SEED={seed} at step {}: {broken}", world.tally.steps);
            return;
        }
    }
    panic!("SEED={seed}: {defect:?} was planted and nobody noticed");
}

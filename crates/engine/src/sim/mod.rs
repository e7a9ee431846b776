//! A simulation of several workers on one database: their mills, rescuers and promoters and the store's real SQL on
//! a real database file, under a virtual clock and seeded faults, with an oracle that judges every step.
//!
//! `SEED=7 cargo test -p gristmill-engine sim` repeats a run; `SIM_SECONDS=600` makes it long (8 without it; it goes on
//! until each kind of fault has happened). It simulates what surrounds those parts: heartbeats, runners, the guard that kills runners past the lease, crashes and pauses, and the
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
mod receivers;
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
/// Of one in which a job waits for ever, which shows when all the others have ended.
const SHORT: u64 = 700;
/// So many worlds, and as many as there is time for, are enough for each kind of fault to happen.
const MOST_WORLDS: u64 = 40;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

fn seconds() -> u64 {
    std::env::var("SIM_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(8)
}

fn given_seed() -> Option<u64> {
    std::env::var("SEED").ok().and_then(|text| text.parse().ok())
}

fn first_seed() -> u64 {
    given_seed().unwrap_or_else(|| fastrand::u64(0..1_000_000))
}

#[test]
fn no_step_of_a_simulated_fleet_breaks_a_promise() {
    let (seed, budget, began) = (first_seed(), Duration::from_secs(seconds()), Instant::now());
    println!("SEED={seed} SIM_SECONDS={}", budget.as_secs());
    let next = AtomicU64::new(seed);
    let mut tally = Tally::default();
    loop {
        // A world waits for its database's thread and the other way round, so two keep two cores busy at most.
        std::thread::scope(|scope| {
            let worlds: Vec<_> = (0..2).map(|_| scope.spawn(|| run_worlds(&next, began + budget))).collect();
            for worlds in worlds {
                tally.add(&worlds.join().expect("no promise was broken"));
            }
        });
        // A few worlds may never meet what is rare.
        if tally.faults().iter().all(|(_, count)| *count > 0) || next.load(Ordering::Relaxed) > seed + MOST_WORLDS {
            break;
        }
    }
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
    assert_found(Defect::FinishWithoutToken, 664_158);
}

#[test]
fn the_oracle_finds_a_claim_that_gives_the_same_token_again() {
    assert_found(Defect::ClaimWithoutNewToken, 0);
}

#[test]
fn the_oracle_finds_a_rescue_that_comes_too_soon() {
    assert_found(Defect::RescueTooSoon, 3);
}

#[test]
fn the_oracle_finds_a_move_that_leaves_its_row_behind() {
    assert_found(Defect::MoveWithoutDelete, 0);
}

#[test]
fn the_oracle_finds_runners_that_outlive_their_lease() {
    assert_found(Defect::NoFence, 430_524);
}

#[test]
fn the_oracle_finds_a_worker_that_forgets_a_claim_whose_answer_was_lost() {
    assert_found_within(SHORT, Defect::NoAudit, 774_574);
}

#[test]
fn the_oracle_finds_receivers_that_hear_of_an_end_before_it_is_accepted() {
    assert_found(Defect::TellsTooSoon, 0);
}

#[test]
fn the_oracle_finds_an_end_that_ignores_a_cancel() {
    assert_found(Defect::FinishIgnoresCancelRequests, 5);
}

#[test]
fn the_oracle_finds_a_cancel_that_is_forgotten_when_its_attempt_is_handed_back() {
    assert_found(Defect::CancelRequestsAreForgotten, 719_259);
}

#[test]
fn the_oracle_finds_a_key_that_is_kept_too_long() {
    assert_found(Defect::ClaimKeepsKey, 0);
}

#[test]
fn the_oracle_finds_two_jobs_with_one_key() {
    assert_found(Defect::FinishFreesKey, 269_850);
}

#[test]
fn the_oracle_finds_a_retry_that_sets_the_token_back() {
    assert_found(Defect::RetrySetsTokenBack, 2);
}

#[test]
fn the_oracle_finds_an_expired_job_that_starts() {
    assert_found(Defect::ExpiredStarts, 1);
}

#[test]
fn the_oracle_finds_a_job_that_is_forgotten_too_early() {
    assert_found(Defect::PruneTooEarly, 0);
}

#[test]
fn the_oracle_finds_a_claim_from_a_paused_queue() {
    assert_found(Defect::PauseIsIgnored, 484_205);
}

#[test]
fn the_oracle_finds_a_job_that_is_tried_too_often() {
    assert_found(Defect::FailuresAreNotCounted, 288_555);
}

#[test]
fn the_oracle_finds_a_precondition_that_is_not_told_who_waits_for_it() {
    assert_found(Defect::ResolveMarksNothing, 0);
}

#[test]
fn the_oracle_finds_a_gate_that_counts_an_end_twice() {
    assert_found(Defect::GateCountsTwice, 1);
}

#[test]
fn the_oracle_finds_an_end_that_notifies_nobody() {
    assert_found(Defect::FinishNotifiesNobody, 0);
}

#[test]
fn the_oracle_finds_a_retry_that_nobody_who_waits_hears_of() {
    assert_found(Defect::RetryNotifiesNobody, 0);
}

#[test]
fn the_oracle_finds_jobs_that_wait_for_each_other_for_ever() {
    assert_found_within(SHORT, Defect::CirclesAreNotSeen, 864_453);
}

#[test]
fn the_oracle_finds_a_tick_that_is_left_out() {
    assert_found(Defect::TickIsLeftOut, 0);
}

#[test]
fn the_oracle_finds_a_tick_that_makes_a_second_job() {
    assert_found(Defect::TickIsMadeAgain, 2);
}

#[test]
fn the_oracle_finds_a_job_that_is_held_to_what_it_outlived() {
    assert_found(Defect::LossesAreNotForgiven, 7);
}

#[test]
fn the_oracle_finds_a_job_that_starts_with_options_that_nobody_can_read() {
    assert_found(Defect::UnreadableOptionsAreDefaults, 1);
}

#[test]
fn the_oracle_finds_a_success_that_is_told_otherwise_because_a_server_let_nobody_in() {
    assert_found(Defect::ClosedDoorsAreBlamedOnJobs, 177_347);
}

#[test]
fn the_oracle_finds_a_success_that_is_told_otherwise_because_a_disk_failed() {
    assert_found(Defect::ServerFaultsAreBlamedOnJobs, 754_714);
}

#[test]
fn the_oracle_finds_a_tick_that_somebodys_lock_keeps_back_with_all_others() {
    assert_found(Defect::LocksAreOutages, 2);
}

#[test]
fn the_oracle_finds_a_chore_that_somebodys_lock_keeps_back_with_all_others() {
    assert_found(Defect::ChoreEndsTheRound, 5);
}

#[test]
fn the_oracle_finds_an_end_when_all_is_done_that_forgets_what_is_put_off() {
    assert_found(Defect::PutOffPropagationsAreForgotten, 563_533);
}

#[test]
fn the_oracle_finds_an_end_when_all_is_done_that_forgets_what_runs_elsewhere() {
    assert_found(Defect::WhatRunsElsewhereIsForgotten, 1);
}

fn assert_found(defect: Defect, known: u64) {
    assert_found_within(STEPS, defect, known);
}

/// The seed that finds it soonest is asked first; after a change to what is simulated it may take another one, and longer.
fn assert_found_within(steps: u64, defect: Defect, known: u64) {
    let others = first_seed();
    for seed in std::iter::once(given_seed().unwrap_or(known)).chain(others..others + 40) {
        let mut world = block_on(World::new(seed, Some(defect)));
        if let Err(broken) = block_on(world.run(steps)) {
            println!("{defect:?} found with SEED={seed} at step {}: {broken}", world.tally.steps);
            return;
        }
        assert!(world.shared.is_spoiled(), "{defect:?} spoils none of the statements that were carried out");
    }
    panic!("SEED={others}: {defect:?} was planted and nobody noticed");
}

//! What happened in a simulated run.

use std::fmt;

use gristmill_store::{Moved, Propagated, Turned};

use super::connection::Faults;
use super::supervisor::Supervisor;
use crate::dispatcher::turn::Order;

/// The counts of one run, or of many.
#[derive(Clone, Default)]
pub(super) struct Tally {
    pub(super) steps: u64,
    pub(super) virtual_seconds: f64,
    pub(super) jobs: u64,
    pub(super) ends: u64,
    pub(super) runner_crashes: u64,
    pub(super) guard_kills: u64,
    pub(super) supervisor_crashes: u64,
    pub(super) pauses: u64,
    pub(super) stops: u64,
    pub(super) declared_lost: u64,
    pub(super) rescued: u64,
    pub(super) faults: Faults,
    pub(super) looks_for_the_end: u64,
    pub(super) delayed_answers: u64,
    pub(super) late_orders: u64,
    pub(super) stale_refused: u64,
    pub(super) handed_back_unheld: u64,
    pub(super) cancels_heard: u64,
    pub(super) told: u64,
    pub(super) written_ends: u64,
    pub(super) undone_ends: u64,
    pub(super) conflicts: u64,
    pub(super) unreadable: u64,
    pub(super) cancel_requests: u64,
    pub(super) pruned: u64,
    pub(super) held: u64,
    pub(super) retried: u64,
    pub(super) run_now: u64,
    pub(super) changed: u64,
    pub(super) pauses_of_queues: u64,
    pub(super) workers_asked: u64,
    pub(super) kept_by_key: u64,
    pub(super) waited: u64,
    pub(super) added: u64,
    pub(super) propagations: u64,
    pub(super) readied: u64,
    pub(super) taken_back: u64,
    pub(super) stranded: u64,
    pub(super) healed: u64,
    pub(super) failed_by_gate: u64,
    pub(super) circles: u64,
    pub(super) claimed_with_their_end: u64,
    pub(super) ticks: u64,
    pub(super) ticks_skipped: u64,
    pub(super) deployments: u64,
    pub(super) schedules_kept: u64,
}

impl Tally {
    /// What has to have happened for a run to say anything.
    pub(super) fn faults(&self) -> [(&'static str, u64); 44] {
        [
            ("runner crash", self.runner_crashes),
            ("runner killed at the fence", self.guard_kills),
            ("supervisor crash", self.supervisor_crashes),
            ("pause", self.pauses),
            ("stop", self.stops),
            ("declared lost", self.declared_lost),
            ("rescue", self.rescued),
            ("failed before", self.faults.failed_before),
            ("lost answer", self.faults.lost_answers),
            ("kept out", self.faults.kept_out),
            ("fault of the server", self.faults.of_the_server),
            ("lock that somebody holds", self.faults.locked),
            ("look for the end", self.looks_for_the_end),
            ("delayed answer", self.delayed_answers),
            ("late order", self.late_orders),
            ("stale end refused", self.stale_refused),
            ("cancel heard of", self.cancels_heard),
            ("end that receivers were told of", self.told),
            ("end written by its handler", self.written_ends),
            ("end undone by its handler", self.undone_ends),
            ("end undone by a conflict", self.conflicts),
            ("options that nobody can read", self.unreadable),
            ("job pruned", self.pruned),
            ("job held", self.held),
            ("job retried", self.retried),
            ("job run now", self.run_now),
            ("job put into another lane", self.changed),
            ("queue paused", self.pauses_of_queues),
            ("worker asked to be quiet or to stop", self.workers_asked),
            ("job kept by its key", self.kept_by_key),
            ("job asked to wait", self.waited),
            ("precondition added", self.added),
            ("propagation carried out", self.propagations),
            ("gate opened", self.readied),
            ("job taken back", self.taken_back),
            ("job stranded", self.stranded),
            ("job healed", self.healed),
            ("job failed by its gate", self.failed_by_gate),
            ("circle", self.circles),
            ("job claimed with the end it waited for", self.claimed_with_their_end),
            ("tick", self.ticks),
            ("tick without a job", self.ticks_skipped),
            ("deployment of other schedules", self.deployments),
            ("schedule kept by people", self.schedules_kept),
        ]
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.virtual_seconds += other.virtual_seconds;
        self.jobs += other.jobs;
        self.ends += other.ends;
        self.runner_crashes += other.runner_crashes;
        self.guard_kills += other.guard_kills;
        self.supervisor_crashes += other.supervisor_crashes;
        self.pauses += other.pauses;
        self.stops += other.stops;
        self.declared_lost += other.declared_lost;
        self.rescued += other.rescued;
        self.faults.failed_before += other.faults.failed_before;
        self.faults.lost_answers += other.faults.lost_answers;
        self.faults.kept_out += other.faults.kept_out;
        self.faults.of_the_server += other.faults.of_the_server;
        self.faults.locked += other.faults.locked;
        self.looks_for_the_end += other.looks_for_the_end;
        self.delayed_answers += other.delayed_answers;
        self.late_orders += other.late_orders;
        self.stale_refused += other.stale_refused;
        self.handed_back_unheld += other.handed_back_unheld;
        self.cancels_heard += other.cancels_heard;
        self.told += other.told;
        self.written_ends += other.written_ends;
        self.undone_ends += other.undone_ends;
        self.conflicts += other.conflicts;
        self.unreadable += other.unreadable;
        self.cancel_requests += other.cancel_requests;
        self.pruned += other.pruned;
        self.held += other.held;
        self.retried += other.retried;
        self.run_now += other.run_now;
        self.changed += other.changed;
        self.pauses_of_queues += other.pauses_of_queues;
        self.workers_asked += other.workers_asked;
        self.kept_by_key += other.kept_by_key;
        self.waited += other.waited;
        self.added += other.added;
        self.propagations += other.propagations;
        self.readied += other.readied;
        self.taken_back += other.taken_back;
        self.stranded += other.stranded;
        self.healed += other.healed;
        self.failed_by_gate += other.failed_by_gate;
        self.circles += other.circles;
        self.claimed_with_their_end += other.claimed_with_their_end;
        self.ticks += other.ticks;
        self.ticks_skipped += other.ticks_skipped;
        self.deployments += other.deployments;
        self.schedules_kept += other.schedules_kept;
    }

    pub(super) fn propagated(&mut self, propagated: &Propagated) {
        self.propagations += propagated.propagations;
        self.moved(&propagated.moved);
    }

    pub(super) fn turned(&mut self, turned: &Turned, order: &Order) {
        self.moved(&turned.finished.moved);
        let Order::Turn { claim: Some(claim), .. } = order else { return };
        if claim.cursors.is_empty() {
            self.claimed_with_their_end += turned.claimed.len() as u64;
        }
    }

    fn moved(&mut self, moved: &Moved) {
        self.readied += moved.readied + moved.scheduled;
        self.taken_back += moved.taken_back;
        self.stranded += moved.stranded;
        self.healed += moved.healed;
    }

    pub(super) fn count_runners(&mut self, supervisor: &Supervisor) {
        let (crashes, killed, cancels, told) = supervisor.runners.faults();
        self.cancels_heard += cancels;
        self.told += told;
        self.runner_crashes += crashes;
        self.guard_kills += killed;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} steps, {} jobs, {} ends", self.steps, self.jobs, self.ends)?;
        for (fault, count) in self.faults() {
            write!(f, ", {fault} {count}")?;
        }
        write!(f, ", handed back unheld {}, cancel requests swept up {}", self.handed_back_unheld, self.cancel_requests)
    }
}

//! Which runner gets which job, and how many jobs may be claimed.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use gristmill_core::{Outcome, Reason};

use super::Actor;
use crate::frame;
use crate::pace::{AHEAD, PIPE};
use crate::runner::{Assigned, Runner};

/// A job in a pipe waits no longer than this behind one that turned out long.
pub(super) const STUCK: Duration = Duration::from_millis(50);
/// A job that no runner was free for in this time goes back to the database, where another worker may be idle.
pub(super) const TOO_LONG_IN_HAND: Duration = Duration::from_secs(1);
/// How many jobs behind one that has to wait are looked at: they may be of a kind for which there is room.
const LOOK_BEHIND: usize = 64;

/// Where a job can go: what keeps one of a kind waiting keeps all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// To an idle runner, or behind other short jobs.
    Sync,
    /// To an idle runner, or beside other async jobs.
    Async,
    /// To an idle runner, which then gets nothing else.
    Alone,
}

fn kind(assigned: &Assigned) -> Kind {
    if assigned.asks.alone {
        Kind::Alone
    } else if assigned.is_async {
        Kind::Async
    } else {
        Kind::Sync
    }
}

impl Actor {
    /// Gives out what waits, in order; what finds no runner for too long goes back to the database.
    pub(super) fn dispatch(&mut self) {
        if self.queue.is_empty() {
            return;
        }
        let now = Instant::now();
        let worker_id = self.lease.as_ref().map(|lease| lease.worker_id.to_string()).unwrap_or_default();
        let mut waiting: Vec<Kind> = Vec::with_capacity(3);
        let mut kept_free = None;
        let mut index = 0;
        while waiting.len() < 3 && index <= LOOK_BEHIND {
            let Some(assigned) = self.queue.get(index) else { break };
            let kind = kind(assigned);
            let choice = if waiting.contains(&kind) { None } else { self.choose(assigned, kept_free, now) };
            if let Some((runner, expected)) = choice {
                let Some(assigned) = self.queue.remove(index) else { break };
                self.send(runner, assigned, &worker_id, expected);
                continue;
            }
            if !waiting.contains(&kind) {
                waiting.push(kind);
            }
            // Others may overtake it, but not for ever: one runner gets nothing more until it takes this job.
            if kept_free.is_none() {
                kept_free = self.soonest_free();
            }
            index += 1;
        }
        self.hand_back_what_waits_too_long(now);
    }

    fn send(&mut self, runner: usize, assigned: Assigned, worker_id: &str, expected: Option<f64>) {
        if assigned.is_async {
            self.eagerness = self.eagerness.saturating_mul(2).min(self.config.concurrency);
        }
        match frame::run(&assigned.claimed, worker_id) {
            Ok(frame) => self.runners[runner].send(assigned, frame, expected),
            Err(error) => {
                let why = format!("ValueError: the arguments do not fit into a frame: {error}\n");
                self.end(assigned, Outcome::failed(Reason::Error, "builtins.ValueError", why));
            }
        }
    }

    /// A runner that may be given jobs.
    fn takes(&self, runner: &Runner) -> bool {
        runner.serves() && self.config.max_jobs_per_runner.is_none_or(|most| runner.sent < most)
    }

    /// The runner for a job, and how long the job is expected to take if that is known to be short.
    fn choose(&self, assigned: &Assigned, kept_free: Option<usize>, now: Instant) -> Option<(usize, Option<f64>)> {
        let lane = &assigned.claimed.lane;
        let kind = kind(assigned);
        let expected = if kind == Kind::Sync { self.pace.short(&lane.task_name) } else { None };
        let ahead = expected.filter(|_| !self.config.unprefetched.contains(&lane.queue_name));
        let mut idle = None;
        let mut best: Option<(usize, f64)> = None;
        for (index, runner) in self.runners.iter().enumerate() {
            if !self.takes(runner) || kept_free == Some(index) {
                continue;
            }
            let load = if runner.is_empty() {
                if kind != Kind::Async {
                    return Some((index, expected));
                }
                idle = idle.or(Some(index));
                continue;
            } else if kind == Kind::Async {
                self.beside(runner)
            } else {
                ahead.and_then(|expected| behind(runner, expected, now))
            };
            if let Some(load) = load.filter(|load| best.is_none_or(|(_, least)| *load < least)) {
                best = Some((index, load));
            }
        }
        // Async jobs keep together, so that there are runners for others.
        best.map(|(index, _)| index).or(idle).map(|index| (index, expected))
    }

    /// How much an async job would find beside it.
    #[expect(clippy::cast_precision_loss, reason = "only compared")]
    fn beside(&self, runner: &Runner) -> Option<f64> {
        let fits = runner.is_async() && !runner.is_taken_alone() && runner.len() < self.config.concurrency;
        (fits && runner.answers()).then_some(runner.len() as f64)
    }

    fn soonest_free(&self) -> Option<usize> {
        let takers = self.runners.iter().enumerate().filter(|(_, runner)| self.takes(runner));
        takers.min_by_key(|(_, runner)| runner.len()).map(|(index, _)| index)
    }

    fn hand_back_what_waits_too_long(&mut self, now: Instant) {
        if self.queue.front().is_none_or(|assigned| assigned.taken + TOO_LONG_IN_HAND > now) {
            return;
        }
        for assigned in std::mem::take(&mut self.queue) {
            if assigned.taken + TOO_LONG_IN_HAND <= now {
                self.hand_back(assigned);
            } else {
                self.queue.push_back(assigned);
            }
        }
        self.eagerness = 1;
    }

    /// How many jobs it may hold: one a runner and a reserve, or as many as run side by side. Which kind a claim
    /// will bring is unknown; when one brought what found no runner, the next ones are smaller.
    pub(super) fn publish_capacity(&self) {
        let now = Instant::now();
        let reserve = self.pace.reserve();
        let mut capacity = 0;
        if self.closing.is_none() {
            for runner in self.runners.iter().filter(|runner| self.takes(runner)) {
                // What lingers is no job any more, and yet keeps its place.
                let lingers = runner.lingering().len();
                capacity += if runner.is_taken_alone() {
                    1_usize.saturating_sub(lingers)
                } else if runner.is_async() {
                    let more = if runner.answers() { self.eagerness } else { 0 };
                    (runner.len() + more).min(self.config.concurrency).saturating_sub(lingers)
                } else if runner.busy_since().is_some_and(|since| since + STUCK <= now) {
                    runner.started().len()
                } else {
                    1 + reserve
                };
            }
        }
        self.capacity.store(capacity, Ordering::Relaxed);
    }
}

/// How much work a short job would wait for behind what a runner has, if it may.
fn behind(runner: &Runner, expected: f64, now: Instant) -> Option<f64> {
    let on_time = runner.busy_since().is_none_or(|since| since + AHEAD > now);
    let load = runner.load();
    let fits = on_time && runner.len() <= PIPE && load + expected <= AHEAD.as_secs_f64();
    (fits && !runner.is_async() && !runner.is_taken_alone()).then_some(load)
}

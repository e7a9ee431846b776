//! Whom to start, feed, kill and bury.

use std::sync::atomic::Ordering;
use std::task::Context;
use std::time::{Duration, Instant};

use gristmill_core::{Outcome, Reason};
use gristmill_engine::executor::{Ended, Event};
use tokio::net::UnixStream;

use super::Actor;
use crate::frame::{self, Exited, KilledFor};
use crate::pace::{AHEAD, PIPE};
use crate::pool::Said;
use crate::runner::{Held, Killed, Runner, To};
use crate::zygote::{Stage, Zygote};

/// A job in a pipe waits no longer than this behind one that turned out long.
const STUCK: Duration = Duration::from_millis(50);
/// A job that no runner was free for in this time goes back to the database, where another worker may be idle.
const TOO_LONG_IN_HAND: Duration = Duration::from_secs(1);
/// How long the wait status of a runner may follow the end of its socket; then it has closed the socket and lives on.
const STATUS_FOLLOWS: Duration = Duration::from_millis(200);
/// A zygote that does not carry out a kill in this time is broken, and killed with everything it forked.
const KILL_FOLLOWS: Duration = Duration::from_secs(10);
/// Runners of a dead zygote die with it; one whose socket stays open longer than this has lent it to someone.
const ORPHAN_DIES: Duration = Duration::from_secs(1);

impl Actor {
    pub(super) fn look_after_runners(&mut self) {
        let now = Instant::now();
        let mut index = 0;
        while index < self.runners.len() {
            let runner = &mut self.runners[index];
            if runner.orphaned.is_some_and(|since| runner.closed.is_some() || since + ORPHAN_DIES <= now) {
                self.bury(index, None);
                continue;
            }
            if runner.has_waiting() && runner.running_since().is_some_and(|since| since + STUCK <= now) {
                for held in runner.recall(To::Queue).into_iter().rev() {
                    self.queue.push_front(held);
                }
            }
            let worn = self.config.max_jobs_per_runner.is_some_and(|most| runner.sent >= most);
            if worn && runner.is_empty() {
                runner.quit();
            }
            if runner.kill_asked.is_none() && runner.closed.is_some_and(|since| since + STATUS_FOLLOWS <= now) {
                self.kill(index, Killed::Broken("it closed its connection to the worker".into()));
            }
            let runner = &mut self.runners[index];
            if runner.kill_asked.is_some_and(|since| since + KILL_FOLLOWS <= now) {
                runner.kill_asked = None;
                let generation = runner.generation;
                if let Some(zygote) = self.zygotes.iter_mut().find(|zygote| zygote.generation == generation) {
                    tracing::error!(zygote.pid = zygote.pid, "the zygote does not kill when asked, and is killed");
                    zygote.kill_now();
                }
            }
            index += 1;
        }
        if self.closing.as_mut().and_then(|closing| closing.kill_at.take_if(|at| *at <= now)).is_some() {
            for index in 0..self.runners.len() {
                self.kill(index, Killed::Interrupted);
            }
        }
        let too_long = self.queue.iter().take_while(|held| held.taken + TOO_LONG_IN_HAND <= now).count();
        if too_long > 0 && !self.runners.iter().any(|runner| self.takes(runner) && runner.is_empty()) {
            for held in self.queue.drain(..too_long).collect::<Vec<_>>() {
                self.hand_back(held);
            }
        }
        let runners = &self.runners;
        let serves = |zygote: &mut Zygote| {
            zygote.stage == Stage::Retiring && !runners.iter().any(|runner| runner.generation == zygote.generation)
        };
        for zygote in self.zygotes.extract_if(.., serves) {
            tokio::spawn(zygote.end());
        }
    }

    pub(super) fn kill(&mut self, index: usize, why: Killed) {
        let runner = &mut self.runners[index];
        if runner.killed.is_some() {
            return;
        }
        runner.killed = Some(why);
        runner.kill_asked = Some(Instant::now());
        if let Some(zygote) = self.zygotes.iter_mut().find(|zygote| zygote.generation == runner.generation) {
            zygote.kill(runner.number);
        }
    }

    /// Ends what a dead runner had; `None` when it died with its zygote.
    pub(super) fn bury(&mut self, index: usize, exited: Option<&Exited>) {
        let mut runner = self.runners.swap_remove(index);
        let mut news = Vec::new();
        // Its last words count, up to the first that makes no sense.
        let _ = runner.drain(&mut self.scratch, &mut news);
        self.take_news(runner.pid, runner.running_since(), &mut news);

        let lapsed = exited.is_some_and(|exited| exited.killed == Some(KilledFor::Lease));
        let how = match (&runner.killed, exited) {
            (Some(Killed::Broken(how)), _) => how.clone(),
            (_, Some(exited)) => exited.how(),
            (_, None) => "the zygote died".into(),
        };
        if !runner.up && !lapsed && !runner.quitting && runner.killed != Some(Killed::Interrupted) {
            tracing::error!(runner.pid = runner.pid, "a runner died before it could work: {how}");
            if self.runner_failures.fail() {
                self.tell(Said::Event(Event::Broken(format!("runners die before they can work: {how}"))));
            }
        }
        let left = runner.take_all();
        if let Some((held, started)) = left.ran {
            let outcome = if lapsed || runner.killed == Some(Killed::Interrupted) {
                Outcome::Interrupted
            } else {
                tracing::warn!(job.id = %held.claimed.id, runner.pid = runner.pid, "its runner died: {how}");
                Outcome::Crashed { how }
            };
            self.end(held, Some(started), runner.pid, outcome);
        }
        self.give(left.waiting);
    }

    pub(super) fn give(&mut self, back: Vec<(To, Held)>) {
        for (to, held) in back.into_iter().rev() {
            match to {
                To::Queue if self.closing.is_none() => self.queue.push_front(held),
                To::Queue | To::Database => self.hand_back(held),
            }
        }
    }

    pub(super) fn hand_back(&self, held: Held) {
        self.end(held, None, None, Outcome::HandedBack);
    }

    pub(super) fn end(&self, held: Held, started: Option<Instant>, runner_pid: Option<u32>, outcome: Outcome) {
        let started_after = started.map(|at| at.saturating_duration_since(held.taken));
        self.tell(Said::Event(Event::Ended(Ended {
            claimed: held.claimed,
            started_after,
            runner_pid,
            outcome,
            output: None,
            written: false,
        })));
    }

    // The handle may be gone; then nobody wants to know.
    pub(super) fn tell(&self, said: Said) {
        drop(self.say.send(said));
    }

    // -- who does what ------------------------------------------------------------------------------------------

    /// Sees to it that there is a zygote, and as many runners of it as there should be.
    pub(super) fn staff(&mut self) {
        if self.closing.is_some() {
            return;
        }
        let Some(zygote) = self.zygotes.last_mut().filter(|zygote| zygote.stage != Stage::Retiring) else {
            if !self.zygote_failures.waits() {
                self.start_zygote();
            }
            return;
        };
        if zygote.stage != Stage::Serving || self.runner_failures.waits() {
            return;
        }
        let most = self.config.max_jobs_per_runner.unwrap_or(u64::MAX);
        let staffed = |runner: &&Runner| {
            runner.generation == zygote.generation
                && !runner.quitting
                && runner.killed.is_none()
                && runner.closed.is_none()
                && runner.sent < most
        };
        for _ in self.runners.iter().filter(staffed).count()..self.config.processes {
            self.numbers += 1;
            match pair() {
                Ok((ours, theirs)) => {
                    zygote.spawn(self.numbers, theirs);
                    self.runners.push(Runner::new(self.numbers, zygote.generation, ours));
                }
                Err(error) => {
                    tracing::error!(%error, "a runner cannot be given a socket");
                    self.runner_failures.fail();
                    return;
                }
            }
        }
    }

    pub(super) fn start_zygote(&mut self) {
        self.generations += 1;
        match Zygote::start(&self.config, self.generations) {
            Ok(zygote) => self.zygotes.push(zygote),
            Err(error) => {
                tracing::error!(%error, "the zygote cannot be started");
                if self.zygote_failures.fail() {
                    self.tell(Said::Event(Event::Broken(error.to_string())));
                }
            }
        }
    }

    /// A runner that may be given jobs.
    pub(super) fn takes(&self, runner: &Runner) -> bool {
        runner.serves() && runner.reads() && self.config.max_jobs_per_runner.is_none_or(|most| runner.sent < most)
    }

    pub(super) fn dispatch(&mut self) {
        if self.queue.is_empty() {
            return;
        }
        let now = Instant::now();
        let worker_id = self.lease.map(|lease| lease.worker_id.to_string()).unwrap_or_default();
        while let Some(held) = self.queue.front() {
            let expected = self.pace.short(&held.claimed.lane.task_name);
            let Some(index) = self.choose(expected, now) else { return };
            let Some(held) = self.queue.pop_front() else { return };
            match frame::run(&held.claimed, &worker_id) {
                Ok(frame) => self.runners[index].send(held, frame, expected),
                Err(error) => self.end(
                    held,
                    None,
                    None,
                    Outcome::failed(
                        Reason::Error,
                        "builtins.ValueError",
                        format!("ValueError: the arguments do not fit into a frame: {error}\n"),
                    ),
                ),
            }
        }
    }

    /// The runner for the next job: an idle one, else the one with the least to do, if that and the job are short.
    pub(super) fn choose(&self, expected: Option<f64>, now: Instant) -> Option<usize> {
        let mut best: Option<(usize, f64)> = None;
        for (index, runner) in self.runners.iter().enumerate() {
            if !runner.serves() || self.config.max_jobs_per_runner.is_some_and(|most| runner.sent >= most) {
                continue;
            }
            if runner.is_empty() {
                return Some(index);
            }
            let Some(expected) = expected else { continue };
            let on_time = runner.running_since().is_none_or(|since| since + AHEAD > now);
            let load = runner.load();
            if on_time
                && runner.pipe_len() <= PIPE
                && load + expected <= AHEAD.as_secs_f64()
                && best.is_none_or(|(_, least)| load < least)
            {
                best = Some((index, load));
            }
        }
        best.map(|(index, _)| index)
    }

    pub(super) fn publish_capacity(&self) {
        let now = Instant::now();
        let reserve = self.pace.reserve();
        let most = self.config.max_jobs_per_runner.unwrap_or(u64::MAX);
        let mut capacity = 0;
        if self.closing.is_none() {
            for runner in self.runners.iter().filter(|runner| runner.serves() && runner.sent < most) {
                let busy_for_long = runner.running_since().is_some_and(|since| since + STUCK <= now);
                capacity += if busy_for_long { 1 } else { 1 + reserve };
            }
        }
        self.capacity.store(capacity, Ordering::Relaxed);
    }

    /// Writes everything there is to write and settles recalls; true when that gave something back.
    pub(super) fn flush(&mut self, context: &mut Context<'_>) -> bool {
        for zygote in &mut self.zygotes {
            // An error here is the end of its socket, which is noticed by reading.
            drop(zygote.flush(context));
        }
        let mut settled = false;
        let mut news = Vec::new();
        for index in 0..self.runners.len() {
            drop(self.runners[index].flush(context));
            if self.runners[index].to_settle() {
                let read = self.runners[index].drain(&mut self.scratch, &mut news);
                self.hear_runner(index, &mut news, read);
                let back = self.runners[index].settle();
                settled |= !back.is_empty();
                self.give(back);
                let runner = &mut self.runners[index];
                if std::mem::take(&mut runner.interrupting) && runner.running_since().is_some() {
                    self.kill(index, Killed::Interrupted);
                }
            }
        }
        settled
    }

    pub(super) fn next_alarm(&self) -> Option<Instant> {
        let mut alarms = Vec::with_capacity(8);
        for runner in &self.runners {
            alarms.extend(runner.orphaned.map(|since| since + ORPHAN_DIES));
            alarms.extend(runner.kill_asked.map(|since| since + KILL_FOLLOWS));
            if runner.kill_asked.is_none() {
                alarms.extend(runner.closed.map(|since| since + STATUS_FOLLOWS));
            }
            if runner.has_waiting() {
                alarms.extend(runner.running_since().map(|since| since + STUCK));
            }
        }
        alarms.extend(self.queue.front().map(|held| held.taken + TOO_LONG_IN_HAND));
        alarms.extend(self.closing.as_ref().and_then(|closing| closing.kill_at));
        alarms.extend(self.runner_failures.until.filter(|_| self.runner_failures.waits()));
        alarms.extend(self.zygote_failures.until.filter(|_| self.zygote_failures.waits()));
        alarms.into_iter().min()
    }
}

/// A socketpair for a runner: this side's end, and the one that is handed on.
fn pair() -> std::io::Result<(UnixStream, std::os::fd::OwnedFd)> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    Ok((UnixStream::from_std(ours)?, theirs.into()))
}

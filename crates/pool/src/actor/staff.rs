//! Whom to start, to look after, and what is to be written.

use std::task::Context;
use std::time::{Duration, Instant};

use gristmill_engine::executor::Event;
use tokio::net::UnixStream;

use super::Actor;
use super::dispatch::{STUCK, TOO_LONG_IN_HAND};
use super::limits::next_limit;
use crate::messages::Said;
use crate::runner::{Killed, Runner, To};
use crate::zygote::{Stage, Zygote};

/// How long the wait status of a runner may follow the end of its socket; then it has closed the socket and lives on.
const STATUS_FOLLOWS: Duration = Duration::from_millis(200);
/// A zygote that does not carry out a kill in this time is broken, and killed with everything it forked.
const KILL_FOLLOWS: Duration = Duration::from_secs(10);
/// Runners of a dead zygote die with it, and what they have started is killed; what is there longer than this lives on.
const ORPHAN_DIES: Duration = Duration::from_secs(10);

impl Actor {
    pub(super) fn look_after_runners(&mut self) {
        let now = Instant::now();
        self.enforce_limits(now);
        let mut index = 0;
        while index < self.runners.len() {
            let runner = &mut self.runners[index];
            // Its jobs may run again when nothing is at work on them any more.
            let is_swept = !self.endings.iter().any(|(generation, _)| *generation == runner.generation);
            if let Some(since) = runner.orphaned {
                if is_swept || since + ORPHAN_DIES <= now {
                    self.bury(index, None);
                } else {
                    index += 1;
                }
                continue;
            }
            if runner.waiting_since().is_some_and(|since| since + STUCK <= now) {
                for assigned in runner.recall(To::Queue).into_iter().rev() {
                    self.queue.push_front(assigned);
                }
            }
            let worn = self.config.max_jobs_per_runner.is_some_and(|most| runner.sent >= most);
            if (worn || runner.spent) && runner.is_empty() {
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
        let runners = &self.runners;
        let serves = |zygote: &mut Zygote| {
            zygote.stage == Stage::Retiring && !runners.iter().any(|runner| runner.generation == zygote.generation)
        };
        for zygote in self.zygotes.extract_if(.., serves) {
            tokio::spawn(async move { zygote.end(&[]).await });
        }
    }

    /// Sees to it that there is a zygote, and as many runners of it as there should be; true when there are new ones.
    pub(super) fn staff(&mut self) -> bool {
        if self.closing.is_some() {
            return false;
        }
        let Some(zygote) = self.zygotes.last_mut().filter(|zygote| zygote.stage != Stage::Retiring) else {
            if !self.zygote_failures.waits() {
                self.start_zygote();
            }
            return false;
        };
        if zygote.stage != Stage::Serving || self.runner_failures.waits() {
            return false;
        }
        let most = self.config.max_jobs_per_runner.unwrap_or(u64::MAX);
        let staffed = |runner: &&Runner| {
            runner.generation == zygote.generation
                && !runner.quitting
                && !runner.spent
                && runner.killed.is_none()
                && runner.closed.is_none()
                && runner.sent < most
        };
        let before = self.runners.len();
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
                    break;
                }
            }
        }
        self.runners.len() > before
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

    /// Writes everything there is to write and settles recalls; true when that gave something back, or something
    /// more to write.
    pub(super) fn flush(&mut self, context: &mut Context<'_>) -> bool {
        let mut again = false;
        let mut news = Vec::new();
        for index in 0..self.runners.len() {
            // An error here is the end of a socket, which is noticed by reading.
            drop(self.runners[index].flush(context));
            if self.runners[index].to_settle() {
                let read = self.runners[index].drain(&mut self.scratch, &mut news);
                self.hear_runner(index, &mut news, read);
                let back = self.runners[index].settle();
                again |= !back.is_empty();
                self.give(back);
                let runner = &mut self.runners[index];
                for key in runner.crossed() {
                    runner.cancel(key);
                }
                again |= !runner.reads();
                if std::mem::take(&mut runner.interrupting) && !runner.started().is_empty() {
                    self.kill(index, Killed::Interrupted);
                }
            }
            let runner = &mut self.runners[index];
            if runner.take_alert()
                && let Some(zygote) = self.zygotes.iter_mut().find(|zygote| zygote.generation == runner.generation)
            {
                zygote.alert(runner.number);
            }
        }
        for zygote in &mut self.zygotes {
            drop(zygote.flush(context));
        }
        again
    }

    pub(super) fn next_alarm(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut alarms = Vec::with_capacity(8);
        for runner in &self.runners {
            alarms.extend(runner.orphaned.map(|since| since + ORPHAN_DIES));
            alarms.extend(runner.kill_asked.map(|since| since + KILL_FOLLOWS));
            if runner.kill_asked.is_none() {
                alarms.extend(runner.closed.map(|since| since + STATUS_FOLLOWS));
            }
            alarms.extend(runner.waiting_since().map(|since| since + STUCK));
            // From then on nothing more is claimed for it.
            let lingers = runner.lingering_since().map(|since| since + STUCK);
            alarms.extend(lingers.filter(|at| *at > now));
            alarms.extend(next_limit(runner, self.config.callback_timeout));
        }
        alarms.extend(self.queue.front().map(|assigned| assigned.taken + TOO_LONG_IN_HAND));
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

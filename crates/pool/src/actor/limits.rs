//! Jobs that overrun what was agreed: time, memory, or the grace after someone cancelled them. What a handler does not
//! do by itself is done to its runner.

use std::time::{Duration, Instant};

use gristmill_core::{Advice, JobId, Outcome, Reason, Token};

use super::Actor;
use crate::frame::Key;
use crate::runner::{Killed, Lingering, Runner, Stage, To};

/// How often memory is looked at while a job with a limit runs.
const MEASURED_EVERY: Duration = Duration::from_millis(250);
/// How often, at most, a runner's memory is looked at because a job has ended.
const MEASURED_AFTER_JOBS: Duration = Duration::from_secs(1);
const MEBIBYTE: u64 = 1024 * 1024;

impl Actor {
    /// Ends one job that someone wants cancelled.
    pub(super) fn cancel(&mut self, job: JobId, token: Token) {
        let key = Key::new(job, token);
        if let Some(place) = self.queue.iter().position(|assigned| assigned.key == key) {
            let back = self.queue.remove(place).map(|assigned| (To::Cancelled, assigned));
            return self.give(back.into_iter().collect());
        }
        let Some(runner) = self.runners.iter_mut().find(|runner| runner.has(key)) else { return };
        let back = runner.recall_one(key, To::Cancelled);
        // Nothing happens unless it runs.
        runner.cancel(key);
        self.give(back.map(|assigned| (To::Cancelled, assigned)).into_iter().collect());
    }

    pub(super) fn enforce_limits(&mut self, now: Instant) {
        for index in 0..self.runners.len() {
            if self.runners[index].killed.is_some() {
                continue;
            }
            self.measure(index, now);
            let runner = &self.runners[index];
            let timeout = self.config.callback_timeout;
            let too_long = |lingering: &&Lingering| lingering.ends(timeout).is_some_and(|at| at <= now);
            if let Some(key) = runner.lingering().iter().find(too_long).map(|lingering| lingering.key) {
                self.kill(index, Killed::Lingering(key));
                continue;
            }
            let over = runner.started().iter().find_map(|running| {
                let outcome = if running.is_stopped().is_some_and(|at| at <= now) {
                    Outcome::Cancelled { how: "stopped with its runner".into() }
                } else if running.times_out(timeout).is_some_and(|at| at <= now) {
                    match &running.stage {
                        Stage::Preparing(_) => Outcome::HandedBack,
                        Stage::Handling(_) => out_of_time(running.assigned.asks.timeout.unwrap_or_default()),
                        Stage::Asking(_, failure) => failure.clone(),
                    }
                } else {
                    return None;
                };
                Some((running.assigned.key, outcome))
            });
            if let Some((key, outcome)) = over {
                self.kill(index, Killed::For(key, outcome));
            }
        }
    }

    /// Looks at a runner's memory if that is due: a job over its limit is ended with it, and a runner that has grown
    /// too big gets nothing more.
    fn measure(&mut self, index: usize, now: Instant) {
        let runner = &mut self.runners[index];
        if measured_next(runner).is_none_or(|at| at > now) {
            return;
        }
        runner.measured = now;
        let after_jobs = std::mem::take(&mut runner.to_measure);
        let Some(used) = runner.pid.and_then(resident) else { return };
        let limited =
            runner.started().iter().filter_map(|running| Some((running.assigned.asks.memory?, running.assigned.key)));
        let over = limited.filter(|(most, _)| used > *most).min_by_key(|(most, _)| *most);
        // One that is just over its limit has perhaps noticed by itself: it has until the next look to say so.
        let again = std::mem::replace(&mut runner.over, over.map(|(_, key)| key));
        if let Some((most, key)) = over
            && (again == Some(key) || used - most > most / 4)
        {
            return self.kill(index, Killed::For(key, out_of_memory(used, most)));
        }
        let most = self.config.max_runner_memory_mb.map(|mebibytes| mebibytes.saturating_mul(MEBIBYTE));
        if after_jobs && most.is_some_and(|most| used > most) && !runner.spent {
            tracing::info!(runner.pid = runner.pid, "a runner of {} MiB is replaced", used / MEBIBYTE);
            runner.spent = true;
            let back = runner.recall(To::Queue);
            self.give(back.into_iter().map(|assigned| (To::Queue, assigned)).collect());
        }
    }
}

/// When a runner's next limit is reached or looked at.
pub(super) fn next_limit(runner: &Runner, callback_timeout: Duration) -> Option<Instant> {
    if runner.killed.is_some() {
        return None;
    }
    let ends = runner.started().iter().flat_map(|running| [running.times_out(callback_timeout), running.is_stopped()]);
    let lingering = runner.lingering().iter().filter_map(|lingering| lingering.ends(callback_timeout));
    ends.flatten().chain(lingering).chain(measured_next(runner)).min()
}

fn measured_next(runner: &Runner) -> Option<Instant> {
    let every = if runner.started().iter().any(|running| running.assigned.asks.memory.is_some()) {
        MEASURED_EVERY
    } else if runner.to_measure {
        MEASURED_AFTER_JOBS
    } else {
        return None;
    };
    Some(runner.measured + every)
}

/// Bytes of a process's memory that are resident.
fn resident(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

fn out_of_time(limit: Duration) -> Outcome {
    let why = format!("the handler did not end within its timeout of {limit:?}, and its runner was killed");
    over("gristmill.exceptions.TimedOut", &["TimeoutError", "OSError"], Reason::Timeout, &why)
}

fn out_of_memory(used: u64, most: u64) -> Outcome {
    let (used, most) = (used / MEBIBYTE, most / MEBIBYTE);
    let why = format!("the runner used {used} MiB where max_memory_mb is {most}, and was killed");
    over("gristmill.exceptions.OutOfMemory", &["MemoryError"], Reason::Memory, &why)
}

/// As if the handler had raised it: what is tried again is decided by the classes.
fn over(class: &str, bases: &[&str], reason: Reason, why: &str) -> Outcome {
    let bases = bases.iter().chain(&["Exception", "BaseException"]).map(|base| format!("builtins.{base}"));
    Outcome::Failed {
        reason,
        exception_class_path: class.into(),
        traceback: format!("{class}: {why}\n"),
        classes: std::iter::once(class.to_owned()).chain(bases).collect(),
        advice: Advice::ByOptions,
    }
}

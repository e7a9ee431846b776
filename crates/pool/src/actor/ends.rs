//! What becomes of jobs: those that end, those that are given back, and those of a runner that dies.

use std::time::Instant;

use gristmill_core::{Attempt, Outcome, Reason};
use gristmill_engine::executor::{self, Event};
use gristmill_store::hosted;

use super::Actor;
use crate::frame::{self, Exited, Key, KilledFor};
use crate::pool::Said;
use crate::runner::{Ended, Held, Killed, Running, To};

impl Actor {
    pub(super) fn kill(&mut self, index: usize, why: Killed) {
        let runner = &mut self.runners[index];
        if runner.killed.is_some() {
            return;
        }
        if let Killed::For(key, outcome) = &why {
            let job = runner.started().iter().find(|running| running.held.key == *key);
            let id = job.map(|running| running.held.claimed.id.to_string());
            tracing::warn!(job.id = id, runner.pid = runner.pid, "killed with its runner: {}", words(outcome));
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
        for Running { held, since, output, .. } in left.ran {
            let outcome = match &runner.killed {
                Some(Killed::For(key, outcome)) if *key == held.key => outcome.clone(),
                // It ran beside the one that the runner was killed for.
                Some(Killed::For(..) | Killed::Interrupted) => Outcome::Interrupted,
                _ if lapsed => Outcome::Interrupted,
                _ => {
                    tracing::warn!(job.id = %held.claimed.id, runner.pid = runner.pid, "its runner died: {how}");
                    Outcome::Crashed { how: how.clone() }
                }
            };
            self.ended(Ended { held, started: Some(since), outcome, output, written: false }, runner.pid);
        }
        self.give(left.waiting);
    }

    /// Answers a transactional job whose handler has returned: how its end is written.
    pub(super) fn answer(&mut self, index: usize, key: Key) {
        let runner = &mut self.runners[index];
        // A runner that is being killed gets nothing more.
        let to_be_written = runner.to_be_written(key).filter(|_| runner.killed.is_none());
        let Some((held, since, outcome, output)) = to_be_written else { return };
        let attempt = Attempt {
            claimed: held.claimed.clone(),
            started_after: Some(since.saturating_duration_since(held.taken)),
            runner_pid: runner.pid,
            outcome: outcome.clone(),
            output: output.map(str::to_owned),
        };
        match frame::write(key, &hosted::finish(self.config.dialect, &attempt)) {
            Ok(frame) => runner.answer(key, frame),
            Err(error) => {
                let why = format!("ValueError: the result does not fit into a frame: {error}\n");
                let outcome = Outcome::failed(Reason::BadResult, "builtins.ValueError", why);
                self.kill(index, Killed::For(key, outcome));
            }
        }
    }

    pub(super) fn give(&mut self, back: Vec<(To, Held)>) {
        for (to, held) in back.into_iter().rev() {
            match to {
                To::Queue if self.closing.is_none() => self.queue.push_front(held),
                To::Queue | To::Database => self.hand_back(held),
                To::Cancelled => self.end(held, Outcome::Cancelled { how: "before it started".into() }),
            }
        }
    }

    pub(super) fn hand_back(&self, held: Held) {
        self.end(held, Outcome::HandedBack);
    }

    /// Ends a job that never started.
    pub(super) fn end(&self, held: Held, outcome: Outcome) {
        self.ended(Ended { held, started: None, outcome, output: None, written: false }, None);
    }

    pub(super) fn ended(&self, ended: Ended, runner_pid: Option<u32>) {
        let Ended { held, started, outcome, output, written } = ended;
        self.tell(Said::Event(Event::Ended(executor::Ended {
            claimed: held.claimed,
            started_after: started.map(|at| at.saturating_duration_since(held.taken)),
            runner_pid,
            outcome,
            output,
            written,
        })));
    }

    // The handle may be gone; then nobody wants to know.
    pub(super) fn tell(&self, said: Said) {
        drop(self.say.send(said));
    }
}

fn words(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Failed { reason, .. } => reason.word(),
        other => other.word(),
    }
}

//! What becomes of jobs: those that end, those that are given back, and those of a runner that dies.

use std::time::Instant;

use gristmill_core::{Attempt, Outcome, Reason};
use gristmill_engine::executor::{self, Event};
use gristmill_store::hosted;

use super::Actor;
use crate::frame::{self, Exited, Key, KilledFor};
use crate::messages::Said;
use crate::runner::{Assigned, Ended, Killed, News, Running, Stage, To};

impl Actor {
    pub(super) fn kill(&mut self, index: usize, why: Killed) {
        let runner = &mut self.runners[index];
        if runner.killed.is_some() {
            return;
        }
        if let Killed::For(key, outcome) = &why {
            let stage =
                runner.started().iter().find(|running| running.assigned.key == *key).map(|running| &running.stage);
            let why = match stage {
                Some(Stage::Preparing(_)) if *outcome == Outcome::HandedBack => {
                    "what comes before its handler takes too long"
                }
                Some(Stage::Asking(..)) => "its backoff function takes too long",
                _ => words(outcome),
            };
            tracing::warn!(job.id = %key.job(), runner.pid = runner.pid, "killed with its runner: {why}");
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
        for each in &news {
            if let News::Leaving(Some((key, outcome))) = each {
                runner.killed.get_or_insert(Killed::For(*key, outcome.clone()));
            }
        }
        self.take_news(runner.pid, runner.running_since(), &mut news);

        let lapsed = exited.is_some_and(|exited| exited.killed == Some(KilledFor::Lease));
        let how = match (&runner.killed, exited) {
            // One that was dead when it was to be killed has told how it died.
            (Some(Killed::Broken(how)), exited) if exited.is_none_or(|exited| exited.killed.is_some()) => how.clone(),
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
        let cut_short =
            lapsed || matches!(runner.killed, Some(Killed::For(..) | Killed::Lingering(_) | Killed::Interrupted));
        for Running { assigned, since, stage, output, .. } in left.ran {
            let outcome = match (&runner.killed, stage) {
                (Some(Killed::For(key, outcome)), _) if *key == assigned.key => outcome.clone(),
                (_, Stage::Asking(_, failure)) => failure,
                // Its handler has not begun. A runner that dies by itself may have died of the job all the same.
                (_, Stage::Preparing(_)) if cut_short => Outcome::HandedBack,
                // It ran beside the one that the runner was killed for.
                _ if cut_short => Outcome::Interrupted,
                _ => {
                    tracing::warn!(job.id = %assigned.claimed.id, runner.pid = runner.pid, "its runner died: {how}");
                    Outcome::Crashed { how: how.clone() }
                }
            };
            let started = (outcome != Outcome::HandedBack).then_some(since);
            self.ended(Ended { assigned, started, outcome, output, written: false, lingers: None }, runner.pid);
        }
        for lingering in &left.lingering {
            self.cut_off(lingering, runner.killed.as_ref(), &how);
        }
        self.give(left.waiting);
    }

    /// Answers a transactional job whose handler has returned: how its end is written.
    pub(super) fn answer(&mut self, index: usize, key: Key) {
        let runner = &mut self.runners[index];
        // A runner that is being killed gets nothing more.
        let to_be_written = runner.to_be_written(key).filter(|_| runner.killed.is_none());
        let Some((assigned, since, outcome, output)) = to_be_written else { return };
        let attempt = Attempt {
            claimed: assigned.claimed.clone(),
            started_after: Some(since.saturating_duration_since(assigned.taken)),
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

    pub(super) fn give(&mut self, back: Vec<(To, Assigned)>) {
        for (to, assigned) in back.into_iter().rev() {
            match to {
                To::Queue if self.closing.is_none() => self.queue.push_front(assigned),
                To::Queue | To::Database => self.hand_back(assigned),
                To::Cancelled => self.end(assigned, Outcome::Cancelled { how: "before it started".into() }),
            }
        }
    }

    pub(super) fn hand_back(&self, assigned: Assigned) {
        self.end(assigned, Outcome::HandedBack);
    }

    /// Ends a job that never started.
    pub(super) fn end(&self, assigned: Assigned, outcome: Outcome) {
        self.ended(Ended { assigned, started: None, outcome, output: None, written: false, lingers: None }, None);
    }

    pub(super) fn ended(&self, ended: Ended, runner_pid: Option<u32>) {
        let Ended { assigned, started, outcome, output, written, lingers } = ended;
        if lingers.is_some() {
            // Before the end itself: with that, it may seem that there is nothing left to wait for.
            self.tell(Said::Lingers);
        }
        self.tell(Said::Event(Event::Ended(executor::Ended {
            claimed: assigned.claimed,
            started_after: started.map(|at| at.saturating_duration_since(assigned.taken)),
            runner_pid,
            outcome,
            output,
            written,
            asks: lingers == Some(true),
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

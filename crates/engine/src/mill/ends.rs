//! What the mill learns from its executor.

use std::time::Duration;

use gristmill_core::{Attempt, Outcome};
use tracing::{error, warn};

use super::Mill;
use crate::held::Left;
use crate::{Ended, Event, Executor, Sessions, clock};

/// After a job that the executor gave back unasked: first and longest pause before the next claim. It doubles while
/// nothing else ends, so that a job which no runner will start does not go round and round.
const GIVEN_BACK: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(5));

impl<E: Executor, S: Sessions> Mill<E, S> {
    /// Takes in what happened in the executor.
    pub(crate) fn take_in(&mut self, happened: &mut Vec<Event>) {
        for event in happened.drain(..) {
            match event {
                Event::Ended(ended) => self.ended(ended),
                Event::Progress(progress) => self.held.hear(progress),
                Event::Room => {}
                Event::Announced(announcement) => {
                    if let Some(schedules) = &self.schedules {
                        schedules.announce(announcement);
                    }
                }
                Event::Broken(why) => {
                    error!(target: "gristmill::mill", why, "broken");
                    self.leaving.break_off(why);
                }
            }
        }
        self.tell_running();
    }

    fn ended(&mut self, ended: Ended) {
        let Ended { claimed, started_after, runner_pid, outcome, output, written } = ended;
        let Some(Left { since, said }) = self.held.let_go(&claimed) else {
            warn!(target: "gristmill::mill", { job.id = %claimed.id, token = claimed.token.0 }, "ended, but was not held");
            return;
        };
        self.found_nothing = false;
        self.lookout.ended();
        self.note_whether_given_back(&outcome);
        match outcome {
            Outcome::HandedBack => {
                if let Some(left) = &mut self.allowance {
                    *left += 1;
                }
            }
            Outcome::Interrupted if self.leaving.is_in_haste() => self.stopped_under += 1,
            _ => {}
        }
        let took = Some(clock::now().saturating_duration_since(since));
        let attempt = Attempt { claimed, started_after, runner_pid, outcome, output };
        if written {
            self.errands.ended_elsewhere(clock::now());
            self.events.finished(&attempt, took);
        } else {
            self.unwritten.push(attempt, took, said);
        }
    }

    fn note_whether_given_back(&mut self, outcome: &Outcome) {
        let unasked = *outcome == Outcome::HandedBack && !self.leaving.has_begun() && !self.fenced;
        if !unasked {
            self.given_back = 0;
            return;
        }
        let pause = GIVEN_BACK.0.saturating_mul(1 << self.given_back.min(10)).min(GIVEN_BACK.1);
        self.given_back = self.given_back.saturating_add(1);
        self.claims_from = Some(clock::now() + pause);
    }

    pub(super) fn tell_running(&self) {
        let running = self.held.len() as u64;
        self.events.update(|progress| {
            progress.running = running;
            progress.idle = progress.idle && running == 0;
        });
    }
}

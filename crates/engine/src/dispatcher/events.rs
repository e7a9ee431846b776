//! What the dispatcher learns from its executor.

use gristmill_core::{Attempt, Outcome};
use tracing::{error, warn};

use super::Dispatcher;
use super::in_flight::Left;
use crate::{Ended, Event, Executor, Sessions, clock};

impl<E: Executor, S: Sessions> Dispatcher<E, S> {
    /// Takes in what happened in the executor.
    pub(crate) fn take_in(&mut self, happened: &mut Vec<Event>) {
        for event in happened.drain(..) {
            match event {
                Event::Ended(ended) => self.ended(ended),
                Event::Progress(progress) => self.in_flight.hear(progress),
                Event::Room => {}
                Event::Noted(note) => self.completing.note(note),
                // What was called after an end may have enqueued something.
                Event::Rested => self.looking.stirred(),
                Event::Imported => self.imported(),
                Event::Announced(announcement) => {
                    if let Some(schedules) = &self.schedules {
                        schedules.announce(announcement);
                    }
                }
                Event::Broken(why) => {
                    error!(target: "gristmill::dispatcher", why, "broken");
                    self.drain.break_off(why);
                }
            }
        }
        self.tell_running();
    }

    /// The code was loaded anew: what it has is served from here on, and what it has lost is not.
    fn imported(&mut self) {
        let tasks = self.executor.tasks();
        self.claiming.imported(&self.options, tasks);
        self.looking.imported(&self.claiming.serves);
        self.knowledge.send_replace(tasks.to_vec());
    }

    fn ended(&mut self, ended: Ended) {
        let Ended { claimed, started_after, runner_pid, outcome, output, written, asks } = ended;
        let Some(Left { since, said }) = self.in_flight.let_go(&claimed) else {
            warn!(target: "gristmill::dispatcher", { job.id = %claimed.id, token = claimed.token.0 }, "ended, but was not held");
            return;
        };
        let now = clock::now();
        self.looking.stirred();
        let unasked = outcome == Outcome::HandedBack && !self.drain.has_begun() && !self.fence.is_down();
        self.claiming.left(unasked, now);
        match outcome {
            Outcome::HandedBack => self.claiming.handed_back(),
            Outcome::Interrupted => self.drain.interrupted(),
            _ => {}
        }
        if asks {
            self.completing.asked(&claimed);
        }
        let took = Some(now.saturating_duration_since(since));
        let attempt = Attempt { claimed, started_after, runner_pid, outcome, output };
        if written {
            self.propagations.ended_elsewhere(now);
            self.events.finished(&attempt, took);
            self.completing.written_elsewhere(&attempt, took);
        } else {
            self.completing.ended(attempt, took, said);
        }
        self.tell_verdicts();
    }

    /// Tells the executor what has become of the ends that it asked about.
    pub(super) fn tell_verdicts(&mut self) {
        for (job, token, state) in self.completing.known() {
            self.executor.settled(job, token, state);
        }
    }

    /// Tells people how many jobs run.
    pub(super) fn tell_running(&self) {
        let running = self.in_flight.len() as u64;
        self.events.update(|progress| {
            progress.running = running;
            progress.idle = progress.idle && running == 0;
        });
    }
}

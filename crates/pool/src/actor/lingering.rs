//! What is still called for jobs that have ended: who hears what became of the end, and what is said when it is over.

use gristmill_core::{JobId, Note, State, Token};
use gristmill_engine::executor::Event;

use super::Actor;
use crate::frame::Key;
use crate::messages::Said;
use crate::runner::{Killed, Lingering};

impl Actor {
    /// Tells a runner what has become of an end that it asked about.
    pub(super) fn settled(&mut self, job: JobId, token: Token, state: Option<State>) {
        let key = Key::new(job, token);
        for runner in &mut self.runners {
            runner.settled(key, state);
        }
    }

    /// What was called after an end is over by itself.
    pub(super) fn rested(&mut self, lingering: &Lingering) {
        // It has kept its runner busy like the handler.
        if !lingering.is_async {
            self.pace.learn(&lingering.task_name, lingering.started.elapsed());
        }
        self.tell(Said::Event(Event::Rested));
    }

    /// What was called after an end is over with its runner.
    pub(super) fn cut_off(&self, lingering: &Lingering, killed: Option<&Killed>, how: &str) {
        let Lingering { key, task_name, .. } = lingering;
        let why = match killed {
            Some(Killed::Lingering(of)) if of == key => "it took too long".to_owned(),
            Some(Killed::Interrupted) => "the worker had to stop".to_owned(),
            _ => format!("its runner died ({how})"),
        };
        tracing::error!(job.id = %key.job(), task.name = task_name, "what was called after its end was cut off: {why}");
        self.note(*key, format!("what was called after this end was cut off: {why}\n"));
        self.tell(Said::Event(Event::Rested));
    }

    /// What is called after an end has something to say, for the attempt's output.
    pub(super) fn note(&self, key: Key, text: String) {
        self.tell(Said::Event(Event::Noted(Note { job: key.job(), token: key.token(), text })));
    }
}

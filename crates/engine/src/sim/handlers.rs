//! The handlers of the simulated world that write the end of their attempts in their own transactions.

use std::time::Duration;

use gristmill_core::{Attempt, Outcome};

use super::world::World;

impl World {
    /// What the handlers of one supervisor write, each in a transaction of its own.
    pub(super) async fn write_ends(&mut self, n: usize) -> Result<(), String> {
        for (claimed, outcome) in self.fleet[n].runners.to_write() {
            // The database has undone it for the sake of another.
            if self.rng.u32(0..12) == 0 {
                self.tally.conflicts += 1;
                self.fleet[n].runners.wrote(claimed, conflict(), false);
                continue;
            }
            let key = (claimed.id, claimed.token);
            let attempt = Attempt { started_after: Some(Duration::ZERO), ..Attempt::unstarted(claimed, outcome) };
            let stale = self.oracle.stale(&[key]);
            let mut session = self.session().await;
            let answer = self.check(session.finish(std::slice::from_ref(&attempt)).await)?;
            self.oracle.look(&self.shared, &stale, answer.as_ref().map_or(&[][..], |done| &done.accepted)).await?;
            let (outcome, written) = match answer.as_ref().map(|done| done.accepted.as_slice()) {
                Some([_]) => (attempt.outcome, true),
                _ => (Outcome::Interrupted, false),
            };
            let count = if written { &mut self.tally.written_ends } else { &mut self.tally.undone_ends };
            *count += 1;
            self.fleet[n].runners.wrote(attempt.claimed, outcome, written);
        }
        Ok(())
    }
}

fn conflict() -> Outcome {
    Outcome::Conflict { exception_class_path: "django.db.utils.OperationalError".into(), traceback: String::new() }
}

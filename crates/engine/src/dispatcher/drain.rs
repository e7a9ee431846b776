//! How far a worker is on its way out: it drains, then it interrupts, then it leaves. Pure.

use std::time::{Duration, Instant};

use crate::Stage;

/// After everything was interrupted: how long a stop waits for the executor and the database.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// What is to be done about it now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Nothing,
    /// Take back what has not started.
    Recall,
    /// Take that back, and end what runs.
    Interrupt,
}

pub(crate) struct Drain {
    grace: Duration,
    draining: bool,
    interrupt_at: Option<Instant>,
    leave_at: Option<Instant>,
    /// Why the executor cannot go on.
    broken: Option<String>,
    /// Running jobs that were ended because the worker had to stop.
    stopped: u64,
}

impl Drain {
    pub(crate) fn new(grace: Duration) -> Self {
        Self { grace, draining: false, interrupt_at: None, leave_at: None, broken: None, stopped: 0 }
    }

    /// The executor cannot go on.
    pub(crate) fn break_off(&mut self, why: String) {
        self.broken = Some(why);
    }

    /// What the stage and the time ask for, once each. `held` jobs are in the executor, `unwritten` ends are left.
    pub(crate) fn heed(&mut self, stage: Stage, held: usize, unwritten: usize, now: Instant) -> Act {
        let begins = stage >= Stage::Draining && !self.draining;
        if begins {
            self.draining = true;
            self.interrupt_at = Some(now + self.grace);
        }
        let in_haste = stage >= Stage::Stopping || self.broken.is_some();
        // With nothing left to run or to write, a doubt alone is not worth the whole grace.
        let only_doubts = self.draining && held == 0 && unwritten == 0;
        let due = in_haste || only_doubts || self.interrupt_at.is_some_and(|at| now >= at);
        if due && self.leave_at.is_none() {
            self.leave_at = Some(now + LAST_WORDS);
            return Act::Interrupt;
        }
        if begins { Act::Recall } else { Act::Nothing }
    }

    /// Nothing is started any more.
    pub(crate) fn has_begun(&self) -> bool {
        self.draining || self.broken.is_some()
    }

    /// A job was interrupted; once the worker is in haste, because of that.
    pub(crate) fn interrupted(&mut self) {
        self.stopped += u64::from(self.leave_at.is_some());
    }

    /// Running jobs that were ended because the worker had to stop.
    pub(crate) fn stopped(&self) -> u64 {
        self.stopped
    }

    /// Whether the worker waits for nothing any more.
    pub(crate) fn is_overdue(&self, stage: Stage, now: Instant) -> bool {
        stage >= Stage::Exiting || self.leave_at.is_some_and(|at| now >= at)
    }

    pub(crate) fn instants(&self) -> [Option<Instant>; 2] {
        [self.interrupt_at, self.leave_at]
    }

    pub(crate) fn into_broken(self) -> Option<String> {
        self.broken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(25);

    #[test]
    fn a_drain_recalls_at_once_and_interrupts_at_the_end_of_the_grace() {
        let (mut leaving, now) = (Drain::new(GRACE), Instant::now());
        assert_eq!(leaving.heed(Stage::Running, 2, 0, now), Act::Nothing);
        assert_eq!(leaving.heed(Stage::Draining, 2, 0, now), Act::Recall);
        assert_eq!(leaving.heed(Stage::Draining, 1, 1, now), Act::Nothing);
        assert_eq!(leaving.heed(Stage::Draining, 1, 0, now + GRACE), Act::Interrupt);
        assert_eq!(leaving.heed(Stage::Draining, 1, 0, now + GRACE), Act::Nothing);
        assert!(leaving.is_overdue(Stage::Draining, now + GRACE + LAST_WORDS));
    }

    #[test]
    fn a_stop_interrupts_at_once_and_once() {
        let (mut leaving, now) = (Drain::new(GRACE), Instant::now());
        assert_eq!(leaving.heed(Stage::Stopping, 1, 0, now), Act::Interrupt);
        assert_eq!(leaving.heed(Stage::Stopping, 1, 0, now), Act::Nothing);
    }

    #[test]
    fn ends_that_cannot_be_written_get_the_whole_grace() {
        let (mut leaving, now) = (Drain::new(GRACE), Instant::now());
        leaving.heed(Stage::Draining, 0, 1, now);
        assert!(!leaving.is_overdue(Stage::Draining, now + LAST_WORDS));
        let mut leaving = Drain::new(GRACE);
        leaving.heed(Stage::Draining, 0, 0, now);
        assert!(leaving.is_overdue(Stage::Draining, now + LAST_WORDS));
    }
}

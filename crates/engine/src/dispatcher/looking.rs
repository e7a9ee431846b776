//! When to look for work, and what there was when this worker looked last.

use std::time::{Duration, Instant};

use super::plan::BUSY_BEFORE_CLEARING;
use super::poller::Poller;
use super::serves::Serves;
use super::unserved::Unserved;

/// When to survey, and what the last survey found.
pub(super) struct Looking {
    pub(super) poller: Poller,
    pub(super) unserved: Unserved,
    /// The last survey found nothing to claim while nothing was held, and nothing under way that may change that.
    found_nothing: bool,
    /// The last survey failed, and nothing was written since.
    pub(super) failed: bool,
    /// Ticks were due that had no jobs yet when the survey was sent.
    pub(super) owed: bool,
}

impl Looking {
    /// For a worker that polls at most so seldom.
    pub(super) fn new(poll_interval: Duration) -> Self {
        let (poller, unserved) = (Poller::new(poll_interval), Unserved::default());
        Self { poller, unserved, found_nothing: false, failed: false, owed: false }
    }

    /// A survey is sent; with ticks that have no jobs yet, or without; while this worker holds something, or nothing.
    pub(super) fn surveying(&mut self, owed: bool, held_something: bool) {
        self.poller.surveying(held_something);
        self.owed = owed;
    }

    /// The survey found something to claim, or expects that to come soon.
    pub(super) fn surveyed(&mut self, ready: bool, expects: bool, now: Instant) {
        self.failed = false;
        self.poller.surveyed(ready, now);
        if expects && !ready {
            self.poller.stays_near(now);
        }
    }

    /// Whether it found nothing, and nothing is held either. That is the end only where nothing was held from the question
    /// on; else whoever ends then asks again.
    pub(super) fn concludes(&mut self, found_nothing: bool) {
        self.found_nothing = found_nothing && !self.poller.is_stirred();
    }

    /// An attempt has begun or ended, or may have enqueued something: there may be more to find.
    pub(super) fn stirred(&mut self) {
        self.found_nothing = false;
        self.poller.ended();
    }

    /// A claim gave something.
    pub(super) fn claimed(&mut self) {
        self.found_nothing = false;
        self.poller.claimed();
    }

    /// Other tasks are served from here on.
    pub(super) fn imported(&mut self, serves: &Serves) {
        self.unserved.imported(serves);
        self.found_nothing = false;
        self.poller.hint();
    }

    /// A survey failed.
    pub(super) fn survey_failed(&mut self, refused: bool, now: Instant) {
        self.failed = true;
        self.poller.failed(refused, now);
    }

    /// Nothing is left, as far as the last survey saw.
    pub(super) fn has_found_nothing(&self) -> bool {
        self.found_nothing
    }

    /// Nothing is left, and what this worker cannot run has been counted.
    pub(super) fn has_seen_the_end(&self) -> bool {
        self.found_nothing && self.unserved.is_counted()
    }

    /// When to look next, and when to clear the idle flag.
    pub(super) fn instants(&self) -> [Option<Instant>; 2] {
        let busy_since = self.poller.busy_since().filter(|_| self.poller.idle_flag());
        [self.poller.poll_at(), busy_since.map(|since| since + BUSY_BEFORE_CLEARING)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looking() -> Looking {
        Looking::new(Duration::from_secs(5))
    }

    #[test]
    fn a_survey_that_found_nothing_while_nothing_was_held_is_the_end() {
        let mut looking = looking();
        looking.surveying(false, false);
        looking.concludes(true);
        assert!(looking.has_found_nothing());
    }

    #[test]
    fn what_was_held_when_a_survey_was_sent_may_have_enqueued_something_after_it() {
        let mut looking = looking();
        looking.surveying(false, true);
        looking.concludes(true);
        assert!(!looking.has_found_nothing());
    }

    #[test]
    fn what_has_ended_since_a_survey_was_sent_may_have_enqueued_something_after_it() {
        let mut looking = looking();
        looking.surveying(false, false);
        looking.stirred();
        looking.concludes(true);
        assert!(!looking.has_found_nothing());
    }
}

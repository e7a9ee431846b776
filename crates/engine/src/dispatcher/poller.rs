//! When to look for work: the ladder of hint, poll and idle flag.
//!
//! An idle worker sets its flag, looks once more, and then sleeps until a hint or a poll whose interval grows.
//! The flag stays while jobs come one by one and is cleared only by a busy spell.

use std::time::{Duration, Instant};

/// First wait between two looks of an idle worker; it doubles up to the poll interval.
const FIRST_POLL: Duration = Duration::from_millis(200);

pub(crate) struct Poller {
    poll_interval: Duration,
    poll: Duration,
    poll_at: Option<Instant>,
    surveyed_at: Option<Instant>,
    hint: bool,
    /// Something was held when the last survey was sent, or was claimed or has ended since, so that its answer may not hold
    /// any more.
    stirred: bool,
    busy_since: Option<Instant>,
    idle_flag: bool,
}

impl Poller {
    pub(crate) fn new(poll_interval: Duration) -> Self {
        Self {
            poll_interval: poll_interval.max(FIRST_POLL),
            poll: FIRST_POLL,
            poll_at: None,
            surveyed_at: None,
            hint: true,
            stirred: false,
            busy_since: None,
            idle_flag: false,
        }
    }

    /// Look at the next opportunity.
    pub(crate) fn hint(&mut self) {
        self.hint = true;
    }

    pub(crate) fn has_hint(&self) -> bool {
        self.hint
    }

    /// The poll has come due.
    pub(crate) fn heed_poll(&mut self, now: Instant) {
        if self.poll_at.is_some_and(|at| now >= at) {
            self.poll_at = None;
            self.hint = true;
        }
    }

    /// A survey is on its way: what is hinted at from here on is not in it, and neither is what those enqueue that are
    /// still held.
    pub(crate) fn surveying(&mut self, held_something: bool) {
        self.hint = false;
        self.stirred = held_something;
    }

    /// What a survey found for this worker.
    pub(crate) fn surveyed(&mut self, found: bool, now: Instant) {
        self.surveyed_at = Some(now);
        if found {
            self.busy_since.get_or_insert(now);
            self.poll_at = None;
        } else {
            self.busy_since = None;
            self.poll_later(now);
        }
    }

    /// Something may be ready any moment that nobody hints at.
    pub(crate) fn stays_near(&mut self, now: Instant) {
        self.poll = FIRST_POLL;
        self.poll_later(now);
    }

    /// A claim gave jobs.
    pub(crate) fn claimed(&mut self) {
        self.stirred = true;
        self.poll = FIRST_POLL;
    }

    /// An attempt has ended.
    pub(crate) fn ended(&mut self) {
        self.stirred = true;
    }

    /// No cursor is left. Cursors that a survey found and claims found empty are being claimed by someone else: no hurry.
    pub(crate) fn drained(&mut self, now: Instant) {
        if self.stirred {
            self.hint = true;
        } else {
            self.poll_later(now);
        }
    }

    /// What is left is of queues at their limits. The end of a job opens one of them; until then others may get jobs.
    pub(crate) fn at_its_limits(&mut self, now: Instant) {
        self.poll_later(now);
    }

    /// A survey or a claim failed. One that was refused comes to nothing however often it is tried.
    pub(crate) fn failed(&mut self, refused: bool, now: Instant) {
        self.hint = !refused;
        self.poll_later(now);
    }

    /// The database has the flag as `idle`. Who enqueued just before it was set sends no wake-up: look once more.
    pub(crate) fn flagged(&mut self, idle: bool) {
        self.idle_flag = idle;
        self.hint |= idle;
    }

    /// A fresh worker's row has no flag.
    pub(crate) fn renamed(&mut self) {
        self.idle_flag = false;
        self.hint = true;
    }

    pub(crate) fn is_stirred(&self) -> bool {
        self.stirred
    }

    pub(crate) fn idle_flag(&self) -> bool {
        self.idle_flag
    }

    pub(crate) fn since_survey(&self, now: Instant) -> Option<Duration> {
        self.surveyed_at.map(|at| now.saturating_duration_since(at))
    }

    pub(crate) fn busy(&self, now: Instant) -> Option<Duration> {
        self.busy_since.map(|since| now.saturating_duration_since(since))
    }

    /// When the next poll is due.
    pub(crate) fn poll_at(&self) -> Option<Instant> {
        self.poll_at
    }

    /// Since when there has been work without a pause.
    pub(crate) fn busy_since(&self) -> Option<Instant> {
        self.busy_since
    }

    // Jitter, so that idle workers do not all look at the same moment.
    fn poll_later(&mut self, now: Instant) {
        self.poll_at = Some(now + self.poll.mul_f64(0.75 + fastrand::f64() / 4.0));
        self.poll = (self.poll * 2).min(self.poll_interval);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLL_INTERVAL: Duration = Duration::from_secs(2);

    #[test]
    fn an_idle_worker_polls_more_and_more_seldom_up_to_the_poll_interval() {
        let mut poller = Poller::new(POLL_INTERVAL);
        let now = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..6 {
            poller.surveying(false);
            poller.surveyed(false, now);
            waits.push(poller.poll_at().expect("a poll is due") - now);
        }
        assert!(waits[0] <= FIRST_POLL && waits[0] >= FIRST_POLL / 2);
        assert!(waits[5] <= POLL_INTERVAL && waits[5] >= POLL_INTERVAL / 2);
        poller.claimed();
        poller.surveyed(false, now);
        assert!(poller.poll_at().expect("a poll is due") - now <= FIRST_POLL);
    }

    #[test]
    fn a_hint_that_comes_during_a_survey_outlives_it() {
        let mut poller = Poller::new(POLL_INTERVAL);
        poller.surveying(false);
        poller.hint();
        poller.surveyed(false, Instant::now());
        assert!(poller.has_hint());
    }

    #[test]
    fn setting_the_flag_asks_for_one_more_look_and_clearing_it_does_not() {
        let mut poller = Poller::new(POLL_INTERVAL);
        poller.surveying(false);
        poller.flagged(true);
        assert!(poller.has_hint());
        poller.surveying(false);
        poller.flagged(false);
        assert!(!poller.has_hint());
    }

    #[test]
    fn cursors_that_others_empty_first_are_no_reason_to_hurry() {
        let mut poller = Poller::new(POLL_INTERVAL);
        let now = Instant::now();
        poller.surveying(false);
        poller.surveyed(true, now);
        poller.drained(now);
        assert!(!poller.has_hint());
        assert!(poller.poll_at().is_some());
        poller.claimed();
        poller.drained(now);
        assert!(poller.has_hint());
    }
}

//! What the dispatcher does now and then between its turns: it asks which of its jobs are to be cancelled, and writes
//! what handlers say of themselves. Pure.

use std::time::{Duration, Instant};

/// A cancel request is learned within twice this.
pub(crate) const CANCEL_REQUESTS_INTERVAL: Duration = Duration::from_millis(500);
/// What handlers say is written no oftener.
pub(crate) const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// Work beside claims and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SideWork {
    /// Ask which held jobs someone wants to end.
    CancelRequests,
    /// Write what handlers said.
    Progress,
    /// Write what was called after ends said.
    Notes,
}

/// When each was done last.
#[derive(Default)]
pub(crate) struct SideWorkClock {
    cancel_requests_at: Option<Instant>,
    progress_at: Option<Instant>,
    /// A turn was answered since the last side work: ends that are due are written first, yet they never put it off for ever.
    turned: bool,
}

impl SideWorkClock {
    /// When the next one is due: for who holds jobs without a pause since `held`, and with something `heard` to write.
    /// Short jobs that come one by one are over before anybody could have wanted them cancelled, and cost nothing.
    pub(crate) fn next_at(&self, held: Option<Instant>, heard: bool, now: Instant) -> Option<(Instant, SideWork)> {
        let held = held?;
        let cancel_requests = self.cancel_requests_at.map_or(held, |at| at.max(held)) + CANCEL_REQUESTS_INTERVAL;
        let progress = self.progress_at.map_or(now, |at| at + PROGRESS_INTERVAL);
        let progress = heard.then_some((progress, SideWork::Progress));
        [Some((cancel_requests, SideWork::CancelRequests)), progress].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// One is under way.
    pub(crate) fn begin(&mut self, side_work: SideWork, now: Instant) {
        self.turned = false;
        match side_work {
            SideWork::CancelRequests => self.cancel_requests_at = Some(now),
            SideWork::Progress => self.progress_at = Some(now),
            SideWork::Notes => {}
        }
    }

    /// A turn was answered.
    pub(crate) fn turned(&mut self) {
        self.turned = true;
    }

    /// Whether one may come before the ends that are due.
    pub(crate) fn may_come_first(&self) -> bool {
        self.turned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLIS: Duration = Duration::from_millis(1);

    #[test]
    fn who_holds_jobs_asks_for_cancels_twice_a_second_and_who_holds_none_never() {
        let (mut side_work, now) = (SideWorkClock::default(), Instant::now());
        assert_eq!(side_work.next_at(None, false, now), None);
        assert_eq!(
            side_work.next_at(Some(now), false, now),
            Some((now + CANCEL_REQUESTS_INTERVAL, SideWork::CancelRequests))
        );
        side_work.begin(SideWork::CancelRequests, now + 700 * MILLIS);
        assert_eq!(side_work.next_at(Some(now), false, now), Some((now + 1_200 * MILLIS, SideWork::CancelRequests)));
        let later = now + 900 * MILLIS;
        assert_eq!(
            side_work.next_at(Some(later), false, later),
            Some((later + CANCEL_REQUESTS_INTERVAL, SideWork::CancelRequests))
        );
    }

    #[test]
    fn what_handlers_say_is_written_at_once_and_then_once_a_second() {
        let (mut side_work, now) = (SideWorkClock::default(), Instant::now());
        side_work.begin(SideWork::CancelRequests, now);
        assert_eq!(side_work.next_at(Some(now), true, now), Some((now, SideWork::Progress)));
        side_work.begin(SideWork::Progress, now);
        side_work.begin(SideWork::CancelRequests, now + 600 * MILLIS);
        assert_eq!(side_work.next_at(Some(now), true, now), Some((now + PROGRESS_INTERVAL, SideWork::Progress)));
    }

    #[test]
    fn between_two_asides_there_is_a_turn() {
        let (mut side_work, now) = (SideWorkClock::default(), Instant::now());
        assert!(!side_work.may_come_first());
        side_work.turned();
        assert!(side_work.may_come_first());
        side_work.begin(SideWork::CancelRequests, now);
        assert!(!side_work.may_come_first());
    }
}

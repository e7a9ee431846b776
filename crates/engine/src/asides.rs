//! What the mill does now and then between its turns: it asks which of its jobs are to be cancelled, and writes
//! what handlers say of themselves. Pure.

use std::time::{Duration, Instant};

/// A wish to cancel is learned within twice this.
pub(crate) const CONTROLS_INTERVAL: Duration = Duration::from_millis(500);
/// What handlers say is written no oftener.
pub(crate) const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aside {
    /// Ask which held jobs someone wants to end.
    Controls,
    /// Write what handlers said.
    Progress,
}

/// When each was done last.
#[derive(Default)]
pub(crate) struct Asides {
    controls_at: Option<Instant>,
    progress_at: Option<Instant>,
    /// A turn was answered since the last aside: ends that are due are written first, yet they never put it off for ever.
    turned: bool,
}

impl Asides {
    /// When the next one is due: for who holds jobs without a pause since `held`, and with something `heard` to write.
    /// Short jobs that come one by one are over before anybody could have wanted them cancelled, and cost nothing.
    pub(crate) fn next_at(&self, held: Option<Instant>, heard: bool, now: Instant) -> Option<(Instant, Aside)> {
        let held = held?;
        let controls = self.controls_at.map_or(held, |at| at.max(held)) + CONTROLS_INTERVAL;
        let progress = self.progress_at.map_or(now, |at| at + PROGRESS_INTERVAL);
        let progress = heard.then_some((progress, Aside::Progress));
        [Some((controls, Aside::Controls)), progress].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// One is under way.
    pub(crate) fn begin(&mut self, aside: Aside, now: Instant) {
        self.turned = false;
        match aside {
            Aside::Controls => self.controls_at = Some(now),
            Aside::Progress => self.progress_at = Some(now),
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
        let (mut asides, now) = (Asides::default(), Instant::now());
        assert_eq!(asides.next_at(None, false, now), None);
        assert_eq!(asides.next_at(Some(now), false, now), Some((now + CONTROLS_INTERVAL, Aside::Controls)));
        asides.begin(Aside::Controls, now + 700 * MILLIS);
        assert_eq!(asides.next_at(Some(now), false, now), Some((now + 1_200 * MILLIS, Aside::Controls)));
        let later = now + 900 * MILLIS;
        assert_eq!(asides.next_at(Some(later), false, later), Some((later + CONTROLS_INTERVAL, Aside::Controls)));
    }

    #[test]
    fn what_handlers_say_is_written_at_once_and_then_once_a_second() {
        let (mut asides, now) = (Asides::default(), Instant::now());
        asides.begin(Aside::Controls, now);
        assert_eq!(asides.next_at(Some(now), true, now), Some((now, Aside::Progress)));
        asides.begin(Aside::Progress, now);
        asides.begin(Aside::Controls, now + 600 * MILLIS);
        assert_eq!(asides.next_at(Some(now), true, now), Some((now + PROGRESS_INTERVAL, Aside::Progress)));
    }

    #[test]
    fn between_two_asides_there_is_a_turn() {
        let (mut asides, now) = (Asides::default(), Instant::now());
        assert!(!asides.may_come_first());
        asides.turned();
        assert!(asides.may_come_first());
        asides.begin(Aside::Controls, now);
        assert!(!asides.may_come_first());
    }
}

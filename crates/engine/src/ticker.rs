//! Ticks: has the jobs of schedules made, at the instant at which they are due by the database's clock.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gristmill_store::{Error, Result, Ticked};
use tokio::sync::Notify;

use crate::link::{Link, is_fatal};
use crate::schedules::{Schedules, look};
use crate::watchdog::{LONGEST_SLEEP, Liveness};
use crate::{Sessions, Shutdown};

/// With nothing due it looks so often whether someone has made, changed or resumed a schedule.
const IDLE: Duration = Duration::from_secs(5);
/// First and longest wait where something is due and another worker is at it. It doubles.
const OTHERS_ARE_AT_IT: (Duration, Duration) = (Duration::from_millis(2), Duration::from_secs(1));
/// An answer that took longer than this says how long it was until the next tick, not how long it is.
const TRIFLE: Duration = Duration::from_millis(2);
/// So near to a tick one waits for it; from further away one comes early by what the last look took, and looks again.
const NEAR: Duration = Duration::from_millis(100);
/// A look that the database refuses is tried again after this.
const AFTER_A_REFUSAL: Duration = Duration::from_secs(5);
/// A look that somebody's lock kept back altogether is tried again after this.
const AFTER_A_LOCK: Duration = Duration::from_millis(200);

pub(crate) struct Ticker<S> {
    pub(crate) link: Link<S>,
    pub(crate) schedules: Arc<Schedules>,
    pub(crate) shutdown: Shutdown,
    /// Tells the dispatcher to look.
    pub(crate) hint: Arc<Notify>,
    pub(crate) liveness: Liveness,
}

impl<S: Sessions> Ticker<S> {
    /// Goes on for ever. An error is one that trying again cannot help.
    pub(crate) async fn run(mut self) -> Result<()> {
        let mut news = self.schedules.news();
        let mut pace = Pace::default();
        let mut look_at = Instant::now();
        // After a look that failed, not before this.
        let mut rests_until = look_at;
        loop {
            self.liveness.renew();
            // From here on every change ends the sleep below.
            drop(news.borrow_and_update());
            let mut until = Instant::now() + LONGEST_SLEEP;
            if self.schedules.are_the_tickers() {
                until = until.min(self.link.not_before().unwrap_or_else(|| self.due(look_at).max(rests_until)));
                if until <= Instant::now() {
                    let (pause, failed) = self.look(&mut pace).await?;
                    look_at = Instant::now() + pause;
                    rests_until = if failed { look_at } else { Instant::now() };
                    continue;
                }
            } else {
                self.link.hang_up();
                look_at = Instant::now();
            }
            tokio::select! {
                biased;
                () = self.shutdown.changed() => {}
                _ = news.changed() => {}
                () = tokio::time::sleep_until(until.into()) => {}
            }
        }
    }

    fn due(&self, look_at: Instant) -> Instant {
        [self.schedules.announce_at(), self.schedules.put_off_until()].into_iter().flatten().fold(look_at, Instant::min)
    }

    // How long to wait before the next one, and whether this one failed.
    async fn look(&mut self, pace: &mut Pace) -> Result<(Duration, bool)> {
        let began = Instant::now();
        match look(&mut self.link, &self.schedules).await {
            Ok(ticked) => {
                if ticked.jobs > 0 {
                    self.hint.notify_one();
                }
                Ok((pace.after(&ticked, began.elapsed()), false))
            }
            Err(error) if is_fatal(&error) => Err(error),
            Err(Error::Refused(_)) => Ok((AFTER_A_REFUSAL, true)),
            Err(Error::Locked(_)) => Ok((AFTER_A_LOCK, true)),
            // The link knows when to try again.
            Err(_) => Ok((Duration::ZERO, true)),
        }
    }
}

/// How soon one look follows another. Pure.
#[derive(Default)]
pub(crate) struct Pace {
    /// Looks in a row that found something due and did nothing.
    vain: u32,
}

impl Pace {
    /// How long to wait after a look that took so long.
    pub(crate) fn after(&mut self, ticked: &Ticked, took: Duration) -> Duration {
        let is_due = ticked.next_due == Some(Duration::ZERO);
        let in_vain = is_due && ticked.jobs + ticked.skipped == 0;
        self.vain = if in_vain { self.vain.saturating_add(1) } else { 0 };
        // Jitter, so that the workers of a fleet do not all come at once: later, as they are not to come more often.
        let idle = IDLE.mul_f64(1.0 + fastrand::f64() / 4.0);
        match ticked.next_due {
            None => idle,
            Some(Duration::ZERO) if self.vain == 0 => Duration::ZERO,
            Some(Duration::ZERO) => {
                let wait = OTHERS_ARE_AT_IT.0.saturating_mul(1 << (self.vain - 1).min(10)).min(OTHERS_ARE_AT_IT.1);
                wait.mul_f64(0.75 + fastrand::f64() / 2.0)
            }
            Some(due) if due > NEAR && took > TRIFLE => due.saturating_sub(took).max(NEAR / 2).min(idle),
            Some(due) => due.min(idle),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLIS: Duration = Duration::from_millis(1);

    fn after(looks: &[Ticked], took: Duration) -> Duration {
        let mut pace = Pace::default();
        looks.iter().map(|look| pace.after(look, took)).last().expect("one")
    }

    fn found(jobs: u64, next_due: Option<Duration>) -> Ticked {
        Ticked { jobs, next_due, ..Ticked::default() }
    }

    #[test]
    fn who_has_nothing_to_tick_asks_no_oftener_than_every_five_seconds() {
        for next_due in [None, Some(Duration::from_hours(1))] {
            let pause = after(&[found(0, next_due)], MILLIS);
            assert!(pause >= IDLE && pause <= IDLE.mul_f64(1.25), "{pause:?}");
        }
    }

    #[test]
    fn it_wakes_when_the_next_tick_is_due_and_not_later_by_what_the_answer_took() {
        assert_eq!(after(&[found(1, Some(400 * MILLIS))], MILLIS), 400 * MILLIS);
        assert_eq!(after(&[found(1, Some(400 * MILLIS))], 30 * MILLIS), 370 * MILLIS);
        assert_eq!(after(&[found(0, Some(30 * MILLIS))], 4 * MILLIS), 30 * MILLIS, "near enough to wait for it");
    }

    #[test]
    fn what_is_left_of_a_full_round_follows_at_once() {
        assert_eq!(after(&[found(100, Some(Duration::ZERO))], MILLIS), Duration::ZERO);
    }

    #[test]
    fn who_finds_others_at_it_looks_again_soon_and_more_and_more_seldom() {
        let vain = found(0, Some(Duration::ZERO));
        let pauses: Vec<Duration> = (1..15).map(|looks| after(&vec![vain.clone(); looks], MILLIS)).collect();
        assert!(pauses[0] >= MILLIS && pauses[0] <= 3 * MILLIS, "{pauses:?}");
        assert!(pauses[..6].iter().sum::<Duration>() < 200 * MILLIS, "{pauses:?}");
        assert!(pauses[13] >= OTHERS_ARE_AT_IT.1.mul_f64(0.75), "{pauses:?}");
    }
}

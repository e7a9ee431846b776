//! Keeps house beside the dispatcher, over one session: its chores each have a clock, a time-out and a put-off of their own, so that none
//! waits for what stands in the way of another.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gristmill_store::{Error, Result};
use tokio::sync::{Notify, watch};
use tracing::{debug, warn};

use crate::link::{Link, is_fatal};
use crate::pulse::Counter;
use crate::schedules::{self, Schedules};
use crate::ticker::Pace;
use crate::watchdog::{LONGEST_SLEEP, Liveness};
use crate::{Options, Sessions, Standing, cancel_sweeper, clock, promoter, propagation, pruner, pulse, rescuer};

/// A round is never followed by the next one sooner, but to promote and to carry out propagations.
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);
/// A chore that the database refuses is tried again after this.
const AFTER_A_REFUSAL: Duration = Duration::from_secs(5);
/// One that found the database away leaves the first try to another.
const AFTER_AN_OUTAGE: Duration = Duration::from_secs(1);
/// One that somebody's lock kept back: first and longest put-off. It doubles.
const AFTER_A_LOCK: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(8));
/// The first look for what to forget comes within this, so that workers which live shortly prune too.
const FIRST_PRUNE: Duration = Duration::from_secs(1);
/// No chore takes longer at a stretch; what it had begun is begun anew.
const CHORE: Duration = Duration::from_secs(15);
/// A round that has lasted so long begins no other chore: with the last one it stays below half of what the watchdog's patience
/// is, so that a slow database ends no worker.
const ROUND: Duration = Duration::from_secs(40);

/// A chore of maintenance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chore {
    /// Take over the jobs of workers that vanished: what they held has waited longest.
    Rescue,
    /// Move scheduled jobs that are due to ready.
    Promote,
    /// Carry ends to the jobs that wait for them.
    Propagate,
    /// Look for schedules, where there are none.
    Look,
    /// Carry out cancel requests about jobs that do not run.
    SweepCancels,
    /// Forget what has ended long ago.
    Prune,
    /// Append what was counted, and how deep the queues are.
    Append,
    /// Put old counts together.
    Fold,
}

impl Chore {
    pub(crate) const ALL: [Self; 8] = [
        Self::Rescue,
        Self::Promote,
        Self::Propagate,
        Self::Look,
        Self::SweepCancels,
        Self::Prune,
        Self::Append,
        Self::Fold,
    ];
}

/// How a chore went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stepped {
    /// The chore did so much.
    Done(u64),
    /// The chore is put off by itself.
    PutOff,
    /// The database is away: there is no sense in any other now.
    Away,
}

/// When a chore comes next.
struct Clock {
    chore: Chore,
    at: Instant,
    /// Times in a row that somebody's lock kept it back.
    held: u32,
}

pub(crate) struct Maintenance<S> {
    link: Link<S>,
    options: Options,
    standing: watch::Receiver<Standing>,
    /// Tells the dispatcher to look.
    hint: Arc<Notify>,
    liveness: Liveness,
    /// Where there are none it looks whether that is still so.
    schedules: Option<Arc<Schedules>>,
    pace: Pace,
    /// Whether it has looked once for what vanished workers have left.
    has_rescued: watch::Sender<bool>,
    clocks: [Clock; Chore::ALL.len()],
    counter: Arc<Counter>,
    /// As if a lock were an outage; a simulation plants it as a defect.
    #[cfg(test)]
    pub(crate) is_stopped_by_locks: bool,
    /// What propagations did, for a simulation to count.
    #[cfg(test)]
    pub(crate) propagated: Option<gristmill_store::Propagated>,
}

impl<S: Sessions> Maintenance<S> {
    pub(crate) fn new(
        link: Link<S>,
        options: Options,
        standing: watch::Receiver<Standing>,
        hint: Arc<Notify>,
        liveness: Liveness,
        schedules: Option<Arc<Schedules>>,
        counter: Arc<Counter>,
    ) -> Self {
        let now = clock::now();
        let clocks = Chore::ALL.map(|chore| {
            let pause = match chore {
                Chore::Prune | Chore::Fold => FIRST_PRUNE.mul_f64(fastrand::f64()),
                Chore::SweepCancels => cancel_sweeper::pause(0, options.lease),
                _ => Duration::ZERO,
            };
            Clock { chore, at: now + pause, held: 0 }
        });
        Self {
            link,
            options,
            standing,
            hint,
            liveness,
            schedules,
            pace: Pace::default(),
            has_rescued: watch::Sender::new(false),
            clocks,
            counter,
            #[cfg(test)]
            is_stopped_by_locks: false,
            #[cfg(test)]
            propagated: None,
        }
    }

    /// For who claims only once it has been seen what vanished workers have left: that comes before what is newer.
    pub(crate) fn has_rescued(&self) -> watch::Receiver<bool> {
        self.has_rescued.subscribe()
    }

    /// Goes on for ever. An error is one that trying again cannot help.
    pub(crate) async fn run(mut self) -> Result<()> {
        loop {
            self.liveness.renew();
            self.link.rest().await;
            self.round(ROUND, CHORE).await?;
            let pause = self.next_at().saturating_duration_since(clock::now()).min(LONGEST_SLEEP);
            tokio::time::sleep(pause).await;
        }
    }

    // Each chore that is due, once: one batch of it, so that none keeps the others waiting.
    async fn round(&mut self, longest: Duration, chore_limit: Duration) -> Result<()> {
        let began = Instant::now();
        for chore in self.due() {
            if began.elapsed() >= longest || self.step(chore, chore_limit).await? == Stepped::Away {
                break;
            }
        }
        Ok(())
    }

    /// Whether the database was away, and there is no sense in a try yet.
    #[cfg(test)]
    pub(crate) fn rests(&self) -> bool {
        self.link.not_before().is_some_and(|instant| clock::now() < instant)
    }

    /// What is due: the rescue first, the others by how long they have been.
    pub(crate) fn due(&self) -> Vec<Chore> {
        let now = clock::now();
        let mut due: Vec<&Clock> =
            self.clocks.iter().filter(|clock| clock.at <= now && self.may(clock.chore)).collect();
        due.sort_by_key(|clock| (clock.chore != Chore::Rescue, clock.at));
        due.into_iter().map(|clock| clock.chore).collect()
    }

    /// Does one, and sets its clock by how that went.
    pub(crate) async fn step(&mut self, chore: Chore, limit: Duration) -> Result<Stepped> {
        let done = match tokio::time::timeout(limit, self.carry_out(chore)).await {
            Ok(done) => done,
            Err(_) => Err(Error::Locked(format!("not done within {} s", limit.as_secs_f64()))),
        };
        if chore == Chore::Rescue && !matches!(done, Err(Error::Unavailable(_))) {
            self.has_rescued.send_replace(true);
        }
        let now = clock::now();
        let clock = self.clock(chore);
        let held = std::mem::take(&mut clock.held);
        match done {
            Ok((pause, did)) => {
                clock.at = now + pause;
                return Ok(Stepped::Done(did));
            }
            Err(error) if is_fatal(&error) => return Err(error),
            Err(Error::Locked(why)) => {
                clock.held = held.saturating_add(1);
                let put_off = AFTER_A_LOCK.0.saturating_mul(1 << held.min(10)).min(AFTER_A_LOCK.1);
                clock.at = now + put_off.mul_f64(0.75 + fastrand::f64() / 2.0);
                debug!(target: "gristmill::maintenance", ?chore, why, "put off");
                // Who has held it for long is worth a line, once.
                if put_off < AFTER_A_LOCK.1 && put_off * 2 >= AFTER_A_LOCK.1 {
                    warn!(target: "gristmill::maintenance", ?chore, why, "put off again and again: the others go on");
                }
                #[cfg(test)]
                if self.is_stopped_by_locks {
                    return Ok(Stepped::Away);
                }
            }
            // The link says when there is sense in another try.
            Err(Error::Unavailable(_)) => {
                clock.at = now + AFTER_AN_OUTAGE;
                return Ok(Stepped::Away);
            }
            Err(_) => clock.at = now + AFTER_A_REFUSAL,
        }
        Ok(Stepped::PutOff)
    }

    // How long to leave it alone then, and how much it did.
    async fn carry_out(&mut self, chore: Chore) -> Result<(Duration, u64)> {
        let (lease, poll_interval) = (self.options.lease, self.options.poll_interval);
        match chore {
            Chore::Rescue => {
                let asking = self.standing.borrow().worker;
                let rescued = rescuer::rescue(&mut self.link, asking, &self.counter).await?;
                if rescued > 0 {
                    self.clock(Chore::Propagate).at = clock::now();
                    self.hint.notify_one();
                }
                Ok((rescuer::pause(rescued, lease), rescued))
            }
            Chore::Promote => {
                let promoted = promoter::promote(&mut self.link).await?;
                if promoted.moved > 0 {
                    self.hint.notify_one();
                }
                Ok((promoter::pause(&promoted, poll_interval), promoted.moved))
            }
            Chore::Propagate => {
                let propagated = propagation::propagate(&mut self.link).await?;
                if propagated.moved.readied > 0 {
                    self.hint.notify_one();
                }
                let done = (propagation::pause(&propagated, poll_interval), propagated.propagations);
                #[cfg(test)]
                self.propagated.replace(propagated);
                Ok(done)
            }
            Chore::Look => {
                let Some(schedules) = self.its_schedules() else { return Ok((SHORTEST_PAUSE, 0)) };
                let began = Instant::now();
                let ticked = schedules::look(&mut self.link, &schedules).await?;
                if ticked.jobs > 0 {
                    self.hint.notify_one();
                }
                Ok((self.pace.after(&ticked, began.elapsed()).max(SHORTEST_PAUSE), ticked.jobs))
            }
            Chore::SweepCancels => {
                let swept = cancel_sweeper::sweep(&mut self.link).await?;
                if swept > 0 {
                    self.clock(Chore::Propagate).at = clock::now();
                }
                Ok((cancel_sweeper::pause(swept, lease).max(SHORTEST_PAUSE), swept))
            }
            Chore::Prune => {
                let began = Instant::now();
                let pruned = pruner::prune(&mut self.link, self.options.retention).await?;
                Ok((pruner::pause(pruned, began.elapsed()), pruned))
            }
            Chore::Append => {
                let appended = pulse::append(&mut self.link, &self.counter).await?;
                Ok((pulse::sample(&mut self.link).await?, appended))
            }
            Chore::Fold => {
                let began = Instant::now();
                let folded = pulse::fold(&mut self.link).await?;
                Ok((pulse::pause(folded, began.elapsed()), folded))
            }
        }
    }
}

impl<S> Maintenance<S> {
    /// Only a registered worker judges others, and touches what they left.
    fn may(&self, chore: Chore) -> bool {
        match chore {
            Chore::Promote | Chore::Propagate => true,
            Chore::Look => self.its_schedules().is_some(),
            Chore::Rescue | Chore::SweepCancels | Chore::Prune | Chore::Append | Chore::Fold => {
                self.standing.borrow().until.is_some()
            }
        }
    }

    fn its_schedules(&self) -> Option<Arc<Schedules>> {
        self.schedules.clone().filter(|schedules| schedules.are_the_keepers())
    }

    fn clock(&mut self, chore: Chore) -> &mut Clock {
        self.clocks.iter_mut().find(|clock| clock.chore == chore).expect("each chore has one")
    }

    fn next_at(&self) -> Instant {
        let soonest = clock::now() + SHORTEST_PAUSE;
        let at = |clock: &Clock| match clock.chore {
            Chore::Promote | Chore::Propagate => Some(clock.at),
            Chore::Look => self.its_schedules().map(|_| clock.at.max(soonest)),
            // Who has yet to register looks no oftener whether that is so.
            Chore::Rescue | Chore::SweepCancels | Chore::Prune | Chore::Append | Chore::Fold => {
                Some(clock.at.max(soonest))
            }
        };
        self.clocks.iter().filter_map(at).min().unwrap_or(soonest)
    }
}

#[cfg(test)]
mod tests {
    use gristmill_core::WorkerId;
    use gristmill_store::{LifeLock, Session, WakeUps};

    use super::*;
    use crate::heartbeat::Sent;
    use crate::watchdog::PATIENCE;

    #[test]
    fn a_round_is_shorter_than_half_the_watchdogs_patience() {
        assert!(ROUND + CHORE < PATIENCE / 2);
    }

    /// A database that answers nobody.
    #[derive(Clone)]
    struct Silence;

    impl Sessions for Silence {
        async fn open(&self) -> Result<Session> {
            std::future::pending().await
        }

        async fn wake_ups(&self) -> Result<WakeUps> {
            std::future::pending().await
        }

        fn hold_life(&self, _worker: WorkerId) -> Result<Option<LifeLock>> {
            Ok(None)
        }
    }

    #[tokio::test]
    async fn chores_that_come_to_nothing_are_cut_off_each_by_itself_and_a_round_of_them_is_bounded() {
        let standing = Standing::of(WorkerId::new(), Sent::now(), Duration::from_secs(55));
        let (_standing, standing) = watch::channel(standing);
        let (hint, liveness) = (Arc::new(Notify::new()), Liveness::new("maintenance"));
        let link = Link::new(Silence, "maintenance");
        let mut maintenance =
            Maintenance::new(link, Options::default(), standing, hint, liveness, None, Arc::new(Counter::new()));
        for clock in &mut maintenance.clocks {
            clock.at = clock::now();
        }
        assert_eq!(maintenance.due()[0], Chore::Rescue);
        let limit = Duration::from_millis(100);
        let tried =
            |maintenance: &Maintenance<Silence>| maintenance.clocks.iter().filter(|clock| clock.held > 0).count();

        let began = Instant::now();
        maintenance.round(limit * 2, limit).await.expect("goes on");
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        assert_eq!(tried(&maintenance), 2, "those after them have their turn in the next round");
        maintenance.round(Duration::from_mins(1), limit).await.expect("goes on");
        assert_eq!(tried(&maintenance), Chore::ALL.len() - 1, "all but those for schedules, which there are none of");
    }
}

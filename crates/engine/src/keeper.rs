//! Keeps house beside the mill: promotes, works off errands, rescues, settles and prunes, each at its own pace, over one session.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gristmill_store::{Error, Result};
use tokio::sync::{Notify, watch};

use crate::link::{Link, is_fatal};
use crate::schedules::{self, Schedules};
use crate::ticker::Pace;
use crate::watchdog::{LONGEST_SLEEP, Pulse};
use crate::{Options, Sessions, Standing, errands, promoter, pruner, rescuer, settler};

/// A round is never followed by the next one sooner, but to promote and to work off errands.
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);
/// A chore that the database refuses is tried again after this, and keeps no other waiting.
const AFTER_A_REFUSAL: Duration = Duration::from_secs(5);
/// The first look for what to forget comes within this, so that workers which live shortly prune too.
const FIRST_PRUNE: Duration = Duration::from_secs(1);

pub(crate) struct Keeper<S> {
    link: Link<S>,
    options: Options,
    standing: watch::Receiver<Standing>,
    /// Tells the mill to look.
    hint: Arc<Notify>,
    pulse: Pulse,
    /// Where there are none it looks whether that is still so.
    schedules: Option<Arc<Schedules>>,
    pace: Pace,
    look_at: Instant,
    promote_at: Instant,
    errands_at: Instant,
    rescue_at: Instant,
    settle_at: Instant,
    prune_at: Instant,
}

impl<S: Sessions> Keeper<S> {
    pub(crate) fn new(
        link: Link<S>,
        options: Options,
        standing: watch::Receiver<Standing>,
        hint: Arc<Notify>,
        pulse: Pulse,
        schedules: Option<Arc<Schedules>>,
    ) -> Self {
        let now = Instant::now();
        let prune_at = now + FIRST_PRUNE.mul_f64(fastrand::f64());
        let settle_at = now + settler::pause(0, options.lease);
        Self {
            link,
            options,
            standing,
            hint,
            pulse,
            schedules,
            pace: Pace::default(),
            look_at: now,
            promote_at: now,
            errands_at: now,
            rescue_at: now,
            settle_at,
            prune_at,
        }
    }

    /// Goes on for ever. An error is one that trying again cannot help.
    pub(crate) async fn run(mut self) -> Result<()> {
        loop {
            self.pulse.beat();
            self.link.rest().await;
            match self.round().await {
                Ok(()) => {}
                Err(error) if is_fatal(&error) => return Err(error),
                // The link knows when to try again.
                Err(_) => continue,
            }
            let now = Instant::now();
            let others = self.rescue_at.min(self.settle_at).min(self.prune_at).max(now + SHORTEST_PAUSE);
            let looks = self.its_schedules().map_or(others, |_| self.look_at.max(now + SHORTEST_PAUSE));
            let next = self.promote_at.min(self.errands_at).min(others).min(looks);
            tokio::time::sleep(next.saturating_duration_since(now).min(LONGEST_SLEEP)).await;
        }
    }

    // Each chore that is due, once: one batch of it, so that none keeps the others waiting.
    async fn round(&mut self) -> Result<()> {
        if Instant::now() >= self.look_at
            && let Some(schedules) = self.its_schedules()
        {
            let began = Instant::now();
            let ticked = schedules::look(&mut self.link, &schedules, &mut self.pace).await;
            let pause = |ticked: &_| self.pace.pause(ticked, began.elapsed());
            if put_off(ticked, &mut self.look_at, pause)?.is_some_and(|ticked| ticked.jobs > 0) {
                self.hint.notify_one();
            }
        }
        if Instant::now() >= self.promote_at {
            let promoted = promoter::promote(&mut self.link).await;
            let pause = |promoted: &_| promoter::pause(promoted, self.options.poll_interval);
            if let Some(promoted) = put_off(promoted, &mut self.promote_at, pause)?
                && promoted.moved > 0
            {
                self.hint.notify_one();
            }
        }
        if Instant::now() >= self.errands_at {
            let worked_off = errands::work_off(&mut self.link).await;
            let pause = |worked_off: &_| errands::pause(worked_off, self.options.poll_interval);
            if let Some(worked_off) = put_off(worked_off, &mut self.errands_at, pause)?
                && worked_off.moved.readied > 0
            {
                self.hint.notify_one();
            }
        }
        // Only a registered worker judges others, and touches what they left.
        let standing = *self.standing.borrow();
        if standing.until.is_none() {
            return Ok(());
        }
        let lease = self.options.lease;
        if Instant::now() >= self.rescue_at {
            let rescued = rescuer::rescue(&mut self.link, standing.worker).await;
            if let Some(rescued) = put_off(rescued, &mut self.rescue_at, |n| rescuer::pause(*n, lease))?
                && rescued > 0
            {
                self.errands_at = Instant::now();
                self.hint.notify_one();
            }
        }
        if Instant::now() >= self.settle_at {
            let settled = settler::settle(&mut self.link).await;
            if put_off(settled, &mut self.settle_at, |n| settler::pause(*n, lease))?.is_some_and(|settled| settled > 0)
            {
                self.errands_at = Instant::now();
            }
        }
        let began = Instant::now();
        if began >= self.prune_at {
            let pruned = pruner::prune(&mut self.link, self.options.retention).await;
            put_off(pruned, &mut self.prune_at, |n| pruner::pause(*n, began.elapsed()))?;
        }
        Ok(())
    }
}

impl<S> Keeper<S> {
    fn its_schedules(&self) -> Option<Arc<Schedules>> {
        self.schedules.clone().filter(|schedules| schedules.are_the_keepers())
    }
}

// Says when a chore comes next, by how it went. Unless the database was away: then it comes as soon as the link allows.
fn put_off<T>(answer: Result<T>, at: &mut Instant, pause: impl FnOnce(&T) -> Duration) -> Result<Option<T>> {
    match answer {
        Ok(done) => {
            *at = Instant::now() + pause(&done);
            Ok(Some(done))
        }
        Err(Error::Refused(_)) => {
            *at = Instant::now() + AFTER_A_REFUSAL;
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

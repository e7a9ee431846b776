//! The one loop that claims, starts and finishes jobs. It owns the executor and the hot session, and so it
//! alone knows which open attempts this worker holds.
//!
//! The session is used by one [`Order`] at a time, carried out beside the loop: ends of attempts, a passed
//! lease and a request to stop are taken in while the database is busy or away.

mod answers;
mod ends;
mod orders;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use gristmill_core::{JobId, Token, WorkerId};
use gristmill_store::Result;
use tokio::sync::{Notify, watch};
use tracing::{error, info, warn};

use crate::asides::Asides;
use crate::bands::{Bands, Serves};
use crate::errands::Errands;
use crate::events::Events;
use crate::held::Held;
use crate::leaving::{Act, Leaving};
use crate::link::Link;
use crate::lookout::Lookout;
use crate::schedules::{FirstLook, Schedules};
use crate::turn::{Done, carry_out};
use crate::unwritten::Queue;
use crate::watchdog::{LONGEST_SLEEP, Pulse};
use crate::{Executor, Options, Sessions, Shutdown, Standing, clock};

type Key = (JobId, Token);
type UnderWay<S> = Pin<Box<dyn Future<Output = Done<S>> + Send>>;

/// What became of the work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leftover {
    /// Running jobs that were ended because the worker had to stop.
    pub(crate) handed_back: u64,
    /// Open attempts that are still the worker's in the database; they will be rescued.
    pub(crate) abandoned: u64,
    /// Why the executor cannot go on.
    pub(crate) broken: Option<String>,
}

// Independent facts, not a state machine in disguise.
#[allow(clippy::struct_excessive_bools)]
pub(crate) struct Mill<E, S> {
    executor: E,
    options: Options,
    serves: Arc<Serves>,
    link: Option<Link<S>>,
    standing: watch::Receiver<Standing>,
    shutdown: Shutdown,
    hints: Arc<Notify>,
    events: Arc<Events>,
    pulse: Pulse,
    /// Told of what the executor announces.
    schedules: Option<Arc<Schedules>>,
    /// Who works until all is done claims nothing before what is due has its jobs.
    first_look: FirstLook,

    worker: WorkerId,
    fenced: bool,
    bands: Bands,
    errands: Errands,
    held: Held,
    asides: Asides,
    unwritten: Queue,
    /// A fused turn was refused: finish and claim by themselves, so that neither is blamed for the other.
    apart: bool,
    /// Jobs that may still be claimed; `None` is no limit.
    allowance: Option<u64>,
    in_doubt: bool,
    /// A claim got no answer and nobody has asked since what it did.
    claim_unanswered: bool,
    unheld: Vec<Key>,
    /// Jobs given back unasked, in a row, and until when nothing is claimed because of it.
    given_back: u32,
    claims_from: Option<Instant>,

    lookout: Lookout,
    /// The last survey found nothing to claim while nothing was held.
    found_nothing: bool,

    leaving: Leaving,
    /// Running jobs that were ended because the worker had to stop.
    stopped_under: u64,
}

/// What the mill is made of.
pub(crate) struct Parts<E, S> {
    pub(crate) executor: E,
    pub(crate) options: Options,
    pub(crate) link: Link<S>,
    pub(crate) standing: watch::Receiver<Standing>,
    pub(crate) shutdown: Shutdown,
    pub(crate) hints: Arc<Notify>,
    pub(crate) events: Arc<Events>,
    pub(crate) pulse: Pulse,
    pub(crate) schedules: Option<Arc<Schedules>>,
}

impl<E: Executor, S: Sessions> Mill<E, S> {
    pub(crate) fn new(parts: Parts<E, S>) -> Self {
        let Parts { executor, options, link, standing, shutdown, hints, events, pulse, schedules } = parts;
        let once = options.once.then(|| u64::from(options.processes));
        let allowance = [once, options.max_jobs].into_iter().flatten().min();
        let worker = standing.borrow().worker;
        let leaving = Leaving::new(options.grace);
        let until_done = options.once || options.until_done;
        let first_look = schedules.as_ref().filter(|_| until_done).map_or_else(FirstLook::none, |it| it.first_look());
        let lookout = Lookout::new(options.poll_interval);
        Self {
            serves: Arc::new(Serves::new(&options, executor.tasks())),
            held: Held::new(&options.queue_limits),
            asides: Asides::default(),
            executor,
            options,
            link: Some(link),
            standing,
            shutdown,
            hints,
            events,
            pulse,
            schedules,
            first_look,
            worker,
            fenced: true,
            bands: Bands::default(),
            errands: Errands::default(),
            unwritten: Queue::new(),
            apart: false,
            allowance,
            in_doubt: false,
            claim_unanswered: false,
            unheld: Vec::new(),
            given_back: 0,
            claims_from: None,
            lookout,
            found_nothing: false,
            leaving,
            stopped_under: 0,
        }
    }

    /// Turns until it is asked to stop or has done what it was asked for. Gives the executor back.
    pub(crate) async fn run(mut self) -> Result<(E, Leftover)> {
        let mut under_way: Option<UnderWay<S>> = None;
        let mut happened = Vec::new();
        loop {
            self.pulse.beat();
            let now = clock::now();
            self.heed(now);
            if self.is_over(now, under_way.is_some()) {
                return Ok(self.leave());
            }
            if under_way.is_none()
                && let Some((link, worker, order)) = self.next_order(now)
            {
                under_way = Some(Box::pin(carry_out(link, worker, order)));
            }

            let until = self.next_instant(now).min(now + LONGEST_SLEEP);
            let busy = under_way.is_some();
            tokio::select! {
                biased;
                () = self.shutdown.changed() => {}
                () = changed(&mut self.standing) => self.doubt(),
                done = poll_under_way(&mut under_way) => self.settle(done)?,
                () = self.executor.events(&mut happened) => self.take_in(&mut happened),
                () = self.hints.notified(), if !busy && !self.lookout.has_hint() => self.lookout.hint(),
                () = self.first_look.over(), if !self.first_look.is_over() => {}
                () = tokio::time::sleep_until(until.into()) => {}
            }
        }
    }

    // --- what it heeds -----------------------------------------------------------------------------------

    /// What changed around it since it last went round.
    pub(crate) fn heed(&mut self, now: Instant) {
        self.heed_standing(now);
        self.heed_shutdown(now);
    }

    /// A heartbeat was acknowledged: a good time to compare what the database says this worker holds.
    pub(crate) fn doubt(&mut self) {
        self.in_doubt = true;
    }

    /// As if no doubt had come up; a simulation plants it as a defect.
    #[cfg(test)]
    pub(crate) fn forget_doubt(&mut self) {
        self.in_doubt = false;
    }

    // The fence: what runs past the lease may run elsewhere already.
    fn heed_standing(&mut self, now: Instant) {
        let standing = *self.standing.borrow();
        let renamed = standing.worker != self.worker;
        let holds = standing.holds(now);
        let cut_off = !holds && !self.fenced;
        if (renamed || cut_off) && !self.held.is_empty() {
            error!(
                target: "gristmill::mill", { worker.id = %self.worker, jobs = self.held.len() },
                "interrupted: no heartbeat was acknowledged in time, so what runs here may run elsewhere soon"
            );
            self.executor.recall();
            self.executor.interrupt();
        }
        if renamed {
            self.worker = standing.worker;
            self.bands.clear();
            self.lookout.renamed();
            self.in_doubt = false;
            self.claim_unanswered = false;
            self.unheld.clear();
        }
        if self.fenced && holds {
            self.lookout.hint();
        }
        self.fenced = !holds;
    }

    fn heed_shutdown(&mut self, now: Instant) {
        let jobs = self.held.len();
        match self.leaving.heed(self.shutdown.stage(), jobs, self.unwritten.len(), now) {
            Act::Nothing => {}
            Act::Recall => {
                info!(target: "gristmill::mill", jobs, "draining");
                self.executor.recall();
            }
            Act::Interrupt => {
                if jobs > 0 {
                    warn!(target: "gristmill::mill", jobs, "stopping: hands back what runs");
                }
                self.executor.recall();
                self.executor.interrupt();
            }
        }
    }

    /// Whether there is nothing left to stay for.
    pub(crate) fn is_over(&self, now: Instant, busy: bool) -> bool {
        if self.leaving.is_overdue(self.shutdown.stage(), now) {
            return true;
        }
        let empty = !busy && self.holds_nothing();
        empty && (self.leaving.has_begun() || self.has_done_its_part())
    }

    fn holds_nothing(&self) -> bool {
        self.held.is_empty() && self.unwritten.len() == 0 && self.unheld.is_empty() && !self.claim_unanswered
    }

    // For the options that bound its work.
    fn has_done_its_part(&self) -> bool {
        self.allowance == Some(0) || (self.looks_for_the_end() && self.found_nothing)
    }

    fn looks_for_the_end(&self) -> bool {
        self.options.until_done || self.options.once
    }

    fn leave(self) -> (E, Leftover) {
        let abandoned = self.held.len() + self.unwritten.len();
        let leftover = Leftover {
            handed_back: self.stopped_under,
            abandoned: abandoned as u64,
            broken: self.leaving.into_broken(),
        };
        (self.executor, leftover)
    }
}

async fn poll_under_way<S>(under_way: &mut Option<UnderWay<S>>) -> Done<S> {
    match under_way {
        Some(future) => {
            let done = future.await;
            *under_way = None;
            done
        }
        None => std::future::pending().await,
    }
}

async fn changed(standing: &mut watch::Receiver<Standing>) {
    if standing.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

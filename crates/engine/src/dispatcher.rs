//! The one loop that claims, starts and finishes jobs. It owns the executor and the hot session, and so it
//! alone knows which open attempts this worker holds.
//!
//! The session is used by one [`Order`](turn::Order) at a time, carried out beside the loop: ends of attempts, a passed
//! lease and a request to stop are taken in while the database is busy or away.
//!
//! What changes for one reason is one object: whether the worker holds its jobs ([`Fence`]), when to look for work
//! ([`Looking`]), what may be claimed ([`Claiming`]), what runs ([`InFlight`]), what has ended ([`Completing`]), what the
//! database and this worker disagree about ([`Ownership`]), how far it is on its way out ([`Drain`]). The loop and the
//! verbs between them are here: what to ask next is in `orders`, what comes of that in `answers`, and what comes of the
//! executor in `events`.

mod answers;
mod claiming;
mod completing;
mod completions;
mod cursors;
mod drain;
mod events;
mod fence;
mod in_flight;
mod looking;
mod orders;
mod ownership;
mod plan;
mod poller;
mod serves;
mod side_work;
pub(crate) mod turn;
mod unserved;
mod verdicts;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use gristmill_core::{JobId, Token};
use gristmill_store::Result;
use tokio::sync::{Notify, watch};
use tracing::{debug, error, warn};

use self::claiming::Claiming;
use self::completing::Completing;
use self::drain::{Act, Drain};
use self::fence::{Change, Fence};
use self::in_flight::InFlight;
use self::looking::Looking;
use self::ownership::Ownership;
use self::side_work::SideWorkClock;
use self::turn::{Done, carry_out};
use crate::events::Events;
use crate::link::Link;
use crate::propagation::Propagations;
use crate::pulse::Counter;
use crate::schedules::{FirstLook, Schedules};
use crate::watchdog::{LONGEST_SLEEP, Liveness};
use crate::{Executor, Options, Sessions, Shutdown, Standing, clock};

type Key = (JobId, Token);
type UnderWay<S> = Pin<Box<dyn Future<Output = Done<S>> + Send>>;

/// What became of the work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leftover {
    /// Running jobs that were ended because the worker had to stop.
    pub(crate) handed_back: u64,
    /// Ready jobs that it cannot run, where it was to go on until all is done.
    pub(crate) unserved: u64,
    /// Open attempts that are still the worker's in the database; they will be rescued.
    pub(crate) abandoned: u64,
    /// Why the executor cannot go on.
    pub(crate) broken: Option<String>,
}

pub(crate) struct Dispatcher<E, S> {
    executor: E,
    options: Options,
    /// The hot session; away while an order is under way.
    link: Option<Link<S>>,
    shutdown: Shutdown,
    hints: Arc<Notify>,
    events: Arc<Events>,
    liveness: Liveness,
    /// Told of what the executor announces.
    schedules: Option<Arc<Schedules>>,
    /// Told of the tasks that the executor has after its code was loaded anew.
    knowledge: watch::Sender<Vec<String>>,

    fence: Fence,
    looking: Looking,
    claiming: Claiming,
    in_flight: InFlight,
    side_work: SideWorkClock,
    completing: Completing,
    propagations: Propagations,
    ownership: Ownership,
    drain: Drain,
}

/// What the dispatcher is made of.
pub(crate) struct Parts<E, S> {
    pub(crate) executor: E,
    pub(crate) options: Options,
    pub(crate) link: Link<S>,
    pub(crate) standing: watch::Receiver<Standing>,
    pub(crate) shutdown: Shutdown,
    pub(crate) hints: Arc<Notify>,
    pub(crate) events: Arc<Events>,
    pub(crate) liveness: Liveness,
    pub(crate) counter: Arc<Counter>,
    pub(crate) schedules: Option<Arc<Schedules>>,
    pub(crate) knowledge: watch::Sender<Vec<String>>,
    /// See [`FirstLook`]; `None` where nobody else looks.
    pub(crate) has_rescued: Option<watch::Receiver<bool>>,
}

impl<E: Executor, S: Sessions> Dispatcher<E, S> {
    pub(crate) fn new(parts: Parts<E, S>) -> Self {
        let Parts { executor, options, link, standing, shutdown, .. } = parts;
        let until_done = options.once || options.until_done;
        let known = parts.schedules.as_ref().filter(|_| until_done).map(|schedules| schedules.known());
        let first_look = FirstLook { schedules: known, rescue: parts.has_rescued };
        Self {
            fence: Fence::new(standing),
            looking: Looking::new(options.poll_interval),
            claiming: Claiming::new(&options, executor.tasks(), first_look),
            in_flight: InFlight::new(&options.queue_limits),
            side_work: SideWorkClock::default(),
            completing: Completing::new(parts.counter),
            propagations: Propagations::default(),
            ownership: Ownership::default(),
            drain: Drain::new(options.grace),
            executor,
            options,
            link: Some(link),
            shutdown,
            hints: parts.hints,
            events: parts.events,
            liveness: parts.liveness,
            schedules: parts.schedules,
            knowledge: parts.knowledge,
        }
    }

    /// Turns until it is asked to stop or has done what it was asked for. Gives the executor back.
    pub(crate) async fn run(mut self) -> Result<(E, Leftover)> {
        let mut under_way: Option<UnderWay<S>> = None;
        let mut happened = Vec::new();
        loop {
            self.liveness.renew();
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
                () = self.fence.changed() => self.doubt(),
                done = poll_under_way(&mut under_way) => self.settle(done)?,
                () = self.executor.events(&mut happened) => self.take_in(&mut happened),
                () = self.hints.notified(), if !busy && !self.looking.poller.has_hint() => self.looking.poller.hint(),
                () = self.claiming.first_look.over(), if !self.claiming.first_look.is_over() => {}
                () = tokio::time::sleep_until(until.into()) => {}
            }
        }
    }

    // --- what it heeds -----------------------------------------------------------------------------------

    /// What changed around it since it last went round.
    pub(crate) fn heed(&mut self, now: Instant) {
        self.heed_fence(now);
        self.heed_shutdown(now);
    }

    /// A heartbeat was acknowledged: a good time to compare what the database says this worker holds.
    pub(crate) fn doubt(&mut self) {
        self.ownership.doubt();
    }

    /// As if no doubt had come up; a simulation plants it as a defect.
    #[cfg(test)]
    pub(crate) fn forget_doubt(&mut self) {
        self.ownership.forget_doubt();
    }

    /// As if what it is told were true at once; a simulation plants it as a defect.
    #[cfg(test)]
    pub(crate) fn tell_too_soon(&mut self) {
        self.completing.tell_too_soon();
    }

    fn heed_fence(&mut self, now: Instant) {
        let Change { was, renamed, cut_off, lifted } = self.fence.heed(now);
        if (renamed || cut_off) && !self.in_flight.is_empty() {
            error!(
                target: "gristmill::dispatcher", { worker.id = %was, jobs = self.in_flight.len() },
                "interrupted: no heartbeat was acknowledged in time, so what runs here may run elsewhere soon"
            );
            self.executor.recall();
            self.executor.interrupt();
        }
        if renamed {
            self.completing.give_up();
            self.tell_verdicts();
            self.claiming.forget();
            self.looking.poller.renamed();
            self.ownership = Ownership::default();
        }
        if lifted {
            self.looking.poller.hint();
        }
    }

    fn heed_shutdown(&mut self, now: Instant) {
        let jobs = self.in_flight.len();
        // What is still called after an end is left as much time as what runs.
        let busy = jobs + usize::from(self.executor.is_busy());
        match self.drain.heed(self.shutdown.stage(), busy, self.completing.unwritten(), now) {
            Act::Nothing => {}
            Act::Recall => {
                debug!(target: "gristmill::dispatcher", jobs, "draining");
                self.executor.recall();
            }
            Act::Interrupt => {
                if jobs > 0 {
                    warn!(target: "gristmill::dispatcher", jobs, "stopping: hands back what runs");
                }
                self.executor.recall();
                self.executor.interrupt();
            }
        }
    }

    // --- how it ends -------------------------------------------------------------------------------------

    /// Whether there is nothing left to stay for.
    pub(crate) fn is_over(&self, now: Instant, busy: bool) -> bool {
        if self.drain.is_overdue(self.shutdown.stage(), now) {
            return true;
        }
        let empty = !busy && self.holds_nothing();
        empty && (self.drain.has_begun() || self.has_done_its_part())
    }

    fn holds_nothing(&self) -> bool {
        let nothing_runs = self.in_flight.is_empty() && !self.executor.is_busy();
        nothing_runs && self.completing.is_empty() && self.ownership.is_settled()
    }

    // For the options that bound its work.
    fn has_done_its_part(&self) -> bool {
        self.claiming.is_exhausted() || (self.looks_for_the_end() && self.looking.has_seen_the_end())
    }

    fn looks_for_the_end(&self) -> bool {
        self.options.until_done || self.options.once
    }

    fn leave(self) -> (E, Leftover) {
        let has_ended_by_itself =
            self.options.until_done && self.looking.has_found_nothing() && !self.drain.has_begun();
        let unserved = if has_ended_by_itself { self.looking.unserved.tell_left() } else { 0 };
        let abandoned = self.in_flight.len() + self.completing.unwritten();
        let leftover = Leftover {
            handed_back: self.drain.stopped(),
            unserved: if self.options.allow_unserved { 0 } else { unserved },
            abandoned: abandoned as u64,
            broken: self.drain.into_broken(),
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

//! What the dispatcher learns from the database: the answers to its orders.

use std::time::Duration;

use gristmill_core::{ClaimCursor, Claimed, Outcome, WorkerId};
use gristmill_store::{Error, Finished, Propagated, Refusal, Result, Survey, Turned};
use tracing::info;

use super::claiming::AFTER_A_LOCK;
use super::turn::{Answer, Claim, Done, Order};
use super::{Dispatcher, Key};
use crate::link::is_fatal;
use crate::{Executor, Sessions, clock, propagation};

/// Why an order came to nothing.
pub(super) enum Failure<'a> {
    /// The database will not have it.
    Refused(&'a Refusal),
    /// Somebody's lock was in its way, and nothing was done.
    Held,
    /// Nobody knows what was done.
    Unanswered,
}

impl<'a> Failure<'a> {
    fn of(error: &'a Error) -> Self {
        match error {
            Error::Refused(why) => Self::Refused(why),
            Error::Locked(_) => Self::Held,
            _ => Self::Unanswered,
        }
    }
}

impl<E: Executor, S: Sessions> Dispatcher<E, S> {
    /// Takes in how an order was carried out.
    pub(crate) fn settle(&mut self, done: Done<S>) -> Result<()> {
        let Done { link, worker, order, answer } = done;
        self.link = Some(link);
        match (order, answer) {
            (Order::Turn { claim, .. }, Ok(Answer::Turned(turned))) => {
                let Turned { finished, claimed, asked } = turned;
                self.side_work.turned();
                self.looking.failed = false;
                self.written(&finished);
                self.notified(finished);
                if let Some(claim) = claim {
                    self.start(worker, &claim, &asked, claimed);
                }
            }
            (_, Ok(Answer::Propagated(propagated, breath))) => self.propagated(propagated, breath),
            (_, Ok(Answer::Wanted(wanted))) => {
                for (job, token) in self.in_flight.cancel(wanted) {
                    info!(target: "gristmill::dispatcher", { job.id = %job, token = token.0 }, "cancelling");
                    self.executor.cancel(job, token);
                }
            }
            (_, Ok(Answer::Surveyed(found))) => self.surveyed(found),
            (Order::Idle(idle), Ok(_)) if worker == self.fence.worker() => self.looking.poller.flagged(idle),
            (_, Ok(Answer::Owned(owned))) => self.audited(worker, owned),
            (_, Ok(Answer::Counted(counted))) => {
                self.looking.unserved.counted(counted, &self.claiming.serves);
            }
            (_, Ok(Answer::HandedBack(handed_back))) => {
                self.events.handed_back_unheld(&handed_back);
                self.looking.poller.hint();
            }
            (_, Ok(_)) => {}
            (order, Err(error)) => self.failed(order, error)?,
        }
        Ok(())
    }

    fn written(&mut self, finished: &Finished) {
        let now = clock::now();
        self.completing.written(finished, self.fence.holds(now), now, &self.events);
        self.tell_verdicts();
    }

    // Before the claim of the same turn is taken in: it may have drained some of these cursors.
    fn notified(&mut self, Finished { moved, more, .. }: Finished) {
        propagation::tell_moved(&moved);
        self.propagations.turned(!moved.cursors.is_empty(), more, clock::now());
        self.claiming.learn(moved.cursors);
    }

    fn propagated(&mut self, done: Propagated, breath: Duration) {
        propagation::tell(&done);
        let now = clock::now();
        let were_last = self.propagations.propagated(done.propagations, done.more, now);
        self.propagations.rest(now + breath);
        self.claiming.learn(done.moved.cursors);
        // Who ends when nothing is left looks once more.
        if were_last && self.looks_for_the_end() {
            self.looking.poller.hint();
        }
    }

    fn start(&mut self, worker: WorkerId, claim: &Claim, asked: &[ClaimCursor], claimed: Vec<Claimed>) {
        let now = clock::now();
        self.claiming.claimed(claim, asked, &claimed);
        if !claimed.is_empty() {
            self.looking.claimed();
        }
        // The lease may have passed, or a stop been asked for, while the answer was on its way. That there is less room
        // than when it was sent, because some job turned out longer, is no reason to give back what may start in a moment.
        let may_start = worker == self.fence.worker() && self.fence.holds(now) && !self.drain.has_begun();
        let mut starting = Vec::with_capacity(claimed.len());
        for job in claimed {
            if let Some(outcome) = never_starts(&job) {
                self.completing.never_started(job, outcome);
            } else if may_start && self.in_flight.take_in(&job, now) {
                self.events.claimed(&job);
                starting.push(job);
            } else {
                self.completing.never_started(job, Outcome::HandedBack);
            }
        }
        self.claiming.started(starting.len());
        if !starting.is_empty() {
            self.executor.start(starting);
        }
        if claim.cursors.is_empty() {
            // It asked for what its own ends made ready, which says nothing of what others may have enqueued: the next
            // poll stays when it is.
        } else if self.claiming.knows_no_cursor() {
            self.looking.poller.drained(now);
        } else if !self.claiming.may_ask(&self.in_flight) {
            self.looking.poller.at_its_limits(now);
        }
        self.tell_running();
    }

    fn surveyed(&mut self, found: Survey) {
        let now = clock::now();
        self.looking.unserved.surveyed(&found.cursors, &self.claiming.serves);
        self.claiming.surveyed(found.cursors);
        self.propagations.surveyed(found.propagations, now);
        let ready_hint = self.claiming.may_ask(&self.in_flight);
        // What is under way, or has its job made soon, may make something ready at any moment.
        let expects = (found.under_way && !self.propagations.are_refused()) || self.looking.owed;
        self.looking.surveyed(ready_hint, expects, now);
        let nothing = !ready_hint && !expects && !self.propagations.may_ready_more();
        self.looking.concludes(nothing && self.holds_nothing());
        if self.looking.has_found_nothing() && self.options.until_done {
            self.looking.unserved.count_all();
        }
        if self.options.once && nothing {
            self.claiming.exhaust();
        }
        let idle = self.looking.poller.idle_flag() && !ready_hint;
        self.events.update(|progress| (progress.ready_hint, progress.idle) = (ready_hint, idle));
    }

    // No claim was under way, so whatever the database has and this worker does not hold came from a claim
    // whose answer was lost.
    fn audited(&mut self, worker: WorkerId, owned: Vec<Key>) {
        if worker != self.fence.worker() {
            return;
        }
        let is_held = |key: &Key| self.in_flight.contains(*key) || self.completing.contains(*key);
        self.ownership.audited(owned.into_iter().filter(|key| !is_held(key)).collect());
    }

    fn failed(&mut self, order: Order, error: Error) -> Result<()> {
        if is_fatal(&error) {
            return Err(error);
        }
        let (failure, now) = (Failure::of(&error), clock::now());
        let refused = matches!(failure, Failure::Refused(_));
        match order {
            Order::Turn { claim, .. } => {
                self.completing.failed(&failure, claim.is_none(), now);
                if claim.is_some() {
                    self.ownership.claim_failed(&failure);
                    self.claiming.failed(&failure, now);
                    self.looking.poller.failed(refused, now);
                }
            }
            Order::Audit | Order::HandBack(_) => self.ownership.audit_failed(&failure),
            Order::Survey { .. } => self.looking.survey_failed(refused, now),
            Order::Propagate => match failure {
                Failure::Refused(_) => self.propagations.refused(),
                Failure::Held => self.propagations.rest(now + AFTER_A_LOCK),
                Failure::Unanswered => {}
            },
            Order::Count(_) if refused => self.looking.unserved.refused(),
            Order::Count(lanes) => self.looking.unserved.uncounted(lanes),
            Order::Progress(said) => self.in_flight.unsaid(said),
            Order::Note(notes) => self.completing.notes_failed(notes, &failure),
            Order::CancelRequests | Order::Idle(_) => {}
        }
        Ok(())
    }
}

// What this worker cannot read may be what keeps the job from doing harm; what is too old never starts.
fn never_starts(job: &Claimed) -> Option<Outcome> {
    let unreadable = job.stored_options.unreadable().map(|why| Outcome::Incompatible { why: why.to_owned() });
    unreadable.or_else(|| job.is_expired().then_some(Outcome::Expired))
}

//! What the mill learns from the database: the answers to its orders.

use std::time::Duration;

use gristmill_core::{Attempt, Band, Claimed, Outcome, WorkerId};
use gristmill_store::{Error, Finished, Result, Survey, Turned, WorkedOff};
use tracing::info;

use super::{Key, Mill};
use crate::link::is_fatal;
use crate::turn::{Answer, Claim, Done, Order};
use crate::{Executor, Sessions, clock, errands};

impl<E: Executor, S: Sessions> Mill<E, S> {
    /// Takes in how an order was carried out.
    pub(crate) fn settle(&mut self, done: Done<S>) -> Result<()> {
        let Done { link, worker, order, answer } = done;
        self.link = Some(link);
        match (order, answer) {
            (Order::Turn { claim, .. }, Ok(Answer::Turned(turned))) => {
                let Turned { finished, claimed, asked } = turned;
                self.asides.turned();
                self.written(&finished.accepted);
                self.spread(finished);
                if let Some(claim) = claim {
                    self.apart = false;
                    self.start(worker, &claim, &asked, claimed);
                }
            }
            (_, Ok(Answer::WorkedOff(worked_off, breath))) => self.worked_off(worked_off, breath),
            (_, Ok(Answer::Wanted(wanted))) => {
                for (job, token) in self.held.cancel(wanted) {
                    info!(target: "gristmill::mill", { job.id = %job, token = token.0 }, "cancelling");
                    self.executor.cancel(job, token);
                }
            }
            (_, Ok(Answer::Surveyed(found))) => self.surveyed(found),
            (Order::Idle(idle), Ok(_)) if worker == self.worker => self.lookout.flagged(idle),
            (_, Ok(Answer::Owned(owned))) => self.audited(worker, owned),
            (_, Ok(Answer::HandedBack(handed_back))) => {
                self.events.handed_back_unheld(&handed_back);
                self.lookout.hint();
            }
            (_, Ok(_)) => {}
            (order, Err(failure)) => self.failed(order, failure)?,
        }
        Ok(())
    }

    fn written(&mut self, accepted: &[Key]) {
        for unwritten in self.unwritten.answered() {
            if accepted.contains(&unwritten.key()) {
                self.events.finished(&unwritten.attempt, unwritten.took);
            } else {
                self.events.superseded(&unwritten.attempt, unwritten.sent_before);
            }
        }
    }

    // Before the claim of the same turn is taken in: it may have drained some of these bands.
    fn spread(&mut self, Finished { moved, more, .. }: Finished) {
        errands::tell_moved(&moved);
        self.errands.turned(!moved.bands.is_empty(), more, clock::now());
        self.bands.learn(moved.bands, &self.serves);
    }

    fn worked_off(&mut self, worked_off: WorkedOff, breath: Duration) {
        errands::tell(&worked_off);
        let now = clock::now();
        let were_last = self.errands.worked_off(worked_off.errands, worked_off.more, now);
        self.errands.rest(now + breath);
        self.bands.learn(worked_off.moved.bands, &self.serves);
        // Who ends when nothing is left looks once more.
        if were_last && self.looks_for_the_end() {
            self.lookout.hint();
        }
    }

    fn start(&mut self, worker: WorkerId, claim: &Claim, asked: &[Band], claimed: Vec<Claimed>) {
        let now = clock::now();
        self.bands.claimed(asked, claim.limit, &claimed);
        if !claimed.is_empty() {
            self.found_nothing = false;
            self.lookout.claimed();
        }
        // The lease may have passed, or a stop been asked for, while the answer was on its way. That there is less room
        // than when it was sent, because some job turned out longer, is no reason to give back what may start in a moment.
        let may_start = worker == self.worker && self.standing.borrow().holds(now) && !self.leaving.has_begun();
        let mut starting = Vec::with_capacity(claimed.len());
        for job in claimed {
            if is_expired(&job) {
                self.unwritten.push(Attempt::unstarted(job, Outcome::Expired), None, None);
            } else if may_start && self.held.take_in(&job, now) {
                self.events.claimed(&job);
                starting.push(job);
            } else {
                self.unwritten.push(Attempt::unstarted(job, Outcome::HandedBack), None, None);
            }
        }
        if let Some(left) = &mut self.allowance {
            *left = left.saturating_sub(starting.len() as u64);
        }
        if !starting.is_empty() {
            self.executor.start(starting);
        }
        if claim.bands.is_empty() {
            // It asked for what its own ends made ready, which says nothing of what others may have enqueued: the next
            // poll stays when it is.
        } else if self.bands.is_empty() {
            self.lookout.drained(now);
        } else if !self.may_ask() {
            self.lookout.at_its_limits(now);
        }
        self.tell_running();
    }

    fn surveyed(&mut self, found: Survey) {
        let now = clock::now();
        self.bands.surveyed(found.bands, &self.serves);
        self.errands.surveyed(found.errands, now);
        let ready_hint = self.may_ask();
        self.lookout.surveyed(ready_hint, now);
        let nothing = !ready_hint && !self.errands.may_ready_more();
        self.found_nothing = nothing && self.holds_nothing();
        if self.options.once && nothing {
            self.allowance = Some(0);
        }
        let idle = self.lookout.idle_flag() && !ready_hint;
        self.events.update(|progress| (progress.ready_hint, progress.idle) = (ready_hint, idle));
    }

    // No claim was under way, so whatever the database has and this worker does not hold came from a claim
    // whose answer was lost.
    fn audited(&mut self, worker: WorkerId, owned: Vec<Key>) {
        if worker != self.worker {
            return;
        }
        self.claim_unanswered = false;
        self.unheld =
            owned.into_iter().filter(|key| !self.held.contains(*key) && !self.unwritten.contains(*key)).collect();
    }

    fn failed(&mut self, order: Order, failure: Error) -> Result<()> {
        if is_fatal(&failure) {
            return Err(failure);
        }
        let refused = matches!(failure, Error::Refused(_));
        let now = clock::now();
        match order {
            Order::Turn { claim, .. } => {
                if refused {
                    self.unwritten.refused(claim.is_none(), now);
                } else {
                    self.unwritten.unanswered();
                }
                if claim.is_some() {
                    self.apart = refused;
                    self.in_doubt = true;
                    self.claim_unanswered |= !refused;
                    self.bands.clear();
                    self.lookout.failed(refused, now);
                }
            }
            // What is refused is left alone until the next heartbeat asks again.
            Order::Audit | Order::HandBack(_) => self.in_doubt = !refused,
            Order::Survey { .. } => self.lookout.failed(refused, now),
            Order::Errands => {
                if refused {
                    self.errands.refused();
                }
            }
            Order::Progress(said) => self.held.unsaid(said),
            Order::Controls | Order::Idle(_) => {}
        }
        Ok(())
    }
}

// Too old to start: it never does.
fn is_expired(job: &Claimed) -> bool {
    job.options_json.is_some() && job.is_expired(&job.options())
}

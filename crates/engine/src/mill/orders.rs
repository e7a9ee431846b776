//! What the mill asks the database, and when.

use std::sync::Arc;
use std::time::Instant;

use gristmill_core::WorkerId;

use super::Mill;
use crate::asides::Aside;
use crate::link::Link;
use crate::plan::{self, BUSY_BEFORE_CLEARING, Step, UNWRITTEN, View};
use crate::turn::{Claim, Order};
use crate::watchdog::LONGEST_SLEEP;
use crate::{Executor, Sessions};

impl<E: Executor, S: Sessions> Mill<E, S> {
    /// The next use of the session, if it is free and there is any.
    pub(crate) fn next_order(&mut self, now: Instant) -> Option<(Link<S>, WorkerId, Order)> {
        if self.link.as_ref()?.not_before().is_some_and(|instant| now < instant) {
            return None;
        }
        self.lookout.heed_poll(now);
        let order = self.order(now)?;
        Some((self.link.take()?, self.worker, order))
    }

    fn order(&mut self, now: Instant) -> Option<Order> {
        if !self.unheld.is_empty() {
            return Some(Order::HandBack(std::mem::take(&mut self.unheld)));
        }
        let order = match plan::next(self.view(now)) {
            Step::Audit => {
                self.in_doubt = false;
                Order::Audit
            }
            Step::Survey => {
                self.lookout.surveying();
                Order::Survey { promote: self.looks_for_the_end(), horizon: self.serves.horizon }
            }
            Step::Errands => {
                self.errands.working_off();
                Order::Errands
            }
            Step::Turn { finish, claim } => {
                let attempts = self.unwritten.send(finish, now);
                let said = self.unwritten.said();
                let claims = claim > 0 && !(self.apart && finish > 0);
                let claim = claims.then(|| {
                    let (bands, most) = self.bands.next(|queue| self.held.left(queue));
                    let limit = if bands.is_empty() { claim } else { claim.min(most) };
                    Claim { bands, limit, serves: Arc::clone(&self.serves) }
                });
                Order::Turn { said, attempts, claim }
            }
            Step::Aside(aside) => {
                self.asides.begin(aside, now);
                match aside {
                    Aside::Controls => Order::Controls,
                    Aside::Progress => Order::Progress(self.held.said()),
                }
            }
            Step::Idle(idle) => Order::Idle(idle),
            Step::Wait => return None,
        };
        Some(order)
    }

    fn view(&self, now: Instant) -> View {
        // Whoever works until all is done asks again when what it ran may have left something behind.
        let unsure = self.looks_for_the_end() && self.holds_nothing() && self.lookout.is_stirred();
        let aside = self.next_aside(now).filter(|(at, _)| *at <= now).map(|(_, aside)| aside);
        View {
            in_doubt: self.in_doubt && !self.fenced,
            ended: self.unwritten.due(now),
            room: self.may_claim(now),
            bands: self.may_ask(),
            awaited: self.errands.are_expected(now),
            errands: self.errands.are_due(now) && !self.fenced && !self.leaving.has_begun(),
            errands_first: self.errands.come_first(),
            surveyed: self.lookout.since_survey(now),
            hint: self.lookout.has_hint() || unsure,
            idle_flag: self.lookout.idle_flag(),
            busy: self.lookout.busy(now),
            aside,
            aside_first: self.asides.may_come_first(),
        }
    }

    fn next_aside(&self, now: Instant) -> Option<(Instant, Aside)> {
        self.asides.next_at(self.held.since(), self.held.has_heard(), now)
    }

    /// Whether there is a band whose queue may take more jobs.
    pub(super) fn may_ask(&self) -> bool {
        self.bands.any(|queue| self.held.left(queue))
    }

    fn may_claim(&self, now: Instant) -> usize {
        if self.claims_from.is_some_and(|instant| now < instant) {
            return 0;
        }
        let may_not = self.fenced || self.leaving.has_begun() || !self.first_look.is_over();
        if may_not || self.unwritten.len() >= UNWRITTEN {
            return 0;
        }
        let allowance = self.allowance.map_or(usize::MAX, |left| usize::try_from(left).unwrap_or(usize::MAX));
        self.executor.room().min(allowance)
    }

    pub(super) fn next_instant(&self, now: Instant) -> Instant {
        let standing = *self.standing.borrow();
        let busy_since = self.lookout.busy_since().filter(|_| self.lookout.idle_flag());
        let [interrupt_at, leave_at] = self.leaving.instants();
        let instants = [
            standing.until,
            interrupt_at,
            leave_at,
            self.link.as_ref().and_then(Link::not_before),
            self.lookout.poll_at(),
            self.claims_from,
            busy_since.map(|since| since + BUSY_BEFORE_CLEARING),
            self.unwritten.next_try(),
            self.errands.rests_until(),
            self.next_aside(now).map(|(at, _)| at),
        ];
        // What is past was heeded, or waits for the order under way.
        instants.into_iter().flatten().filter(|instant| *instant > now).min().unwrap_or(now + LONGEST_SLEEP)
    }
}

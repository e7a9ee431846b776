//! What the dispatcher asks the database, and when.

use std::time::Instant;

use gristmill_core::WorkerId;

use super::Dispatcher;
use super::plan::{self, Step, View};
use super::side_work::SideWork;
use super::turn::Order;
use crate::link::Link;
use crate::watchdog::LONGEST_SLEEP;
use crate::{Executor, Sessions};

impl<E: Executor, S: Sessions> Dispatcher<E, S> {
    /// The next use of the session, if it is free and there is any.
    pub(crate) fn next_order(&mut self, now: Instant) -> Option<(Link<S>, WorkerId, Order)> {
        if self.link.as_ref()?.not_before().is_some_and(|instant| now < instant) {
            return None;
        }
        self.looking.poller.heed_poll(now);
        let order = self.order(now)?;
        Some((self.link.take()?, self.fence.worker(), order))
    }

    fn order(&mut self, now: Instant) -> Option<Order> {
        if let Some(unheld) = self.ownership.take_unheld() {
            return Some(Order::HandBack(unheld));
        }
        if let Some(lanes) = self.looking.unserved.ask() {
            return Some(Order::Count(lanes));
        }
        let order = match plan::next(self.view(now)) {
            Step::Audit => {
                self.ownership.auditing();
                Order::Audit
            }
            Step::Survey => {
                let owed = self.schedules.as_ref().is_some_and(|schedules| schedules.owes());
                self.looking.surveying(owed, !self.holds_nothing());
                Order::Survey { to_end: self.looks_for_the_end(), horizon: self.claiming.serves.horizon }
            }
            Step::Propagate => {
                self.propagations.propagating();
                Order::Propagate
            }
            Step::Turn { finish, claim } => {
                let (attempts, said) = self.completing.send(finish, now);
                let claim = self.claiming.ask(claim, finish > 0, &self.in_flight);
                Order::Turn { said, attempts, claim }
            }
            Step::SideWork(side_work) => {
                self.side_work.begin(side_work, now);
                match side_work {
                    SideWork::CancelRequests => Order::CancelRequests,
                    SideWork::Progress => Order::Progress(self.in_flight.said()),
                    SideWork::Notes => Order::Note(self.completing.take_notes()),
                }
            }
            Step::Idle(idle) => Order::Idle(idle),
            Step::Wait => return None,
        };
        Some(order)
    }

    fn view(&self, now: Instant) -> View {
        let poller = &self.looking.poller;
        // Whoever works until all is done asks again when what it ran may have left something behind.
        let unsure = self.looks_for_the_end() && self.holds_nothing() && poller.is_stirred();
        let side_work = self.next_side_work(now).filter(|(at, _)| *at <= now).map(|(_, side_work)| side_work);
        View {
            in_doubt: self.ownership.is_in_doubt() && !self.fence.is_down(),
            ended: self.completing.due(now),
            unwritten: self.completing.unwritten(),
            room: self.room(now),
            cursors: self.claiming.may_ask(&self.in_flight),
            awaited: self.propagations.are_expected(now),
            propagations: self.propagations.are_due(now) && self.may_begin(),
            propagations_first: self.propagations.come_first(),
            surveyed: poller.since_survey(now),
            survey_failed: self.looking.failed,
            hint: poller.has_hint() || unsure,
            idle_flag: poller.idle_flag(),
            quiet: self.fence.is_quiet(),
            busy: poller.busy(now),
            side_work,
            side_work_first: self.side_work.may_come_first(),
        }
    }

    fn next_side_work(&self, now: Instant) -> Option<(Instant, SideWork)> {
        if self.completing.may_note() {
            return Some((now, SideWork::Notes));
        }
        self.side_work.next_at(self.in_flight.since(), self.in_flight.has_heard(), now)
    }

    /// How many jobs it may claim.
    fn room(&self, now: Instant) -> usize {
        if self.may_begin() && !self.fence.is_quiet() { self.executor.room().min(self.claiming.most(now)) } else { 0 }
    }

    /// Whether it may begin anything: it has a lease, and is not on its way out.
    fn may_begin(&self) -> bool {
        !self.fence.is_down() && !self.drain.has_begun()
    }

    /// When there is something to do again, whatever happens until then.
    pub(super) fn next_instant(&self, now: Instant) -> Instant {
        let [interrupt_at, leave_at] = self.drain.instants();
        let [poll_at, clear_flag_at] = self.looking.instants();
        let instants = [
            self.fence.runs_until(),
            interrupt_at,
            leave_at,
            self.link.as_ref().and_then(Link::not_before),
            poll_at,
            self.claiming.not_before(),
            clear_flag_at,
            self.completing.next_try(),
            self.propagations.rests_until(),
            self.next_side_work(now).map(|(at, _)| at),
        ];
        // What is past was heeded, or waits for the order under way.
        instants.into_iter().flatten().filter(|instant| *instant > now).min().unwrap_or(now + LONGEST_SLEEP)
    }
}

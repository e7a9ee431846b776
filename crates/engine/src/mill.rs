//! The one loop that claims, starts and finishes jobs. It owns the executor and the hot session, and so it
//! alone knows which open attempts this worker holds.
//!
//! The session is used by one [`Order`] at a time, carried out beside the loop: ends of attempts, a passed
//! lease and a request to stop are taken in while the database is busy or away.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gristmill_core::{Attempt, Claimed, JobId, Outcome, Reason, Token, WorkerId};
use gristmill_store::{Error, Result};
use tokio::sync::{Notify, watch};
use tracing::{error, info, warn};

use crate::bands::{Bands, Serves};
use crate::events::Events;
use crate::link::{Link, is_fatal};
use crate::plan::{self, Step, UNWRITTEN, View};
use crate::turn::{Answer, Claim, Done, Order, carry_out};
use crate::watchdog::{LONGEST_SLEEP, Pulse};
use crate::{Ended, Event, Executor, Options, Sessions, Shutdown, Stage, Standing};

/// First wait between two looks of an idle worker; it doubles up to the poll interval.
const FIRST_POLL: Duration = Duration::from_millis(200);
/// After everything was interrupted: how long a stop waits for the executor and the database.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// A single end that the database refused this often is reduced to its bare fact.
const REFUSALS_BEFORE_REDUCING: u8 = 3;

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

/// An attempt that has ended and is not written yet.
struct Unwritten {
    attempt: Attempt,
    took: Option<Duration>,
    sent_before: bool,
    refusals: u8,
}

pub(crate) struct Mill<E, S> {
    executor: E,
    options: Options,
    serves: Serves,
    link: Option<Link<S>>,
    standing: watch::Receiver<Standing>,
    shutdown: Shutdown,
    hints: Arc<Notify>,
    events: Arc<Events>,
    pulse: Pulse,

    worker: WorkerId,
    fenced: bool,
    bands: Bands,
    /// In the executor, and since when.
    held: HashMap<Key, Instant>,
    /// Ended, to be written; those of an order under way are in `sending`.
    unwritten: VecDeque<Unwritten>,
    sending: Vec<Unwritten>,
    /// At most so many in the next turn; shrinks while the database refuses turns.
    turn_size: usize,
    /// Jobs that may still be claimed; `None` is no limit.
    allowance: Option<u64>,
    in_doubt: bool,
    unheld: Vec<Key>,

    surveyed: Option<Instant>,
    found_nothing: bool,
    claimed_since_survey: bool,
    hint: bool,
    poll: Duration,
    poll_at: Option<Instant>,
    idle_flag: bool,
    busy_since: Option<Instant>,

    draining: bool,
    interrupt_at: Option<Instant>,
    leave_at: Option<Instant>,
    stopped_under: u64,
    broken: Option<String>,
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
}

impl<E: Executor, S: Sessions> Mill<E, S> {
    pub(crate) fn new(parts: Parts<E, S>) -> Self {
        let Parts { executor, options, link, standing, shutdown, hints, events, pulse } = parts;
        let once = options.once.then(|| u64::from(options.processes));
        let allowance = [once, options.max_jobs].into_iter().flatten().min();
        let worker = standing.borrow().worker;
        Self {
            serves: Serves::new(&options, executor.tasks()),
            executor,
            options,
            link: Some(link),
            standing,
            shutdown,
            hints,
            events,
            pulse,
            worker,
            fenced: true,
            bands: Bands::default(),
            held: HashMap::new(),
            unwritten: VecDeque::new(),
            sending: Vec::new(),
            turn_size: plan::TURN,
            allowance,
            in_doubt: false,
            unheld: Vec::new(),
            surveyed: None,
            found_nothing: false,
            claimed_since_survey: false,
            hint: true,
            poll: FIRST_POLL,
            poll_at: None,
            idle_flag: false,
            busy_since: None,
            draining: false,
            interrupt_at: None,
            leave_at: None,
            stopped_under: 0,
            broken: None,
        }
    }

    /// Turns until it is asked to stop or has done what it was asked for. Gives the executor back.
    pub(crate) async fn run(mut self) -> Result<(E, Leftover)> {
        let mut under_way: Option<UnderWay<S>> = None;
        let mut happened = Vec::new();
        loop {
            self.pulse.beat();
            let now = Instant::now();
            self.heed_standing(now);
            self.heed_shutdown(now);
            if self.is_over(now, under_way.is_some()) {
                return Ok(self.leave());
            }
            if under_way.is_none() {
                under_way = self.next_order(now);
            }

            let until = self.next_instant(now).min(now + LONGEST_SLEEP);
            let busy = under_way.is_some();
            tokio::select! {
                biased;
                () = self.shutdown.changed() => {}
                () = changed(&mut self.standing) => self.in_doubt = true,
                done = poll_under_way(&mut under_way) => self.settle(done)?,
                () = self.executor.events(&mut happened) => self.take_in(&mut happened),
                () = self.hints.notified(), if !busy && !self.hint => self.hint = true,
                () = tokio::time::sleep_until(until.into()) => {}
            }
        }
    }

    // --- what it heeds -----------------------------------------------------------------------------------

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
            self.idle_flag = false;
            self.in_doubt = false;
            self.unheld.clear();
        }
        if self.fenced && holds {
            self.hint = true;
        }
        self.fenced = !holds;
    }

    fn heed_shutdown(&mut self, now: Instant) {
        let stage = self.shutdown.stage();
        if stage >= Stage::Draining && !self.draining {
            self.draining = true;
            self.executor.recall();
            self.interrupt_at = Some(now + self.options.grace);
            info!(target: "gristmill::mill", jobs = self.held.len(), "draining");
        }
        let due = self.interrupt_at.is_some_and(|at| now >= at);
        if self.leave_at.is_none() && (stage >= Stage::Stopping || due || self.broken.is_some()) {
            self.leave_at = Some(now + LAST_WORDS);
            if !self.held.is_empty() {
                warn!(target: "gristmill::mill", jobs = self.held.len(), "stopping: hands back what runs");
                self.executor.recall();
                self.executor.interrupt();
            }
        }
    }

    fn is_over(&self, now: Instant, busy: bool) -> bool {
        if self.shutdown.stage() >= Stage::Exiting || self.leave_at.is_some_and(|at| now >= at) {
            return true;
        }
        let empty = !busy && self.holds_nothing();
        empty && (self.draining || self.broken.is_some() || self.has_done_its_part())
    }

    fn holds_nothing(&self) -> bool {
        self.held.is_empty() && self.unwritten.is_empty() && self.unheld.is_empty()
    }

    // For the options that bound its work.
    fn has_done_its_part(&self) -> bool {
        let until_done = self.options.until_done || self.options.once;
        self.allowance == Some(0) || (until_done && self.found_nothing)
    }

    fn leave(self) -> (E, Leftover) {
        let abandoned = self.held.len() + self.unwritten.len() + self.sending.len();
        let leftover = Leftover { handed_back: self.stopped_under, abandoned: abandoned as u64, broken: self.broken };
        (self.executor, leftover)
    }

    // --- what it asks the database -----------------------------------------------------------------------

    fn next_order(&mut self, now: Instant) -> Option<UnderWay<S>> {
        if self.link.as_ref()?.not_before().is_some_and(|instant| now < instant) {
            return None;
        }
        if self.poll_at.is_some_and(|at| now >= at) {
            self.poll_at = None;
            self.hint = true;
        }
        let order = self.order(now)?;
        let link = self.link.take()?;
        Some(Box::pin(carry_out(link, self.worker, order)))
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
                self.hint = false;
                Order::Survey { promote: self.options.until_done || self.options.once }
            }
            Step::Turn { finish, claim } => {
                self.sending = self.unwritten.drain(..finish.min(self.turn_size)).collect();
                let attempts = self.sending.iter().map(|unwritten| unwritten.attempt.clone()).collect();
                let claim = (claim > 0).then(|| Claim { bands: self.bands.next(), limit: claim });
                Order::Turn { attempts, claim }
            }
            Step::Idle(idle) => Order::Idle(idle),
            Step::Wait => return None,
        };
        Some(order)
    }

    fn view(&self, now: Instant) -> View {
        let until_done = self.options.until_done || self.options.once;
        let ended_and_unsure = until_done && !self.found_nothing && self.held.is_empty() && self.unwritten.is_empty();
        View {
            in_doubt: self.in_doubt && !self.fenced,
            ended: self.unwritten.len(),
            room: self.may_claim(),
            bands: !self.bands.is_empty(),
            surveyed: self.surveyed.map(|at| now.saturating_duration_since(at)),
            hint: self.hint || (ended_and_unsure && self.claimed_since_survey),
            idle_flag: self.idle_flag,
            busy: self.busy_since.map(|since| now.saturating_duration_since(since)),
        }
    }

    fn may_claim(&self) -> usize {
        if self.fenced || self.draining || self.broken.is_some() || self.unwritten.len() >= UNWRITTEN {
            return 0;
        }
        let allowance = self.allowance.map_or(usize::MAX, |left| usize::try_from(left).unwrap_or(usize::MAX));
        self.executor.room().min(allowance)
    }

    fn next_instant(&self, now: Instant) -> Instant {
        let standing = *self.standing.borrow();
        let backing_off = self.link.as_ref().and_then(Link::not_before).filter(|instant| *instant > now);
        let clearing = (self.idle_flag && self.bands.is_empty())
            .then(|| self.busy_since.map(|since| since + plan::BUSY_BEFORE_CLEARING))
            .flatten();
        let instants = [
            standing.until.filter(|_| !self.fenced),
            self.interrupt_at.filter(|_| self.leave_at.is_none()),
            self.leave_at,
            backing_off,
            self.poll_at,
            clearing.filter(|instant| *instant > now),
        ];
        instants.into_iter().flatten().min().unwrap_or(now + LONGEST_SLEEP)
    }

    // --- what it learns ----------------------------------------------------------------------------------

    fn settle(&mut self, done: Done<S>) -> Result<()> {
        let Done { link, worker, order, answer } = done;
        self.link = Some(link);
        match (order, answer) {
            (Order::Turn { claim, .. }, Ok(Answer::Turned { accepted, claimed })) => {
                self.written(&accepted);
                if let Some(claim) = claim {
                    self.start(worker, &claim, claimed);
                }
            }
            (_, Ok(Answer::Surveyed(found))) => self.surveyed(found),
            (Order::Idle(idle), Ok(_)) => self.said_idle(worker, idle),
            (_, Ok(Answer::Owned(owned))) => self.audited(worker, owned),
            (_, Ok(Answer::HandedBack(handed_back))) => {
                self.events.handed_back_unheld(&handed_back);
                self.hint = true;
            }
            (_, Ok(_)) => {}
            (order, Err(failure)) => self.failed(order, failure)?,
        }
        Ok(())
    }

    fn written(&mut self, accepted: &[Key]) {
        self.turn_size = (self.turn_size * 2).min(plan::TURN);
        for unwritten in std::mem::take(&mut self.sending) {
            let claimed = &unwritten.attempt.claimed;
            if accepted.contains(&(claimed.id, claimed.token)) {
                self.events.finished(&unwritten.attempt, unwritten.took);
            } else {
                self.events.superseded(&unwritten.attempt, unwritten.sent_before);
            }
        }
    }

    fn start(&mut self, worker: WorkerId, claim: &Claim, claimed: Vec<Claimed>) {
        let now = Instant::now();
        self.bands.claimed(&claim.bands, claim.limit, &claimed);
        if !claimed.is_empty() {
            self.found_nothing = false;
            self.claimed_since_survey = true;
        }
        if self.bands.is_empty() {
            // Bands that a survey found and a claim found empty are being claimed by someone else: no hurry.
            if self.claimed_since_survey {
                self.hint = true;
            } else {
                self.poll_later(now);
            }
        }
        // The lease may have passed, or a stop been asked for, while the answer was on its way.
        let may_start = worker == self.worker && self.standing.borrow().holds(now) && !self.draining;
        let room = if may_start { self.executor.room().min(claimed.len()) } else { 0 };
        let mut claimed = claimed;
        let surplus = claimed.split_off(room);
        for job in &claimed {
            self.events.claimed(job);
            self.held.insert((job.id, job.token), now);
        }
        if let Some(left) = &mut self.allowance {
            *left = left.saturating_sub(claimed.len() as u64);
        }
        if !claimed.is_empty() {
            self.executor.start(claimed);
        }
        for job in surplus {
            let attempt = Attempt { claimed: job, started_after: None, runner_pid: None, outcome: Outcome::HandedBack };
            self.unwritten.push_back(Unwritten { attempt, took: None, sent_before: false, refusals: 0 });
        }
        self.tell_running();
    }

    fn surveyed(&mut self, found: Vec<gristmill_core::Band>) {
        let now = Instant::now();
        self.surveyed = Some(now);
        self.claimed_since_survey = false;
        self.bands.surveyed(found, &self.serves);
        self.found_nothing = self.bands.is_empty() && self.holds_nothing();
        if self.bands.is_empty() {
            self.busy_since = None;
            self.poll_later(now);
        } else {
            self.busy_since.get_or_insert(now);
            self.poll = FIRST_POLL;
            self.poll_at = None;
        }
        let ready_hint = !self.bands.is_empty();
        let idle = self.idle_flag && !ready_hint;
        self.events.update(|progress| (progress.ready_hint, progress.idle) = (ready_hint, idle));
    }

    // Jitter, so that idle workers do not all look at the same moment.
    fn poll_later(&mut self, now: Instant) {
        self.poll_at = Some(now + self.poll.mul_f64(0.75 + fastrand::f64() / 2.0));
        self.poll = (self.poll * 2).min(self.options.poll_interval.max(FIRST_POLL));
    }

    fn said_idle(&mut self, worker: WorkerId, idle: bool) {
        if worker != self.worker {
            return;
        }
        self.idle_flag = idle;
        // Look once more: who enqueued just before the flag was set has not sent a wake-up.
        self.hint |= idle;
    }

    // No claim was under way, so whatever the database has and this worker does not hold came from a claim
    // whose answer was lost.
    fn audited(&mut self, worker: WorkerId, owned: Vec<Key>) {
        if worker != self.worker {
            return;
        }
        let ended: Vec<Key> = self.unwritten.iter().map(|unwritten| key(&unwritten.attempt.claimed)).collect();
        self.unheld = owned.into_iter().filter(|key| !self.held.contains_key(key) && !ended.contains(key)).collect();
    }

    fn failed(&mut self, order: Order, failure: Error) -> Result<()> {
        if is_fatal(&failure) {
            return Err(failure);
        }
        match order {
            Order::Turn { attempts, claim } => {
                if claim.is_some() {
                    self.in_doubt = true;
                    self.hint = true;
                    self.bands.clear();
                }
                let refused = matches!(failure, Error::Refused(_));
                self.take_back(refused, attempts.len());
            }
            Order::Survey { .. } => self.hint = true,
            Order::HandBack(_) | Order::Audit => self.in_doubt = true,
            Order::Idle(_) => {}
        }
        Ok(())
    }

    // What was sent goes to the front again. A refused turn is halved down to the one attempt that spoils it,
    // which then goes to the end of the line and is at last reduced to its bare fact.
    fn take_back(&mut self, refused: bool, sent: usize) {
        let mut sending = std::mem::take(&mut self.sending);
        if !refused {
            for mut unwritten in sending.into_iter().rev() {
                unwritten.sent_before = true;
                self.unwritten.push_front(unwritten);
            }
            return;
        }
        if sent > 1 {
            self.turn_size = (sent / 2).max(1);
            for unwritten in sending.into_iter().rev() {
                self.unwritten.push_front(unwritten);
            }
        } else if let Some(mut unwritten) = sending.pop() {
            unwritten.refusals = unwritten.refusals.saturating_add(1);
            if unwritten.refusals >= REFUSALS_BEFORE_REDUCING {
                reduce(&mut unwritten.attempt);
            }
            self.unwritten.push_back(unwritten);
        }
    }

    fn take_in(&mut self, happened: &mut Vec<Event>) {
        for event in happened.drain(..) {
            match event {
                Event::Ended(ended) => self.ended(ended),
                Event::Room => {}
                Event::Broken(why) => {
                    error!(target: "gristmill::mill", why, "broken");
                    self.broken = Some(why);
                }
            }
        }
        self.tell_running();
    }

    fn ended(&mut self, ended: Ended) {
        let Ended { claimed, started_after, runner_pid, outcome } = ended;
        let Some(since) = self.held.remove(&key(&claimed)) else {
            warn!(target: "gristmill::mill", { job.id = %claimed.id, token = claimed.token.0 }, "ended, but was not held");
            return;
        };
        self.found_nothing = false;
        self.claimed_since_survey = true;
        match outcome {
            Outcome::HandedBack => {
                if let Some(left) = &mut self.allowance {
                    *left += 1;
                }
            }
            Outcome::Interrupted if self.leave_at.is_some() => self.stopped_under += 1,
            _ => {}
        }
        let attempt = Attempt { claimed, started_after, runner_pid, outcome };
        let took = Some(since.elapsed());
        self.unwritten.push_back(Unwritten { attempt, took, sent_before: false, refusals: 0 });
    }

    fn tell_running(&self) {
        let running = self.held.len() as u64;
        self.events.update(|progress| {
            progress.running = running;
            progress.idle = progress.idle && running == 0;
        });
    }
}

fn key(claimed: &Claimed) -> Key {
    (claimed.id, claimed.token)
}

// What the handler gave cannot be stored; that it ended can.
fn reduce(attempt: &mut Attempt) {
    error!(
        target: "gristmill::mill", { job.id = %attempt.claimed.id, task.name = %attempt.claimed.lane.task_name,
        outcome = attempt.outcome.word() }, "the end of this attempt cannot be stored; it is reduced to a failure"
    );
    attempt.runner_pid = None;
    attempt.outcome = Outcome::Failed {
        reason: Reason::Error,
        exception_class_path: "gristmill.exceptions.Unstorable".into(),
        traceback: "The database refused to store how this attempt ended; the worker's log says why.".into(),
    };
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

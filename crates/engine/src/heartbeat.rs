//! Keeps the worker's row alive, and says until when the worker may run anything.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gristmill_core::WorkerId;
use gristmill_store::{Asked, Error, LifeLock, NewWorker, Result};
use tokio::sync::watch;
use tracing::{error, info};

use crate::link::{Link, is_fatal, within};
use crate::pulse::{self, Counter};
use crate::watchdog::{LONGEST_SLEEP, Liveness};
use crate::{Sessions, Shutdown, clock};

/// A heartbeat that somebody's lock kept back is tried again after this.
const WHILE_HELD: Duration = Duration::from_millis(100);

/// Who the worker is, and until when it may run anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The worker's id. It changes when the worker was declared lost and has registered anew.
    pub worker: WorkerId,
    /// Past this instant of the monotonic clock everything it runs has to end: the instant at which the last
    /// acknowledged heartbeat was *sent*, plus the fence. `None` before it is registered and after it was
    /// declared lost. [`Standing::runs_until`] is earlier where the machine has slept since.
    pub until: Option<Instant>,
    /// How long the machine had slept when that was sent: its monotonic clock stands still then, and others' do not.
    slept: Duration,
    /// Somebody wants it to claim nothing.
    pub is_quiet: bool,
}

impl Standing {
    /// Of a worker that may run nothing yet, or not any more.
    pub(crate) fn none(worker: WorkerId) -> Self {
        Self { worker, until: None, slept: Duration::ZERO, is_quiet: false }
    }

    /// Of a worker whose heartbeat was acknowledged.
    pub(crate) fn of(worker: WorkerId, sent: Sent, fence: Duration) -> Self {
        Self { worker, until: Some(sent.at + fence), slept: sent.slept, is_quiet: false }
    }

    /// The same with what was asked of it.
    pub(crate) fn asked(self, asked: &Asked) -> Self {
        Self { is_quiet: matches!(asked, Asked::Quiet { .. }), ..self }
    }

    /// When everything that it runs has to end, unless the machine sleeps before.
    pub fn runs_until(&self) -> Option<Instant> {
        let asleep = clock::slept().saturating_sub(self.slept);
        self.until.map(|until| until.checked_sub(asleep).unwrap_or_else(clock::now))
    }

    /// Whether the worker may run anything at `now`.
    pub fn holds(&self, now: Instant) -> bool {
        self.runs_until().is_some_and(|until| now < until)
    }
}

/// When a heartbeat was sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    at: Instant,
    slept: Duration,
}

impl Sent {
    pub(crate) fn now() -> Self {
        Self { slept: clock::slept(), at: clock::now() }
    }

    /// Nobody takes this worker's jobs while the machine sleeps.
    fn whatever_it_sleeps(self) -> Self {
        Self { slept: Duration::MAX, ..self }
    }
}

/// How a worker's row is closed.
#[derive(Clone, Debug)]
pub(crate) struct SignOff {
    pub(crate) exit_status: i32,
    pub(crate) last_error: Option<String>,
}

pub(crate) struct Heartbeat<S> {
    pub(crate) sessions: S,
    /// What to register; its id is fresh for every try.
    pub(crate) worker: NewWorker,
    pub(crate) link: Link<S>,
    /// By which others judge this worker, in place of its heartbeats.
    pub(crate) life: Option<LifeLock>,
    pub(crate) standing: watch::Sender<Standing>,
    /// Set once the worker is done: heartbeats are the last thing to stop.
    pub(crate) sign_off: watch::Receiver<Option<SignOff>>,
    /// Drains where people ask for it.
    pub(crate) shutdown: Shutdown,
    /// What they asked when the last heartbeat was acknowledged.
    pub(crate) asked: Asked,
    /// The tasks that this worker's code has, for people: others once it was loaded anew.
    pub(crate) known: watch::Receiver<Vec<String>>,
    pub(crate) liveness: Liveness,
    /// What the worker has counted: the last of it is appended once the row is closed.
    pub(crate) counter: Arc<Counter>,
}

impl<S: Sessions> Heartbeat<S> {
    /// Goes on until it is told to sign off. An error is one that trying again cannot help.
    pub(crate) async fn run(mut self) -> Result<()> {
        loop {
            let Some(registered) = self.until_sign_off(Self::register).await? else { break };
            info!(target: "gristmill::worker", { worker.id = %registered, label = self.worker.label }, "registered");
            if self.until_sign_off(Self::beat).await?.is_none() {
                self.close(registered).await;
                break;
            }
            error!(
                target: "gristmill::worker", { worker.id = %registered },
                "lost: declared so by another worker; ends its runs and registers anew"
            );
            self.standing.send_modify(|standing| standing.until = None);
        }
        Ok(())
    }

    // `None` when the worker has to sign off.
    async fn until_sign_off<T>(&mut self, step: impl AsyncFnOnce(&mut Self) -> Result<T>) -> Result<Option<T>> {
        let mut sign_off = self.sign_off.clone();
        tokio::select! {
            biased;
            _ = sign_off.wait_for(Option::is_some) => Ok(None),
            done = step(self) => done.map(Some),
        }
    }

    // A fresh id for every try, as the answer to the last one may have been lost; the row that it may have
    // left behind owns nothing and its lease runs out.
    async fn register(&mut self) -> Result<WorkerId> {
        loop {
            self.liveness.renew();
            self.link.rest().await;
            self.worker.id = WorkerId::new();
            let life = self.sessions.hold_life(self.worker.id)?;
            if let Some(before) = std::mem::replace(&mut self.life, life) {
                before.remove();
            }
            let sent = Sent::now();
            let answer = match self.link.session().await {
                Ok(session) => {
                    within(self.worker.lease.heartbeat.max(Duration::from_secs(1)), session.register(&self.worker))
                        .await
                }
                Err(error) => Err(error),
            };
            match self.link.judge(answer) {
                Ok(()) => {
                    self.worker.before = Some(self.worker.id);
                    self.acknowledged(sent);
                    return Ok(self.worker.id);
                }
                Err(error) if is_fatal(&error) => return Err(error),
                Err(Error::Locked(_)) => tokio::time::sleep(WHILE_HELD).await,
                Err(_) => {}
            }
        }
    }

    // Returns when the worker was declared lost.
    async fn beat(&mut self) -> Result<()> {
        let interval = self.worker.lease.heartbeat;
        let mut next = Instant::now() + interval;
        loop {
            self.liveness.renew();
            self.tell_known().await?;
            let now = Instant::now();
            if now < next {
                tokio::time::sleep(next.duration_since(now).min(LONGEST_SLEEP)).await;
                continue;
            }
            self.show_life();
            let sent = Sent::now();
            let deadline = self.link.deadline();
            let answer = match self.link.session().await {
                Ok(session) => within(deadline, session.heartbeat(self.worker.id)).await,
                Err(error) => Err(error),
            };
            match self.link.judge(answer) {
                Ok(Some(asked)) => {
                    self.heed(asked);
                    self.acknowledged(sent);
                    next = sent.at + interval;
                }
                Ok(None) => return Ok(()),
                Err(error) if is_fatal(&error) => return Err(error),
                Err(_) => {
                    self.show_life();
                    // Somebody holds the row, or the database is away.
                    next = self.link.not_before().unwrap_or_else(|| Instant::now() + WHILE_HELD);
                }
            }
        }
    }

    async fn tell_known(&mut self) -> Result<()> {
        if !self.known.has_changed().unwrap_or(false) || self.link.not_before().is_some() {
            return Ok(());
        }
        self.worker.tasks_json = serde_json::json!(*self.known.borrow_and_update()).to_string();
        let deadline = self.link.deadline();
        let answer = match self.link.session().await {
            Ok(session) => within(deadline, session.know(self.worker.id, &self.worker.tasks_json)).await,
            Err(error) => Err(error),
        };
        match self.link.judge(answer) {
            Err(error) if is_fatal(&error) => Err(error),
            Err(_) => {
                self.known.mark_changed();
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    // Each wish is told once. Who has yet to register again stays as quiet as it was.
    fn heed(&mut self, asked: Asked) {
        if asked == self.asked {
            return;
        }
        let id = self.worker.id;
        match &asked {
            Asked::Nothing => info!(target: "gristmill::worker", { worker.id = %id }, "claims again: that was asked"),
            Asked::Quiet { by } => info!(
                target: "gristmill::worker", { worker.id = %id, by = by.as_str() },
                "quiet: claims nothing more until that is taken back, and finishes what it holds"
            ),
            Asked::Stop { by } => {
                info!(
                    target: "gristmill::worker", { worker.id = %id, by = by.as_str() },
                    "stopping: claims nothing more, and lets what runs finish within the grace"
                );
                self.shutdown.drain();
            }
        }
        self.asked = asked;
    }

    fn acknowledged(&self, sent: Sent) {
        // Who judges this worker by its lock sleeps on the same machine.
        let sent = if self.life.is_some() { sent.whatever_it_sleeps() } else { sent };
        let standing = Standing::of(self.worker.id, sent, self.worker.lease.fence());
        self.standing.send_replace(standing.asked(&self.asked));
    }

    // While this process holds its lock nobody takes its jobs: a transactional task that blocks the file, and so
    // all heartbeats, ends nothing.
    fn show_life(&self) {
        if self.life.is_some() {
            self.acknowledged(Sent::now());
        }
    }

    // Two tries, as the first may find that the connection has died long ago.
    async fn close(&mut self, id: WorkerId) {
        let Some(last) = self.sign_off.borrow().clone() else { return };
        for _ in 0..2 {
            let deadline = self.link.deadline();
            let answer = match self.link.session().await {
                Ok(session) => {
                    within(deadline, session.sign_off(id, last.exit_status, last.last_error.as_deref())).await
                }
                Err(error) => Err(error),
            };
            if self.link.judge(answer).is_ok() {
                if let Some(life) = self.life.take() {
                    life.remove();
                }
                let _ = pulse::append(&mut self.link, &self.counter).await;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FENCE: Duration = Duration::from_secs(55);

    #[test]
    fn a_lease_runs_out_while_the_machine_sleeps() {
        let sent = Sent::now();
        let standing = Standing::of(WorkerId::new(), sent, FENCE);
        assert!(standing.holds(sent.at + Duration::from_secs(54)));
        // A notebook that is closed for a minute, or a virtual machine that is moved.
        clock::simulated::sleep(Duration::from_secs(50));
        assert!(standing.holds(sent.at + Duration::from_secs(4)));
        assert!(!standing.holds(sent.at + Duration::from_secs(6)));
        clock::simulated::sleep(Duration::from_secs(10));
        assert!(!standing.holds(sent.at));
        // The next heartbeat counts from there.
        let standing = Standing::of(WorkerId::new(), Sent::now(), FENCE);
        assert!(standing.holds(sent.at + Duration::from_secs(54)));
    }

    #[test]
    fn who_is_judged_by_a_lock_keeps_its_lease_while_all_of_them_sleep() {
        let sent = Sent::now().whatever_it_sleeps();
        let standing = Standing::of(WorkerId::new(), sent, FENCE);
        clock::simulated::sleep(Duration::from_hours(8));
        assert!(standing.holds(sent.at + Duration::from_secs(54)));
        assert!(!standing.holds(sent.at + Duration::from_secs(56)));
    }
}

//! Keeps the worker's row alive, and says until when the worker may run anything.

use std::time::{Duration, Instant};

use gristmill_core::WorkerId;
use gristmill_store::{LifeLock, NewWorker, Result};
use tokio::sync::watch;
use tracing::{error, info};

use crate::Sessions;
use crate::link::{Link, is_fatal, within};
use crate::watchdog::{LONGEST_SLEEP, Pulse};

/// Who the worker is, and until when it may run anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its id. It changes when the worker was declared lost and has registered anew.
    pub worker: WorkerId,
    /// Past this instant of the monotonic clock everything it runs has to end: the instant at which the last
    /// acknowledged heartbeat was *sent*, plus the fence. `None` before it is registered and after it was
    /// declared lost.
    pub until: Option<Instant>,
}

impl Standing {
    /// Whether the worker may run anything at `now`.
    pub fn holds(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
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
    pub(crate) pulse: Pulse,
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
            self.pulse.beat();
            self.link.rest().await;
            self.worker.id = WorkerId::new();
            self.life = self.sessions.hold_life(self.worker.id)?;
            let sent = Instant::now();
            let answer = match self.link.session().await {
                Ok(session) => {
                    within(self.worker.lease.heartbeat.max(Duration::from_secs(1)), session.register(&self.worker))
                        .await
                }
                Err(error) => Err(error),
            };
            match self.link.judge(answer) {
                Ok(()) => {
                    self.acknowledged(sent);
                    return Ok(self.worker.id);
                }
                Err(error) if is_fatal(&error) => return Err(error),
                Err(_) => {}
            }
        }
    }

    // Returns when the worker was declared lost.
    async fn beat(&mut self) -> Result<()> {
        let interval = self.worker.lease.heartbeat;
        let mut next = Instant::now() + interval;
        loop {
            self.pulse.beat();
            let now = Instant::now();
            if now < next {
                tokio::time::sleep(next.duration_since(now).min(LONGEST_SLEEP)).await;
                continue;
            }
            self.show_life();
            let sent = Instant::now();
            let deadline = self.link.deadline();
            let answer = match self.link.session().await {
                Ok(session) => within(deadline, session.heartbeat(self.worker.id)).await,
                Err(error) => Err(error),
            };
            match self.link.judge(answer) {
                Ok(true) => {
                    self.acknowledged(sent);
                    next = sent + interval;
                }
                Ok(false) => return Ok(()),
                Err(error) if is_fatal(&error) => return Err(error),
                Err(_) => {
                    self.show_life();
                    next = self.link.not_before().unwrap_or(next);
                }
            }
        }
    }

    fn acknowledged(&self, sent: Instant) {
        let until = Some(sent + self.worker.lease.fence());
        self.standing.send_replace(Standing { worker: self.worker.id, until });
    }

    // While this process holds its lock nobody takes its jobs: a transactional task that blocks the file, and so
    // all heartbeats, ends nothing.
    fn show_life(&self) {
        if self.life.is_some() {
            self.acknowledged(Instant::now());
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
                return;
            }
        }
    }
}

//! What happens to jobs, told twice: as log lines for people and as [`Figures`] for a progress bar.
//!
//! One verb, one word: the message of a line is the word for what happened, its fields are `job.id`,
//! `task.name`, `queue.name`, `token` and `duration_ms`. Level `error` means that a person should look.

use std::time::Duration;

use gristmill_core::{Attempt, Claimed, JobId, Outcome, Token, WorkerId};
use tokio::sync::watch;
use tracing::{Level, debug, enabled, error, info, warn};

use crate::failing::{Told, told};

/// What a worker has done so far and does now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Jobs claimed.
    pub claimed: u64,
    /// Attempts that were successful.
    pub done: u64,
    /// Attempts that failed or crashed.
    pub failed: u64,
    /// Attempts that were given back without having started.
    pub handed_back: u64,
    /// Attempts that ended because the worker had to stop or was cut off, or that the database has undone.
    pub interrupted: u64,
    /// Ends that the database refused, because the attempt had been superseded.
    pub stale: u64,
    /// Jobs in the executor.
    pub running: u64,
    /// The last look found more jobs ready.
    pub ready_hint: bool,
    /// The idle flag is set and nothing is there to do.
    pub idle: bool,
}

/// Tells what happens to jobs.
pub(crate) struct Events {
    progress: watch::Sender<Figures>,
}

impl Events {
    pub(crate) fn new() -> Self {
        Self { progress: watch::Sender::new(Figures::default()) }
    }

    pub(crate) fn progress(&self) -> watch::Receiver<Figures> {
        self.progress.subscribe()
    }

    /// Changes the progress; who watches is woken only by a difference.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Figures)) {
        self.progress.send_if_modified(|progress| {
            let before = *progress;
            change(progress);
            *progress != before
        });
    }

    pub(crate) fn claimed(&self, job: &Claimed) {
        debug!(
            target: "gristmill::job", { job.id = %job.id, task.name = %job.lane.task_name,
            queue.name = %job.lane.queue_name, token = job.token.0 }, "claimed"
        );
        self.update(|progress| progress.claimed += 1);
    }

    /// An end that the database accepted.
    pub(crate) fn finished(&self, attempt: &Attempt, took: Option<Duration>) {
        let job = &attempt.claimed;
        let duration_ms = took.map_or(0, |took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        macro_rules! tell {
            ($level:ident, $sentence:expr $(, $field:ident = $value:expr)*) => {
                $level!(
                    target: "gristmill::job",
                    {
                        job.id = %job.id, task.name = %job.lane.task_name, queue.name = %job.lane.queue_name,
                        token = job.token.0, duration_ms $(, $field = $value)*
                    },
                    "{}", $sentence
                )
            };
        }
        match &attempt.outcome {
            Outcome::Successful { .. } => tell!(info, "finished"),
            Outcome::HandedBack => tell!(debug, "handed back"),
            outcome => {
                let Told { sentence, is_final, traceback } = told(attempt);
                let traceback = traceback.filter(|_| is_final || enabled!(target: "gristmill::job", Level::DEBUG));
                match (outcome, traceback) {
                    (_, Some(traceback)) if is_final => {
                        tell!(error, sentence, traceback = tracing::field::display(traceback));
                    }
                    (_, Some(traceback)) => tell!(warn, sentence, traceback = tracing::field::display(traceback)),
                    (Outcome::Postponed { .. }, None) if !is_final => tell!(info, sentence),
                    (Outcome::Crashed { .. } | Outcome::Lost, None) => tell!(error, sentence),
                    _ if is_final => tell!(error, sentence),
                    _ => tell!(warn, sentence),
                }
            }
        }
        self.update(|progress| match &attempt.outcome {
            Outcome::Failed { .. } | Outcome::Crashed { .. } | Outcome::Expired | Outcome::Cancelled { .. } => {
                progress.failed += 1;
            }
            Outcome::Successful { .. } | Outcome::Postponed { .. } | Outcome::Incompatible { .. } => progress.done += 1,
            Outcome::Interrupted | Outcome::Conflict { .. } => progress.interrupted += 1,
            Outcome::HandedBack => progress.handed_back += 1,
            Outcome::Lost => {}
        });
    }

    /// An end that the database refused. One that was sent before may have been accepted then.
    pub(crate) fn superseded(&self, attempt: &Attempt, sent_before: bool) {
        let (id, token) = (attempt.claimed.id, attempt.claimed.token.0);
        let outcome = attempt.outcome.word();
        if sent_before {
            info!(target: "gristmill::job", { job.id = %id, token, outcome }, "superseded, or accepted when it was sent before");
        } else {
            warn!(target: "gristmill::job", { job.id = %id, token, outcome }, "superseded: the attempt was not this worker's any more");
        }
        self.update(|progress| progress.stale += 1);
    }

    /// Open attempts that the database knew of and nobody held: the answer to their claim was lost.
    pub(crate) fn handed_back_unheld(&self, attempts: &[(JobId, Token)]) {
        for (id, token) in attempts {
            info!(target: "gristmill::job", { job.id = %id, token = token.0 }, "handed back: the answer to its claim was lost");
        }
        self.update(|progress| progress.handed_back += attempts.len() as u64);
    }
}

/// Another worker kept silent past its lease.
pub(crate) fn suspected(worker: WorkerId) {
    warn!(target: "gristmill::worker", { worker.id = %worker }, "another worker is silent: if it stays so, its jobs run here");
}

/// Another worker was declared lost.
pub(crate) fn lost(worker: WorkerId) {
    error!(
        target: "gristmill::worker", { worker.id = %worker },
        "lost: another worker ended without a word, as by a kill -9; what it had is taken over"
    );
}

/// A job of a vanished worker was taken over.
pub(crate) fn rescued(attempt: &Attempt) {
    let job = &attempt.claimed;
    error!(
        target: "gristmill::job", { job.id = %job.id, task.name = %job.lane.task_name,
        queue.name = %job.lane.queue_name, token = job.token.0 }, "{}", told(attempt).sentence
    );
}

//! What becomes of attempts that have ended: their ends and notes are written, and who asked is told what was accepted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gristmill_core::{Attempt, Claimed, JobId, Note, Outcome, Progress, State, Token};
use gristmill_store::Finished;
use tracing::warn;

use super::Key;
use super::answers::Failure;
use super::completions::Completions;
use super::verdicts::Verdicts;
use crate::events::Events;
use crate::pulse::Counter;

/// Most notes on attempts that wait to be written, while the database is away.
const NOTES: usize = 1_000;

/// Ends on their way into the database, and what is known of those that have arrived.
pub(super) struct Completing {
    completions: Completions,
    verdicts: Verdicts,
    /// What is to be added to attempts that have ended.
    notes: Vec<Note>,
    /// Told of each end that was accepted.
    counter: Arc<Counter>,
}

impl Completing {
    pub(super) fn new(counter: Arc<Counter>) -> Self {
        Self { completions: Completions::new(), verdicts: Verdicts::default(), notes: Vec::new(), counter }
    }

    // --- what has ended ----------------------------------------------------------------------------------

    /// An attempt has ended; what its handler said last is written before that.
    pub(super) fn ended(&mut self, attempt: Attempt, took: Option<Duration>, said: Option<Progress>) {
        self.completions.push(attempt, took, said);
    }

    /// A claimed job does not start.
    pub(super) fn never_started(&mut self, job: Claimed, outcome: Outcome) {
        self.completions.push(Attempt::unstarted(job, outcome), None, None);
    }

    /// The executor asks what becomes of the end of this attempt.
    pub(super) fn asked(&mut self, claimed: &Claimed) {
        self.verdicts.asked(claimed);
    }

    /// An end was written with its handler's own transaction.
    pub(super) fn written_elsewhere(&mut self, attempt: &Attempt, took: Option<Duration>) {
        self.counter.count(attempt, took, false);
        self.verdicts.written(attempt);
    }

    /// Something is to be added to the output of an attempt.
    pub(super) fn note(&mut self, note: Note) {
        if self.notes.len() < NOTES {
            self.notes.push(note);
        } else {
            lose(&note);
        }
    }

    // --- what is to be written ---------------------------------------------------------------------------

    /// Ends that have no answer yet.
    pub(super) fn unwritten(&self) -> usize {
        self.completions.len()
    }

    /// Ends that may be sent now.
    pub(super) fn due(&self, now: Instant) -> usize {
        self.completions.due(now)
    }

    /// When an end that was put off is tried again.
    pub(super) fn next_try(&self) -> Option<Instant> {
        self.completions.next_try()
    }

    /// Whether this attempt's end has no answer yet.
    pub(super) fn contains(&self, key: Key) -> bool {
        self.completions.contains(key)
    }

    /// There are neither ends nor notes.
    pub(super) fn is_empty(&self) -> bool {
        self.completions.len() == 0 && self.notes.is_empty()
    }

    /// Takes up to `limit` ends to be sent, and what their handlers said last.
    pub(super) fn send(&mut self, limit: usize, now: Instant) -> (Vec<Attempt>, Vec<Progress>) {
        let attempts = self.completions.send(limit, now);
        (attempts, self.completions.said())
    }

    /// Whether there are notes to be written; not before the ends that they are about.
    pub(super) fn may_note(&self) -> bool {
        let is_about_what_is_here = |note: &Note| self.completions.contains((note.job, note.token));
        !self.notes.is_empty() && !self.notes.iter().any(is_about_what_is_here)
    }

    /// Takes the notes to be sent.
    pub(super) fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    // --- what came of it ---------------------------------------------------------------------------------

    /// The database's answer; the worker's lease lasts, or not.
    pub(super) fn written(&mut self, finished: &Finished, holds: bool, now: Instant, events: &Events) {
        for completion in self.completions.answered(&finished.held, now) {
            let (key, attempt) = (completion.key(), &completion.attempt);
            let is_accepted = finished.accepted.contains(&key);
            if is_accepted {
                events.finished(attempt, completion.took);
            } else {
                events.superseded(attempt, completion.sent_before);
            }
            let is_cancelled = finished.cancelled.contains(&key);
            let was_accepted = completion.sent_before && holds && attempt.outcome.is_successful();
            if is_accepted || is_cancelled || was_accepted {
                self.counter.count(attempt, completion.took, is_cancelled);
            }
            if is_cancelled {
                self.verdicts.cancelled(key);
            } else if is_accepted || was_accepted {
                // While its lease lasts nobody else ends its attempts, so what was sent before was accepted then: as it was,
                // if it was a success. Any other end may have lost to a cancel request; what is not known is not told.
                self.verdicts.written(attempt);
            } else {
                self.verdicts.superseded(key);
            }
        }
    }

    /// The turn that they were sent with failed; nothing else was in it, or a claim.
    pub(super) fn failed(&mut self, failure: &Failure<'_>, alone: bool, now: Instant) {
        match failure {
            Failure::Refused(why) => self.completions.refused(why, alone, now),
            Failure::Held if alone => self.completions.held(now),
            Failure::Held => self.completions.not_sent(),
            Failure::Unanswered => self.completions.unanswered(),
        }
    }

    /// Notes could not be written: they are tried again, unless they were refused.
    pub(super) fn notes_failed(&mut self, notes: Vec<Note>, failure: &Failure<'_>) {
        if matches!(failure, Failure::Refused(_)) {
            notes.iter().for_each(lose);
        } else {
            self.notes.splice(..0, notes).for_each(drop);
        }
    }

    /// The worker has another name: what its database says of these ends is not known any more.
    pub(super) fn give_up(&mut self) {
        self.verdicts.give_up();
    }

    /// What has become of the ends that were asked about, once each.
    pub(super) fn known(&mut self) -> Vec<(JobId, Token, Option<State>)> {
        self.verdicts.known()
    }

    /// As if what it is told were true at once.
    #[cfg(test)]
    pub(super) fn tell_too_soon(&mut self) {
        self.verdicts.are_hasty = true;
    }
}

fn lose(note: &Note) {
    warn!(target: "gristmill::dispatcher", { job.id = %note.job }, "not added to its output: {}", note.text);
}

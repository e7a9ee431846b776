//! What was asked of a simulated job, and what follows from it.

use gristmill_core::{Expiry, JobId, OnCrash, OnPreconditionFailure, StoredOptions, Token, state};
use gristmill_store::{NewJob, UniqueUntil};

/// How long simulated workers keep jobs that have no retention of their own.
pub(super) const RETENTION_SECONDS: i64 = 300;
/// No job is forgotten sooner.
const SHORTEST_RETENTION_SECONDS: i64 = 60;

/// What was asked of a job.
pub(super) struct Asked {
    pub(super) expires_at: Option<i64>,
    max_attempts: Option<u32>,
    max_postpones: Option<u32>,
    runs_once: bool,
    /// Nobody who knows these options is there, so it must never start.
    pub(super) unreadable: bool,
    pub(super) key: Option<String>,
    until: UniqueUntil,
    /// How long after its end it must not be forgotten, in microseconds.
    pub(super) kept: i64,
    pub(super) generation: i64,
    pub(super) after: Vec<JobId>,
    pub(super) on_precondition_failure: OnPreconditionFailure,
    /// Attempts that have failed in this generation, as the oracle counts them.
    failed: u32,
}

/// What a job has been through in this generation.
pub(super) struct Counted {
    pub(super) failures: i64,
    pub(super) crashes: i64,
    pub(super) losses: i64,
    pub(super) postpones: i64,
    pub(super) interruptions: i64,
}

impl Asked {
    pub(super) fn of(job: &NewJob, now: i64) -> Self {
        let stored = StoredOptions::of(job.options_json.clone());
        let options = stored.read().clone();
        #[allow(clippy::cast_possible_truncation)]
        let micros = |seconds: f64| (seconds * 1e6) as i64;
        Self {
            expires_at: options.expires.map(|expires| match expires {
                Expiry::After(seconds) => now + micros(seconds),
                Expiry::At(moment) => moment.unix_micros().expect("a moment"),
            }),
            max_attempts: options.max_attempts,
            max_postpones: options.max_postpones,
            runs_once: options.on_crash == OnCrash::Fail,
            unreadable: stored.unreadable().is_some(),
            key: job.unique_key.clone(),
            until: job.unique_until,
            kept: job
                .retention
                .map_or(RETENTION_SECONDS * 1_000_000, micros)
                .max(SHORTEST_RETENTION_SECONDS * 1_000_000),
            generation: 1,
            after: job.after.clone(),
            on_precondition_failure: job.on_precondition_failure,
            failed: 0,
        }
    }

    pub(super) fn retried(&mut self) {
        self.generation += 1;
        self.failed = 0;
    }

    /// An attempt has ended, and this is where the job is now.
    pub(super) fn attempted(&mut self, outcome: &str, place: &str, counted: Option<&Counted>) -> Result<(), String> {
        let came_to_its_end = ["successful", "failed", "postponed"].contains(&outcome);
        if came_to_its_end && counted.is_some_and(|counted| counted.losses + counted.interruptions > 0) {
            return Err(format!("is held to what it outlived, after it {outcome}"));
        }
        let cut_short = ["crashed", "lost", "interrupted", "conflict"].contains(&outcome);
        if cut_short && self.runs_once && place != "result" {
            return Err(format!("must not run twice, was {outcome} and is {place}"));
        }
        self.failed += u32::from(outcome == "failed");
        let most = self.max_attempts.unwrap_or(u32::MAX);
        if self.failed > most || (self.failed == most && place != "result") {
            return Err(format!("may fail {most} times, has failed {} times and is {place}", self.failed));
        }
        Ok(())
    }

    /// Whether it may keep another job with its key from being made, where it is.
    pub(super) fn holds_its_key(&self, place: &str) -> bool {
        let waits = ["ready", "scheduled", "held", "waiting", "stranded"].contains(&place);
        match self.until {
            UniqueUntil::Started | UniqueUntil::EachStart => waits,
            UniqueUntil::Finished => waits || place == "running",
            UniqueUntil::Pruned => true,
        }
    }

    /// Whether no other job can have its key. One that had been claimed and came back has it only if nobody took it
    /// meanwhile.
    pub(super) fn holds_its_key_for_sure(&self, place: &str, token: Token) -> bool {
        let is_freed_by_claims = matches!(self.until, UniqueUntil::Started | UniqueUntil::EachStart);
        self.holds_its_key(place) && (!is_freed_by_claims || token == Token(0))
    }

    /// Whether it may be in this place after all that.
    pub(super) fn judge(&self, place: &str, counted: &Counted) -> Result<(), String> {
        // Who has used up its last chance has ended.
        let within = |count: i64, cap: u32| if place == "result" { count <= cap.into() } else { count < cap.into() };
        let attempts = self.max_attempts.unwrap_or(u32::MAX);
        let postpones = self.max_postpones.unwrap_or(u32::MAX - 1) + 1;
        if within(counted.crashes, state::CRASHES_IN_A_ROW)
            && within(counted.losses, state::LOSSES)
            && within(counted.interruptions, state::INTERRUPTIONS)
            && within(counted.failures, attempts)
            && within(counted.postpones, postpones)
        {
            return Ok(());
        }
        let Counted { failures, crashes, losses, postpones, interruptions } = counted;
        Err(format!(
            "{failures} failures, {crashes} crashes, {losses} losses, {postpones} postpones, {interruptions} stops"
        ))
    }
}

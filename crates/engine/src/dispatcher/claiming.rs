//! What may be claimed: from which cursors, how many, and from when on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gristmill_core::{ClaimCursor, Claimed};

use super::answers::Failure;
use super::cursors::ClaimCursors;
use super::in_flight::InFlight;
use super::serves::Serves;
use super::turn::Claim;
use crate::Options;
use crate::schedules::FirstLook;

/// After a job that the executor gave back unasked: first and longest pause before the next claim. It doubles while
/// nothing else ends, so that a job which no runner will start does not go round and round.
const GIVEN_BACK: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(5));
/// Claims that somebody's lock keeps back altogether are tried again after this.
pub(super) const AFTER_A_LOCK: Duration = Duration::from_millis(100);

/// What this worker takes, and what keeps it from taking more.
pub(super) struct Claiming {
    pub(super) serves: Arc<Serves>,
    cursors: ClaimCursors,
    /// Who works until all is done claims nothing before what is due has its jobs.
    pub(super) first_look: FirstLook,
    /// Jobs that may still be claimed; `None` is no limit.
    allowance: Option<u64>,
    /// A fused turn was refused: finish and claim by themselves, so that neither is blamed for the other.
    apart: bool,
    /// Jobs given back unasked, in a row.
    given_back: u32,
    /// Nothing is claimed before.
    not_before: Option<Instant>,
}

impl Claiming {
    pub(super) fn new(options: &Options, tasks: &[String], first_look: FirstLook) -> Self {
        let once = options.once.then(|| u64::from(options.processes));
        Self {
            serves: Arc::new(Serves::new(options, tasks)),
            cursors: ClaimCursors::default(),
            first_look,
            allowance: [once, options.max_jobs].into_iter().flatten().min(),
            apart: false,
            given_back: 0,
            not_before: None,
        }
    }

    // --- what may be claimed now -------------------------------------------------------------------------

    /// How many jobs at most, whatever room there is.
    pub(super) fn most(&self, now: Instant) -> usize {
        if self.not_before.is_some_and(|instant| now < instant) || !self.first_look.is_over() {
            return 0;
        }
        self.allowance.map_or(usize::MAX, |left| usize::try_from(left).unwrap_or(usize::MAX))
    }

    /// Whether there is a cursor whose queue may take more jobs.
    pub(super) fn may_ask(&self, in_flight: &InFlight) -> bool {
        self.cursors.any(|queue| in_flight.left(queue))
    }

    /// What to ask for, of at most so many jobs; nothing where ends are written, and both are to go by themselves.
    pub(super) fn ask(&self, jobs: usize, finishes: bool, in_flight: &InFlight) -> Option<Claim> {
        let claims = jobs > 0 && !(self.apart && finishes);
        claims.then(|| {
            let (cursors, most) = self.cursors.next(|queue| in_flight.left(queue));
            let limit = if cursors.is_empty() { jobs } else { jobs.min(most) };
            Claim { cursors, limit, serves: Arc::clone(&self.serves) }
        })
    }

    /// When it may claim again.
    pub(super) fn not_before(&self) -> Option<Instant> {
        self.not_before
    }

    /// Whether all has been claimed that may be.
    pub(super) fn is_exhausted(&self) -> bool {
        self.allowance == Some(0)
    }

    /// No cursor is known behind which there are jobs.
    pub(super) fn knows_no_cursor(&self) -> bool {
        self.cursors.is_empty()
    }

    // --- what changes that -------------------------------------------------------------------------------

    /// A survey found these cursors.
    pub(super) fn surveyed(&mut self, found: Vec<ClaimCursor>) {
        self.cursors.surveyed(found, &self.serves);
    }

    /// These cursors got jobs.
    pub(super) fn learn(&mut self, readied: Vec<ClaimCursor>) {
        self.cursors.learn(readied, &self.serves);
    }

    /// The answer to a claim.
    pub(super) fn claimed(&mut self, claim: &Claim, asked: &[ClaimCursor], claimed: &[Claimed]) {
        self.apart = false;
        self.cursors.claimed(asked, claim.limit, claimed);
    }

    /// So many of them start.
    pub(super) fn started(&mut self, jobs: usize) {
        if let Some(left) = &mut self.allowance {
            *left = left.saturating_sub(jobs as u64);
        }
    }

    /// One did not start, and is no part of what may be claimed.
    pub(super) fn handed_back(&mut self) {
        if let Some(left) = &mut self.allowance {
            *left += 1;
        }
    }

    /// Nothing more is wanted.
    pub(super) fn exhaust(&mut self) {
        self.allowance = Some(0);
    }

    /// A job has left the executor, given back though nobody asked for it, or not.
    pub(super) fn left(&mut self, given_back_unasked: bool, now: Instant) {
        if !given_back_unasked {
            self.given_back = 0;
            return;
        }
        let pause = GIVEN_BACK.0.saturating_mul(1 << self.given_back.min(10)).min(GIVEN_BACK.1);
        self.given_back = self.given_back.saturating_add(1);
        self.not_before = Some(now + pause);
    }

    /// A claim came to nothing, as far as one knows; the ends in the same turn may be to blame.
    pub(super) fn failed(&mut self, failure: &Failure<'_>, now: Instant) {
        self.apart = !matches!(failure, Failure::Unanswered);
        self.cursors.clear();
        if matches!(failure, Failure::Held) {
            self.not_before = Some(now + AFTER_A_LOCK);
        }
    }

    /// What was known is of another worker's time, or of other code.
    pub(super) fn forget(&mut self) {
        self.cursors.clear();
    }

    /// These tasks are served from here on.
    pub(super) fn imported(&mut self, options: &Options, tasks: &[String]) {
        self.serves = Arc::new(Serves::new(options, tasks));
        self.forget();
    }
}

//! Which open attempts the database says are this worker's, where that and what it holds may disagree. Pure.

use super::Key;
use super::answers::Failure;

/// What is doubtful, and what an audit has found.
#[derive(Default)]
pub(super) struct Ownership {
    in_doubt: bool,
    /// A claim got no answer and nobody has asked since what it did.
    claim_unanswered: bool,
    /// Attempts that the database has and nobody holds.
    unheld: Vec<Key>,
}

impl Ownership {
    /// Now is a good time to ask.
    pub(super) fn doubt(&mut self) {
        self.in_doubt = true;
    }

    /// As if no doubt had come up.
    #[cfg(test)]
    pub(super) fn forget_doubt(&mut self) {
        self.in_doubt = false;
    }

    /// The database is to be asked.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.in_doubt
    }

    /// Nothing is left to ask or to give back because of a claim.
    pub(super) fn is_settled(&self) -> bool {
        self.unheld.is_empty() && !self.claim_unanswered
    }

    /// The database is being asked.
    pub(super) fn auditing(&mut self) {
        self.in_doubt = false;
    }

    /// The answer: these are the worker's in the database, and nowhere else.
    pub(super) fn audited(&mut self, unheld: Vec<Key>) {
        self.claim_unanswered = false;
        self.unheld = unheld;
    }

    /// What is to be given back, if there is any.
    pub(super) fn take_unheld(&mut self) -> Option<Vec<Key>> {
        (!self.unheld.is_empty()).then(|| std::mem::take(&mut self.unheld))
    }

    /// A claim came to nothing, as far as one knows.
    pub(super) fn claim_failed(&mut self, failure: &Failure<'_>) {
        self.in_doubt |= !matches!(failure, Failure::Held);
        self.claim_unanswered |= matches!(failure, Failure::Unanswered);
    }

    /// The database was not asked, or nothing was given back. What is refused, or what somebody's lock keeps back, is left
    /// alone until the next heartbeat asks again.
    pub(super) fn audit_failed(&mut self, failure: &Failure<'_>) {
        self.in_doubt = matches!(failure, Failure::Unanswered);
    }
}

//! Gristmill's nouns and decisions. No input, no output, no async, no SQL: given a job, an outcome and the
//! time, everything here is a pure answer. The one thing read from outside is a time zone's rules ([`schedule::Zone`]).

pub mod attempt;
pub mod backoff;
pub mod counts;
pub mod fingerprint;
pub mod graph;
pub mod id;
pub mod job;
pub mod lease;
pub mod moment;
pub mod on_precondition_failure;
pub mod options;
pub mod pulse;
pub mod schedule;
pub mod state;

pub use attempt::{Advice, Attempt, Note, Outcome, Progress, Text, Until};
pub use backoff::Backoff;
pub use counts::Counts;
pub use fingerprint::{Fingerprint, fingerprint};
pub use graph::cycle;
pub use id::{JobId, PulseId, Token, WorkerId};
pub use job::{ClaimCursor, Claimed, Lane, Misfits, UniqueUntil};
pub use lease::Lease;
pub use moment::Moment;
pub use on_precondition_failure::OnPreconditionFailure;
pub use options::{Expiry, OnCrash, Options, StoredOptions};
pub use pulse::{Beat, Histogram, Pulse, Tally};
pub use state::{Next, Reason, State, decide, retried_classes, retries_conflict};

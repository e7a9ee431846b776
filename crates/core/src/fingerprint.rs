//! What jobs that failed alike have in common: one task, one class of exception, and one error, but for what differs
//! from job to job. Stored with the job's result, it names a group of failures; `line` says what does not differ.

mod line;

use std::fmt;

use crate::{Claimed, Next, Outcome, State};
pub use line::{MOST_OF_A_LINE, normalised};

/// Names a group of failures, the same on every machine and in every version: 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint(u64);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The group of a job that ends as failed or poisoned by this attempt; `None` for one that goes on or ends otherwise.
/// What people did by cancelling is no failure.
pub fn fingerprint(claimed: &Claimed, outcome: &Outcome, next: &Next) -> Option<Fingerprint> {
    let Next::Finished { state: state @ (State::Failed | State::Poisoned), reason } = next else { return None };
    let (class, said) = match outcome {
        Outcome::Failed { exception_class_path: class, traceback, .. }
        | Outcome::Conflict { exception_class_path: class, traceback } => {
            (class.as_str(), line::of_error(traceback, class))
        }
        Outcome::Crashed { how: why } | Outcome::Incompatible { why } => ("", why.as_str()),
        _ => ("", ""),
    };
    // An exception says more than the reason, which also depends on how often the job had been tried.
    let what = if class.is_empty() { reason.map_or("", crate::Reason::word) } else { class };
    let normal = normalised(said);
    let parts = [claimed.lane.backend.as_str(), claimed.lane.task_name.as_str(), state.word(), what, &normal];
    Some(Fingerprint(hashed(&parts)))
}

/// FNV-1a of 64 bits, of texts that are kept apart. It is stored: another function would part what is one group.
fn hashed(parts: &[&str]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0xff]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests;

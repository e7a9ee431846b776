//! What a job that waits for others makes of it where too many of them fail.

use serde::{Deserialize, Serialize};

/// What becomes of a job of whose preconditions too many have failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnPreconditionFailure {
    /// The job stays where it is, stranded, until enough of them are retried.
    #[default]
    Strand,
    /// The job runs all the same: to have failed is as good as to have been successful.
    Proceed,
    /// The job fails too.
    Fail,
}

impl OnPreconditionFailure {
    /// The word stored in the database and in a job's options.
    pub fn word(self) -> &'static str {
        match self {
            Self::Strand => "strand",
            Self::Proceed => "proceed",
            Self::Fail => "fail",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_failure_means_is_stored_as_its_word() {
        for on_precondition_failure in
            [OnPreconditionFailure::Strand, OnPreconditionFailure::Proceed, OnPreconditionFailure::Fail]
        {
            let stored = serde_json::to_value(on_precondition_failure).unwrap();
            assert_eq!(stored, on_precondition_failure.word());
            assert_eq!(serde_json::from_value::<OnPreconditionFailure>(stored).unwrap(), on_precondition_failure);
        }
    }
}

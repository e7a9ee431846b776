//! What a job that waits for others makes of how they fare: whether it may run, has to wait, or cannot run any more.

use serde::{Deserialize, Serialize};

/// What becomes of a job of whose preconditions too many have failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// It stays where it is, stranded, until enough of them are retried.
    #[default]
    Strand,
    /// It runs all the same: to have failed is as good as to have been successful.
    Proceed,
    /// It fails too.
    Fail,
}

impl OnFailure {
    /// The word stored in the database and in a job's options.
    pub fn word(self) -> &'static str {
        match self {
            Self::Strand => "strand",
            Self::Proceed => "proceed",
            Self::Fail => "fail",
        }
    }
}

/// What a job waits for, and how far that has come. The counts are of its preconditions: cancelled, poisoned and stranded
/// ones are failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gate {
    /// How many of them have to be done: all when `None`, and never more than there are.
    pub needed: Option<u32>,
    /// What it means when too many have failed.
    pub on_failure: OnFailure,
    /// Those that have not ended.
    pub open: u64,
    /// Those that were successful.
    pub successful: u64,
    /// Those that were not.
    pub failed: u64,
}

/// What a gate says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not yet.
    Waits,
    /// The job may run.
    Holds,
    /// Too few can still be done.
    Hopeless,
}

impl Gate {
    /// What it says as things stand.
    pub fn verdict(&self) -> Verdict {
        let total = self.open.saturating_add(self.successful).saturating_add(self.failed);
        let needed = self.needed.map_or(total, u64::from).min(total);
        let proceeds = self.on_failure == OnFailure::Proceed;
        let done = self.successful.saturating_add(if proceeds { self.failed } else { 0 });
        if done >= needed {
            Verdict::Holds
        } else if !proceeds && self.successful.saturating_add(self.open) < needed {
            Verdict::Hopeless
        } else {
            Verdict::Waits
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: Option<u32> = None;
    const ANY: Option<u32> = Some(1);

    fn verdict(needed: Option<u32>, on_failure: OnFailure, (open, successful, failed): (u64, u64, u64)) -> Verdict {
        Gate { needed, on_failure, open, successful, failed }.verdict()
    }

    #[test]
    fn all_waits_for_the_last_and_is_hopeless_with_the_first_that_fails() {
        assert_eq!(verdict(ALL, OnFailure::Strand, (1, 2, 0)), Verdict::Waits);
        assert_eq!(verdict(ALL, OnFailure::Strand, (0, 3, 0)), Verdict::Holds);
        assert_eq!(verdict(ALL, OnFailure::Strand, (1, 1, 1)), Verdict::Hopeless);
        assert_eq!(verdict(ALL, OnFailure::Fail, (1, 1, 1)), Verdict::Hopeless);
    }

    #[test]
    fn any_holds_with_the_first_and_is_hopeless_only_when_none_is_left() {
        assert_eq!(verdict(ANY, OnFailure::Strand, (2, 1, 0)), Verdict::Holds);
        assert_eq!(verdict(ANY, OnFailure::Strand, (1, 0, 2)), Verdict::Waits);
        assert_eq!(verdict(ANY, OnFailure::Strand, (0, 0, 3)), Verdict::Hopeless);
    }

    #[test]
    fn at_least_so_many_is_hopeless_when_too_few_can_still_be_successful() {
        assert_eq!(verdict(Some(2), OnFailure::Fail, (1, 1, 2)), Verdict::Waits);
        assert_eq!(verdict(Some(2), OnFailure::Fail, (0, 1, 3)), Verdict::Hopeless);
        assert_eq!(verdict(Some(2), OnFailure::Fail, (1, 2, 1)), Verdict::Holds);
    }

    #[test]
    fn who_proceeds_counts_a_failure_as_done() {
        assert_eq!(verdict(ALL, OnFailure::Proceed, (1, 0, 2)), Verdict::Waits);
        assert_eq!(verdict(ALL, OnFailure::Proceed, (0, 1, 2)), Verdict::Holds);
        assert_eq!(verdict(ANY, OnFailure::Proceed, (2, 0, 1)), Verdict::Holds);
    }

    #[test]
    fn nothing_to_wait_for_holds_and_no_more_is_needed_than_there_is() {
        for on_failure in [OnFailure::Strand, OnFailure::Proceed, OnFailure::Fail] {
            for needed in [ALL, ANY, Some(u32::MAX)] {
                assert_eq!(verdict(needed, on_failure, (0, 0, 0)), Verdict::Holds);
                assert_eq!(verdict(needed, on_failure, (0, 2, 0)), Verdict::Holds);
            }
        }
    }

    #[test]
    fn what_a_failure_means_is_stored_as_its_word() {
        for on_failure in [OnFailure::Strand, OnFailure::Proceed, OnFailure::Fail] {
            let stored = serde_json::to_value(on_failure).unwrap();
            assert_eq!(stored, on_failure.word());
            assert_eq!(serde_json::from_value::<OnFailure>(stored).unwrap(), on_failure);
        }
    }

    fn gates() -> impl Strategy<Value = Gate> {
        let on_failure = prop_oneof![Just(OnFailure::Strand), Just(OnFailure::Proceed), Just(OnFailure::Fail)];
        (proptest::option::of(1_u32..6), on_failure, 0_u64..5, 0_u64..5, 0_u64..5).prop_map(
            |(needed, on_failure, open, successful, failed)| Gate { needed, on_failure, open, successful, failed },
        )
    }

    proptest! {
        #[test]
        fn a_gate_waits_only_for_what_has_not_ended(gate in gates()) {
            prop_assert!(gate.open > 0 || gate.verdict() != Verdict::Waits);
        }

        #[test]
        fn a_gate_that_waits_can_still_come_to_hold_and_a_hopeless_one_cannot(gate in gates()) {
            let best = Gate { open: 0, successful: gate.successful + gate.open, ..gate };
            let can = best.verdict() == Verdict::Holds;
            prop_assert_eq!(can, gate.verdict() != Verdict::Hopeless);
        }

        #[test]
        fn whatever_ends_a_verdict_stands(gate in gates(), successful in any::<bool>()) {
            prop_assume!(gate.open > 0);
            let after = if successful {
                Gate { open: gate.open - 1, successful: gate.successful + 1, ..gate }
            } else {
                Gate { open: gate.open - 1, failed: gate.failed + 1, ..gate }
            };
            prop_assert!(gate.verdict() == Verdict::Waits || after.verdict() == gate.verdict());
        }

        #[test]
        fn a_retry_gives_back_hope(gate in gates()) {
            prop_assume!(gate.failed > 0 && gate.verdict() == Verdict::Hopeless);
            let all_retried = Gate { open: gate.open + gate.failed, failed: 0, ..gate };
            prop_assert_eq!(all_retried.verdict(), Verdict::Waits);
        }

        #[test]
        fn who_proceeds_is_never_without_hope(gate in gates()) {
            let gate = Gate { on_failure: OnFailure::Proceed, ..gate };
            prop_assert!(gate.verdict() != Verdict::Hopeless);
        }

        #[test]
        fn no_counts_overflow(needed: Option<u32>, open: u64, successful: u64, failed: u64) {
            for on_failure in [OnFailure::Strand, OnFailure::Proceed, OnFailure::Fail] {
                let _ = Gate { needed, on_failure, open, successful, failed }.verdict();
            }
        }
    }
}

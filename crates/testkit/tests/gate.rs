//! What a gate promises, whatever its counts.

use gristmill_core::OnPreconditionFailure;
use gristmill_testkit::gate::{Gate, Verdict};
use proptest::prelude::*;

const ALL: Option<u32> = None;
const ANY: Option<u32> = Some(1);

fn verdict(
    needed: Option<u32>,
    on_precondition_failure: OnPreconditionFailure,
    (open, successful, failed): (u64, u64, u64),
) -> Verdict {
    Gate { needed, on_precondition_failure, open, successful, failed }.verdict()
}

#[test]
fn all_waits_for_the_last_and_is_hopeless_with_the_first_that_fails() {
    assert_eq!(verdict(ALL, OnPreconditionFailure::Strand, (1, 2, 0)), Verdict::Waits);
    assert_eq!(verdict(ALL, OnPreconditionFailure::Strand, (0, 3, 0)), Verdict::Holds);
    assert_eq!(verdict(ALL, OnPreconditionFailure::Strand, (1, 1, 1)), Verdict::Hopeless);
    assert_eq!(verdict(ALL, OnPreconditionFailure::Fail, (1, 1, 1)), Verdict::Hopeless);
}

#[test]
fn any_holds_with_the_first_and_is_hopeless_only_when_none_is_left() {
    assert_eq!(verdict(ANY, OnPreconditionFailure::Strand, (2, 1, 0)), Verdict::Holds);
    assert_eq!(verdict(ANY, OnPreconditionFailure::Strand, (1, 0, 2)), Verdict::Waits);
    assert_eq!(verdict(ANY, OnPreconditionFailure::Strand, (0, 0, 3)), Verdict::Hopeless);
}

#[test]
fn at_least_so_many_is_hopeless_when_too_few_can_still_be_successful() {
    assert_eq!(verdict(Some(2), OnPreconditionFailure::Fail, (1, 1, 2)), Verdict::Waits);
    assert_eq!(verdict(Some(2), OnPreconditionFailure::Fail, (0, 1, 3)), Verdict::Hopeless);
    assert_eq!(verdict(Some(2), OnPreconditionFailure::Fail, (1, 2, 1)), Verdict::Holds);
}

#[test]
fn who_proceeds_counts_a_failure_as_done() {
    assert_eq!(verdict(ALL, OnPreconditionFailure::Proceed, (1, 0, 2)), Verdict::Waits);
    assert_eq!(verdict(ALL, OnPreconditionFailure::Proceed, (0, 1, 2)), Verdict::Holds);
    assert_eq!(verdict(ANY, OnPreconditionFailure::Proceed, (2, 0, 1)), Verdict::Holds);
}

#[test]
fn nothing_to_wait_for_holds_and_no_more_is_needed_than_there_is() {
    for on_precondition_failure in
        [OnPreconditionFailure::Strand, OnPreconditionFailure::Proceed, OnPreconditionFailure::Fail]
    {
        for needed in [ALL, ANY, Some(u32::MAX)] {
            assert_eq!(verdict(needed, on_precondition_failure, (0, 0, 0)), Verdict::Holds);
            assert_eq!(verdict(needed, on_precondition_failure, (0, 2, 0)), Verdict::Holds);
        }
    }
}

fn gates() -> impl Strategy<Value = Gate> {
    let on_precondition_failure = prop_oneof![
        Just(OnPreconditionFailure::Strand),
        Just(OnPreconditionFailure::Proceed),
        Just(OnPreconditionFailure::Fail)
    ];
    (proptest::option::of(1_u32..6), on_precondition_failure, 0_u64..5, 0_u64..5, 0_u64..5).prop_map(
        |(needed, on_precondition_failure, open, successful, failed)| Gate {
            needed,
            on_precondition_failure,
            open,
            successful,
            failed,
        },
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
        let gate = Gate { on_precondition_failure: OnPreconditionFailure::Proceed, ..gate };
        prop_assert!(gate.verdict() != Verdict::Hopeless);
    }

    #[test]
    fn no_counts_overflow(needed: Option<u32>, open: u64, successful: u64, failed: u64) {
        for on_precondition_failure in
            [OnPreconditionFailure::Strand, OnPreconditionFailure::Proceed, OnPreconditionFailure::Fail]
        {
            let _ = Gate { needed, on_precondition_failure, open, successful, failed }.verdict();
        }
    }
}

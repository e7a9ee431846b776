"""The bugs that `tests/plants` plants: each still has its place, and what finds it is read rightly."""

from __future__ import annotations

from collections import Counter

import plant_steps
import pytest
from findings import Finding, findings, is_built
from plants import PLANTS, Plant
from test_tree import ROOT, text_of


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.bug)
def test_every_bug_can_still_be_planted(plant: Plant) -> None:
    assert plant.does_not_apply(text_of(ROOT / plant.file)) == "", "the guard has moved: so must the plant"
    assert plant.step in plant_steps.steps("")


def test_no_bug_is_planted_twice() -> None:
    assert [bug for bug, times in Counter(plant.bug for plant in PLANTS).items() if times > 1] == []
    assert len(PLANTS) >= 20


CARGO = """
---- state::tests::a_failed_attempt_fails stdout ----

thread 'state::tests::a_failed_attempt_fails' (31502) panicked at crates/core/src/state/tests.rs:61:5:
assertion `left == right` failed
note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace

---- sim::no_step stdout ----

thread '<unnamed>' (31506) panicked at crates/engine/src/sim/mod.rs:82:13:
SEED=7: step 9: two live attempts

test result: FAILED. 21 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.27s
error: test failed, to rerun pass `-p gristmill-core --lib`
"""
CONFORMANCE = """
test a_job_without_a_date_is_ready ... ok

thread 'hosted::a_stale_finish_changes_nothing' (4711) panicked at crates/testkit/src/conformance/finish.rs:199:9:
assertion `left == right` failed
test hosted::a_stale_finish_changes_nothing ... FAILED

231 asked, 1 failed hosted::a_stale_finish_changes_nothing
"""
PYTEST = """
...F.                                                                    [100%]
=================================== FAILURES ===================================
________________ test_a_tail_is_kept[x] ________________

runner = <shop.Runner>

    def test_a_tail_is_kept(runner):
>       told = runner.fail("give")

python/tests/test_runner.py:224:
_ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _

python/tests/supervisor.py:90: in fail
    assert kind == "F"
E   AssertionError

python/gristmill/runner/frame.py:12: AssertionError
________________________ ERROR at setup of test_nothing ________________________
tests/journeys/conftest.py:33: in template
    raise OSError
E   OSError
=========================== short test summary info ============================
FAILED python/tests/test_runner.py::test_a_tail_is_kept[x] - AssertionError
1 failed, 4 passed, 1 error in 3.20s
"""


def test_failed_assertions_are_read_with_their_tests() -> None:
    assert findings(CARGO) == {
        Finding("state::tests::a_failed_attempt_fails", "crates/core/src/state/tests.rs:61"),
        Finding("sim::no_step", "crates/engine/src/sim/mod.rs:82"),
    }
    # A question is the same over whatever connection it is asked.
    assert findings(CONFORMANCE) == {
        Finding("a_stale_finish_changes_nothing", "crates/testkit/src/conformance/finish.rs:199")
    }
    assert findings(PYTEST) == {
        Finding("test_a_tail_is_kept", "python/tests/supervisor.py:90"),
        Finding("test_nothing", "tests/journeys/conftest.py:33"),
    }


def test_what_does_not_build_finds_nothing() -> None:
    assert is_built(CARGO) and is_built(CONFORMANCE) and is_built(PYTEST)
    assert not is_built("error[E0308]: mismatched types\nerror: could not compile `gristmill-core` (lib)")
    assert not is_built("ERROR python/tests/test_ids.py\n!!! Interrupted: 1 error during collection !!!")

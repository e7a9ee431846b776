"""A job is run again with other arguments: its form waits for an answer, says what is wrong, leads to the new job."""

from __future__ import annotations

import pytest
from conftest import REFRESH_SECONDS
from tab import Tab

# Long enough for a page that had not stopped to have asked a few times.
A_WHILE = 5 * REFRESH_SECONDS

pytestmark = pytest.mark.usefixtures("empty")


def test_a_job_runs_again_with_other_arguments_in_a_form_that_waits_for_its_answer(tab: Tab) -> None:
    from letters.tasks import answer

    former = answer.enqueue("first").id.replace("-", "")
    tab.open(f"/admin/gristmill/job/{former}/change/")
    tab.follow("Run again with other arguments…")
    tab.run("() => document.activeElement.blur()")

    tab.stays_quiet(A_WHILE)
    assert '"first"' in tab.run("() => document.querySelector('#gm-args').value")

    tab.run("() => { document.querySelector('#gm-args').value = '[\"second\", 2, 3]'; }")
    tab.follow("Enqueue a new job")
    assert "Nothing was enqueued" in tab.text and "too many positional arguments" in tab.text
    tab.run("() => { document.querySelector('#gm-args').value = '[\"second\"]'; }")
    tab.follow("Enqueue a new job")

    assert '"second"' in tab.text and former not in tab.address
    tab.follow(f"job {former}")
    assert '"first"' in tab.text and "enqueue again by" in tab.text

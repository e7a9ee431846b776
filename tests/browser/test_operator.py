"""The main journey: somebody sees in the admin that something fails, finds out why, mends it, and sees it succeed."""

from __future__ import annotations

import pytest
from conftest import LETTERS
from serving import PASSWORD, USER, Worker
from tab import Tab

pytestmark = pytest.mark.usefixtures("empty")


def test_an_operator_finds_a_failure_reads_why_mends_it_and_sees_it_succeed_without_reloading(
    stranger: Tab, worker: Worker
) -> None:
    from letters.tasks import read_letter

    for number in range(5):
        read_letter.enqueue(f"letter-{number}")
    tab = stranger

    tab.open("/admin/gristmill/overview/")
    tab.type(USER, into="Username")
    tab.type(PASSWORD, into="Password")
    tab.follow("Log in")
    tab.wait_for_words("letters.tasks.read_letter only fails: 5 jobs of it failed lately, none succeeded.")
    assert "All is well" not in tab.text

    tab.follow("only fails")
    assert "state=" not in tab.address and "FileNotFoundError" in tab.text
    tab.follow("letters.tasks.read_letter")
    assert "Traceback (most recent call last)" in tab.text
    name = next(f"letter-{number}" for number in range(5) if f'"letter-{number}"' in tab.text)
    assert f"No such file or directory: '{LETTERS / name}.txt'" in tab.text

    (LETTERS / f"{name}.txt").write_text("Dear reader")
    tab.follow("Retry")
    loads = tab.loads
    tab.wait_for_words('"Dear reader"')
    assert tab.run("() => document.querySelector('.gm-headline .gm-badge').innerText") == "successful"
    assert "retried" in tab.text or "retry by lea, in the admin" in tab.text
    assert tab.loads == loads, "it was loaded anew"

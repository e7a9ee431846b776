"""Whatever stands in the tables is shown as text: nothing of it runs, becomes an element, a handler or an address."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from everything import PAGES, address_of
from hostile import STRINGS
from hostile_rows import Rows
from serving import Worker, forget_jobs
from tab import WIDE, Tab

# Every how manieth string has its pages of one job and one schedule looked at; lists show all of them.
EVERY = int(os.environ.get("HOSTILE_EVERY", "9"))

INTRUDERS = (Path(__file__).parent / "intruders.js").read_text()
# What the page says, as HTML keeps it.
TEXT = "() => document.querySelector('#gristmill-page').textContent"


def kept(text: str) -> str:
    """A text as a parser of HTML leaves it."""
    return text.replace("\r\n", "\n")


def check(tab: Tab, address: str) -> None:
    """Opens a page on which nothing may happen, and that no long word may widen."""
    tab.open(address)
    assert (address, tab.status, tab.run(INTRUDERS), tab.reports) == (address, 200, [], [])
    wide = tab.run("() => document.contentType === 'text/html' ? document.documentElement.scrollWidth : 0")
    assert wide <= WIDE[0], address


@pytest.fixture(scope="module")
def rows(own_worker: Worker) -> Iterator[Rows]:
    """Every string in every column."""
    forget_jobs()
    rows = Rows()
    own_worker.start()
    rows.run_by_a_worker()
    # It would take workers that are made up for dead.
    own_worker.stop()
    rows.write_by_hand()
    yield rows
    from gristmill.models import RunningRow
    from gristmill.models import Worker as WorkerRow

    RunningRow.objects.all().delete()
    WorkerRow.objects.all().delete()


@pytest.mark.parametrize("page", PAGES)
def test_nothing_runs_on_a_page_nor_when_it_looks_again(tab: Tab, rows: Rows, page: str) -> None:
    check(tab, f"/admin/gristmill/{page}/")
    tab.wait_for_looks()
    assert (tab.run(INTRUDERS), tab.reports) == ([], [])


@pytest.mark.parametrize("state", ["failed", "scheduled", "held", "running", "successful", "waiting"])
def test_nothing_runs_in_a_list_of_jobs_or_in_what_is_asked_before_an_action(tab: Tab, rows: Rows, state: str) -> None:
    check(tab, f"/admin/gristmill/job/?q=state:{state}")
    action = {"failed": "Retry", "held": "Release", "successful": None}.get(state, "Cancel")
    if action:
        tab.click("all that this search finds")
        tab.follow(action)
        assert "Do nothing" in tab.text
        assert (tab.run(INTRUDERS), tab.reports) == ([], [])


@pytest.mark.parametrize("number", range(0, len(STRINGS), EVERY))
def test_nothing_runs_on_the_pages_of_one_job_or_schedule_and_its_text_is_there(
    tab: Tab, rows: Rows, number: int
) -> None:
    text = STRINGS[number]
    for kind in ("failed", "ended", "answered", "named", "held", "waiting"):
        check(tab, address_of(getattr(rows, kind)[number]))
    check(tab, address_of(rows.failed[number]))
    assert all(kept(line) in tab.run(TEXT) for line in text.splitlines())
    # With the strings as names of queues to choose, and as arguments to change.
    tab.open(address_of(rows.failed[number]))
    tab.follow("Run again with other arguments…")
    assert (tab.run(INTRUDERS), tab.reports) == ([], [])
    check(tab, rows.schedules[number])
    # The picture as a document, whose own policy forbids all scripts.
    check(tab, address_of(rows.waiting[number]).replace("change/", "graph.svg"))


def test_all_links_lead_to_a_page_of_ours(tab: Tab, rows: Rows) -> None:
    links: set[str] = set()
    for page in PAGES:
        tab.open(f"/admin/gristmill/{page}/")
        links.update(tab.run("() => [...document.querySelectorAll('#gristmill-page a')].map((one) => one.href)"))
    wrong = {}
    for link in sorted(links)[::EVERY]:
        said = tab.run("async (link) => { const it = await fetch(link); return [it.status, await it.text()]; }", link)
        if said[0] != 200 or 'class="gm-error"' in said[1]:
            wrong[link] = said[0]
    assert wrong == {}

"""An open page shows what has changed, takes nothing from its reader, and asks no more often than it should."""

from __future__ import annotations

from itertools import pairwise

import pytest
from conftest import LETTERS, REFRESH_SECONDS
from everything import address_of
from serving import Worker
from tab import Tab

OVERVIEW, JOBS, QUEUES = (f"/admin/gristmill/{name}/" for name in ("overview", "job", "queues"))
# Long enough for a page that had not stopped to have asked a few times.
A_WHILE = 5 * REFRESH_SECONDS

pytestmark = pytest.mark.usefixtures("empty")


def test_a_ticked_box_stays_ticked_and_the_page_goes_on_when_it_is_not(tab: Tab) -> None:
    from letters.tasks import answer

    first = answer.using(queue_name="slow").enqueue("first")
    tab.open(JOBS)
    box = f"letters.tasks.answer {first.id.replace('-', '')}"
    tab.click(box)
    answer.enqueue("second")

    tab.stays_quiet(A_WHILE)
    assert tab.run("() => document.querySelectorAll('input[name=job]:checked').length") == 1
    assert "second" not in tab.text

    tab.click(box)
    tab.wait_for_words('"second"')


def test_an_open_drawer_and_what_is_typed_in_it_stay(tab: Tab) -> None:
    from letters.tasks import answer

    answer.enqueue("first")
    tab.open(QUEUES)
    tab.click("Pause…")
    tab.type("the provider is down", into="Why")
    answer.using(queue_name="other").enqueue("second")

    tab.stays_quiet(A_WHILE)
    assert tab.run("() => document.querySelector('input[name=reason]').value") == "the provider is down"

    tab.follow("Pause default")
    assert "Paused queue default: the provider is down." in tab.text


def failed_twice(worker: Worker) -> str:
    """The address of a job with two attempts."""
    from letters.tasks import say
    from waiting import wait_for

    from gristmill import operations
    from gristmill.models import Job

    job = say.enqueue("no good")

    def failures() -> int:
        return Job.objects.get(pk=job.id).failures if Job.objects.filter(pk=job.id, state="failed").exists() else 0

    wait_for("a failure", lambda: failures(), 10)
    assert operations.retry(job)
    wait_for("another", lambda: Job.objects.filter(pk=job.id, state="failed", token=2).exists(), 10)
    return f"{JOBS}{job.id.replace('-', '')}/change/"


def test_attempts_stay_open_or_closed_while_their_page_looks_again(tab: Tab, worker: Worker) -> None:
    tab.open(failed_twice(worker))
    assert drawers(tab) == [True, False]
    tab.click("Attempt 2")
    tab.click("Attempt 1")

    tab.wait_for_looks()

    assert drawers(tab) == [False, True]


def drawers(tab: Tab) -> list[bool]:
    """Which attempts are open."""
    return list(tab.run("() => [...document.querySelectorAll('.gm-attempt')].map((one) => one.open)"))


def test_selected_words_and_the_keyboards_place_are_not_taken_away(tab: Tab, worker: Worker) -> None:
    tab.open(failed_twice(worker))
    tab.wait_for_looks()
    tab.run("() => document.getSelection().selectAllChildren(document.querySelector('.gm-attempt pre'))")
    tab.stays_quiet(A_WHILE)
    assert "Traceback" in tab.run("() => document.getSelection().toString()")
    tab.run("() => document.getSelection().empty()")
    tab.wait_for_looks()

    reached = "() => document.activeElement?.innerText"
    while tab.run(reached) != "Retry":
        tab.press("Tab")
    tab.stays_quiet(A_WHILE)
    assert tab.run(reached) == "Retry"


def test_the_picture_of_a_graph_goes_on_with_its_page(tab: Tab, worker: Worker) -> None:
    from letters.tasks import answer, read_letter

    from gristmill import operations
    from gristmill.models import Job

    read = read_letter.enqueue("last")
    after = answer.using(after=read).enqueue("read")
    tab.wait_for("a stranded job", lambda: Job.objects.filter(state="stranded").exists())
    tab.open(address_of(after.id))
    shown = tab.run("() => document.querySelector('img').src")

    (LETTERS / "last.txt").write_text("Dear reader")
    assert operations.retry(read)

    tab.wait_for_words("Successful")
    assert tab.run("() => document.querySelector('img').src") != shown


def test_stop_updates_stops_them_on_every_page_until_they_are_wanted_again(tab: Tab) -> None:
    tab.open(OVERVIEW)
    tab.wait_for_looks()
    tab.click("Stop updates")
    tab.wait_for("the button to say so", lambda: "Update again" in tab.text)
    tab.stays_quiet(A_WHILE)
    tab.open(QUEUES)
    tab.stays_quiet(A_WHILE)

    tab.click("Update again")

    tab.wait_for_looks()
    assert "Stop updates" in tab.text


def test_a_hidden_tab_asks_for_nothing_until_it_is_seen_again(tab: Tab) -> None:
    tab.open(OVERVIEW)
    tab.wait_for_looks()
    other = Tab(tab.browser, tab.site)
    other.show()
    tab.wait_for("the tab to be hidden", lambda: tab.run("() => document.hidden"))
    tab.stays_quiet(A_WHILE)

    tab.show()

    tab.wait_for_looks()
    other.close()


def test_what_has_not_changed_is_not_sent_again(tab: Tab, worker: Worker) -> None:
    tab.open(OVERVIEW)
    # Curves go on with each minute, and a worker's first counts come with one.
    tab.wait_for("looks that cost no bytes", lambda: tab.answers[-3:] == [304] * 3)


def test_a_server_that_is_in_trouble_is_asked_less_and_less_often(tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    from django.http import HttpResponse

    from gristmill.admin import page

    seconds = 0.05
    monkeypatch.setattr(page, "REFRESH_SECONDS", seconds)
    tab.open(OVERVIEW)
    tab.wait_for_looks(1)
    with monkeypatch.context() as trouble:
        trouble.setattr(page.Page, "show", lambda *arguments, **more: HttpResponse(status=503))
        tab.wait_for("five refusals", lambda: tab.answers.count(503) >= 5)
    refused = tab.looks[tab.answers.index(503) :][:5]
    gaps = [after - before for before, after in pairwise(refused)]
    # A busy machine makes gaps longer, and none shorter.
    assert [gap >= seconds * 2**times for times, gap in enumerate(gaps, 1)] == [True] * 4, gaps

    tab.wait_for("an answer", lambda: tab.answers[-1] == 200 or tab.answers[-1] == 304)
    tab.reports = [report for report in tab.reports if "503" not in report]

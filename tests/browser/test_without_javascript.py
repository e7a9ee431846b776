"""With JavaScript switched off every page is whole, and everything can be done."""

from __future__ import annotations

import pytest
from everything import PAGES
from serving import PASSWORD, USER, Worker
from tab import Tab
from waiting import wait_for

pytestmark = pytest.mark.usefixtures("empty")


def test_every_page_is_whole_without_javascript(stranger: Tab, worker: Worker) -> None:
    stranger.without_scripts()
    stranger.open("/admin/gristmill/overview/")
    stranger.type(USER, into="Username")
    stranger.type(PASSWORD, into="Password")
    stranger.follow("Log in")
    for page in PAGES:
        stranger.open(f"/admin/gristmill/{page}/")
        assert (stranger.status, "Refresh" in stranger.text, "Stop updates" in stranger.text) == (200, True, False), (
            page
        )
        assert stranger.run("() => document.querySelector('#gristmill-page').innerText.trim() !== ''"), page
    assert stranger.looks == []


def test_queues_and_jobs_are_steered_without_javascript(tab: Tab, worker: Worker) -> None:
    from letters.tasks import answer, say

    from gristmill.models import Job

    tab.without_scripts()
    answer.using(queue_name="mail").enqueue("kept")
    wait_for("a success", lambda: Job.objects.filter(state="successful").exists(), 10)
    tab.open("/admin/gristmill/queues/")
    tab.click("Pause…")
    tab.type("the provider is down", into="Why")
    tab.follow("Pause mail")
    assert "Paused queue mail: the provider is down." in tab.text

    waiting = answer.using(queue_name="mail").enqueue("waits")
    tab.open("/admin/gristmill/job/?q=state:ready")
    tab.click(f"letters.tasks.answer {waiting.id.replace('-', '')}")
    tab.follow("Hold")
    assert "Hold 1 job?" in tab.text
    tab.type("until the provider is back", into="Why")
    tab.follow("Hold 1 job")
    assert "Held 1 job." in tab.text

    failing = say.enqueue("no good")
    wait_for("a failure", lambda: Job.objects.filter(state="failed").exists(), 10)
    tab.open(f"/admin/gristmill/job/{failing.id.replace('-', '')}/change/")
    tab.follow("Retry")
    assert "Retried 1 job." in tab.text
    wait_for("another failure", lambda: Job.objects.filter(pk=failing.id, state="failed", token=2).exists(), 10)
    tab.follow("Refresh")
    assert "Attempt 2" in tab.text

    tab.open("/admin/gristmill/queues/")
    tab.follow("Resume")
    assert "Resumed queue mail." in tab.text
    tab.open(f"/admin/gristmill/job/{waiting.id.replace('-', '')}/change/")
    assert "until the provider is back" in tab.text
    tab.follow("Release")
    wait_for("it to be answered", lambda: Job.objects.filter(pk=waiting.id, state="successful").exists(), 10)

"""What pages look like by day, by night and on a phone: for people to look at, and never wider than the window."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from everything import a_day, address_of, address_of_task, schedule
from PIL import Image
from serving import Worker
from tab import PHONE, WIDE, Tab
from waiting import wait_for

pytestmark = pytest.mark.usefixtures("empty")

LOOKS = {"light": (WIDE, False), "dark": (WIDE, True), "phone": (PHONE, False)}


@pytest.mark.parametrize("look", LOOKS)
def test_pages_are_photographed(tab: Tab, worker: Worker, pictures: Callable[[str], Path], look: str) -> None:
    from letters.tasks import answer, read_letter, say

    from gristmill import operations
    from gristmill.models import Job

    failed = [read_letter.enqueue(f"letter-{number}").id for number in range(6)]
    after = answer.using(after=failed[:2]).enqueue("both letters")
    operations.pause_queue("mail", reason="the provider is down")
    answer.using(queue_name="mail").enqueue_many([(f"mail {number}",) for number in range(4)])
    answer.enqueue_many([(f"good morning {number}",) for number in range(20)])
    say.enqueue("line after line\n" * 5)
    nightly = schedule()
    a_day()
    wait_for("a stranded job", lambda: Job.objects.filter(state="stranded").exists(), 10)
    wait_for("the rest", lambda: not Job.objects.filter(state="ready", queue_name="default").exists(), 10)

    size, dark = LOOKS[look]
    tab.look_like(size, dark=dark)
    pages = {
        **{name: f"/admin/gristmill/{name}/" for name in ("overview", "failures", "queues", "schedules", "worker")},
        "jobs": "/admin/gristmill/job/?q=state:failed",
        "job": address_of(failed[0]),
        "stranded": address_of(after.id),
        "schedule": nightly,
        "schedule-form": "/admin/gristmill/schedules/add/",
        "task": address_of_task("letters.tasks.read_letter"),
    }
    for name, address in pages.items():
        tab.open(address)
        path = pictures(f"{name}-{look}")
        tab.photograph(path)
        with Image.open(path) as picture:
            assert picture.width == size[0], name
            # The ground by day is light, and by night it is dark.
            assert (sum(picture.convert("RGB").getpixel((size[0] - 2, 300))) < 300) == dark, name

"""
A day at the office, for a site that is to show all that the admin has: what goes well, what does not, what waits.

Everything is asked for as any code would ask for it, and a real worker does it. Each job is unique, so what is asked
for twice is there once.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.core.management import CommandError
from django.db import transaction
from django.utils import timezone

from gristmill import operations
from gristmill.models import Job, Schedule
from office import tasks

MONTH = "November"
BRANCHES = ("Basel", "Bern", "Chur", "Genf")
CATALOGUES = {"albums": 900, "frames": 600, "cameras": 1200}
#: What takes long, and what nobody serves in `make dev`, where its schedule is late.
NOT_NOW = ("catalogues", "archive")
#: Nothing is left to do, or only what is meant to wait.
FINE = (0, 3)
#: What is to be done takes a worker two or three.
MOST_SECONDS = 60


def morning() -> None:
    """Asks for what can be done now, and for what somebody keeps back."""
    with transaction.atomic():
        operations.pause_queue("newsletter", reason="the photograph of the month is not chosen yet")
        tasks.send_newsletter.enqueue_many([(MONTH, reader) for reader in range(1, 9)])
        tasks.charge.enqueue_many([(order, 20 + order % 7) for order in range(1001, 1037)])
        tasks.print_order.enqueue_many([(order,) for order in range(1001, 1013)])
        tasks.take_paper.enqueue_many([(order, 3) for order in range(1001, 1025)])
        tasks.fetch_rate.enqueue_many([("CHF",), ("GBP",)])
        tasks.say_thanks.enqueue_many([(order,) for order in range(1002, 1008)])
        tasks.read_raw.enqueue("IMG_4711.RAW")
        collected = [tasks.collect.enqueue(branch) for branch in BRANCHES]
        closed = tasks.close_month.using(after=collected).enqueue(MONTH)
        tasks.mail_accounts.using(after=closed).enqueue(MONTH)
        for days, order in enumerate((1004, 1010, 1013), start=1):
            tasks.remind.using(run_after=timedelta(days=days)).enqueue(order)
    asked = tasks.remind.enqueue(1016)
    operations.hold(asked, reason="the customer has called and comes tomorrow", actor="demo")


def plans() -> None:
    """Makes schedules: one that ticks, one that is paused, and one that is late, as nobody serves its queue."""
    operations.define_schedule("tidy up", tasks.tidy_up, "0 3 * * *", timezone="Europe/Zurich")
    operations.define_schedule("tidy the shop window", tasks.tidy_up, "0 8 * * mon")
    operations.pause_schedule("tidy the shop window", reason="the shop is closed until spring")
    operations.define_schedule("archive", tasks.archive_orders, every=timedelta(minutes=5))
    # It would be late by itself in a few minutes; nobody wants to wait for that.
    ago = timezone.now() - timedelta(minutes=20)
    late = Schedule.objects.filter(name="archive", next_at__gt=ago)
    late.update(created_at=ago, defined_at=ago, high_water=ago, next_at=ago + timedelta(minutes=5))


def work() -> None:
    """Lets a real worker do what can be done in moments; what it says is a file."""
    excluded = [part for queue in NOT_NOW for part in ("--exclude-queue", queue)]
    command = ["manage.py", "gristmill", "worker", "--until-done", "--no-schedules", "--label", "office", *excluded]
    log = Path(settings.VAR) / "demo-data.log"
    with log.open("wb") as output:
        done = subprocess.run(
            [sys.executable, *command, "--processes", "2"],
            cwd=settings.BASE_DIR,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            timeout=MOST_SECONDS,
        )
    if done.returncode not in FINE:
        raise CommandError(f"The worker ended with status {done.returncode}; {log} has why.")


def afternoon() -> None:
    """Asks for what takes long, and for what waits for that; who serves the site does it."""
    with transaction.atomic():
        for name, pages in CATALOGUES.items():
            imported = tasks.import_catalogue.enqueue(name, pages)
            indexed = tasks.index_catalogue.using(after=imported).enqueue(name)
            tasks.announce.using(after=indexed).enqueue(name)


def make(say: Callable[[str], object]) -> None:
    """Makes a day, as far as it is not there yet."""
    morning()
    plans()
    work()
    afternoon()
    say(f"A day at the office: {Job.objects.count():,} jobs, {Schedule.objects.count():,} schedules.")

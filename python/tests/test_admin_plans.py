"""No page of the admin reads through a large table, however large it is, and whatever is known of it."""

from __future__ import annotations

import re
import uuid

import pytest
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from gristmill.inspect.listing import walking
from gristmill.models import EdgeRow, GateRow, PropagationRow, ReadyRow, ResultRow, ScheduledRow, WaitingRow
from tests import crowd, rows
from tests.test_admin import nightly, nightly_page, page

pytestmark = pytest.mark.django_db(databases=["default", "other"])

#: Of each kind: a statement that reads through one of them is far over the bound, also on SQLite, where what a page
#: asks in one statement counts together.
MANY, CAP = 20_000, 40
MOST_READ = MANY // 10

#: What each page counts, looks at or looks through, cut to what a small crowd shows to be a bound.
BOUNDS = {
    "gristmill.inspect.survey.CAP": CAP,
    "gristmill.inspect.survey.RECENT": CAP,
    "gristmill.inspect.listing.counts.CAP": CAP,
    "gristmill.inspect.explaining.facts.CAP": CAP,
    "gristmill.inspect.explaining.facts.EDGES": CAP,
    "gristmill.inspect.explaining.facts.LOOKED_THROUGH": CAP,
    "gristmill.inspect.explaining.line.CAP": CAP,
    "gristmill.inspect.drawing.reading.LOOKED_AT": CAP,
    "gristmill.inspect.failures.NEWEST": {"failed": CAP, "poisoned": CAP},
    "gristmill.inspect.failures.MOST": CAP,
}

LISTS = (
    "",
    "state:ready",
    "state:ready queue:default task:tests.app.tasks.add",
    "state:scheduled",
    "state:waiting",
    "state:stranded",
    "state:held",
    "state:running",
    "state:successful",
    "state:failed",
    "state:poisoned",
    "error:valueerror",
    "args.0:17",
)


@pytest.fixture(scope="module")
def crowded(django_db_setup, django_db_blocker):
    """Tables with thousands of rows of each kind, a job that thousands wait for, and one that waits for as many."""
    with django_db_blocker.unblock():
        crowd.fill(MANY)
        worker = rows.worker()
        rows.claim(ReadyRow.objects.order_by("id").first().id.hex, worker.id)
        nightly()
        fan()
        yield
        with connection.cursor() as cursor:
            for table in (*crowd.LARGE, "running", "edge", "gate", "propagation", "worker", "schedule"):
                cursor.execute(f"delete from gristmill_{table}")


def fan():
    """Has the first waiting job wait for thousands, all of them wait for the first ready one, and much to carry on."""
    first, hub = WaitingRow.objects.order_by("id").first(), ReadyRow.objects.order_by("-id").first()
    now = timezone.now()
    counts = {"epoch": 1, "armed_at": now, "resolved": True, "successful": 0, "failed": 0}
    GateRow(job_id=first.id, on_precondition_failure="strand", open=MANY, **counts).save(force_insert=True)
    edges = [EdgeRow(precondition_id=uuid.UUID(int=number + 1), dependent_id=first.id) for number in range(MANY)]
    edges += [EdgeRow(precondition_id=hub.id, dependent_id=uuid.UUID(int=number + 1)) for number in range(MANY)]
    EdgeRow.objects.bulk_create(edges, batch_size=1_000)
    late = [PropagationRow(kind="notify", job_id=hub.id, due_at=now) for _ in range(MANY)]
    PropagationRow.objects.bulk_create(late, batch_size=1_000)


@pytest.fixture(params=[False, True], ids=["nothing known of the tables", "analyzed"])
def known(request, crowded, db):
    if request.param:
        crowd.analyze()


@pytest.fixture(autouse=True)
def bounded(monkeypatch):
    for name, bound in BOUNDS.items():
        monkeypatch.setattr(name, bound)
    monkeypatch.setattr(walking, "FIRST_STRIDE", CAP)
    monkeypatch.setattr(walking, "LONGEST_STRIDE", CAP)
    monkeypatch.setattr(walking, "MOST_ROWS", 4 * CAP)


def over_the_bound(client, *urls):
    with crowd.statements() as noted:
        for url in urls:
            assert client.get(url).status_code == 200
    read = {}
    for sql, binds in noted:
        if not re.match(r"\s*(select|with)\b", sql, re.IGNORECASE):
            continue
        assert not re.search(r"\boffset (?!0\b)|\bdistinct\b", sql, re.IGNORECASE), sql
        read.setdefault((sql, tuple(map(str, binds))), crowd.rows_read(sql, binds))
    assert read
    return [(number, asked) for asked, number in read.items() if number > MOST_READ]


@pytest.mark.parametrize("name", ["overview", "failures", "queues", "schedules", "worker"])
def test_a_page_reads_no_more_than_it_counts(known, client, admin_user, name):
    client.force_login(admin_user)

    assert over_the_bound(client, page(name)) == []


def test_a_schedule_reads_no_more_than_it_shows(known, client, admin_user):
    client.force_login(admin_user)

    assert over_the_bound(client, nightly_page()) == []


def test_lists_of_jobs_read_no_more_than_they_show_or_look_through(known, client, admin_user):
    client.force_login(admin_user)

    for text in LISTS:
        shown = client.get(page("job"), {"q": text})
        urls = [page("job") + following for following in (shown.context_data["following"],) if following]
        assert over_the_bound(client, f"{page('job')}?q={text.replace(' ', '+')}", *urls) == [], text


@pytest.mark.parametrize("model", [ReadyRow, ScheduledRow, WaitingRow, ResultRow])
def test_a_job_reads_no_more_than_it_names(known, client, admin_user, model):
    client.force_login(admin_user)

    for job in (model.objects.order_by("id").first(), model.objects.order_by("-id").first()):
        urls = [reverse(f"admin:gristmill_job_{name}", args=[job.id.hex]) for name in ("change", "graph")]
        assert over_the_bound(client, *urls) == [], job.id

"""No statement of a list reads more than a page, or one stride of a search, however large the tables are."""

from __future__ import annotations

import re
import uuid

import pytest
from django.db import connection

from gristmill.inspect import groups
from gristmill.inspect.failures import failures_of
from gristmill.inspect.listing import walking
from gristmill.inspect.listing.branches import BRANCHES
from gristmill.inspect.listing.choices import choices
from gristmill.inspect.listing.counts import counts
from gristmill.inspect.listing.pages import page_of
from gristmill.inspect.listing.search import Search
from gristmill.models import Tick, UniqueKeyRow
from tests import crowd, rows

#: Of each kind; a statement that reads through one of them is far over the bound.
MANY, STRIDE = 6_000, 100
MOST_READ = 10 * STRIDE

SEARCHES = (
    "",
    "queue:default",
    "queue:default task:tests.app.tasks.add",
    "queue:mail",
    "add args.left:17",
    "error:valueerror",
    "before:2026-01-01T01:00:00Z",
    "after:2h",
    "worker:mill",
    "key:taken",
    "key:free",
    "schedule:hourly",
    "id:00000011",
    "000000110000700080000000",
    "id:0000000000001",
    "group:aaaaaaaaaaaaaaaa",
    "group:aaaaaaaaaaaaaaaa queue:mail",
    "group:none",
)


@pytest.fixture(scope="module")
def crowded(django_db_setup, django_db_blocker):
    """Tables with thousands of rows of each kind."""
    with django_db_blocker.unblock():
        crowd.fill(MANY)
        rows.worker()
        UniqueKeyRow.objects.create(key="taken", job_id=uuid.UUID("00000011000070008000000000000001"), until="started")
        ticks = [
            {"backend": "default", "schedule": "hourly", "nominal": f"2026-01-01T{hour:02d}:00:00Z"}
            for hour in range(10)
        ]
        for tick in ticks:
            Tick(**tick, found_at=tick["nominal"], job_id=uuid.uuid4()).save(force_insert=True)
        yield
        with connection.cursor() as cursor:
            for table in (*crowd.LARGE, "worker", "unique_key", "tick"):
                cursor.execute(f"delete from gristmill_{table}")


@pytest.fixture(params=[False, True], ids=["nothing known of the tables", "analyzed"])
def known(request, crowded, db):
    if request.param:
        crowd.analyze()


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(walking, "FIRST_STRIDE", STRIDE)
    monkeypatch.setattr(walking, "LONGEST_STRIDE", STRIDE)
    monkeypatch.setattr(walking, "MOST_ROWS", 4 * STRIDE)


def over_the_bound(noted):
    read = {}
    for sql, binds in noted:
        assert not re.search(r"\boffset (?!0\b)|\bdistinct\b", sql, re.IGNORECASE), sql
        # There are as many running jobs as runners.
        assert "count(" not in sql.lower() or "limit" in sql.lower() or "gristmill_running" in sql, sql
        asked = (sql, tuple(map(str, binds)))
        if asked not in read:
            read[asked] = crowd.rows_read(sql, binds)
    return [(number, asked) for asked, number in read.items() if number > MOST_READ]


@pytest.mark.parametrize("text", SEARCHES)
def test_a_page_reads_no_more_than_it_shows_or_looks_through(known, text):
    search = Search.parse(text)
    with crowd.statements() as noted:
        for branch in BRANCHES:
            page = page_of(connection, search, branch, size=5)
            after = page_of(connection, search, branch, size=5, cursor=page.next)
            if after.previous is not None:
                page_of(connection, search, branch, size=5, cursor=after.previous)

    assert over_the_bound(noted) == []


def test_counts_read_no_more_than_their_cap(known, monkeypatch):
    # Six samples are one statement.
    cap = MOST_READ // 16
    monkeypatch.setattr("gristmill.inspect.listing.counts.CAP", cap)
    with crowd.statements() as noted:
        found = counts(connection)

    assert over_the_bound(noted) == []
    assert (found["ready"], found["failed"], found["running"]) == ((cap, True), (cap, True), (0, False))


def test_choices_read_no_more_than_they_count(known, monkeypatch):
    monkeypatch.setattr("gristmill.inspect.survey.CAP", MOST_READ // 4)
    with crowd.statements() as noted:
        choices(connection)

    assert over_the_bound(noted) == []


def test_groups_of_failures_read_no_more_than_they_count(known, monkeypatch):
    monkeypatch.setattr(groups, "MOST_GROUPS", 20)
    with crowd.statements() as noted:
        found = failures_of(connection)

    assert over_the_bound(noted) == []
    assert ((found.groups[0].fingerprint, found.groups[0].count), found.more) == ((crowd.GROUP, MANY // 100), True)


def test_a_scan_would_be_found(known):
    assert crowd.rows_read("select count(*) from gristmill_result where reason = 'error'", ()) >= MANY / 10

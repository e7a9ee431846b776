"""Failures as groups: one cause is one line, and its search finds all that failed alike and nothing else."""

from __future__ import annotations

import io
import json

import pytest
from django.core.management import call_command
from django.db import connection

from gristmill.inspect import failures, groups
from gristmill.inspect.failures import failures_of
from gristmill.inspect.listing.pages import page_of
from gristmill.inspect.listing.search import Search, SearchError
from gristmill.models import ResultRow
from gristmill.testing import run_jobs
from tests import rows
from tests.app.tasks import add, send
from tests.app.worked import fail

pytestmark = pytest.mark.django_db(databases=["default", "other"])

ONE, OTHER = "00000000000000a1", "00000000000000b2"


def failed(task, *arguments, said="ValueError: no", group=ONE):
    job = task.enqueue(*arguments)
    traceback = f'Traceback (most recent call last):\n  File "x.py", line 7\n{said}\n'
    rows.fail(job.id, traceback=traceback, fingerprint=group)
    return job.id


def run(*arguments):
    output = io.StringIO()
    try:
        call_command("gristmill", "failures", *arguments, stdout=output)
        return 0, output.getvalue()
    except SystemExit as error:
        return error.code, output.getvalue()


def found_by(text):
    return {row.id for row in page_of(connection, Search.parse(text)).rows}


def test_failures_are_grouped_the_most_frequent_first():
    failed(send, "a", said="OSError: [Errno 5] of 'disk'", group=OTHER)
    first = [failed(add, number, said=f"ValueError: no order {number} in 'shop'") for number in range(3)]
    rows.succeed(add.enqueue(1).id)

    found = failures_of(connection)

    assert [(group.task_name.rpartition(".")[2], group.fingerprint, group.count) for group in found.groups] == [
        ("add", ONE, 3),
        ("send", OTHER, 1),
    ]
    assert (found.groups[0].sample_id, found.groups[0].sample) == (first[-1], "ValueError: no order 2 in 'shop'")
    assert found.groups[0].first_at < found.groups[0].last_at
    assert not found.more and not found.groups[0].more


@pytest.mark.parametrize("search", [None, Search.parse("after:1d")])
def test_the_search_of_a_group_finds_its_jobs_and_no_others(search):
    ids = {failed(add, number) for number in range(3)}
    failed(add, 9, group=OTHER)
    rows.succeed(add.enqueue(1).id)

    group = failures_of(connection, search=search).groups[0]

    assert (group.fingerprint, group.count, found_by(group.search)) == (ONE, 3, ids)
    assert found_by(f"group:{ONE}") == ids == found_by(f"group:{ONE} task:add after:1d")
    assert found_by(f"group:{ONE} state:poisoned") == found_by(f"group:{ONE} state:ready") == set()
    assert found_by(f"group:{ONE} id:{min(ids)}") == {min(ids)}


def test_the_engine_says_which_failures_are_of_one_cause():
    for said in ("no order 7 in 'shop'", "no order 4711 in 'yard'", "no stock"):
        fail.enqueue(said)
    run_jobs(raise_errors=False)

    found = failures_of(connection).groups

    assert [(group.count, group.sample) for group in found] == [
        (2, "tests.app.worked.Sad: no order 4711 in 'yard'"),
        (1, "tests.app.worked.Sad: no stock"),
    ]
    assert all(len(group.fingerprint) == 16 for group in found)
    assert [len(found_by(group.search)) for group in found] == [2, 1]


def test_failures_without_a_fingerprint_are_a_group_of_their_own():
    """As those of rows that were restored from elsewhere."""
    ids = {failed(add, 1, group=None), failed(send, "a", group=None)}
    failed(add, 2)
    cancelled = rows.claim(add.enqueue(3).id)
    rows.end(cancelled, "cancelled")
    rows.finish(cancelled, "cancelled")

    group = failures_of(connection).groups[0]

    assert (group.fingerprint, group.count, group.search) == (None, 2, "group:none")
    assert found_by(group.search) == ids


def test_a_group_is_counted_to_a_cap_and_says_that_there_are_more(monkeypatch):
    monkeypatch.setattr(groups, "CAP", 2)
    for number in range(3):
        failed(add, number)

    (group,) = failures_of(connection).groups

    assert (group.count, group.more) == (2, True)
    assert "2+" in run()[1]


def test_groups_beyond_those_that_are_counted_are_said(monkeypatch):
    monkeypatch.setattr(groups, "MOST_GROUPS", 2)
    for number in range(3):
        failed(add, number, group=f"{number:016x}")

    found = failures_of(connection)

    # The latest of them are there.
    assert ({group.fingerprint for group in found.groups}, found.more) == ({f"{2:016x}", f"{1:016x}"}, True)
    assert "there are more" in run()[1]


def test_what_a_search_did_not_look_at_is_said(monkeypatch):
    monkeypatch.setattr(failures, "NEWEST", {"failed": 2, "poisoned": 2})
    for number in range(3):
        failed(add, number)

    found = failures_of(connection, search=Search.parse("queue:default"))

    assert (found.looked, found.more, found.groups[0].count) == (2, True, 2)
    assert "Among the newest 2 failures; there are older ones." in run("queue:default")[1]


def test_a_retried_job_leaves_its_group():
    job_id = failed(add, 1)
    ResultRow.objects.filter(pk=job_id).delete()

    assert failures_of(connection).groups == []


def test_poisoned_jobs_are_shown_as_such():
    running = rows.claim(add.enqueue(1).id)
    rows.end(running, "crashed", reason="signal 9 (SIGKILL)")
    rows.finish(running, "poisoned", "crashes", OTHER)

    (group,) = failures_of(connection).groups
    assert (group.state, group.sample) == ("poisoned", "signal 9 (SIGKILL)")
    assert found_by(group.search) == {running.id.hex}


@pytest.mark.parametrize("text", ["group:7", "group:xyz", f"group:{ONE} group:{OTHER}", "group:"])
def test_what_is_no_group_is_refused_in_a_sentence(text):
    with pytest.raises(SearchError, match=r"group"):
        Search.parse(text)


def test_the_command_lists_groups_with_the_search_for_them():
    assert run() == (1, "Nothing failed.\n")
    failed(add, 1, said="ValueError: \x1b[2Jno order 7")

    status, said = run()
    assert (status, "manage.py gristmill jobs" in said, "\x1b" in said) == (0, True, False)
    assert "Nothing failed" in run("queue:nowhere")[1]
    told = json.loads(run("--json")[1])
    assert (told["groups"][0]["count"], told["looked"], told["more"]) == (1, None, False)
    assert told["groups"][0]["search"] == f"state:failed group:{ONE}"

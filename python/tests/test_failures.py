"""Failures as groups: one cause is one line, and its search finds all that failed alike."""

from __future__ import annotations

import io
import json

import pytest
from django.core.management import call_command
from django.db import connection

from gristmill.inspect import failures
from gristmill.inspect.failures import failures_of, normalised
from gristmill.inspect.listing.pages import page_of
from gristmill.inspect.listing.search import Search
from tests import rows
from tests.app.tasks import add, send

pytestmark = pytest.mark.django_db(databases=["default", "other"])


def failed(task, *arguments, said):
    job = task.enqueue(*arguments)
    rows.fail(job.id, traceback=f'Traceback (most recent call last):\n  File "x.py", line 7\n{said}\n')
    return job.id


def run(*arguments):
    output = io.StringIO()
    try:
        call_command("gristmill", "failures", *arguments, stdout=output)
        return 0, output.getvalue()
    except SystemExit as error:
        return error.code, output.getvalue()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ValueError: no order 7", "ValueError: no order 4711"),
        ("KeyError: 'a'", "KeyError: 'something else'"),
        ('X: "it\'s" here', 'X: "not" here'),
        ("X: at 0x7f00deadbeef", "X: at 0x7f0000000001"),
        ("X: 0192f0c0a0b07000800000000000000a", "X: 0192f0c0-a0b0-7000-8000-00000000000b"),
        ("X: took 1.5 of 3,000 s", "X: took 27 of 4 s"),
        ("X: commit 1f0e2d3c4b", "X: commit 9988776655"),
    ],
)
def test_errors_that_differ_in_numbers_ids_and_quotes_are_one(one, other):
    assert normalised(one) == normalised(other)


@pytest.mark.parametrize(
    ("one", "other"), [("ValueError: no order", "KeyError: no order"), ("X: feedface is", "X: deadbeef is")]
)
def test_errors_that_differ_in_words_are_two(one, other):
    assert normalised(one) != normalised(other)


def test_failures_are_grouped_the_most_frequent_first():
    failed(send, "a", said="OSError: [Errno 5] of 'disk'")
    first = [failed(add, number, said=f"ValueError: no order {number} in 'shop'") for number in range(3)]
    rows.succeed(add.enqueue(1).id)

    found = failures_of(connection)

    assert [(group.task_name.rpartition(".")[2], group.error, group.count) for group in found.groups] == [
        ("add", "ValueError: no order … in …", 3),
        ("send", "OSError: [Errno …] of …", 1),
    ]
    assert (found.groups[0].sample_id, found.groups[0].sample) == (first[-1], "ValueError: no order 2 in 'shop'")
    assert found.groups[0].first_at < found.groups[0].last_at
    assert (found.looked, found.more) == (4, False)


@pytest.mark.parametrize(
    "said",
    [
        "ValueError: no order {} in 'shop'",
        'KeyError: "a\\b {}"',
        "OSError: [Errno {}] No such file: '/srv/{}.jpg'",
        "x: {}",
        "{}",
        'ValueError: "<b>{}" task:y : \\ ',
        "ValueError: " + "long " * 60 + "{}",
    ],
)
def test_the_search_of_a_group_finds_its_jobs_and_no_others(said):
    ids = {failed(add, number, said=said.format(number, number)) for number in range(3)}
    failed(add, 9, said="Unlike: all the others are said by nobody")
    failed(send, "a", said=said.format(1, 1))

    group = failures_of(connection).groups[0]
    found = {row.id for row in page_of(connection, Search.parse(group.search)).rows}

    assert group.count == 3
    # What has nothing to search for finds more, never less.
    assert found >= ids
    if "Error" in said:
        assert found == ids


def test_what_was_not_looked_at_is_said(monkeypatch):
    monkeypatch.setattr(failures, "NEWEST", {"failed": 2, "poisoned": 2})
    for number in range(3):
        failed(add, number, said="ValueError: no")

    found = failures_of(connection)

    assert (found.looked, found.more, found.groups[0].count) == (2, True, 2)
    assert "Among the newest 2 failures; there are older ones." in run()[1]


def test_poisoned_jobs_are_a_group_of_their_own():
    running = rows.claim(add.enqueue(1).id)
    rows.end(running, "crashed", reason="signal 9 (SIGKILL)")
    rows.finish(running, "poisoned", "crashes")

    (group,) = failures_of(connection).groups
    assert (group.state, group.error) == ("poisoned", "signal … (SIGKILL)")


def test_the_command_lists_groups_with_the_search_for_them():
    assert run() == (1, "Nothing failed.\n")
    failed(add, 1, said="ValueError: \x1b[2Jno order 7")

    status, said = run()
    assert (status, "manage.py gristmill jobs" in said, "\x1b" in said) == (0, True, False)
    assert run("task:nowhere.at.all")[0] == 1 or "Nothing failed" in run("queue:nowhere")[1]
    told = json.loads(run("--json")[1])
    assert (told["groups"][0]["count"], told["looked"], told["more"]) == (1, 1, False)

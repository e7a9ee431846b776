"""`manage.py gristmill jobs`: pages of jobs on a terminal, in a pipe and for programs."""

from __future__ import annotations

import io
import json
import shlex
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command

from gristmill.inspect.listing import walking
from gristmill.models import Job, JobRow
from tests import rows
from tests.app.tasks import add, send

pytestmark = pytest.mark.django_db(databases=["default", "other"])


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


def run(*arguments, stream=None, **options):
    """The exit status, and what is printed."""
    output, status = stream or io.StringIO(), 0
    try:
        call_command("gristmill", "jobs", *arguments, stdout=output, **options)
    except SystemExit as ended:
        status = ended.code
    return status, output.getvalue()


def ids(*arguments):
    return [job["id"] for job in json.loads(run("--json", *arguments)[1])["jobs"]]


def test_a_line_shows_what_there_is_of_a_job():
    worker = rows.worker(label="mill-7")
    failed, ready = send.enqueue("a", token="x"), add.enqueue(2, right=3)
    rows.end(running := rows.claim(failed.id, worker.id), "failed", traceback="ValueError: no\n")
    rows.finish(running, "failed", "error", failures=1)

    status, said = run()
    head, *lines = [line.split() for line in said.splitlines()]

    assert status == 0
    assert head == ["ENQUEUED", "STATE", "JOB", "TASK", "QUEUE", "TRIES", "WORKER", "ARGUMENTS", "ERROR"]
    assert lines[0][-6:] == ["ready", ready.id, "tests.app.tasks.add", "default", "2,", "right=3"]
    assert lines[1][-10:] == [
        *("failed", failed.id, "tests.app.tasks.send", "mail", "1", "mill-7", '"a",', "token=[redacted]"),
        *("ValueError:", "no"),
    ]


def test_options_and_terms_say_the_same():
    rows.fail(send.enqueue("a").id)
    rows.fail(add.enqueue(1).id)
    (mail,) = ids("state:failed", "queue:mail")

    assert ids("--state", "failed", "--queue", "mail") == ids("send", "--error", "ValueError") == [mail]
    assert ids("--task", "tests.app.tasks.send", "--since", "1h") == [mail]
    assert len(ids("--state", "unsuccessful")) == 2


def test_a_page_ends_with_the_command_that_shows_the_next_one():
    made = [add.enqueue(number).id for number in range(5)][::-1]

    seen, arguments = [], ["args.right:5", "queue:default", "--limit", "2"]
    JobRow.objects.update(kwargs='{"right": 5}')
    while arguments:
        _, said = run(*arguments)
        *lines, last = said.splitlines()
        seen += [word for line in lines for word in line.split() if len(word) == 32]
        arguments = shlex.split(last.removeprefix("More: manage.py gristmill jobs")) if last.startswith("More") else []
        if not arguments:
            seen += [word for word in last.split() if len(word) == 32]

    assert seen == made


def test_a_search_that_was_given_up_says_so_and_goes_on(monkeypatch):
    for name, value in (("FIRST_STRIDE", 2), ("LONGEST_STRIDE", 2), ("MOST_ROWS", 2)):
        monkeypatch.setattr(walking, name, value)
    for number in range(5):
        add.enqueue(number)

    status, said = run("args.left:none")

    assert status == 0
    assert said.startswith("No job matched so far: looked at the newest 2 jobs from here, back to 20")
    assert "More: manage.py gristmill jobs args.left:none --cursor " in said


def test_nothing_that_matches_is_exit_status_1():
    assert run("--state", "failed") == (1, "No job matched.\n")
    assert run("--state", "failed", "--json")[0] == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["colour:red"], "'colour' is no term"),
        (["--state", "done"], "'done' is no state"),
        (["--state", "failed", "state:ready"], "state: stands there twice"),
        (["after:2h", "--since", "2h"], "after: and --since say the same"),
        (["--limit", "0"], "is not a number from 1 to 500"),
        (["--limit", "501"], "is not a number from 1 to 500"),
        (["nowhere_at_all"], "no task that is known here has 'nowhere_at_all' in its name"),
        (["--backend", "default", "--database", "other"], "backend 'default' keeps its jobs on database 'default'"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(arguments, sentence):
    with pytest.raises(CommandError, match=sentence):
        run(*arguments)


def test_jobs_of_one_alias_and_of_another_database():
    here, there = add.enqueue(1), add.using(backend="elsewhere").enqueue(1)
    any_queue = add.using(backend="any_queue").enqueue(1)

    assert ids() == [any_queue.id, here.id]
    assert ids("--backend", "any_queue") == [any_queue.id]
    assert ids("--backend", "elsewhere") == ids("--database", "other") == [there.id]
    warned = io.StringIO()
    run(stderr=warned)
    assert warned.getvalue() == "Jobs on database 'other' are not shown; --database names one.\n"


def test_colours_are_for_terminals_only(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    add.enqueue(1)

    assert "\x1b[" not in run()[1]
    assert "\x1b[36mready" in run(stream=Terminal(), force_color=True)[1]


@pytest.mark.parametrize("columns", [200, 80, 40])
def test_it_fits_any_terminal(columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    rows.fail(send.enqueue("a long text " * 20).id, traceback="ValueError: " + "no such order " * 20)
    add.using(run_after=timedelta(days=1)).enqueue(1)

    said = run(stream=Terminal(), no_color=True)[1]

    # An id is of use only in one piece.
    assert max(map(len, said.splitlines())) <= max(columns, 45)
    assert "ValueError" in said


def test_json_has_what_a_line_has():
    job = add.enqueue(1)

    said = json.loads(run("--json", "--limit", "1")[1])

    assert {name: said[name] for name in ("database", "branch", "next", "previous", "looked")} == {
        "database": "default", "branch": "all", "next": None, "previous": None, "looked": None,
    }  # fmt: skip
    assert said["jobs"][0] | {"enqueued_at": ""} == {
        "id": job.id, "backend": "default", "queue_name": "default", "task_name": "tests.app.tasks.add",
        "state": "ready", "reason": None, "arguments": "1", "enqueued_at": "", "due_at": None, "claimed_at": None,
        "finished_at": None, "token": 0, "worker": None, "error": "",
    }  # fmt: skip
    assert said["jobs"][0]["enqueued_at"] == Job.objects.get().enqueued_at.isoformat()

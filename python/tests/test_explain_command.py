"""`manage.py gristmill explain`, as people and scripts use it."""

from __future__ import annotations

import io
import json
import re
import uuid

import pytest
from django.core.management import CommandError, call_command

from gristmill import operations
from tests import goals, rows
from tests.app.tasks import add

pytestmark = pytest.mark.django_db(databases=["default", "other"])


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


def run(*arguments, stream=None, **options):
    output = stream or io.StringIO()
    call_command("gristmill", "explain", *arguments, stdout=output, **options)
    return output.getvalue()


def test_it_reads_alone():
    rows.worker()
    bad, other, job = add.enqueue(1), add.enqueue(2), add.enqueue(3)
    rows.fail(bad.id)
    goals.wait(job, bad, other)
    operations.pause_queue("default", reason="the disk is full")

    # However long the machine takes from the one to the other.
    said = re.sub(r"for (under 1 s|\d+ s):", "for a moment:", run(job.id))

    assert [line.split(" (error) ")[0] for line in said.splitlines()] == [
        "tests.app.tasks.add  stranded",
        f"{job.id}, queue default",
        "",
        "Stranded: 1 of its 2 preconditions failed, and it needs all of them. "
        "It heals when that is retried and succeeds.",
        f"    {bad.id}  tests.app.tasks.add",
        "        failed",
        f"- At the root of it tests.app.tasks.add failed. Once that is mended: manage.py gristmill retry {bad.id}",
        "- Queue default is paused, for a moment: the disk is full.",
    ]


def test_what_is_left_out_is_counted():
    job = goals.wait(add.enqueue(0), *[add.enqueue(number) for number in range(9)])

    assert "    and 4 more" in run(job.id.hex).splitlines()


@pytest.mark.parametrize("columns", [120, 60, 20])
def test_it_fits_any_terminal(columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    job = goals.wait(add.enqueue(0), *[add.enqueue(number) for number in range(3)])

    said = run(job.id.hex, stream=Terminal(), no_color=True)

    longest = max(len(word) for word in said.split())
    assert max(len(line) for line in said.splitlines()) <= max(columns, longest + 64)


def test_colours_are_for_terminals_only():
    job = add.enqueue(1)

    assert "\x1b[" not in run(job.id)
    assert "\x1b[" not in run(job.id, stream=Terminal(), no_color=True)
    assert "\x1b[36mready" in run(job.id, stream=Terminal(), force_color=True)


def test_json_is_one_object_with_every_reason():
    job = add.using(backend="elsewhere").enqueue(1)

    said = json.loads(run(job.id, "--json", "--database", "other"))

    assert (said["id"], said["state"], said["backend"]) == (job.id, "ready", "elsewhere")
    assert [reason["kind"] for reason in said["reasons"]] == ["no worker"]


def test_the_beginning_of_an_id_will_do_where_it_fits_one_job():
    job = add.enqueue(1)
    far = add.using(backend="elsewhere").enqueue(1)

    assert job.id in run(str(uuid.UUID(job.id))[:30].upper())
    assert far.id in run(far.id[:29])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("0192f0c", "'0192f0c' is too short: give at least the first or last 8 digits of the id"),
        ("printer", "'printer' is not the id of a job: 32 hexadecimal digits, or its first or last 8"),
        ("ffffffffff", "there is no job whose id begins or ends with ffffffffff. It may have ended and been pruned"),
        ("f" * 32, f"there is no job {'f' * 32}. It may have ended"),
    ],
)
def test_an_id_that_names_no_job_is_one_sentence(text, sentence):
    with pytest.raises(CommandError) as refused:
        run(text)

    assert str(refused.value).startswith(sentence)
    assert refused.value.returncode == 1


def test_an_ambiguous_beginning_names_the_ids():
    first, second = add.enqueue(1), add.enqueue(2)

    with pytest.raises(CommandError, match=f"is the beginning of several ids: {first.id}, {second.id}"):
        run(first.id[:8])


def test_a_database_without_jobs_is_refused():
    with pytest.raises(CommandError, match="keeps jobs on database 'nope'; there is default, other"):
        run("f" * 32, "--database", "nope")

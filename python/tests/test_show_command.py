"""`manage.py gristmill show`: all of a job on one screen, whatever state it and its rows are in."""

from __future__ import annotations

import io
import json
import uuid
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

import gristmill
from gristmill import Unique, operations
from gristmill.inspect.details.read import details_of
from gristmill.models import Attempt, JobRow, ProgressRow, ReadyRow, ResultRow, Tick
from tests import crowd, goals, rows
from tests.app.tasks import add, send

pytestmark = pytest.mark.django_db(databases=["default", "other"])


@gristmill.task(redact=["card"])
def pay(order_id, card):
    return order_id


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


def show(job, *arguments, stream=None, **options):
    output = stream or io.StringIO()
    call_command("gristmill", "show", job if isinstance(job, str) else job.id, *arguments, stdout=output, **options)
    return output.getvalue()


def show_json(job, *arguments):
    return json.loads(show(job, "--json", *arguments))


def section(said, title):
    """The lines below a title, up to the next empty one."""
    lines = said.splitlines()
    start = lines.index(title) + 1
    return [line.strip() for line in lines[start : [*lines, ""].index("", start)]]


def test_the_first_lines_say_where_a_job_is_and_why():
    rows.worker()
    job = add.using(priority=3).enqueue(1)

    said = show(job).splitlines()

    assert said[:4] == [
        "tests.app.tasks.add  ready",
        job.id,
        "",
        "Next in line; 1 worker serves it, with 0 jobs in 2 runners.",
    ]
    assert "  priority  3" in said


def test_arguments_have_their_names_and_secrets_are_shown_when_asked():
    job = pay.enqueue(7, "4111")

    assert section(show(job), "Arguments") == [
        "order_id  7",
        "card      [redacted]",
        "--reveal shows what is redacted.",
    ]
    assert section(show(job, "--reveal"), "Arguments") == ["order_id  7", 'card      "4111"']
    assert "4111" not in show(job, "--json")
    assert show_json(job, "--reveal")["arguments"] == {"args": [7, "4111"], "kwargs": {}}
    assert show_json(job)["redacted"]


def test_arguments_without_names_have_their_places():
    job = send.enqueue("a", "b", "c", cc="d")
    for model in (JobRow, ReadyRow):
        model.objects.update(task_name="gone.away")

    assert section(show(job), "Arguments") == ['0   "a"', '1   "b"', '2   "c"', 'cc  "d"']
    assert section(show(add.enqueue(right=2, left=1)), "Arguments") == ["right  2", "left   1"]


def test_attempts_are_shown_with_error_traceback_and_output():
    worker = rows.worker(label="mill-7")
    job = add.enqueue(1)
    for number in range(4):
        running = rows.claim(job.id, worker.id)
        rows.end(
            running, "failed", reason="error", traceback=f"Traceback:\nValueError: {number}\n",
            output=f"tried {number}\n", runner_pid=4712,
        )  # fmt: skip
        rows.ready_again(running, failures=1)

    said = show(job, "--attempts", "2")

    assert "Attempts: the newest 2 of 4 attempts; --attempts shows more" in said
    assert "ValueError: 3" in said
    assert "ValueError: 1" not in said
    assert "on mill-7, process 4712; ran for 1 s" in said
    assert "tried 3" in said
    assert [attempt["traceback"] for attempt in show_json(job)["attempts"]] == [
        f"Traceback:\nValueError: {number}\n" for number in (1, 2, 3)
    ]


def test_the_time_line_names_what_a_job_waited_for():
    job = add.using(run_after=timedelta(seconds=-5)).enqueue(1)
    later = timezone.now() + timedelta(minutes=1)
    JobRow.objects.filter(pk=job.id).update(run_after=later)
    worker = rows.worker(label="mill-7")
    running = rows.claim(job.id, worker.id)
    running.claimed_at = later + timedelta(seconds=2)
    rows.end(running, "failed", reason="timeout")
    again = rows.claim(rows.ready_again(running, failures=1).id.hex, worker.id)
    again.claimed_at = later + timedelta(seconds=40)
    Attempt.objects.filter(token=1).update(
        started_at=later + timedelta(seconds=3), ended_at=later + timedelta(seconds=10)
    )
    rows.end(again, "successful")
    Attempt.objects.filter(token=2).update(started_at=again.claimed_at, ended_at=later + timedelta(seconds=41))
    rows.finish(again, "successful")
    ResultRow.objects.update(finished_at=later + timedelta(seconds=41))

    told = [(event.what, event.waited, event.seconds) for event in details_of(uuid.UUID(job.id), "default").events]

    assert [event[:2] for event in told] == [
        ("enqueued", None),
        ("due", "its date"),
        ("attempt 1 claimed by mill-7", "a worker"),
        ("its runner began", "its runner"),
        ("attempt 1 failed: timeout", None),
        ("attempt 2 claimed by mill-7", "its retry"),
        ("attempt 2 successful", None),
    ]
    assert [event[2] for event in told[2:]] == [2, 1, 7, 30, 1]


def test_what_people_did_stands_in_the_time_line_and_in_the_log():
    job = add.enqueue(1)
    operations.hold(job, "the disk is full", actor="lea")
    operations.cancel(job, actor="tom")

    said = show(job)

    assert [line.split(maxsplit=2)[-1] for line in section(said, "Actions")[1:]] == ["hold    lea", "cancel  tom"]
    assert "held by lea" in said
    assert "Cancelled by tom under 1 s ago." in said


def test_preconditions_and_dependents_are_the_first_of_them():
    others = [add.enqueue(number) for number in range(7)]
    job = goals.wait(add.enqueue(9), *others)

    said = show(job.id.hex)

    assert len(section(said, "Waits for")) == 7
    assert "and 2 more; manage.py gristmill graph draws them" in said
    assert section(show(others[0]), "Waited for by")[1].split() == ["waiting", job.id.hex, "tests.app.tasks.add"]
    assert show_json(job.id.hex)["preconditions"]["count"] == 7


def test_results_progress_keys_schedules_and_options_are_shown():
    job = add.using(unique=Unique(until="pruned"), timeout=30, max_attempts=2).enqueue(1)
    ProgressRow.objects.create(
        job_id=job.id, token=1, done=3, total=4, message="almost", metadata=None, updated_at=timezone.now()
    )
    now = timezone.now()
    Tick(backend="default", schedule="hourly", nominal=now, found_at=now, job_id=uuid.UUID(job.id)).save(
        force_insert=True
    )
    rows.succeed(job.id, {"total": 3, "access_token": "x"})

    said = show(job)

    assert "options     max_attempts=2, timeout=30.0" in said
    assert "progress    75% almost" in said
    assert "schedule    hourly, for " in said
    assert f"unique key  {JobRow.objects.get().unique_key}\n" in said
    assert section(said, "Result") == ["{", '"total": 3,', '"access_token": "[redacted]"', "}"]
    assert show_json(job, "--reveal")["result"] == {"total": 3, "access_token": "x"}


def test_a_result_is_hidden_where_the_task_says_that_all_is_secret():
    job = add.using(redact=True).enqueue(1)
    rows.succeed(job.id, 7)

    assert section(show(job), "Result") == ["[redacted]"]
    assert section(show(job, "--reveal"), "Result") == ["7"]


@pytest.mark.parametrize(
    "columns", [{"args": "[1,"}, {"kwargs": "7"}, {"options": "["}, {"task_name": "gone.away"}, {"args": "[" * 100_000}]
)
def test_a_row_that_cannot_be_read_is_shown_all_the_same(columns):
    job = add.enqueue(1)
    JobRow.objects.update(**columns)

    assert show(job)
    assert show_json(job)["state"] == "ready"


def test_a_job_without_a_place_is_shown_and_named_as_a_case_for_the_doctor():
    job = add.enqueue(1)
    ReadyRow.objects.all().delete()

    said = show(job)

    assert said.startswith("tests.app.tasks.add  nowhere\n")
    assert "manage.py gristmill doctor looks into that" in said
    assert show_json(job)["state"] == "nowhere"


def test_a_job_whose_attempt_is_missing_is_shown():
    job = add.enqueue(1)
    rows.fail(job.id)
    Attempt.objects.all().delete()

    assert "Failed under 1 s ago: error." in show(job)
    assert show_json(job)["attempts"] == []


HOSTILE = "\x1b[31mred\x1b]0;title\x07\u202e<script>alert(1)</script>\r\n\tend"


def test_hostile_text_moves_no_cursor():
    job = send.enqueue(HOSTILE, **{"a\x1b[2J": HOSTILE})
    operations.hold(job, HOSTILE, actor=HOSTILE)
    operations.release(job)
    worker = rows.worker(label=HOSTILE, host=HOSTILE)
    running = rows.claim(job.id, worker.id)
    rows.end(running, "failed", reason=HOSTILE, traceback=HOSTILE * 5, output=HOSTILE * 5)
    rows.finish(running, "failed", HOSTILE)
    for model in (JobRow, ResultRow):
        model.objects.update(task_name=HOSTILE, queue_name=HOSTILE)

    for command in (["show", job.id], ["jobs"], ["jobs", "--state", "failed"]):
        output = io.StringIO()
        call_command("gristmill", *command, stdout=output)
        assert all(line.isprintable() for line in output.getvalue().split("\n")), command


@pytest.mark.parametrize("columns", [120, 60, 20])
def test_it_fits_any_terminal(columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    job = goals.wait(add.enqueue("a long text " * 20), *[add.enqueue(number) for number in range(3)])

    said = show(job.id.hex, stream=Terminal(), no_color=True)

    assert max(map(len, said.splitlines())) <= max(columns, 100)


@pytest.mark.parametrize("kind", [1, 2, 3, 4], ids=["ready", "scheduled", "waiting", "ended"])
def test_it_reads_a_bounded_number_of_rows(kind):
    crowd.fill(3_000)
    rows.worker()
    with crowd.statements() as noted:
        details_of(uuid.UUID(f"{100:08x}000070008000{kind:012d}"), "default")

    # A scan of 3,000 rows would be beyond it on either database. Those before a ready job in its lane are counted.
    assert max(crowd.rows_read(sql, binds) for sql, binds in noted) < 1_000
    assert len(noted) < 30


def test_an_id_that_names_no_job_is_one_sentence():
    with pytest.raises(CommandError, match="there is no job ffff"):
        show("f" * 32)
    with pytest.raises(CommandError, match="is not a number from 1 to 100"):
        show("f" * 32, "--attempts", "0")

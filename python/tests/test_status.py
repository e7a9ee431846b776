"""`manage.py gristmill status`: what a person sees of the queue, however large it is."""

from __future__ import annotations

import io
import json
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from gristmill import operations
from gristmill.inspect import survey
from gristmill.inspect.tables import age, printable, table
from gristmill.models import JobRow, ReadyRow, WaitingRow
from tests import rows
from tests.app.tasks import add, send

pytestmark = pytest.mark.django_db(databases=["default", "other"])


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


def status(*arguments):
    output = io.StringIO()
    call_command("gristmill", "status", *arguments, stdout=output)
    return output.getvalue()


def status_json(*arguments):
    return json.loads(status("--json", *arguments))


def test_an_empty_queue_tells_how_to_start_a_worker():
    output = status("--backend", "default")

    assert "no worker is running; start one with manage.py gristmill worker" in output
    assert [line.split() for line in output.splitlines() if "mail" in line] == [["mail", "0", "0", "0", "0", "0"]]
    assert "Recent failures" not in output


def test_jobs_are_counted_by_queue_and_state():
    for number in range(3):
        add.enqueue(number)
    add.using(run_after=timedelta(days=1)).enqueue(1)
    rows.claim(add.enqueue(1).id)
    rows.succeed(send.enqueue("a").id)
    rows.fail(send.enqueue("b").id)

    queues = {queue["queue_name"]: queue for queue in status_json("--backend", "default")["queues"]}

    assert {state: queues["default"][state] for state in ("ready", "scheduled", "running")} == {
        "ready": 3,
        "scheduled": 1,
        "running": 1,
    }
    assert (queues["mail"]["successful"], queues["mail"]["failed"]) == (1, 1)
    assert queues["default"]["at_least"] == []


def test_counts_stop_at_a_cap(monkeypatch):
    monkeypatch.setattr(survey, "CAP", 3)
    for number in range(5):
        add.enqueue(number)
        add.using(run_after=timedelta(days=1)).enqueue(number)

    assert [line.split()[:3] for line in status("--backend", "default").splitlines() if "default" in line] == [
        ["default", "3+", "3+"]
    ]


def test_workers_are_shown_by_what_they_do():
    now = timezone.now()
    busy = rows.worker(label="busy", heartbeat_at=now)
    rows.worker(label="idle", idle=True, queues={"include": ["mail"], "exclude": ["spam"]})
    rows.worker(label="silent", heartbeat_at=now - timedelta(minutes=10))
    rows.worker(label="stopped", stopped_at=now)
    rows.worker(label="lost", lost_at=now)
    rows.claim(add.enqueue(1).id, busy.id)

    workers = {worker["label"]: worker for worker in status_json()["workers"]}
    output = status()

    assert {label: worker["state"] for label, worker in workers.items()} == {
        "busy": "working",
        "idle": "idle",
        "silent": "silent",
    }
    assert workers["busy"]["running"] == 1
    assert "mail but spam" in output
    assert "10 min ago" in output


def test_ready_jobs_that_no_worker_serves_are_listed():
    rows.worker(tasks=["tests.app.tasks.add"], queues={"include": None, "exclude": []})
    add.enqueue(1)
    send.enqueue("a")

    output = status("--backend", "default")

    assert "Ready, but no running worker serves them" in output
    assert [line.split() for line in output.splitlines() if "send  default" in line] == [
        ["tests.app.tasks.send", "default", "mail", "1"]
    ]
    assert "send: the workers that run started with code that does not have it; start them anew." in output


def test_with_no_worker_a_task_that_no_code_has_is_listed_with_the_cause():
    add.enqueue(1)
    send.enqueue("a")
    for model in (JobRow, ReadyRow):
        model.objects.filter(queue_name="mail").update(task_name="tests.busy.nothing")

    output = status("--backend", "default")

    assert "no worker is running; start one with manage.py gristmill worker\n" in output
    assert [line.split() for line in output.splitlines() if "nothing  default" in line] == [
        ["tests.busy.nothing", "default", "mail", "1"]
    ]
    assert "tests.busy.nothing: workers import 'tasks' of installed apps, and not tests.busy; add" in output
    assert "tests.app.tasks.add" not in output


def test_the_alias_that_has_jobs_and_no_worker_is_named():
    add.using(backend="any_queue").enqueue(1)

    assert "no worker is running; start one with manage.py gristmill worker --backend any_queue" in status()
    rows.worker(backend="default")
    assert "no worker serves backend 'any_queue'; start one with manage.py gristmill worker --backend any_q" in status()
    assert [lane["kind"] for lane in status_json()["unroutable"]] == ["no worker"]


def test_ready_jobs_of_a_queue_that_the_settings_do_not_have_are_listed():
    add.enqueue(1)
    for model in (JobRow, ReadyRow):
        model.objects.update(queue_name="old")

    assert "tests.app.tasks.add: QUEUES of backend 'default' does not name queue 'old'." in status()


def test_failures_show_the_last_line_of_what_went_wrong():
    rows.fail(add.enqueue(1).id, traceback="Traceback:\n  …\nValueError: \x1b[31mred\x1b[0m and \u202ehidden\n\n")

    output = status("--backend", "default")

    assert r"ValueError: \x1b[31mred\x1b[0m and \u202ehidden" in output
    assert "\x1b" not in output
    assert "\u202e" not in output


def test_jobs_that_wait_for_others_and_stranded_ones_are_counted():
    first = add.enqueue(1)
    waiting, stranded = send.using(after=first).enqueue("a"), send.using(after=first).enqueue("b")
    send.using(hold=True).enqueue("c")
    WaitingRow.objects.filter(pk=stranded.id).update(stranded=True)

    queues = {queue["queue_name"]: queue for queue in status_json("--backend", "default")["queues"]}

    assert waiting and "WAITING" in status("--backend", "default")
    assert {state: queues["mail"][state] for state in ("waiting", "stranded", "held")} == {
        "waiting": 1,
        "stranded": 1,
        "held": 1,
    }


def test_paused_queues_and_held_jobs_are_shown_with_the_reason():
    operations.pause_queue("mail", reason="provider is down")
    operations.hold(send.enqueue("a"), "out of paper")

    output = status("--backend", "default")
    queues = {queue["queue_name"]: queue for queue in status_json("--backend", "default")["queues"]}

    assert [line.split()[:2] for line in output.splitlines() if line.startswith("  mail")] == [
        ["mail", "paused"],
        ["mail", "under"],
    ]
    assert "provider is down" in output
    assert (queues["mail"]["paused"], queues["mail"]["held"], queues["mail"]["at_least"]) == ("provider is down", 1, [])
    assert (queues["default"]["paused"], queues["default"]["held"]) == (None, 0)


def test_a_paused_queue_is_shown_though_no_setting_names_it():
    operations.pause_queue("forgotten", reason="x", backend="any_queue")

    assert [queue["queue_name"] for queue in status_json("--backend", "any_queue")["queues"]] == ["forgotten"]


def test_jobs_that_wait_to_run_again_are_counted_apart():
    rows.failed_for_now(add.enqueue(1).id)
    add.using(run_after=timedelta(days=1)).enqueue(2)

    queue = next(each for each in status_json("--backend", "default")["queues"] if each["queue_name"] == "default")

    assert (queue["scheduled"], queue["retrying"]) == (1, 1)
    assert "RETRYING" in status("--backend", "default")


def test_what_somebody_cancelled_is_no_failure():
    operations.cancel(add.enqueue(1))
    rows.fail(add.enqueue(2).id)

    seen = status_json("--backend", "default")

    queue = next(each for each in seen["queues"] if each["queue_name"] == "default")
    assert (queue["failed"], queue["cancelled"]) == (1, 1)
    assert [failure["state"] for failure in seen["failures"]] == ["failed"]


def test_what_is_usual_takes_no_room():
    add.enqueue(1)

    output = status("--backend", "default")

    assert [
        word for word in ("RETRYING", "HELD", "CANCELLED", "STATE", "Paused", "asked to end") if word in output
    ] == []


def test_running_jobs_that_were_asked_to_end_are_listed():
    running = rows.claim(add.enqueue(1).id)
    operations.cancel(running.id)

    output = status("--backend", "default")

    assert "Running, and asked to end" in output
    assert running.id.hex in output
    assert [cancel["id"] for cancel in status_json("--backend", "default")["cancels"]] == [running.id.hex]
    assert status_json("--backend", "any_queue")["cancels"] == []


WIDE = [["a.very.long.module.path.of.tasks.send_receipt", "0192f0c0a0b07000800000000000000a", "the end of it all", 0]]


def test_a_table_gives_way_where_it_may_and_keeps_a_tasks_own_name():
    lines = table(["TASK", "JOB", "ERROR", "N"], WIDE, right=["N"], cut=["ERROR", "TASK"], room=80)

    assert max(len(line) for line in lines) <= 80
    assert lines[1].split()[0].endswith("send_receipt")
    assert "the end of…" in lines[1]


def test_what_does_not_fit_is_told_row_by_row_with_ids_whole():
    lines = table(["TASK", "JOB", "ERROR", "N"], WIDE, right=["N"], cut=["ERROR"], room=30)

    assert lines == [
        "  TASK   a.very.long.module.path.of.tasks.send_receipt",
        "  JOB    0192f0c0a0b07000800000000000000a",
        "  ERROR  the end of it all",
    ]


@pytest.mark.parametrize("columns", [200, 100, 80, 40, 10, 1])
def test_status_is_readable_on_any_terminal(columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    rows.worker(label="web-1.internal.shop.example-4711", host="web-1.internal.shop.example")
    rows.fail(add.enqueue(1).id)
    operations.pause_queue("mail", reason="the provider is down until three o'clock")
    output = Terminal()

    call_command("gristmill", "status", stdout=output)

    assert "web-1" in output.getvalue()
    longest_word = max(len(word) for word in output.getvalue().split())
    assert max(len(line) for line in output.getvalue().splitlines()) <= max(columns, longest_word + 13)


def test_the_oldest_ready_job_tells_how_long_work_waits(frozen):
    add.enqueue(1)

    assert status_json("--backend", "default")["oldest_ready_seconds"] > 86_400 * 365


def test_the_number_of_queries_does_not_grow_with_the_jobs(django_assert_max_num_queries):
    add.enqueue_many((number,) for number in range(500))

    with django_assert_max_num_queries(6):
        status("--backend", "default")


@pytest.mark.parametrize(
    ("alias", "message"),
    [
        ("nope", "there is no backend 'nope' in TASKS; those that use Gristmill: default, any_queue, elsewhere"),
        ("not_ours", "backend 'not_ours' is .*DummyBackend, not Gristmill's"),
    ],
)
def test_a_wrong_alias_is_one_sentence(alias, message):
    with pytest.raises(CommandError, match=message):
        status("--backend", alias)


def test_tables_are_aligned_whatever_the_letters():
    lines = table(["NAME", "N"], [["日本", 1], ["e\u0301", 10_000]], right=["N"])

    assert lines == ["  NAME      N", "  日本      1", "  e\u0301     10000".replace("e\u0301     ", "e\u0301     ")]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "under 1 s"), (4, "4 s"), (119, "119 s"), (180, "3 min"), (7200, "2 h"), (200_000, "2 d")],
)
def test_ages_are_short(seconds, text):
    assert age(seconds) == text


def test_long_and_strange_text_is_cut_and_escaped():
    assert printable("a\r\nb\x07") == r"a\r\nb\x07"
    assert len(printable("x" * 1000)) == 100

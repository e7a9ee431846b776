"""`manage.py gristmill cancel | hold | release | retry | queue | prune`, as people and scripts use them."""

from __future__ import annotations

import io
import json
import sys
import uuid
from argparse import ArgumentTypeError
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from gristmill.commands import gauge
from gristmill.models import Action, Attempt, EdgeRow, GateRow, Job, JobRow, ProgressRow, Queue, ResultRow
from gristmill.tasks import registry
from gristmill.values.durations import duration
from gristmill.verbs import batched, pruning
from tests import rows
from tests.app.tasks import add, send

pytestmark = pytest.mark.django_db(databases=["default", "other"])


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


def run(*arguments, answer=None, monkeypatch=None):
    """Runs a command; returns (exit status, what it said on stdout, what it said on stderr)."""
    output, errors = io.StringIO(), io.StringIO()
    if answer is not None:
        monkeypatch.setattr(sys, "stdin", Terminal(answer))
    try:
        call_command("gristmill", *arguments, stdout=output, stderr=errors)
    except SystemExit as ended:
        return ended.code, output.getvalue(), errors.getvalue()
    return 0, output.getvalue(), errors.getvalue()


def states():
    return sorted(Job.objects.values_list("state", flat=True))


def test_jobs_are_cancelled_by_id():
    first, second = add.enqueue(1), rows.claim(add.enqueue(2).id)

    assert run("cancel", first.id, str(second.id)) == (
        0,
        "Cancelled 1 job.\nAsked 1 job to end: running, so the worker sees to it.\n",
        "",
    )
    assert Action.objects.filter(actor__endswith=", with manage.py gristmill cancel").count() == 2


def test_what_was_refused_is_told_with_the_reason():
    done, ready = add.enqueue(1), add.enqueue(2)
    rows.succeed(done.id)

    status, output, _ = run("cancel", done.id, ready.id)

    assert status == 0
    assert output == f"Cancelled 1 job.\nRefused 1 job: it has ended (successful).\n  {done.id}\n"


def test_nothing_done_is_exit_status_1():
    unknown = uuid.uuid4().hex

    assert run("release", unknown) == (1, "Refused 1 job: there is no such job.\n", "")
    assert run("retry", "--all", "--yes") == (
        1,
        "No job matched: retry takes jobs that are failed, cancelled, poisoned or successful.\n",
        "",
    )


def test_a_filter_narrows_by_every_condition():
    wanted = send.enqueue("a")
    send.using(priority=0, queue_name="default").enqueue("b")
    add.using(queue_name="mail").enqueue(1)
    send.using(run_after=timedelta(days=1)).enqueue("c")
    JobRow.objects.update(enqueued_at=timezone.now() - timedelta(hours=3))
    send.enqueue("young")

    status, output, _ = run(
        "hold", "--task", send.module_path, "--queue", "mail", "--state", "ready", "--older-than", "2h", "--yes",
        "--reason", "out of paper",
    )  # fmt: skip

    assert (status, output) == (0, "Held 1 job.\n")
    assert [(job.id.hex, job.reason) for job in Job.objects.held()] == [(wanted.id, "out of paper")]
    assert run("release", "--reason", "inventory", "--yes")[0] == 1
    assert run("release", "--reason", "out of paper", "--yes") == (0, "Released 1 job.\n", "")


def test_a_retry_of_a_filter_leaves_alone_what_succeeded():
    failed, succeeded, timed_out = (add.enqueue(number) for number in range(3))
    rows.fail(failed.id)
    rows.succeed(succeeded.id)
    rows.fail(timed_out.id)
    ResultRow.objects.filter(pk=timed_out.id).update(reason="timeout")

    assert run("retry", "--reason", "timeout", "--newer-than", "1h", "--yes")[1] == (
        "Retried 1 job: ready to run again.\n"
    )
    assert states() == ["failed", "ready", "successful"]
    run("retry", "--all", "--yes")
    assert states() == ["ready", "ready", "successful"]
    run("retry", succeeded.id)
    assert states() == ["ready", "ready", "ready"]


def test_a_filter_asks_on_a_terminal_and_takes_no_for_an_answer(monkeypatch):
    add.enqueue(1)

    with pytest.raises(CommandError, match="nothing was done"):
        run("cancel", "--all", answer="\n", monkeypatch=monkeypatch)
    assert states() == ["ready"]
    status, _, errors = run("cancel", "--all", answer="y\n", monkeypatch=monkeypatch)
    assert (status, errors) == (0, "Cancel 1 job? [y/N] ")
    assert states() == ["cancelled"]


def test_scheduled_jobs_are_run_now_by_id_and_by_a_filter(monkeypatch):
    first, second = (send.using(run_after=timedelta(days=1)).enqueue("lea") for _ in range(2))
    ready = add.enqueue(1)

    assert run("run-now", first.id, ready.id) == (
        0,
        f"Made 1 job due now.\nRefused 1 job: it is not scheduled but ready.\n  {ready.id}\n",
        "",
    )
    assert Action.objects.get().actor.endswith(", with manage.py gristmill run-now")
    status, output, errors = run("run-now", "--queue", "mail", answer="y\n", monkeypatch=monkeypatch)
    assert (status, output, errors) == (0, "Made 1 job due now.\n", "Run now 1 job? [y/N] ")
    assert run("run-now", "--all", "--dry-run")[:2] == (1, "No job matched: run-now takes jobs that are scheduled.\n")
    assert Job.objects.get(pk=second.id).state == "ready"


def test_what_has_not_started_is_changed_by_id_and_by_a_filter():
    first, second = add.enqueue(1), add.enqueue(2)

    assert run("change", first.id, "--to-priority", "7") == (0, "Changed 1 job.\n", "")
    assert run("change", "--queue", "default", "--to-queue", "mail", "--yes") == (0, "Changed 2 jobs.\n", "")

    changed = Job.objects.order_by("pk").values_list("pk", "queue_name", "priority")
    assert [(pk.hex, *rest) for pk, *rest in changed] == [(first.id, "mail", 7), (second.id, "mail", 0)]


def test_a_job_is_enqueued_again_with_other_arguments():
    former = add.enqueue(1, right=2)

    status, output, _ = run("enqueue-again", former.id, "--args", "[5]", "--actor", "lea")

    made = Job.objects.exclude(pk=former.id).get()
    assert (status, output) == (0, f"Enqueued job {made.id.hex}.\n")
    assert (made.args, made.kwargs, made.actions.get().other_id.hex) == ([5], {"right": 2}, former.id)
    assert json.loads(run("enqueue-again", former.id, "--json")[1])["existing"] is False


def test_a_filter_that_matches_nothing_does_not_ask(monkeypatch):
    assert run("cancel", "--all", answer="", monkeypatch=monkeypatch)[0] == 1


def test_a_dry_run_changes_nothing():
    add.enqueue_many((number,) for number in range(3))

    assert run("cancel", "--all", "--dry-run") == (0, "Would cancel 3 jobs.\n", "")
    assert json.loads(run("cancel", "--queue", "mail", "--dry-run", "--json")[1]) == {
        "verb": "cancel",
        "dry_run": True,
        "matched": 0,
        "at_least": False,
    }
    assert states() == ["ready"] * 3


def test_json_is_one_object():
    job = add.enqueue(1)

    assert json.loads(run("hold", job.id, "--json")[1]) == {
        "verb": "hold",
        "done": {"held": 1},
        "refused": {},
        "outcomes": {job.id: "held"},
    }
    status, output, _ = run("hold", job.id, "--json")
    assert (status, json.loads(output)["done"]) == (1, {})
    assert json.loads(run("cancel", "--all", "--yes", "--json")[1]) == {
        "verb": "cancel",
        "done": {"cancelled": 1},
        "refused": {},
    }


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("cancel", "which jobs? Name them by id, choose with --task, --queue, …, or cancel --all"),
        ("hold --reason x", "which jobs? Name them by id"),
        ("cancel abc", "'abc' is too short: give at least the first or last 8 digits of the id"),
        ("cancel printer", "'printer' is not the id of a job"),
        ("cancel 0192f0c0a0b07000800000000000000a --queue mail", "by id or choose them by a filter, not both"),
        ("cancel --all --queue mail", "--all means every job"),
        ("hold --state running --yes", "hold takes jobs that are ready, scheduled, waiting or stranded, not 'running'"),
        ("run-now --state ready --yes", "run-now takes jobs that are scheduled, not 'ready'"),
        ("change --all", "change what? Say --to-priority, --to-queue, or both"),
        ("change --all --to-priority 101", "priority must be a whole number from -100 to 100; got 101"),
        ("enqueue-again ffffffff", "there is no job whose id begins or ends with ffffffff"),
        ("cancel --queue mail", "to cancel by a filter takes --yes where nobody can be asked"),
        ("cancel --older-than soon", "'soon' is not a length of time; write 90s, 15m, 2h or 7d"),
        ("cancel --all --backend nope", "there is no backend 'nope' in TASKS"),
        ("queue pause", "which queue? Write: manage.py gristmill queue pause NAME"),
        ("queue pause mail", 'why? Write: manage.py gristmill queue pause mail --reason "'),
        ("queue pause nope --reason x", "backend 'default' has no queue 'nope'; its QUEUES are 'default', 'mail'"),
        ("queue list mail", "to list takes no name and no reason"),
        ("queue resume mail --reason x", "--reason belongs to a pause"),
        ("prune --older-than 99999999d", "is longer than 36,525 days"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_sentence(arguments, sentence, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO())

    with pytest.raises(CommandError) as refused:
        run(*arguments.split())

    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_task_by_half_its_name_is_told_the_whole(monkeypatch):
    monkeypatch.setattr(registry, "tasks", {"default": {"a.b.madd": send, add.module_path: add}})
    monkeypatch.setattr(registry, "_loaded", True)
    add.enqueue(1)

    status, output, _ = run("cancel", "--task", "add", "--yes")

    assert status == 1
    assert output.endswith(f"No task is named 'add' here; did you mean {add.module_path}?\n")


def test_a_long_command_says_how_far_it_is(monkeypatch):
    monkeypatch.setattr(batched, "BATCH", 2)
    monkeypatch.setattr(gauge, "SILENT_SECONDS", 0)
    monkeypatch.setattr(gauge, "LOG_SECONDS", 0)
    add.enqueue_many((number,) for number in range(4))

    assert run("cancel", "--all", "--yes") == (0, "Cancelled 4 jobs.\n", "cancel: 2 …\ncancel: 4 …\n")


def test_on_a_terminal_it_says_so_on_one_line(monkeypatch):
    monkeypatch.setattr(gauge, "SILENT_SECONDS", 0)
    monkeypatch.setattr(gauge, "TERMINAL_SECONDS", 0)
    errors = Terminal()
    add.enqueue(1)

    call_command("gristmill", "cancel", "--all", "--yes", stdout=io.StringIO(), stderr=errors)

    assert errors.getvalue() == "\rcancel: 1 …\x1b[K\r\x1b[K"


def test_ctrl_c_tells_what_was_done_before(monkeypatch):
    monkeypatch.setattr(batched, "BATCH", 2)
    add.enqueue_many((number,) for number in range(4))
    asked = []
    real = batched.carry_out

    def interrupted(*arguments):
        asked.append(1)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(batched, "carry_out", interrupted)

    assert run("cancel", "--all", "--yes") == (130, "Cancelled 2 jobs.\n", "")
    assert states() == ["cancelled", "cancelled", "ready", "ready"]


def test_queues_are_listed_paused_and_resumed():
    send.enqueue("a")

    assert run("queue", "pause", "mail", "--reason", "provider is down") == (
        0,
        "Paused queue mail. What runs goes on.\n",
        "",
    )
    _, output, _ = run("queue", "--backend", "default")
    assert [line.split() for line in output.splitlines() if line.startswith("  mail")] == [
        ["mail", "paused", "1", "0", "0", "0", "0"],
        ["mail", "under", "1", "s", "ago", "provider", "is", "down"],
    ]
    assert run("queue", "resume", "mail") == (0, "Resumed queue mail.\n", "")
    assert run("queue", "resume", "mail") == (1, "Queue mail was not paused.\n", "")
    assert "STATE" not in run("queue")[1]


def test_queues_are_told_as_json():
    paused = json.loads(run("queue", "pause", "mail", "--reason", "x", "--json")[1])
    queues = {
        queue["queue_name"]: queue for queue in json.loads(run("queue", "--json", "--backend", "default")[1])["queues"]
    }
    resumed = json.loads(run("queue", "resume", "mail", "--json")[1])

    assert paused == {"queue_name": "mail", "backend": "default", "state": "paused"}
    assert (queues["mail"]["paused"], queues["default"]["paused"]) == ("x", None)
    assert resumed == {"queue_name": "mail", "backend": "default", "state": "active", "was_paused": True}
    assert not Queue.objects.exists()


def finished(state, days, task=add, prune_at=None):
    """A job that ended so many days ago."""
    job = task.enqueue(1)
    if state == "successful":
        rows.succeed(job.id)
    else:
        rows.fail(job.id)
    ResultRow.objects.filter(pk=job.id).update(finished_at=timezone.now() - timedelta(days=days), prune_at=prune_at)
    ProgressRow.objects.create(job_id=job.id, token=1, done=1, updated_at=timezone.now())
    return uuid.UUID(job.id)


def remaining():
    """The finished jobs that are left; of the others nothing may be left anywhere."""
    left = set(ResultRow.objects.values_list("pk", flat=True))
    assert set(JobRow.objects.values_list("pk", flat=True)) == left
    assert set(Attempt.objects.values_list("job_id", flat=True)) == left
    assert set(ProgressRow.objects.values_list("pk", flat=True)) == left
    return left


def test_without_options_prune_forgets_what_workers_would():
    finished("successful", 15)
    finished("failed", 15)
    young = finished("successful", 13)

    assert run("prune") == (0, "Forgot 2 jobs.\n", "")
    assert remaining() == {young}
    assert run("prune") == (0, "Forgot 0 jobs.\n", "")


def test_the_projects_retention_counts(settings):
    options = {"RETENTION": timedelta(days=1)}
    settings.TASKS = {"default": {"BACKEND": "gristmill.backend.GristmillBackend", "OPTIONS": options}}
    finished("successful", 2)

    assert json.loads(run("prune", "--json")[1]) == {"dry_run": False, "pruned": 1}


@pytest.mark.parametrize("batch", [1, 1_000])
def test_failures_may_be_kept_longer(monkeypatch, batch):
    monkeypatch.setattr(pruning, "BATCH", batch)
    finished("successful", 8)
    finished("successful", 9)
    kept = finished("failed", 8)
    finished("failed", 31)
    arguments = ("prune", "--older-than", "7d", "--failed-older-than", "30d")

    assert run(*arguments, "--dry-run") == (0, "Would forget 3 jobs.\n", "")
    assert run(*arguments) == (0, "Forgot 3 jobs.\n", "")
    assert remaining() == {kept}


def test_one_queue_may_be_pruned_alone():
    kept = finished("successful", 20)
    finished("successful", 20, task=send)

    assert run("prune", "--queue", "mail", "--older-than", "7d") == (0, "Forgot 1 job.\n", "")
    assert remaining() == {kept}


def test_what_a_job_still_waits_for_is_not_pruned():
    needed, done = finished("successful", 20, task=send), finished("successful", 20, task=send)
    ResultRow.objects.update(awaited=True)
    add.using(after=needed).enqueue(1)
    rows.succeed(add.using(after=done).enqueue(2).id)

    assert run("prune", "--queue", "mail", "--older-than", "7d") == (0, "Forgot 1 job.\n", "")

    assert JobRow.objects.filter(pk=needed).exists() and not JobRow.objects.filter(pk=done).exists()
    # Known for ever: that there was one. What waits for it is about its dependent.
    assert EdgeRow.objects.count() == GateRow.objects.count() == 2


def test_a_pruned_job_leaves_no_gate_and_no_edges_of_its_own():
    first = add.enqueue(1)
    rows.succeed(send.using(after=first).enqueue("a").id)
    ResultRow.objects.update(finished_at=timezone.now() - timedelta(days=20))

    assert run("prune", "--queue", "mail", "--older-than", "7d") == (0, "Forgot 1 job.\n", "")

    assert not EdgeRow.objects.exists() and not GateRow.objects.exists()


def test_a_job_that_waited_for_very_many_goes_with_the_last_of_its_edges(monkeypatch):
    monkeypatch.setattr(pruning, "EDGES", 2)
    firsts = [add.enqueue(number) for number in range(5)]
    for after in (firsts, firsts[:1], [], firsts[:3]):
        rows.succeed(send.using(after=after).enqueue("a").id)
    ResultRow.objects.update(finished_at=timezone.now() - timedelta(days=20))
    rule = pruning.Rule(timedelta(days=7), timedelta(days=7), ("default", "mail"))

    forgotten = []
    for count in pruning.prune(connection, rule):
        forgotten.append((count, EdgeRow.objects.count()))

    assert [edges for _, edges in forgotten if edges] == [9, 7, 5, 3, 1]
    assert sum(count for count, _ in forgotten) == 4
    assert not GateRow.objects.exists()


@pytest.mark.parametrize("extra", [(), ("--queue", "default")])
def test_a_retention_of_its_own_comes_first_and_nothing_goes_within_a_minute(extra):
    now = timezone.now()
    kept = finished("successful", 20, prune_at=now + timedelta(days=1))
    finished("successful", 1, prune_at=now - timedelta(seconds=1))
    just_ended = [
        finished("successful", 30 / 86_400),
        finished("failed", 30 / 86_400, prune_at=now - timedelta(seconds=1)),
    ]

    assert run("prune", "--older-than", "7d", *extra) == (0, "Forgot 1 job.\n", "")
    assert remaining() == {kept, *just_ended}
    assert run("prune", "--older-than", "0s", *extra) == (0, "Forgot 0 jobs.\n", "")


@pytest.mark.django_db(transaction=True)
def test_each_batch_of_a_prune_is_a_transaction_of_its_own(monkeypatch):
    monkeypatch.setattr(pruning, "BATCH", 1)
    finished("successful", 20)
    finished("successful", 21)
    rule = pruning.Rule(timedelta(days=7), timedelta(days=30))

    batches = pruning.prune(connection, rule)
    next(count for count in batches if count)

    assert not connection.in_atomic_block
    assert ResultRow.objects.count() == 1


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("15m", 900), ("2h", 7200), ("7d", 604_800), ("1.5h", 5400), ("0s", 0)]
)
def test_lengths_of_time_are_written_short(text, seconds):
    assert duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "5", "-5s", "1e9d", "s", "5 s", "\u0665s", "999999999d", "5w"])
def test_what_is_no_length_of_time_is_refused(text):
    with pytest.raises(ArgumentTypeError):
        duration(text)

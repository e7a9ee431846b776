"""`explain`: why a job does not run, told so that a person understands it."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from gristmill import operations
from gristmill.compat import TaskResultDoesNotExist
from gristmill.explain import explain
from gristmill.inspect.explaining import gates, line
from gristmill.models import EdgeRow, Job, JobRow, ProgressRow, ResultRow, RunningRow, WaitingRow
from tests import goals, rows
from tests.app.tasks import add, send

pytestmark = pytest.mark.django_db(databases=["default", "other"])


def test_a_waiting_job_tells_how_many_it_waits_for_and_where_the_first_ones_are():
    rows.worker()
    done, runs, later = add.enqueue(1), add.enqueue(2), add.using(run_after=timedelta(hours=3)).enqueue(3)
    rows.succeed(done.id)
    rows.claim(runs.id)
    job = goals.wait(add.enqueue(4), done, runs, later)

    told = explain(job)

    assert told.state == "waiting"
    assert told.headline == "Waits for 2 of its 3 preconditions (1 successful); it needs all of them."
    first = told["preconditions"].details["first"]
    assert [(one["id"], one["state"]) for one in first] == [(runs.id, "running"), (later.id, "scheduled")]
    assert [one["sentence"][:10] for one in first] == ["running fo", "due in 3 h"]
    assert told["preconditions"].details["more"] == 0


def test_what_a_precondition_waits_for_is_told_one_level_down():
    root, held = add.enqueue(1), add.enqueue(2)
    operations.hold(held, "out of paper")
    middle = add.enqueue(3)
    goals.wait(middle, root, held)
    last = goals.wait(add.enqueue(4), middle)

    first = explain(last)["preconditions"].details["first"]

    assert [one["sentence"] for one in first] == ["waits for add (ready), add (held)"]
    assert [one["id"] for one in first[0]["waits_for"]] == [root.id, held.id]
    assert explain(last).headline == "Waits for its precondition."


def test_at_least_k_tells_how_many_more_it_needs():
    done, *others = [add.enqueue(number) for number in range(5)]
    rows.succeed(done.id)
    job = goals.wait(add.enqueue(9), done, *others, needed=3)

    assert explain(job).headline == (
        "Waits for 2 more of its 5 preconditions, 4 of them open (1 successful); it needs 3."
    )


def test_failed_ones_that_count_are_told():
    bad, other = add.enqueue(1), add.enqueue(2)
    rows.fail(bad.id)
    job = goals.wait(add.enqueue(3), bad, other, on_precondition_failure="proceed")

    assert explain(job).headline == (
        "Waits for 1 of its 2 preconditions (1 failed); it needs all of them, failed ones count too."
    )


def test_many_preconditions_are_named_up_to_a_bound(django_assert_max_num_queries):
    many = [add.enqueue(number) for number in range(30)]
    job = goals.wait(add.enqueue(99), *many)

    with django_assert_max_num_queries(7):
        told = explain(job)["preconditions"]

    assert len(told.details["first"]) == gates.SHOWN
    assert told.details["more"] == 30 - gates.SHOWN


def test_open_preconditions_are_found_behind_others():
    many = [add.enqueue(number) for number in range(10)]
    for one in many[:-1]:
        rows.succeed(one.id)
    job = goals.wait(add.enqueue(99), *many)

    assert [one["id"] for one in explain(job)["preconditions"].details["first"]] == [many[-1].id]


def test_a_stranded_job_tells_which_failed_and_that_it_heals():
    bad, other = add.enqueue(1), add.enqueue(2)
    rows.fail(bad.id)
    job = goals.wait(add.enqueue(3), bad, other)

    told = explain(job)

    assert told.state == "stranded"
    assert told.headline == (
        "Stranded: 1 of its 2 preconditions failed, and it needs all of them. "
        "It heals when that is retried and succeeds."
    )
    first = told["stranded"].details["first"]
    assert [(one["id"], one["state"]) for one in first] == [(bad.id, "failed")]
    assert first[0]["sentence"].startswith("failed (error) ")


def test_what_failed_many_levels_up_is_told_with_the_command_that_retries_it(django_assert_max_num_queries):
    bad = add.enqueue(0)
    rows.fail(bad.id)
    last = bad
    for number in range(6):
        last = goals.wait(add.enqueue(number), last)

    with django_assert_max_num_queries(18):
        told = explain(last)

    assert told.headline == "Stranded: its precondition is stranded. It heals when what failed is retried and succeeds."
    assert told["root"].details == {"ids": [bad.id], "all": True}
    assert told["root"].sentence == (
        f"At the root of it tests.app.tasks.add failed. Once that is mended: manage.py gristmill retry {bad.id}"
    )


def test_of_many_roots_the_first_are_named_and_that_there_may_be_more():
    bad = [add.enqueue(number) for number in range(8)]
    for one in bad:
        rows.fail(one.id)

    root = explain(goals.wait(add.enqueue(9), *bad))["root"]

    assert root.details == {"ids": [one.id for one in bad[:5]], "all": False}
    assert root.sentence.startswith("At the root of it tests.app.tasks.add and others failed. ")


def test_a_forgotten_precondition_is_named_so():
    bad = add.enqueue(1)
    rows.fail(bad.id)
    job = goals.wait(add.enqueue(2), bad)
    EdgeRow.objects.update(precondition_id=uuid.uuid4())

    assert explain(job)["stranded"].details["first"][0]["sentence"] == "it is forgotten"


def test_what_a_worker_has_yet_to_do_about_it_is_told():
    done = add.enqueue(1)
    job = goals.wait(add.enqueue(2), done, resolved=False)
    rows.succeed(done.id)
    goals.propagation("resolve", job)
    goals.propagation("notify", Job.objects.get(pk=done.id))

    told = explain(job)

    assert "unresolved" in told
    assert told["propagations"].sentence == (
        "A worker has yet to look at what became of its preconditions; that takes a moment."
    )
    assert told["preconditions"].details["first"][0]["sentence"].endswith("; a worker passes that on in a moment")
    assert explain(done)["propagations"].details == {"notify": 1}


def test_a_gate_that_holds_is_about_to_be_evaluated():
    done = add.enqueue(1)
    rows.succeed(done.id)
    job = goals.wait(add.enqueue(2), done)

    assert explain(job).headline == "Its preconditions are met; a worker moves it on in a moment."


def test_waiting_for_nothing_points_to_the_doctor():
    job = goals.wait(add.enqueue(2), add.enqueue(1))
    goals.GateRow.objects.all().delete()

    assert "gristmill doctor" in explain(job).headline


def test_a_held_job_tells_who_since_when_and_why():
    job = add.enqueue(1)
    operations.hold(job, "out of paper", actor="lea")

    told = explain(job)

    assert told.state == "held"
    assert told.headline == "Held by lea for under 1 s: out of paper."
    assert told["held"].details["reason"] == "out of paper"


def test_a_held_job_with_open_preconditions_tells_both():
    job = goals.wait(add.enqueue(2), add.enqueue(1))
    WaitingRow.objects.filter(pk=job.id).update(held=True)

    told = explain(job.id)

    assert told.headline.startswith("Held since it was enqueued, ")
    assert "preconditions" in told


def test_a_dated_job_tells_its_date_and_how_long_until():
    job = add.using(run_after=timedelta(hours=3)).enqueue(1)

    told = explain(job)

    assert told.headline.startswith("Due in 3 h, at 20")
    assert told["date"].details["seconds"] > 10_000


def test_a_job_that_is_tried_again_tells_what_went_wrong():
    job = add.enqueue(1)
    running = rows.claim(job.id)
    rows.end(running, "failed", reason="error", traceback="Traceback …\nValueError: no such order\n")
    values = rows.columns_of(running, failures=1)
    values["run_after"] = timezone.now() + timedelta(minutes=5)
    rows.ScheduledRow.objects.create(**values, token=running.token)

    assert explain(job).headline.endswith(": attempt 1 failed, and it is tried again then. ValueError: no such order.")


def test_a_paused_queue_is_told_with_its_reason():
    rows.worker(tasks=["tests.app.tasks.send"])
    job = send.enqueue("a")
    operations.pause_queue("mail", reason="the provider is down")

    told = explain(job)

    assert told.headline == "Queue mail is paused, for under 1 s: the provider is down."
    assert "line" not in told


@pytest.mark.parametrize(
    ("worker", "kind", "sentence"),
    [
        (None, "no worker", "No worker is running; start one with manage.py gristmill worker."),
        ({"tasks": ["other"]}, "unroutable", "No running worker knows the task tests.app.tasks.add: the job is unrout"),
        (
            {"queues": {"include": ["mail"], "exclude": []}},
            "other queues",
            "mill-1 knows its task, but does not serve queue default.",
        ),
        (
            {"backend": "any_queue"},
            "other backend",
            "No running worker serves backend 'default'; those that run serve 'any_queue'. Start one",
        ),
        ({"silent": True}, "silent", "No worker that serves it is heard of: mill-1, silent for 10 min."),
    ],
)
def test_why_no_worker_would_run_it(worker, kind, sentence):
    if worker is not None:
        if worker.pop("silent", False):
            worker = {"heartbeat_at": timezone.now() - timedelta(minutes=10)}
        rows.worker(**worker)
    job = add.enqueue(1)

    told = explain(job)

    assert told.reasons[0].kind == kind
    assert told.headline.startswith(sentence)


def test_without_a_worker_an_unknown_task_and_the_alias_are_told_all_the_same():
    job = add.using(backend="any_queue").enqueue(1)
    for model in (JobRow, rows.ReadyRow):
        model.objects.update(task_name="tests.busy.nothing")

    told = explain(job)

    assert told.headline == ("No worker is running; start one with manage.py gristmill worker --backend any_queue.")
    assert told["unknown task"].sentence.startswith(
        "Nor would a worker know the task tests.busy.nothing: workers import 'tasks' of installed apps, and not"
    )


def test_a_queue_that_the_settings_do_not_have_is_told():
    job = add.enqueue(1)
    for model in (JobRow, rows.ReadyRow):
        model.objects.update(queue_name="old")

    assert explain(job)["unknown queue"].sentence == (
        "QUEUES of backend 'default' does not name queue 'old', so a worker has to be told: --queue old."
    )


def test_workers_of_older_code_are_told_to_be_started_anew():
    rows.worker(tasks=["other"])

    assert explain(add.enqueue(1)).headline.endswith(
        "The workers that run started with code that does not have it; start them anew."
    )


def test_how_far_back_in_line_it_is_by_lane_and_across_what_the_workers_serve():
    rows.worker(tasks=["tests.app.tasks.add", "tests.app.tasks.send"])
    first, second = add.enqueue(1), add.enqueue(2)
    send.enqueue("a")  # priority 5
    add.using(priority=-5).enqueue(3)

    assert explain(second).headline == (
        "2 jobs come before it, 1 of its own queue and task; 1 worker serves it, with 0 jobs in 2 runners."
    )
    told = explain(first)["line"].details
    assert (told["before"], told["before_in_lane"], told["before_at_least"]) == (1, 0, False)


def test_the_first_in_line_is_told_so_and_paused_queues_are_passed_over():
    rows.worker(tasks=["tests.app.tasks.add", "tests.app.tasks.send"])
    job = add.enqueue(1)
    send.enqueue("a")
    operations.pause_queue("mail", reason="x")

    assert explain(job).headline.startswith("Next in line; 1 worker serves it")


def test_a_long_line_is_counted_to_a_bound(monkeypatch):
    monkeypatch.setattr(line, "CAP", 3)
    rows.worker()
    add.enqueue_many((number,) for number in range(9))
    job = add.enqueue(9)

    told = explain(job)["line"]

    assert told.sentence.startswith("More than 3 jobs come before it, more than 3 of its own queue and task")
    assert told.details["before_at_least"] is True


def test_a_running_job_tells_since_when_where_and_how_far():
    worker = rows.worker()
    job = add.enqueue(1)
    rows.ready_again(_ended(rows.claim(job.id)))
    claimed = rows.claim(job.id, worker.id)
    RunningRow.objects.update(claimed_at=timezone.now() - timedelta(minutes=3))
    ProgressRow.objects.create(
        job_id=job.id, token=claimed.token, done=2, total=5, message="half", updated_at=timezone.now()
    )

    told = explain(job)

    assert told.headline == ("Running for 3 min, attempt 2, on mill-1 (process 4711 on mill). It says: 40% done, half.")


def _ended(running):
    rows.end(running, "failed", reason="error")
    return running


def test_a_running_job_of_a_silent_worker_says_so():
    worker = rows.worker(heartbeat_at=timezone.now() - timedelta(minutes=5))
    job = add.enqueue(1)
    rows.claim(job.id, worker.id)

    assert "which has been silent for 5 min" in explain(job).headline


def test_a_cancel_request_is_told_with_who():
    job = add.enqueue(1)
    rows.claim(job.id)
    operations.cancel(job, actor="lea")

    assert explain(job)["cancel asked"].sentence == ("Asked to end by lea, under 1 s ago; its worker sees to it.")


def test_an_ended_job_tells_how_when_and_why():
    job = add.enqueue(1)
    rows.fail(job.id, traceback="Traceback …\nValueError: no such order\n")
    ResultRow.objects.update(finished_at=timezone.now() - timedelta(minutes=5))

    assert explain(job).headline == "Failed 5 min ago: error. ValueError: no such order."


def test_a_cancelled_job_tells_who_did_it():
    job = add.enqueue(1)
    operations.cancel(job, actor="lea")

    assert explain(job).headline == "Cancelled by lea under 1 s ago."


def test_a_failed_job_tells_how_many_wait_for_it():
    bad = add.enqueue(1)
    goals.wait(add.enqueue(2), bad)

    assert explain(bad)["dependents"].sentence.startswith("1 job waits for it, or did")


def test_it_takes_a_job_a_result_and_an_id_and_is_json():
    result = add.enqueue(1)
    job = Job.objects.get(pk=result.id)

    told = [explain(one) for one in (job, result, result.id, job.id)] + [job.explain()]

    assert {one.headline for one in told} == {"No worker is running; start one with manage.py gristmill worker."}
    assert json.loads(json.dumps(told[0].as_dict()))["reasons"][0]["kind"] == "no worker"


def test_an_unknown_job_is_refused():
    with pytest.raises(TaskResultDoesNotExist):
        explain(uuid.uuid4())


def test_jobs_of_another_database_are_found_by_their_result():
    job = add.using(backend="elsewhere").enqueue(1)

    assert explain(job).backend == "elsewhere"


def test_what_people_wrote_cannot_move_a_cursor():
    job = add.enqueue(1)
    operations.hold(job, "\x1b[31mred\u202e", actor="\x1b[2J")

    assert "\x1b" not in explain(job).headline
    assert "\u202e" not in explain(job).headline

"""Damage by hand, one script a kind, each with the check that has to find it: on `tests.busy`, which is sound."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.utils import timezone

from gristmill.models import (
    Action,
    Attempt,
    CancelRequestRow,
    EdgeRow,
    GateRow,
    Job,
    JobRow,
    ProgressRow,
    ReadyRow,
    ResultRow,
    RunningRow,
    Schedule,
    ScheduledRow,
    Tick,
    UniqueKeyRow,
    WaitingRow,
    Worker,
)
from tests import goals, rows
from tests.app.tasks import add, send
from tests.busy import Busy
from tests.sql import execute, mark_awaited

Plant = Callable[[Busy], Any]
DAMAGE: list[tuple[str, Plant]] = []
PAST = timedelta(minutes=10)


def damage(check: str) -> Callable[[Plant], Plant]:
    """Says which check finds it."""

    def note(plant: Plant) -> Plant:
        DAMAGE.append((check, plant))
        return plant

    return note


def place(model: Any, job: Any, **columns: Any) -> None:
    """One more place row, made up."""
    model.objects.create(**{**rows.columns_of(job), "token": job.token, **columns})


def stray(model: Any, **columns: Any) -> None:
    """A place row that nobody asked for."""
    made = Job(
        id=uuid.uuid4(), backend="default", queue_name="default", task_name="tests.app.tasks.add", priority=0,
        token=1, generation=1, failures=0, crashes=0, losses=0, postpones=0, interruptions=0, deadline=timezone.now(),
    )  # fmt: skip
    place(model, made, **columns)


@damage("job without a place")
def a_place_row_is_deleted(busy):
    ReadyRow.objects.filter(pk=goals.id_of(add.enqueue(1))).delete()


@damage("job in several places")
def a_move_kept_the_old_row(busy):
    result = Job.objects.get(pk=busy.id("cancelled"))
    place(ScheduledRow, result, run_after=timezone.now() + PAST)


@damage("ready row without a job")
def a_ready_job_is_forgotten(busy):
    stray(ReadyRow)
    ReadyRow.objects.update(deadline=timezone.now() + PAST)


@damage("scheduled row without a job")
def a_dated_job_is_forgotten(busy):
    stray(ScheduledRow, run_after=timezone.now() + PAST)


@damage("waiting row without a job")
def a_held_job_is_forgotten(busy):
    stray(WaitingRow, held=True)


@damage("running row without a job")
def a_running_job_is_forgotten(busy):
    stray(RunningRow, worker_id=busy.worker.id, claimed_at=timezone.now())


@damage("result row without a job")
def an_ended_job_is_forgotten(busy):
    stray(ResultRow, state="failed", finished_at=timezone.now())


def newer_attempt(job_id: uuid.UUID, token: int) -> None:
    """An attempt that cannot be."""
    now = rows.later()
    Attempt.objects.create(
        job_id=job_id, token=token, generation=1, worker_id=uuid.uuid4(), claimed_at=now, started_at=now, ended_at=now,
        outcome="failed",
    )  # fmt: skip


@damage("ready: newer attempt")
def a_ready_jobs_token_went_back(busy):
    newer_attempt(busy.id("ready"), 1)


@damage("scheduled: newer attempt")
def a_dated_jobs_token_went_back(busy):
    newer_attempt(busy.id("dated"), 1)


@damage("waiting: newer attempt")
def a_waiting_jobs_token_went_back(busy):
    newer_attempt(busy.id("held"), 1)


@damage("running: newer attempt")
def an_attempt_that_runs_has_ended_too(busy):
    newer_attempt(busy.id("running"), 1)


@damage("result: newer attempt")
def a_stale_end_was_accepted(busy):
    newer_attempt(busy.id("failed"), 2)


@damage("ready: retry without a record")
def a_retry_is_not_written_down(busy):
    ReadyRow.objects.filter(pk=busy.id("retried")).update(generation=3)


@damage("scheduled: retry without a record")
def a_dated_job_began_anew(busy):
    ScheduledRow.objects.update(generation=2)


@damage("waiting: retry without a record")
def a_waiting_job_began_anew(busy):
    WaitingRow.objects.filter(pk=busy.id("held")).update(generation=2)


@damage("running: retry without a record")
def a_running_job_began_anew(busy):
    RunningRow.objects.filter(pk=busy.id("running")).update(generation=2)


@damage("result: retry without a record")
def an_ended_job_began_anew(busy):
    ResultRow.objects.filter(pk=busy.id("failed")).update(generation=2)


@damage("attempt without a job")
def an_attempt_outlived_its_job(busy):
    newer_attempt(uuid.uuid4(), 1)


@damage("success without an attempt")
def a_success_lost_its_attempt(busy):
    Attempt.objects.filter(job_id=busy.id("done")).delete()


@damage("ready: should be poisoned")
def a_killer_would_run_again(busy):
    ReadyRow.objects.filter(pk=busy.id("crashed")).update(counts='{"crashes":3}')


@damage("scheduled: should be poisoned")
def a_job_lost_too_often_would_run_again(busy):
    ScheduledRow.objects.update(counts='{"losses":5}')


@damage("waiting: should be poisoned")
def a_job_interrupted_too_often_would_run_again(busy):
    WaitingRow.objects.filter(pk=busy.id("held")).update(counts='{"interruptions":20}')


@damage("ready: out of attempts")
def a_job_that_failed_for_good_would_run_again(busy):
    ReadyRow.objects.filter(pk=busy.id("ready")).update(counts='{"failures":1}')


@damage("scheduled: out of attempts")
def a_dated_job_has_used_its_attempts(busy):
    JobRow.objects.filter(pk=busy.id("dated")).update(options='{"max_attempts":4}')
    ScheduledRow.objects.update(counts='{"failures":4}')


@damage("waiting: out of attempts")
def a_held_job_has_used_its_attempts(busy):
    WaitingRow.objects.filter(pk=busy.id("held")).update(counts='{"failures":2}')


@damage("running for nobody")
def a_worker_is_forgotten(busy):
    running = RunningRow.objects.filter(pk=busy.id("running"))
    running.update(worker_id=uuid.uuid4(), claimed_at=timezone.now() - PAST)


@damage("running for nobody")
def a_lost_workers_job_is_left(busy):
    lost = rows.worker(lost_at=timezone.now() - PAST)
    running = RunningRow.objects.filter(pk=busy.id("running"))
    running.update(worker_id=lost.id, claimed_at=timezone.now() - PAST)


@damage("key of a job that left its states")
def a_key_outlived_its_job(busy):
    UniqueKeyRow.objects.create(key="left", job_id=busy.id("done"), until="finished")


@damage("key of a job that left its states")
def a_key_was_not_freed_by_the_start(busy):
    UniqueKeyRow.objects.create(key="left", job_id=busy.id("running"), until="started")


@damage("key of a job that left its states")
def a_key_of_a_pruned_job_is_left(busy):
    UniqueKeyRow.objects.create(key="left", job_id=uuid.uuid4(), until="pruned")


@damage("cancel request left over")
def a_cancel_request_outlived_its_job(busy):
    CancelRequestRow.objects.create(job_id=busy.id("done"), token=1, asked_at=timezone.now() - PAST)


@damage("cancel request without a job")
def a_cancel_request_outlived_its_row(busy):
    CancelRequestRow.objects.create(job_id=uuid.uuid4(), token=1, asked_at=timezone.now() - PAST)
    # A worker would say so too.
    Worker.objects.update(stopped_at=timezone.now())


@damage("propagation without a job")
def a_propagation_outlived_its_job(busy):
    goals.PropagationRow.objects.create(kind="raise_deadline", job_id=uuid.uuid4(), due_at=timezone.now() - PAST)
    Worker.objects.update(stopped_at=timezone.now())


@damage("action without a job")
def an_action_outlived_its_job(busy):
    gone = {"id": uuid.uuid4(), "job_id": uuid.uuid4(), "verb": "hold", "token": 0, "actor": ""}
    Action.objects.create(acted_at=timezone.now() - PAST, **gone)


@damage("waiting for nothing")
def a_gate_was_deleted_and_its_edges_stayed(busy):
    job = goals.wait(add.enqueue(1), busy.jobs["ready"])
    GateRow.objects.filter(pk=job.id).delete()
    EdgeRow.objects.filter(dependent_id=job.id)._raw_delete("default")


@damage("progress of another attempt")
def progress_comes_from_the_future(busy):
    ProgressRow.objects.filter(pk=busy.id("running")).update(token=7)


@damage("progress of another attempt")
def progress_outlived_its_job(busy):
    ProgressRow.objects.create(job_id=uuid.uuid4(), token=1, updated_at=timezone.now())


@damage("gate without a job")
def a_gate_outlived_its_job(busy):
    values = {
        "needed": None,
        "on_precondition_failure": "strand",
        "epoch": 1,
        "armed_at": timezone.now(),
        "resolved": True,
    }
    GateRow.objects.create(job_id=uuid.uuid4(), open=0, successful=0, failed=0, **values)


@damage("gate counts")
def a_count_was_lost(busy):
    GateRow.objects.filter(pk=busy.id("all")).update(open=3)


@damage("gate that nobody resolves")
def a_propagation_to_resolve_was_lost(busy):
    goals.PropagationRow.objects.filter(kind="resolve").delete()


@damage("waiting though its gate holds")
def a_propagation_to_evaluate_was_lost(busy):
    goals.PropagationRow.objects.filter(kind="evaluate").delete()


@damage("hopeless but not stranded")
def a_failure_stranded_nobody(busy):
    job = goals.wait(add.enqueue(1), busy.jobs["failed"])
    WaitingRow.objects.filter(pk=job.id).update(stranded=False)


@damage("hopeless but not stranded")
def a_failure_failed_nobody(busy):
    goals.wait(add.enqueue(1), busy.jobs["failed"], on_precondition_failure="fail")


@damage("stranded but hopeful")
def a_healed_job_is_still_stranded(busy):
    job = goals.wait(add.enqueue(1), busy.jobs["ready"])
    WaitingRow.objects.filter(pk=job.id).update(stranded=True)


@damage("ready though its gate does not hold")
def a_job_got_ready_too_early(busy):
    job = goals.wait(add.enqueue(1), busy.jobs["ready"])
    WaitingRow.objects.filter(pk=job.id).delete()
    place(ReadyRow, job)


@damage("scheduled though its gate does not hold")
def a_job_got_its_date_too_early(busy):
    job = goals.wait(add.enqueue(1), busy.jobs["ready"])
    WaitingRow.objects.filter(pk=job.id).delete()
    place(ScheduledRow, job, run_after=timezone.now() + PAST)


@damage("waiting for nothing")
def a_gate_was_deleted(busy):
    job = add.enqueue(1)
    ReadyRow.objects.filter(pk=job.id).delete()
    place(WaitingRow, JobAt(job.id))


class JobAt:
    """A job's columns though it is in no place, where the view does not show it."""

    def __init__(self, job_id: str) -> None:
        row = JobRow.objects.get(pk=job_id)
        self.__dict__.update({name: getattr(row, name, 0) for name in rows.PLACE + rows.COUNTS})
        self.token, self.generation, self.deadline, self.started_at = 0, 1, timezone.now(), None


@damage("edge without a dependent")
def an_edge_outlived_its_dependent(busy):
    EdgeRow(precondition_id=busy.id("done"), dependent_id=uuid.uuid4(), state="successful").save(force_insert=True)


@damage("edge without a gate")
def a_gate_was_never_made(busy):
    EdgeRow(precondition_id=busy.id("done"), dependent_id=busy.id("ready"), state="successful").save(force_insert=True)


@damage("edge without a gate")
def an_edge_is_of_a_later_epoch(busy):
    GateRow.objects.filter(pk=busy.id("unresolved")).update(epoch=0)


@damage("waiting for what does not exist")
def a_precondition_was_pruned_too_early(busy):
    EdgeRow.objects.filter(dependent_id=busy.id("chain"), precondition_id=busy.id("any")).update(
        precondition_id=uuid.uuid4()
    )


@damage("edge that tells another end")
def a_propagation_to_notify_was_lost(busy):
    goals.PropagationRow.objects.filter(kind="notify").delete()


@damage("edge that tells another end")
def a_stranding_notified_nobody(busy):
    edges = EdgeRow.objects.filter(precondition_id=busy.id("stranded"))
    dependent = edges.get().dependent_id
    edges.update(state="open")
    GateRow.objects.filter(pk=dependent).update(open=1, failed=0)
    WaitingRow.objects.filter(pk=dependent).update(stranded=False)


@damage("precondition that would not tell")
def a_move_forgot_that_somebody_waits(busy):
    execute("update gristmill_scheduled set awaited = false where id = %s", busy.id("dated"))


@damage("cycle")
def two_jobs_wait_for_each_other(busy):
    one = busy.waiting["all"]
    other = goals.wait(add.enqueue(1), one)
    EdgeRow(precondition_id=other.id, dependent_id=one.id).save(force_insert=True)
    GateRow.objects.filter(pk=one.id).update(open=5)
    mark_awaited(other.id)


@damage("due but not claimed")
def a_ready_job_is_passed_over(busy):
    ReadyRow.objects.exclude(pk=busy.id("ready")).update(priority=-1)
    ReadyRow.objects.filter(pk=busy.id("ready")).update(priority=0)
    Worker.objects.update(started_at=timezone.now() - PAST)


@damage("nobody serves it")
def a_tasks_name_was_mistyped(busy):
    send.enqueue("a")


@damage("overdue")
def nobody_promotes(busy):
    ScheduledRow.objects.update(run_after=timezone.now() - PAST)


@damage("old propagations")
def nobody_carries_propagations_out(busy):
    goals.PropagationRow.objects.filter(kind="evaluate").update(due_at=timezone.now() - PAST)


@damage("one job of two ticks")
def a_job_stands_for_two_ticks(busy):
    Tick.objects.filter(by_hand=True).update(job_id=busy.id("done"))


@damage("mark behind a tick")
def a_schedules_mark_went_back(busy):
    Schedule.objects.filter(name="hourly").update(high_water=timezone.now() - timedelta(hours=3))


@damage("schedule that cannot tick")
def a_schedule_cannot_be_read(busy):
    Schedule.objects.filter(name="hourly").update(problem="minute: 75 is not between 0 and 59", next_at=None)


@damage("schedule overdue")
def nobody_ticks(busy):
    Schedule.objects.filter(name="hourly").update(next_at=timezone.now() - PAST)
    Worker.objects.update(started_at=timezone.now() - timedelta(seconds=80))


@damage("args that cannot be read")
def arguments_are_no_list(busy):
    JobRow.objects.filter(pk=busy.id("ready")).update(args="{}")


@damage("kwargs that cannot be read")
def a_keyword_is_not_a_number(busy):
    JobRow.objects.filter(pk=busy.id("ready")).update(kwargs='{"left":NaN}')


@damage("kwargs that cannot be read")
def a_keyword_is_given_twice(busy):
    JobRow.objects.filter(pk=busy.id("ready")).update(kwargs='{"left":1,"left":2}')


@damage("options that cannot be read")
def options_are_cut_off(busy):
    JobRow.objects.filter(pk=busy.id("ready")).update(options='{"timeout":')


@damage("return value that cannot be read")
def a_return_value_is_python(busy):
    execute("update gristmill_attempt set return_value = %s where job_id = %s", "{'a': 1}", busy.id("done"))


@damage("attempt out of order")
def an_attempt_ended_before_it_began(busy):
    Attempt.objects.filter(job_id=busy.id("failed")).update(ended_at=timezone.now() - timedelta(minutes=5))


@damage("ended before it was enqueued")
def a_job_ended_before_it_was_enqueued(busy):
    ResultRow.objects.filter(pk=busy.id("failed")).update(finished_at=timezone.now() - timedelta(days=1))


@damage("schema version")
def the_tables_are_of_tomorrow(busy):
    execute("update gristmill_schema set version = 7")


@damage("workers")
def a_worker_is_of_yesterday(busy):
    Worker.objects.update(version="0.0.1")


@damage("workers")
def the_clock_went_back(busy):
    Worker.objects.update(heartbeat_at=timezone.now() + PAST)

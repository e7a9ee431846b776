"""
What people and programs do to jobs, queues, schedules and workers.

    from gristmill import operations

    operations.cancel(result)                               # a job, a TaskResult, an id, or many of them
    operations.hold(ids, reason="the printer is out of paper", actor="lea")
    operations.change(ids, priority=50, queue_name="urgent")
    operations.pause_queue("mail", reason="the provider is down")
    operations.run_schedule("nightly")
    operations.quiet_worker(worker_id, actor="the deploy")

All of it happens in the transaction that is open on the queue's database, else in one for each thousand jobs. Jobs
that another transaction is moving at that moment are asked again and never waited for, so workers go on undisturbed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID

from django.db import router

from gristmill.compat import TaskResult
from gristmill.database.statements import carry_out
from gristmill.database.transactions import read_committed
from gristmill.tasks.aliases import default_database, gristmill_backend, gristmill_backends
from gristmill.tasks.preconditions import ids_on, preconditions
from gristmill.values.ids import parse_id
from gristmill.verbs.again import enqueued_again
from gristmill.verbs.batched import BATCH, carried_out, database_of_set, now_bind, pages, words
from gristmill.verbs.changing import Change
from gristmill.verbs.schedules import (
    define_schedule,
    pause_schedule,
    remove_schedule,
    resume_schedule,
    run_schedule,
)
from gristmill.verbs.workers import ask_workers

if TYPE_CHECKING:
    from gristmill.compat import AnyTaskResult
    from gristmill.models import Job, JobQuerySet
    from gristmill.results.result import JobResult
    from gristmill.tasks.preconditions import After
    from gristmill.verbs.workers import AnyWorker

    AnyJob: TypeAlias = Job | AnyTaskResult | UUID | str

#: Outcomes are kept one by one for so many jobs; beyond that they are only counted.
KEPT_OUTCOMES = 10_000

__all__ = [
    "Answer",
    "add_preconditions",
    "cancel",
    "change",
    "define_schedule",
    "enqueue_again",
    "hold",
    "pause_queue",
    "pause_schedule",
    "quiet_worker",
    "release",
    "remove_schedule",
    "resume_queue",
    "resume_schedule",
    "resume_worker",
    "retry",
    "run_now",
    "run_schedule",
    "stop_worker",
]


@dataclass
class Answer:
    """
    What became of a request: true where anything was done.

    `done` counts jobs by what was done to them: "cancelled", "asked" (it runs, and its worker will end it), "held",
    "released", "retried", "readied", "changed", "added". `refused` counts the others by reason. `outcomes` tells it of
    each of the first 10,000 jobs, by id: one of those words, or "refused: " and the reason. Of workers it tells the
    same: "asked" or "resumed".
    """

    done: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    outcomes: dict[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.done)

    @property
    def total(self) -> int:
        """How many jobs something was done to."""
        return sum(self.done.values())

    def add(self, outcomes: dict[str, str]) -> None:
        """Takes in what became of some more jobs."""
        done, refused = Counter(self.done), Counter(self.refused)
        for outcome in outcomes.values():
            before, refusal, reason = outcome.partition("refused: ")
            if refusal and not before:
                refused[reason] += 1
            else:
                done[outcome] += 1
        self.done, self.refused = dict(done), dict(refused)
        for job_id, outcome in islice(outcomes.items(), max(0, KEPT_OUTCOMES - len(self.outcomes))):
            self.outcomes[job_id] = outcome


def cancel(jobs: AnyJob | Iterable[AnyJob], *, actor: str = "", using: str | None = None) -> Answer:
    """
    Cancels jobs that do not run, at once, and asks for those that do.

    A running job's worker learns of it within a second, tells the handler, and kills its runner after a grace. A
    handler that succeeds first wins. Jobs that have ended are refused.
    """
    return _operate("cancel", jobs, actor, using)


def hold(
    jobs: AnyJob | Iterable[AnyJob], reason: str | None = None, *, actor: str = "", using: str | None = None
) -> Answer:
    """
    Keeps jobs back until they are released: ready, scheduled and waiting ones. Running and ended jobs are refused.

    What a held job waits for goes on being counted.
    """
    return _operate("hold", jobs, actor, using, reason)


def release(jobs: AnyJob | Iterable[AnyJob], *, actor: str = "", using: str | None = None) -> Answer:
    """Lets held jobs go: they are ready, scheduled where their date is still to come, or waiting for others."""
    return _operate("release", jobs, actor, using)


def retry(jobs: AnyJob | Iterable[AnyJob], *, actor: str = "", using: str | None = None) -> Answer:
    """
    Runs jobs that have ended again, successful ones too: ready at once, with fresh counts, in a new generation.

    Their earlier attempts are kept. A job whose unique key another job holds by now is refused.
    """
    return _operate("retry", jobs, actor, using)


def run_now(jobs: AnyJob | Iterable[AnyJob], *, actor: str = "", using: str | None = None) -> Answer:
    """
    Makes scheduled jobs due now: those with a date of their own, and those that wait for their next try. "readied".

    A deadline that followed from the date follows from this moment. What is ready already, waits for other jobs, is
    held, runs or has ended is refused.
    """
    return _operate("run_now", jobs, actor, using)


def change(
    jobs: AnyJob | Iterable[AnyJob],
    *,
    priority: int | None = None,
    queue_name: str | None = None,
    actor: str = "",
    using: str | None = None,
) -> Answer:
    """
    Gives jobs that have not started another priority (-100 to 100), another queue, or both, wherever they wait.

    Refused are jobs that are like that already, whose TASKS alias has no such queue, that run or have ended. Their
    unique keys, dates and deadlines stay. Raises ValueError for a priority or a queue that no task could have.
    """
    return _operate("change", jobs, actor, using, change=Change(priority, queue_name))


def enqueue_again(
    job: AnyJob,
    *,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    actor: str = "",
    using: str | None = None,
) -> JobResult[..., Any]:
    """
    Enqueues a new job as this one was, with other arguments; None leaves them as they were. The job itself stays.

    The new one has its queue, priority and options, is due at once and waits for no other. Either is written down
    beside the other: `Job.actions`. Where another job has its unique key the result is that job's, with `existing`
    true. Raises UnknownJob for a job that is not there, ValueError where what is stored of it cannot be read, and what
    an enqueue does for arguments that do not fit.
    """
    return enqueued_again(id_of(job), using or database_of(job), args, kwargs, words(actor, "actor") or "")


def add_preconditions(job: AnyJob, after: After, *, actor: str = "", using: str | None = None) -> Answer:
    """
    Has a job that has not started wait for more jobs: a result, a Job, an id, or several of them.

    They are counted by the rule that the job was enqueued with (`after_mode`, `on_precondition_failure`), together with
    what it waits for already. Answers "added"; a job that runs or has ended is refused, and so is a precondition that
    is not there. Where the job would come to wait for itself it fails, with the reason "cycle", once a worker has
    seen it. Raises ValueError for what is no job, UnknownJob for one on another database.
    """
    database = using or database_of(job)
    ids = ids_on(database, preconditions(after))
    answer = Answer()
    if ids:
        actor = words(actor, "actor") or ""
        answer.add(carried_out("add_preconditions", [id_of(job)], actor, None, database, after=ids))
    return answer


def operate(
    jobs: JobQuerySet, verb: str, actor: str, reason: str | None = None, change: Change | None = None
) -> Iterator[dict[str, str]]:
    """Does it to the jobs of a query set, and yields what became of each thousand."""
    actor, reason = words(actor, "actor") or "", words(reason, "reason")
    for ids in pages(jobs, verb):
        yield carried_out(verb, ids, actor, reason, database_of_set(jobs), change=change)


def pause_queue(queue_name: str, *, reason: str, backend: str = "default") -> None:
    """
    Pauses a queue: no worker claims from it until it is resumed. What runs goes on; jobs may still be enqueued.

    `reason` is for the people who wonder why. Pausing a paused queue replaces the reason. `backend` is the TASKS alias.
    """
    if not queue_name or not reason:
        raise ValueError("a pause needs a queue and a reason, for the people who wonder why nothing runs")
    database = gristmill_backend(backend).database
    binds = [backend, words(queue_name, "queue_name"), words(reason, "reason"), now_bind(database)]
    with read_committed(database) as connection:
        carry_out(connection, "pause", binds)


def resume_queue(queue_name: str, *, backend: str = "default") -> bool:
    """Ends a pause, and wakes an idle worker. False: the queue was not paused."""
    database = gristmill_backend(backend).database
    with read_committed(database) as connection:
        resumed = bool(carry_out(connection, "resume", [backend, words(queue_name, "queue_name")]))
        if resumed:
            gristmill_backend(backend).wake(connection)
    return resumed


def quiet_worker(workers: AnyWorker | Iterable[AnyWorker], *, actor: str = "", using: str | None = None) -> Answer:
    """
    Asks workers, each a Worker or an id, to claim no more jobs. What they hold goes on, and all else that they see to.

    A worker hears of it with its next heartbeat, so within 5 s unless its --heartbeat says otherwise. It stays quiet
    until `resume_worker`, or its end; `stop_worker` may follow. One that has ended is refused. The worker's row is
    locked until the transaction that is open ends, and its heartbeats wait for that: do not do it in a long one.
    """
    return _ask_workers("quiet", workers, actor, using)


def resume_worker(workers: AnyWorker | Iterable[AnyWorker], *, actor: str = "", using: str | None = None) -> Answer:
    """Has quiet workers claim again, from the next heartbeat on. One that is not quiet, or is to stop, is refused."""
    return _ask_workers("resume", workers, actor, using)


def stop_worker(workers: AnyWorker | Iterable[AnyWorker], *, actor: str = "", using: str | None = None) -> Answer:
    """
    Asks workers to stop, as a first TERM does: no more claims, and what runs may finish within the worker's grace.

    A worker hears of it with its next heartbeat, and ends with the exit status that it would have after a TERM; a TERM
    that comes later counts as the second. Nobody takes it back. Whatever starts workers may start it again.
    """
    return _ask_workers("stop", workers, actor, using)


def operate_on_ids(
    ids: Iterable[UUID],
    verb: str,
    actor: str,
    reason: str | None = None,
    change: Change | None = None,
    *,
    using: str,
) -> Iterator[dict[str, str]]:
    """Does it to jobs of one database by their ids, and yields what became of each thousand."""
    actor, reason = words(actor, "actor") or "", words(reason, "reason")
    rest = iter(ids)
    while batch := list(islice(rest, BATCH)):
        yield carried_out(verb, batch, actor, reason, using, change=change)


def _ask_workers(verb: str, workers: AnyWorker | Iterable[AnyWorker], actor: str, using: str | None) -> Answer:
    answer = Answer()
    answer.add(ask_workers(verb, workers, actor, using))
    return answer


def _operate(
    verb: str,
    jobs: AnyJob | Iterable[AnyJob],
    actor: str,
    using: str | None,
    reason: str | None = None,
    change: Change | None = None,
) -> Answer:
    from gristmill.models import JobQuerySet

    answer = Answer()
    if isinstance(jobs, JobQuerySet):
        for outcomes in operate(jobs.using(using) if using else jobs, verb, actor, reason, change):
            answer.add(outcomes)
        return answer
    rest = _each(jobs)
    while batch := list(islice(rest, BATCH)):
        by_database: dict[str, list[UUID]] = {}
        for job in batch:
            by_database.setdefault(using or database_of(job), []).append(id_of(job))
        for database, ids in by_database.items():
            for outcomes in operate_on_ids(ids, verb, actor, reason, change, using=database):
                answer.add(outcomes)
    return answer


def _each(jobs: AnyJob | Iterable[AnyJob]) -> Iterator[AnyJob]:
    from gristmill.models import Job

    if isinstance(jobs, (Job, TaskResult, UUID, str)):
        return iter([jobs])
    return iter(jobs)


def id_of(job: AnyJob) -> UUID:
    """Returns a job's id; raises ValueError for what is no job."""
    found = job if isinstance(job, UUID) else parse_id(job if isinstance(job, str) else str(job.id))
    if found is None:
        raise ValueError(f"{job!r} is not the id of a job")
    return found


def database_of(job: AnyJob) -> str:
    """Returns the database that keeps a job: the default alias's, where only its id is given."""
    from gristmill.models import Job

    if isinstance(job, Job):
        read_from = job._state.db
        if read_from in {backend.database for backend in gristmill_backends().values()}:
            return read_from
        # Where it was read may be a replica.
        return router.db_for_write(Job, instance=job)
    if isinstance(job, TaskResult):
        return gristmill_backend(job.backend).database
    return default_database()

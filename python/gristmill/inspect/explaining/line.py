"""Who would run a job, and how many come before it. Every count stops at CAP."""

from __future__ import annotations

from typing import Any

from gristmill.inspect.explaining.answer import Reason
from gristmill.inspect.explaining.look import Look, ended
from gristmill.inspect.forecast import LEAST_JOBS, Rate, rates_of, seconds_for
from gristmill.inspect.lanes import MOST, lanes_of
from gristmill.inspect.questions import Question, ask, id_bind
from gristmill.inspect.tables import age, counted, printable
from gristmill.inspect.workers import WorkerSeen
from gristmill.models import ReadyRow
from gristmill.tasks.aliases import worker_command
from gristmill.tasks.discovery.unserved import cause_of

#: A count of the jobs before it stops here and is told as "more than 10,000".
CAP = 10_000
#: Lanes in one statement.
LANES_AT_ONCE = 50
#: Workers that are named.
SHOWN = 3


def paused(look: Look) -> list[Reason]:
    """Says that the job's queue is paused."""
    job = look.job
    if job.queue_name not in look.facts.paused:
        return []
    reason, since = look.facts.paused[job.queue_name]
    sentence = f"Queue {printable(job.queue_name)} is paused, for {look.length(since)}: {ended(reason)}"
    return [Reason("paused", sentence, {"since": since, "reason": reason})]


def nobody_serves(look: Look) -> list[Reason]:
    """Says why no worker would claim it; nothing where one would."""
    job = look.job
    if serving(look):
        return []
    alive = [worker for worker in look.workers if worker.state != "silent"]
    own = [worker for worker in alive if worker.backend == job.backend]
    silent = [
        worker
        for worker in look.workers
        if worker not in alive and worker.backend == job.backend and worker.serves(job.queue_name, job.task_name)
    ]
    if silent:
        seconds = min(worker.heartbeat_seconds_ago for worker in silent)
        sentence = f"No worker that serves it is heard of: {labels(silent)}, silent for {age(seconds)}."
        return [Reason("silent", sentence, {"workers": [worker.label for worker in silent[:SHOWN]]})]
    if not alive:
        sentence = f"No worker is running; start one with {worker_command(job.backend)}."
        return [Reason("no worker", sentence), *unknown(look)]
    if any(worker.could_serve(job.queue_name, job.task_name) for worker in own):
        cause = cause_of(job.backend, job.queue_name, job.task_name, own)
        return [
            Reason(cause.kind, f"{capital(cause.sentence)}.", {"workers": [worker.label for worker in own[:SHOWN]]})
        ]
    if not own:
        others = ", ".join(repr(alias) for alias in sorted({worker.backend for worker in alive}))
        sentence = (
            f"No running worker serves backend {job.backend!r}; those that run serve {others}. Start one with "
            f"{worker_command(job.backend)}."
        )
        return [
            Reason("other backend", sentence, {"workers": [worker.label for worker in alive[:SHOWN]]}),
            *unknown(look),
        ]
    knowing = [worker for worker in own if job.task_name in worker.tasks]
    if not knowing:
        sentence = (
            f"No running worker knows the task {printable(job.task_name)}: the job is unroutable, and waits until a "
            f"worker's code has it. {capital(cause_of(job.backend, job.queue_name, job.task_name, own).sentence)}."
        )
        return [Reason("unroutable", sentence, {"workers": [worker.label for worker in own[:SHOWN]]})]
    sentence = f"{labels(knowing)} knows its task, but does not serve queue {printable(job.queue_name)}."
    if len(knowing) > 1:
        sentence = f"{labels(knowing)} know its task, but do not serve queue {printable(job.queue_name)}."
    return [Reason("other queues", sentence, {"workers": [worker.label for worker in knowing[:SHOWN]]})]


def unknown(look: Look) -> list[Reason]:
    """Says that a worker, too, would not know the job's task, or would not serve its queue."""
    job = look.job
    kind, sentence = cause_of(job.backend, job.queue_name, job.task_name, [])
    if kind == "unknown task":
        return [
            Reason(kind, f"Nor would a worker know the task {printable(job.task_name)}: {printable(sentence, 400)}.")
        ]
    if kind == "unknown queue":
        return [Reason(kind, f"{capital(sentence)}, so a worker has to be told: --queue {printable(job.queue_name)}.")]
    return []


def capital(sentence: str) -> str:
    """Returns a sentence as it begins."""
    return printable(sentence[:1].upper() + sentence[1:], 400)


def serving(look: Look) -> list[WorkerSeen]:
    """Returns the live workers that would claim the job."""
    job = look.job
    return [
        worker
        for worker in look.workers
        if worker.state != "silent" and worker.backend == job.backend and worker.serves(job.queue_name, job.task_name)
    ]


def labels(workers: list[WorkerSeen]) -> str:
    """Names the first workers."""
    named = ", ".join(printable(worker.label) for worker in workers[:SHOWN])
    return named + (f" and {len(workers) - SHOWN:,} more" if len(workers) > SHOWN else "")


def in_line(look: Look) -> Reason:
    """Says how many jobs come before a ready one, in its own lane and in all that its workers serve."""
    job, workers = look.job, serving(look)
    own = (job.queue_name, job.task_name)
    lanes, all_lanes = served_lanes(look, workers)
    before_in_lane, before_in_others = count_before(look, own, [lane for lane in lanes if lane != own])
    before = before_in_lane + before_in_others
    more = before > CAP or not all_lanes
    running, runners = sum(worker.running for worker in workers), sum(worker.processes for worker in workers)
    if before == 0 and not more:
        sentence = "Next in line"
    else:
        number = f"More than {min(before, CAP):,}" if more else f"{before:,}"
        come = "job comes" if before == 1 and not more else "jobs come"
        sentence = f"{number} {come} before it"
        if before_in_lane != before or more:
            sentence += f", {told(before_in_lane)} of its own queue and task"
    if workers:
        verb = "serves" if len(workers) == 1 else "serve"
        busy = f"{counted(running, what='job')} in {counted(runners, what='runner')}"
        sentence += f"; {counted(len(workers), what='worker')} {verb} it, with {busy}"
    seconds = None if more or not workers else starts_in(look, before, {own[0], *(queue for queue, _ in lanes)})
    if seconds is not None:
        sentence += f". At the present rate it starts in about {age(seconds)}"
    details: dict[str, Any] = {
        "before": min(before, CAP),
        "before_at_least": more,
        "starts_in_seconds": None if seconds is None else round(seconds, 1),
        "before_in_lane": min(before_in_lane, CAP),
        "before_in_lane_at_least": before_in_lane > CAP,
        "lanes": len(lanes),
        "priority": job.priority,
        "deadline": job.deadline,
        "workers": len(workers),
        "running": running,
        "runners": runners,
    }
    return Reason("line", f"{sentence}.", details)


def starts_in(look: Look, before: int, queues: set[str]) -> float | None:
    """Returns in how many seconds the jobs before it have ended, as far as jobs of these queues ended of late."""
    if before < LEAST_JOBS:
        return None
    rates = rates_of(look.connection, [look.job.backend])
    of_queues = [rate for (_, queue_name), rate in rates.items() if queue_name in queues]
    ended_lately = Rate(sum(rate.ended for rate in of_queues), max((rate.minutes for rate in of_queues), default=0))
    return seconds_for(before, ended_lately)


def told(number: int) -> str:
    """Says a bounded number."""
    return f"more than {CAP:,}" if number > CAP else f"{number:,}"


def served_lanes(look: Look, workers: list[WorkerSeen]) -> tuple[list[tuple[str, str]], bool]:
    """Returns the lanes with ready jobs that these workers claim from, and whether these are all."""
    backend = look.job.backend
    found, stopped = lanes_of(look.connection, [backend], cap=0), look.facts.paused
    served = [
        (lane.queue_name, lane.task_name)
        for lane in found
        if lane.queue_name not in stopped and any(worker.serves(lane.queue_name, lane.task_name) for worker in workers)
    ]
    return served, len(found) < MOST


# Of one lane: those of a greater priority, then those of its own that are due before it. Both are ranges of the index.
BEFORE = (
    "select 1 from gristmill_ready where backend = %s and queue_name = %s and task_name = %s and priority > %s "
    "union all "
    "select 1 from gristmill_ready where backend = %s and queue_name = %s and task_name = %s and priority = %s "
    "and (deadline, id) < (%s, %s)"
)


def count_before(look: Look, own: tuple[str, str], others: list[tuple[str, str]]) -> tuple[int, int]:
    """Counts the jobs that come before the job, in its own lane and in others: each to just beyond the cap."""
    asked = {"own": before_asked(look, [own], CAP + 1), "others": before_asked(look, others[:LANES_AT_ONCE], CAP + 1)}
    said = ask(look.connection, **{name: question for name, question in asked.items() if question is not None})
    in_own, in_others = (sum(count for (count,) in said.get(name, ())) for name in ("own", "others"))
    for start in range(LANES_AT_ONCE, len(others), LANES_AT_ONCE):
        room = CAP + 1 - in_own - in_others
        question = before_asked(look, others[start : start + LANES_AT_ONCE], room)
        if room <= 0 or question is None:
            break
        in_others += sum(count for (count,) in ask(look.connection, others=question)["others"])
    return in_own, in_others


def before_asked(look: Look, lanes: list[tuple[str, str]], room: int) -> Question | None:
    """Asks how many jobs of these lanes come before the job, so many at most."""
    if not lanes:
        return None
    job = look.job
    deadline = ReadyRow._meta.get_field("deadline").get_db_prep_value(job.deadline, look.connection)
    job_id = id_bind(look.connection, job.id)
    binds: list[Any] = []
    for queue_name, task_name in lanes:
        lane = [job.backend, queue_name, task_name, job.priority]
        binds += [*lane, *lane, deadline, job_id]
    branches = " union all ".join([BEFORE] * len(lanes))
    sql = f"select count(*) as number from (select 1 from ({branches}) as found limit %s) as counted"
    return Question("number", sql, [*binds, room])

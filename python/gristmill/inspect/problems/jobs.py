"""Jobs: what failed, what is poisoned or stranded, what does not end, what somebody keeps back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

from gristmill.inspect.problems.problem import Look, Problem
from gristmill.inspect.tables import age, counted, printable
from gristmill.values.moments import seconds_between

#: A worker tells a handler within a second that it is to end, and kills its runner after a grace.
ENDS_WITHIN = timedelta(minutes=1)
#: Who carries ends on, or makes ready what is due, does so within moments.
LATE = timedelta(minutes=1)
#: A task of which so many of the newest ends failed, and none succeeded.
FAILS = 5
#: Tasks that are named.
SHOWN = 5


def failing(look: Look) -> Iterator[Problem]:
    """Names the tasks of which nothing has succeeded lately."""
    ends: dict[tuple[str, str], Counter[str]] = {}
    for end in look.survey.newest_ends:
        ends.setdefault((end.backend, end.task_name), Counter())[end.state] += end.number
    worst = sorted(ends.items(), key=lambda item: -item[1]["failed"])[:SHOWN]
    for (backend, task_name), states in worst:
        if states["failed"] >= FAILS and not states["successful"]:
            yield Problem(
                "failing",
                "error",
                f"{printable(task_name)} only fails: {counted(states['failed'])} of it failed lately, none succeeded.",
                {"backend": backend, "task": task_name, "state": "failed"},
            )


def retrying(look: Look) -> Iterator[Problem]:
    """Names the queues in which many jobs have failed and wait to be tried again."""
    for queue in look.survey.queues:
        if queue.retrying >= FAILS:
            more = "retrying" in queue.at_least
            yield Problem(
                "retrying",
                "warning",
                f"{counted(queue.retrying, more)} in queue {printable(queue.queue_name)} failed and will be tried "
                "again: see why, before their attempts are used up.",
                {"backend": queue.backend, "queue": queue.queue_name, "state": "scheduled"},
            )


def poisoned(look: Look) -> Iterator[Problem]:
    """Says how many jobs took down their runner too often."""
    found = [end for end in look.survey.newest_ends if end.state == "poisoned"]
    for backend, task_name, _, number in sorted(found, key=lambda end: -end.number)[:SHOWN]:
        yield Problem(
            "poisoned",
            "error",
            f"{counted(number)} of {printable(task_name)} {'is' if number == 1 else 'are'} poisoned: "
            f"{'its' if number == 1 else 'their'} process died each time. See the attempts, mend the cause, and retry.",
            {"backend": backend, "task": task_name, "state": "poisoned"},
        )


def stranded(look: Look) -> Iterator[Problem]:
    """Says how many jobs need a job that failed."""
    for queue in look.survey.queues:
        if queue.stranded:
            more = "stranded" in queue.at_least
            yield Problem(
                "stranded",
                "warning",
                f"{counted(queue.stranded, more)} in queue {printable(queue.queue_name)} "
                f"{'needs' if queue.stranded == 1 and not more else 'need'} a job that failed: retry what failed, and "
                "they go on.",
                {"backend": queue.backend, "queue": queue.queue_name, "state": "stranded"},
            )


def held(look: Look) -> Iterator[Problem]:
    """Says what somebody keeps back, and why."""
    for each in look.survey.held:
        why = f": {printable(each.reason)}" if each.reason else ", without a reason"
        yield Problem(
            "held",
            "note",
            f"{counted(each.held, each.at_least)} in queue {printable(each.queue_name)} "
            f"{'is' if each.held == 1 and not each.at_least else 'are'} held{why}.",
            {"backend": each.backend, "queue": each.queue_name, "state": "held"},
        )


def does_not_end(look: Look) -> Iterator[Problem]:
    """Names the running jobs that were asked to end and have not."""
    for each in look.survey.cancels:
        if each.seconds_ago >= ENDS_WITHIN.total_seconds():
            yield Problem(
                "does not end",
                "warning",
                f"A job of {printable(each.task_name)} was asked to end {age(each.seconds_ago)} ago and still runs.",
                {"backend": each.backend, "job": each.id},
            )


def not_promoted(look: Look) -> Iterator[Problem]:
    """Says since when a scheduled job has been due without having been made ready."""
    for first in look.survey.late:
        # Where no worker lives, that is the trouble.
        if first.kind != "scheduled" or first.due_at >= look.now - LATE or first.backend not in look.living:
            continue
        yield Problem(
            "not promoted",
            "error",
            f"A scheduled job of {printable(first.task_name or '')} has been due for "
            f"{age(seconds_between(first.due_at, look.now))} and was not made ready: no worker of "
            f"{printable(first.backend)} has a turn to spare.",
            {"backend": first.backend, "job": first.job_id.hex},
        )


def not_carried_on(look: Look) -> Iterator[Problem]:
    """Says since when an end has not been told to those who wait for it."""
    late = [one for one in look.survey.late if one.kind != "scheduled" and one.due_at < look.now - LATE]
    for first in sorted(late, key=lambda one: one.due_at)[:1] if look.living else ():
        yield Problem(
            "not carried on",
            "error",
            f"What waits for job {first.job_id.hex} has not been told of it for "
            f"{age(seconds_between(first.due_at, look.now))}: no worker has a turn to spare, or somebody's transaction "
            "locks it.",
            {"job": first.job_id.hex},
        )

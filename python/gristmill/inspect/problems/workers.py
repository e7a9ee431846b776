"""Workers: none, silent ones, dead ones, those that would not start, that run other code, or that were quieted."""

from __future__ import annotations

from collections.abc import Iterator

from gristmill import __version__
from gristmill.inspect.problems.problem import Look, Problem
from gristmill.inspect.tables import age, printable
from gristmill.tasks.aliases import worker_command
from gristmill.values.moments import seconds_between

#: Exit statuses that are no ordinary end, in words.
BAD_ENDS = {78: "was refused at its start", 99: "crashed"}


def none(look: Look) -> Iterator[Problem]:
    """Says for which aliases no worker lives, where jobs are on their way."""
    for backend in sorted(look.backends.keys() - look.living):
        queues = [queue for queue in look.survey.queues if queue.backend == backend]
        if any(queue.ready + queue.scheduled + queue.retrying + queue.running for queue in queues):
            yield Problem(
                "no worker",
                "error",
                f"No worker runs for {printable(backend)}: start one with {worker_command(backend)}.",
                {"backend": backend},
            )


def silent(look: Look) -> Iterator[Problem]:
    """Names the workers that have not been heard of for longer than they should."""
    for worker in look.survey.workers:
        if worker.state == "silent":
            has = f", and has {worker.running:,} running" if worker.running else ""
            yield Problem(
                "silent",
                "error" if worker.running else "warning",
                f"Worker {printable(worker.label)} on {printable(worker.host)} has been silent for "
                f"{age(worker.heartbeat_seconds_ago)}{has}; once its lease is over, others take its jobs.",
                {"backend": worker.backend, "worker": worker.id},
            )


def ended_badly(look: Look) -> Iterator[Problem]:
    """Names the workers that were lost, crashed or were refused in the last hour, and that nobody has followed."""
    started = {
        (worker.backend, worker.label, worker.host) for worker in look.survey.workers if worker.state != "silent"
    }
    for row in look.survey.ended:
        if (row.backend, row.label, row.host) in started:
            continue
        ended_at = row.lost_at or row.stopped_at or look.now
        end = "was lost" if row.lost_at is not None else BAD_ENDS[row.exit_status or 99]
        error = f": {printable(row.last_error, 200)}" if row.last_error else ""
        yield Problem(
            "lost" if row.lost_at is not None else "ended badly",
            "warning",
            f"Worker {printable(row.label)} on {printable(row.host)} {end} "
            f"{age(seconds_between(ended_at, look.now))} ago, and has not come back{error}.",
            {"backend": row.backend, "worker": row.id.hex},
        )


def other_version(look: Look) -> Iterator[Problem]:
    """Names the living workers of another version of this package."""
    for worker in look.survey.workers:
        if worker.state != "silent" and worker.version != __version__:
            yield Problem(
                "other version",
                "warning",
                f"Worker {printable(worker.label)} is of version {printable(worker.version)}, and this process of "
                f"version {__version__}: start it anew.",
                {"backend": worker.backend, "worker": worker.id},
            )


def quiet(look: Look) -> Iterator[Problem]:
    """Names the workers that somebody has quieted, and may forget."""
    for worker in look.survey.workers:
        if worker.asked == "quiet" and worker.state != "silent":
            yield Problem(
                "quiet",
                "note",
                f"Worker {printable(worker.label)} on {printable(worker.host)} is {worker.asked_in_words}: it claims "
                f"nothing until manage.py gristmill workers resume {worker.id[-8:]}.",
                {"backend": worker.backend, "worker": worker.id},
            )

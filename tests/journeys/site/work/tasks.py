"""Tasks that write down what happened to them, one line at a time, for a test to read afterwards."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import Any

from django.db import connection, transaction

try:
    from django.tasks import TaskContext, task
except ImportError:  # Django 5.2
    from django_tasks import TaskContext, task

if os.environ.get("JOURNEY_BROKEN"):
    import a_module_that_nobody_has_installed  # noqa: F401

# Between two signs of life of a long task; an attempt that is silent for much longer is dead or frozen.
PULSE_SECONDS = 0.02


def write_down(context: TaskContext[Any, Any], event: str) -> None:
    """One line of history, whole even when many processes write: one write to a file opened for appending."""
    line = {
        "event": event,
        "job": context.task_result.id.replace("-", ""),
        "attempt": context.attempt,
        "pid": os.getpid(),
        "at": time.monotonic(),
    }
    descriptor = os.open(os.environ["JOURNEY_HISTORY"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, json.dumps(line).encode() + b"\n")
    finally:
        os.close(descriptor)


@task(takes_context=True)
def note(context: TaskContext[Any, Any]) -> int:
    """Begins and ends; gives its process id back."""
    write_down(context, "start")
    write_down(context, "end")
    return os.getpid()


@task(takes_context=True)
def last(context: TaskContext[Any, Any], seconds: float) -> int:
    """
    Works for so long and shows that it lives; gives its process id back.

    Work is counted in pulses: time that passes while the process is frozen is not worked.
    """
    write_down(context, "start")
    for _ in range(round(seconds / PULSE_SECONDS)):
        time.sleep(PULSE_SECONDS)
        write_down(context, "alive")
    write_down(context, "end")
    return os.getpid()


@task(takes_context=True)
def fall(context: TaskContext[Any, Any]) -> None:
    """Raises."""
    write_down(context, "start")
    raise ValueError("fell as asked")


@task(takes_context=True)
def die(context: TaskContext[Any, Any]) -> None:
    """Kills its own process."""
    write_down(context, "start")
    os.kill(os.getpid(), signal.SIGKILL)


@task
def beget(generations: int) -> None:
    """Reads, then enqueues one like itself in the same transaction, as handlers do that have more to do."""
    if generations:
        with transaction.atomic():
            connection.cursor().execute("select count(*) from gristmill_worker")
            beget.enqueue(generations - 1)


if os.environ.get("JOURNEY_NEWER_CODE"):

    @task(takes_context=True)
    def novelty(context: TaskContext[Any, Any]) -> None:
        """A task that only newer code knows."""
        write_down(context, "start")
        write_down(context, "end")

"""Tasks that write down what happened to them, one line at a time, for a test to read afterwards."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
import threading
import time
import warnings
from typing import Any

from django.db import connection, transaction

import gristmill
from work.models import Effect

try:
    from django.tasks import TaskContext, task
except ImportError:  # Django 5.2
    from django_tasks import TaskContext, task

if os.environ.get("JOURNEY_BROKEN"):
    import a_module_that_nobody_has_installed  # noqa: F401

# Between two signs of life of a long task; an attempt that is silent for much longer is dead or frozen.
PULSE_SECONDS = 0.02
# What stands ends by itself then, so that a test that went wrong leaves nothing behind.
MOST_SECONDS = 300.0


def write_down(context: TaskContext[Any, Any], event: str) -> None:
    """One line of history, whole even when many processes write: one write to a file opened for appending."""
    line = {
        "event": event,
        "job": context.task_result.id.replace("-", ""),
        "attempt": context.attempt,
        "pid": os.getpid(),
        "at": time.monotonic(),
    }
    append(os.environ["JOURNEY_HISTORY"], line)


def write_line(name: str, line: dict[str, Any]) -> None:
    """One line in a file beside the history."""
    append(f"{os.environ['JOURNEY_HISTORY']}.{name}", line)


def append(path: str, line: dict[str, Any]) -> None:
    """One line."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
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


@gristmill.task(takes_context=True, unique=gristmill.Unique(until="finished"))
def only(context: TaskContext[Any, Any], number: int) -> int:
    """Begins and ends, once at a time for each number; gives it back."""
    write_down(context, "start")
    write_down(context, "end")
    return number


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
def stand(context: TaskContext[Any, Any]) -> int:
    """Works until the test has said so, and shows that it lives; gives its process id back."""
    write_down(context, "start")
    for _ in range(round(MOST_SECONDS / PULSE_SECONDS)):
        if is_told():
            break
        time.sleep(PULSE_SECONDS)
        write_down(context, "alive")
    write_down(context, "end")
    return os.getpid()


def is_told() -> bool:
    """Whether the test has said that what stands may end."""
    return os.path.exists(f"{os.environ['JOURNEY_HISTORY']}.told")


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
def say(words: str) -> None:
    """Prints."""
    print(words)
    print("to the error stream:", words, file=sys.stderr)


@task
def beget(generations: int) -> None:
    """Reads, then enqueues one like itself in the same transaction, as handlers do that have more to do."""
    if generations:
        with transaction.atomic():
            connection.cursor().execute("select count(*) from gristmill_worker")
            beget.enqueue(generations - 1)


@gristmill.task(takes_context=True, transactional=True, max_attempts=20, backoff=gristmill.Constant(0.2))
def leave_a_mark(context: TaskContext[Any, Any], milliseconds: int = 0, until_told: bool = False) -> int:
    """Writes one row in the transaction that ends the job; gives its process id back."""
    write_down(context, "start")
    Effect.objects.create(job=context.task_result.id.replace("-", ""), attempt=context.attempt)
    time.sleep(milliseconds / 1000)
    ends_at = time.monotonic() + MOST_SECONDS
    while until_told and not is_told() and time.monotonic() < ends_at:
        time.sleep(PULSE_SECONDS)
    write_down(context, "end")
    return os.getpid()


@gristmill.task(takes_context=True, max_attempts=5, backoff=gristmill.Constant(0.1))
def stumble(context: TaskContext[Any, Any]) -> int:
    """Fails twice, then succeeds."""
    write_down(context, "start")
    write_down(context, "end")
    if context.attempt < 3:
        raise ValueError(f"stumbled the {context.attempt}. time")
    return os.getpid()


@gristmill.task(takes_context=True)
async def rest(context: TaskContext[Any, Any], seconds: float) -> int:
    """Waits without a process of its own; gives its process id back."""
    write_down(context, "start")
    for _ in range(round(seconds / PULSE_SECONDS)):
        await asyncio.sleep(PULSE_SECONDS)
        write_down(context, "alive")
    write_down(context, "end")
    return os.getpid()


@gristmill.task(takes_context=True)
def dawdle(context: TaskContext[Any, Any], times: int) -> str:
    """Postpones itself so often, then is done."""
    write_down(context, "start")
    write_down(context, "end")
    times_left = int(cache_of_dawdling(context.task_result.id, times))
    if times_left:
        raise gristmill.Postpone(0.05, reason=f"{times_left} times left")
    return "done"


def cache_of_dawdling(job: str, times: int) -> int:
    """Counts down in a file beside the history, one byte a run."""
    path = f"{os.environ['JOURNEY_HISTORY']}.{job}"
    with open(path, "ab") as file:
        file.write(b".")
    return max(times + 1 - os.path.getsize(path), 0)


if os.environ.get("JOURNEY_NEWER_CODE"):

    @task(takes_context=True)
    def novelty(context: TaskContext[Any, Any]) -> None:
        """A task that only newer code knows."""
        write_down(context, "start")
        write_down(context, "end")


@task
def tell_everything() -> None:
    """Says something in every way that there is."""
    print("printed")
    warnings.warn("warned", stacklevel=1)
    sys.stderr.write("half a line")
    logging.getLogger("shop").warning("logged of %s", "it")
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()

"""Receivers that do what a job's first argument says: "wait 4", "exit", "raise", "sleep in C", "beget"."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from typing import Any

from work.tasks import note, write_line


def started(sender: type, task_result: Any, **kwargs: Any) -> None:
    """Does what is to be done before the handler."""
    when, _, what = str(task_result.args[0] if task_result.args else "").partition(": ")
    if when == "before":
        act(what)


def finished(sender: type, task_result: Any, **kwargs: Any) -> None:
    """Writes down what it is told, and does what is to be done after the end."""
    when, _, what = str(task_result.args[0] if task_result.args else "").partition(": ")
    write_line("told", {"job": task_result.id, "status": task_result.status, "error": str(sys.exc_info()[1])})
    if when == "after":
        act(what)
        write_line("told", {"job": task_result.id, "status": "is over", "error": ""})


def act(what: str) -> None:
    """Does it."""
    word, _, seconds = what.partition(" ")
    if word == "wait":
        time.sleep(float(seconds))
    elif word == "exit":
        os._exit(3)
    elif word == "raise":
        sys.exit("a receiver's")
    elif word == "deaf":
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        ctypes.CDLL(None).sleep(600)
    elif word == "beget":
        time.sleep(1)
        note.enqueue()

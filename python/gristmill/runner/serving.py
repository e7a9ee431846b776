"""A runner's process: what it prepares before its first job, the loop that it runs, and how it ends."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import signal
import socket
import sys

from django.db import connections

from gristmill.runner import capture
from gristmill.runner.hygiene import prepare_connections
from gristmill.runner.loop import Runner
from gristmill.runner.transactional import WorkerGone
from gristmill.signals import runner_started

logger = logging.getLogger("gristmill")


def serve(connection: socket.socket) -> None:
    """Runs jobs until the worker says quit or is gone."""
    leave_forks_to_the_task(connection)
    prepare_connections()
    for receiver, error in runner_started.send_robust(sender=None):
        if isinstance(error, Exception):
            logger.error("a receiver of runner_started failed: %r", receiver, exc_info=error)
    try:
        Runner(connection).run()
    except (WorkerGone, OSError):
        # Also where a task closed the socket. The worker takes whatever ran for crashed.
        os._exit(1)
    finish()


def leave_forks_to_the_task(connection: socket.socket) -> None:
    """
    Has the processes that a task forks be ordinary ones: signals end them, and they cannot speak for the runner.

    Signals wait while the fork is made, so that none is lost on the runner's handlers in the child.
    """
    masks: list[set[signal.Signals | int]] = []

    def before() -> None:
        masks.append(set(signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())))

    def restore() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, masks.pop())

    def in_child() -> None:
        connection.close()
        capture.serve_sync(None)
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGALRM, signal.SIGUSR1):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        restore()

    os.register_at_fork(before=before, after_in_parent=restore, after_in_child=in_child)


def finish() -> None:
    """What the interpreter does at its end; the zygote's loop below this frame must not be returned to."""
    for step in (connections.close_all, atexit._run_exitfuncs, sys.stdout.flush, sys.stderr.flush):
        with contextlib.suppress(BaseException):
            step()

"""
Starts the engine: in place of this process where that is the command itself, else as a child of it.

The configuration goes through a pipe that the executable inherits, so that the database's password appears neither in
its arguments nor in its environment.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from typing import Any, NoReturn

from django.core.management.base import CommandError
from django.db import connections

from gristmill.worker.exit_statuses import OF_WORKERS
from gristmill.worker.logs import JSON, QUIET

CONFIG_FD = "GRISTMILL_CONFIG_FD"
# Which databases runners are to use: in a test those that the test runner has made, whatever the settings say.
NAMES = "GRISTMILL_DATABASE_NAMES"
# What the zygote calls before it sets Django up.
SETUP = "GRISTMILL_SETUP"
PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


def become(binary: str, config: dict[str, Any]) -> NoReturn:
    """Replaces this process by the executable."""
    reader = configured(config)
    os.set_inheritable(reader, True)
    try:
        os.execve(binary, [binary, "worker"], environment(config, reader))
    except OSError as error:
        raise CommandError(f"{binary} cannot be started: {error.strerror}") from error


def run(binary: str, config: dict[str, Any]) -> None:
    """
    Runs the executable as a child and waits for its end; raises CommandError with its exit status unless that is 0.

    Signals that ask this process to end are the worker's first; when it has ended they are this process's own again.
    """
    reader = configured({**config, "parent": os.getpid()})
    names = {alias: str(entry["NAME"]) for alias, entry in connections.settings.items() if entry.get("NAME")}
    own = {**environment(config, reader), NAMES: json.dumps(names)}
    try:
        with signals_passed_on() as received:
            try:
                child = subprocess.Popen([binary, "worker"], env=own, pass_fds=[reader])
            except OSError as error:
                raise CommandError(f"{binary} cannot be started: {error.strerror}") from error
            received.child = child
            if received.first is not None:
                child.send_signal(received.first)
            status = child.wait()
    finally:
        os.close(reader)
    if received.first is not None:
        os.kill(os.getpid(), received.first)
    if status:
        raise CommandError(sentence(status), returncode=status if status > 0 else 128 - status)


def environment(config: dict[str, Any], reader: int) -> dict[str, str]:
    """Returns the environment of the executable, which its processes inherit."""
    setup = {SETUP: config["setup"]} if config.get("setup") else {}
    as_json = {JSON: "1"} if config.get("json_logs") else {}
    quietly = {QUIET: "1"} if config.get("verbosity") == 0 else {}
    # A worker that a task of another worker has started is none of that one's kind.
    own = {name: value for name, value in os.environ.items() if name not in (SETUP, JSON, QUIET, NAMES)}
    return {**own, **trust(config), CONFIG_FD: str(reader), **setup, **as_json, **quietly}


def trust(config: dict[str, Any]) -> dict[str, str]:
    """
    Returns the environment in which the engine trusts the roots of the settings alone, as libpq does.

    Its TLS adds roots to those of the system, which it takes from where these two say. Runners get them as they were.
    """
    root = config.get("database", {}).get("sslrootcert")
    return {"SSL_CERT_FILE": root, "SSL_CERT_DIR": os.devnull} if root else {}


def sentence(status: int) -> str:
    """Says how a worker ended."""
    if status < 0:
        return f"the worker was ended by signal {-status} ({signal.Signals(-status).name})"
    return f"the worker ended with status {status}: {OF_WORKERS.get(status, 'it said why')}"


def configured(config: dict[str, Any]) -> int:
    """Returns a descriptor from which the configuration can be read."""
    before = {name: os.environ.get(name) for name in trust(config)}
    text = json.dumps({**config, "environment": before}).encode()
    # A pipe holds 64 KiB without a reader (65,536 on Linux and macOS); more would wait for ever.
    if len(text) > 65_536:
        raise CommandError(f"the worker's configuration has {len(text):,} bytes; over 65,536 cannot be handed over")
    reader, writer = os.pipe()
    os.write(writer, text)
    os.close(writer)
    return reader


class Received:
    """The signals that came while a worker ran, of which the first one counts here."""

    def __init__(self) -> None:
        self.child: subprocess.Popen[bytes] | None = None
        self.first: int | None = None

    def __call__(self, number: int, frame: object) -> None:
        """Passes one on."""
        self.first = self.first or number
        if self.child is not None:
            self.child.send_signal(number)


@contextlib.contextmanager
def signals_passed_on() -> Iterator[Received]:
    """
    Passes signals on to the child that is set meanwhile.

    Only the main thread can; a worker that is called in another one ends with this process.
    """
    received = Received()
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    # What `nohup` has asked for holds here too.
    heard = [one for one in PASSED_ON if one != signal.SIGHUP or signal.getsignal(one) != signal.SIG_IGN]
    before = {number: signal.signal(number, received) for number in heard}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)

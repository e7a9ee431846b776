"""
Runs jobs until it is told to stop.

One supervisor and its runner processes serve one backend of TASKS. The first TERM, INT or QUIT lets running jobs
finish within the grace, the second hands them back, the third ends at once. Exit status: 0 when everything was
finished, 77 when jobs were handed back, 99 when the worker itself failed.

Defaults may be set for a project in TASKS[alias]["OPTIONS"]["WORKER"], under the options' names in lower case with
underscores: {"processes": 4, "grace": 60}.
"""

from __future__ import annotations

import json
import math
import os
import socket
import sys
from argparse import ArgumentParser, BooleanOptionalAction
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from django.conf import settings
from django.core.checks import ERROR
from django.core.management.base import BaseCommand, CommandError
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from gristmill.backend import GristmillBackend
from gristmill.binary import BinaryMissing, find_binary
from gristmill.commands.aliases import chosen_backend, migrated_connection
from gristmill.schema import is_in_memory

HELP = "Run jobs."

CONFIG_FD = "GRISTMILL_CONFIG_FD"


class Number(NamedTuple):
    """An option that takes a number, with its bounds."""

    kind: type
    least: float
    most: float
    default: Any
    help: str


# Bounds are what a person could mean; beyond them is a slip of the hand.
NUMBERS = {
    "processes": Number(int, 1, 1024, None, "How many runner processes (default: one for each core it may use)."),
    "max_jobs": Number(int, 1, 2**53, None, "Stop after this many jobs."),
    "max_jobs_per_runner": Number(int, 1, 2**53, None, "Replace a runner process after this many jobs."),
    "poll_interval": Number(float, 0.01, 3600, 2.0, "Longest wait between two looks while idle (default: 2)."),
    "grace": Number(float, 0, 86_400, 25.0, "How many seconds a stop waits for running jobs (default: 25)."),
    "heartbeat": Number(
        float, 0.05, 600, 5.0,
        "Seconds between two heartbeats (default: 5). A worker that vanishes is noticed after 13 of them less 5 s.",
    ),
}  # fmt: skip
FLAGS = {
    "once": "Claim what is due now, one job for each runner, run it, and stop.",
    "until_done": "Stop when nothing is ready or running any more.",
    "reload": "Restart runners when source code changes (default: under DEBUG, unless --once or --until-done).",
    "json_logs": "Log one JSON object a line.",
}
LISTS = {
    "queue": "Serve this queue; may be repeated (default: all queues of the backend).",
    "exclude_queue": "Leave this queue alone; may be repeated.",
}
LABEL = "A name for people; {pid} and {host} are replaced (default: {host}-{pid})."


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the options. None of them has a default here, so that the project's own defaults can be seen."""
    parser.add_argument("--backend", metavar="ALIAS", help="The TASKS alias to serve (default: default).")
    for name, text in LISTS.items():
        parser.add_argument(option(name), action="append", metavar="QUEUE", help=text)
    parser.add_argument("--label", help=LABEL)
    for name, number in NUMBERS.items():
        parser.add_argument(option(name), metavar="N" if number.kind is int else "SECONDS", help=number.help)
    for name in ("once", "until_done", "json_logs"):
        parser.add_argument(option(name), action="store_true", default=None, help=FLAGS[name])
    parser.add_argument("--reload", action=BooleanOptionalAction, default=None, help=FLAGS["reload"])


def handle(command: BaseCommand, options: dict[str, Any]) -> None:
    """Becomes the worker: this process is replaced by the `gristmill` executable."""
    backend = chosen_backend(options["backend"])
    for message in backend.check():
        if message.level >= ERROR:
            raise CommandError(f"{message.msg} {message.hint or ''}".strip())
        command.stderr.write(str(message))
    connection = migrated_connection(backend)
    config = configuration(backend, connection, options)
    try:
        binary = find_binary()
    except BinaryMissing as error:
        raise CommandError(str(error)) from error
    connections.close_all()
    command.stdout.flush()
    command.stderr.flush()
    become(binary, config)


def configuration(
    backend: GristmillBackend, connection: BaseDatabaseWrapper, options: dict[str, Any]
) -> dict[str, Any]:
    """Returns everything the worker needs to know, from the command line, OPTIONS["WORKER"] and the settings."""
    settings_module = os.environ.get("DJANGO_SETTINGS_MODULE")
    if not settings_module:
        raise CommandError("a worker needs a settings module that its runners can import; set DJANGO_SETTINGS_MODULE")
    wanted = {**backend.options.get("WORKER", {})}
    wanted.update({name: value for name, value in options.items() if name in known_options() and value is not None})
    for sentence in option_errors(wanted, name_of=option):
        raise CommandError(sentence)
    numbers = {
        name: number.default if wanted.get(name) is None else number.kind(wanted[name])
        for name, number in NUMBERS.items()
    }
    if wanted.get("once") and wanted.get("until_done"):
        raise CommandError("--once and --until-done exclude each other")
    reload = wanted.get("reload")
    if reload is None:
        # A worker that ends by itself has nothing to wait for changes for.
        reload = settings.DEBUG and not (wanted.get("once") or wanted.get("until_done"))
    host = socket.gethostname()
    label = str(wanted.get("label") or "{host}-{pid}").replace("{pid}", str(os.getpid())).replace("{host}", host)
    return {
        "database": database_settings(connection),
        "python": sys.executable,
        "python_path": [os.path.abspath(entry) for entry in sys.path],
        "settings_module": settings_module,
        "backend": backend.alias,
        "queues": served_queues(backend, wanted.get("queue")),
        "exclude_queues": list(wanted.get("exclude_queue") or []),
        "label": label,
        **numbers,
        "processes": numbers["processes"] or usable_cores(),
        "once": bool(wanted.get("once")),
        "until_done": bool(wanted.get("until_done")),
        "reload": reload,
        "json_logs": bool(wanted.get("json_logs")),
        "verbosity": options["verbosity"],
    }


def served_queues(backend: GristmillBackend, named: list[str] | None) -> list[str] | None:
    """Returns the queues to serve, None for any: those named, else those of the backend."""
    if not named:
        return sorted(backend.queues) or None
    unknown = [queue for queue in named if backend.queues and queue not in backend.queues]
    if unknown:
        raise CommandError(
            f"backend '{backend.alias}' has no queue {', '.join(map(repr, unknown))}; "
            f"its QUEUES are {', '.join(map(repr, sorted(backend.queues)))}"
        )
    return list(dict.fromkeys(named))


def database_settings(connection: BaseDatabaseWrapper) -> dict[str, Any]:
    """Returns what the engine needs to open the same database by itself."""
    if connection.vendor == "sqlite":
        return {"engine": "sqlite", "path": sqlite_path(connection)}
    given = connection.get_connection_params()
    for name in ("sslcert", "sslkey", "sslpassword", "sslcrl"):
        if given.get(name):
            raise CommandError(f"workers cannot use OPTIONS['{name}'] of database '{connection.alias}' yet")
    # What the settings leave to the driver (a service file, ~/.pgpass) is asked of the open connection.
    connection.ensure_connection()
    actual = connection.connection.info
    port = given.get("port") or actual.port
    found = {
        "engine": "postgres",
        "host": given.get("host") or actual.host or None,
        "port": int(port) if port else None,
        "user": given.get("user") or actual.user,
        "password": given.get("password") or actual.password or None,
        "name": given.get("dbname") or actual.dbname,
        "sslmode": given.get("sslmode"),
        "sslrootcert": str(given["sslrootcert"]) if given.get("sslrootcert") else None,
        "options": given.get("options"),
    }
    return {name: value for name, value in found.items() if value is not None}


def sqlite_path(connection: BaseDatabaseWrapper) -> str:
    """Returns the absolute path of the database file."""
    name = str(connection.settings_dict["NAME"])
    if is_in_memory(connection):
        raise CommandError(f"database '{connection.alias}' is in memory, where no worker can reach it; use a file")
    if name.startswith("file:"):
        raise CommandError(
            f"database '{connection.alias}' is named by a URI; give its NAME as a plain path for workers"
        )
    return str(Path(name).absolute())


def usable_cores() -> int:
    """Returns how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def become(binary: str, config: dict[str, Any]) -> None:
    """
    Replaces this process by the executable.

    The configuration goes through a pipe that the executable inherits, so that the database's password appears
    neither in its arguments nor in its environment.
    """
    reader, writer = os.pipe()
    text = json.dumps(config).encode()
    # A pipe holds 64 KiB without a reader (65,536 on Linux and macOS); more would wait for ever.
    if len(text) > 65_536:
        raise CommandError(f"the worker's configuration has {len(text):,} bytes; over 65,536 cannot be handed over")
    os.write(writer, text)
    os.close(writer)
    os.set_inheritable(reader, True)
    try:
        os.execve(binary, [binary, "worker"], {**os.environ, CONFIG_FD: str(reader)})
    except OSError as error:
        raise CommandError(f"{binary} cannot be started: {error.strerror}") from error


def option(name: str) -> str:
    """Spells an option as on the command line."""
    return "--" + name.replace("_", "-")


def known_options() -> set[str]:
    """Returns the names that OPTIONS["WORKER"] may have."""
    return {*NUMBERS, *FLAGS, *LISTS, "label"}


def option_errors(wanted: Any, name_of: Any = repr) -> Iterator[str]:
    """Yields one sentence for each thing that is wrong with a set of options."""
    if not isinstance(wanted, dict):
        yield f"must be a dictionary, not {wanted!r}"
        return
    for name in sorted(set(wanted) - known_options(), key=str):
        yield f"unknown key {name!r}; the keys are {', '.join(sorted(known_options()))}"
    for name, number in NUMBERS.items():
        value = wanted.get(name)
        if value is not None and not is_within(value, number):
            what = "a whole number" if number.kind is int else "a number of seconds"
            yield f"{name_of(name)} must be {what} from {number.least:,} to {number.most:,}, not {value!r}"
    for name in FLAGS:
        if not isinstance(wanted.get(name), (bool, type(None))):
            yield f"{name_of(name)} must be True or False, not {wanted[name]!r}"
    for name in LISTS:
        value = wanted.get(name)
        if value is not None and not (
            isinstance(value, (list, tuple)) and all(isinstance(q, str) and q for q in value)
        ):
            yield f"{name_of(name)} must be a list of queue names, not {value!r}"
    label = wanted.get("label")
    if label is not None and not (isinstance(label, str) and 1 <= len(label) <= 200 and label.isprintable()):
        yield f"{name_of('label')} must be 1 to 200 printable characters, not {label!r}"


def is_within(value: Any, number: Number) -> bool:
    """Tells whether a value, perhaps as text from the command line, is a number within its bounds."""
    if isinstance(value, bool):
        return False
    try:
        parsed = number.kind(value)
    except (TypeError, ValueError):
        return False
    if number.kind is int and not isinstance(value, str) and parsed != value:
        return False
    return math.isfinite(parsed) and number.least <= parsed <= number.most

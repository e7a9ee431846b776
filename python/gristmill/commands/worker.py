"""
Runs jobs until it is told to stop.

One supervisor and its runner processes serve one backend of TASKS. The first TERM, INT or QUIT lets running jobs
finish within the grace, the second hands them back, the third ends at once. Exit status: 0 when everything was
finished, 77 when jobs were handed back, 99 when the worker itself failed.

Defaults may be set for a project in TASKS[alias]["OPTIONS"]["WORKER"], under the options' names in lower case with
underscores: {"processes": 4, "grace": 60}. What holds for one queue alone stands in OPTIONS["QUEUES"]:
{"mail": {"processes": 2, "prefetch": False, "poll_interval": 0.5}}.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import ERROR
from django.core.management.base import BaseCommand, CommandError
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from gristmill.backend import GristmillBackend
from gristmill.binary import BinaryMissing, find_binary
from gristmill.commands.aliases import chosen_backend, migrated_connection
from gristmill.commands.durations import seconds_of
from gristmill.commands.worker_options import (
    DURATIONS,
    NUMBERS,
    add_options,
    known_options,
    option,
    option_errors,
    queue_settings,
)
from gristmill.schema import is_in_memory

HELP = "Run jobs."

CONFIG_FD = "GRISTMILL_CONFIG_FD"


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the options."""
    add_options(parser)


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
    queues, excluded = served_queues(backend, wanted.get("queue")), list(wanted.get("exclude_queue") or [])
    said_of_queues = queue_settings(backend.options, queues, excluded)
    # One loop looks for all of them, so the most impatient queue sets its pace.
    poll_interval = min([numbers["poll_interval"], *said_of_queues.pop("poll_intervals")])
    return {
        "database": database_settings(connection),
        "python": sys.executable,
        "python_path": [os.path.abspath(entry) for entry in sys.path],
        "settings_module": settings_module,
        "backend": backend.alias,
        "queues": queues,
        "exclude_queues": excluded,
        "label": label,
        **numbers,
        **said_of_queues,
        **{f"{name}_seconds": seconds_of(wanted.get(name)) for name in DURATIONS},
        "poll_interval": poll_interval,
        "processes": numbers["processes"] or usable_cores(),
        "once": bool(wanted.get("once")),
        "until_done": bool(wanted.get("until_done")),
        "reload": reload,
        "json_logs": bool(wanted.get("json_logs")),
        "schedules": not wanted.get("no_schedules"),
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

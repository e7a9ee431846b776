"""
Runs jobs until it is told to stop.

One supervisor and its runner processes serve one backend of TASKS. The first TERM, INT or QUIT lets running jobs
finish within the grace, the second hands them back, the third ends at once. Exit status: 0 when everything was
finished, 3 when --until-done left ready jobs that it cannot run, 77 when jobs were handed back, 78 when it refused to
start and would again, 99 when the worker itself failed.

Called by call_command() it is a call: the worker runs as a child process, and CommandError has its status.

Defaults may be set for a project in TASKS[alias]["OPTIONS"]["WORKER"], under the options' names in lower case with
underscores: {"processes": 4, "grace": 60}. What holds for one queue alone stands in OPTIONS["QUEUES"]:
{"mail": {"processes": 2, "prefetch": False, "poll_interval": 0.5}}.
"""

from __future__ import annotations

import os
import socket
import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.checks import ERROR
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from gristmill.backend import GristmillBackend
from gristmill.commands.aliases import chosen_backend, migrated_connection
from gristmill.commands.chosen_queues import odd_names, served_queues
from gristmill.commands.interpreter import interpreter_options
from gristmill.commands.starting import become, run
from gristmill.inspect.colours import warn
from gristmill.values.binary import BinaryMissing, find_binary
from gristmill.values.bounds import seconds_of
from gristmill.worker.connecting.settings import database_settings
from gristmill.worker.exit_statuses import REFUSED
from gristmill.worker.logs import line_of
from gristmill.worker.options import (
    DURATIONS,
    NUMBERS,
    add_options,
    known_options,
    number_of,
    option,
    option_errors,
    queue_settings,
)

HELP = "Run jobs."

# What a server, or SQLite, says when it will not let anybody in like this; psycopg gives no code for it.
FOR_GOOD = (
    *("authentication failed", "no pg_hba.conf entry", "does not exist", "no password supplied", "not a database"),
    *("unable to open database file", "pg_hba.conf rejects", "permission denied to set role"),
    *("server does not support SSL", "certificate verify failed", "requires a valid client certificate"),
)


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the options."""
    add_options(parser)


def handle(command: BaseCommand, options: dict[str, Any]) -> None:
    """Becomes the worker where this process is the command; else runs it as a child and waits for its end."""
    is_program = getattr(command, "is_program", False)
    try:
        binary, config = prepared(command, options, is_program=is_program)
        command.stdout.flush()
        command.stderr.flush()
        if is_program:
            connections.close_all()
            become(binary, config)
    except CommandError as error:
        if is_for_good(error):
            error.returncode = REFUSED
        if is_program and wants_json(options):
            # Django would print it as text.
            command.stderr.write(line_of("ERROR", str(error)))
            raise SystemExit(error.returncode) from error
        raise
    run(binary, config)


def prepared(command: BaseCommand, options: dict[str, Any], *, is_program: bool) -> tuple[str, dict[str, Any]]:
    """Returns the executable and what it needs to know; raises CommandError for what cannot work."""
    refuse_elsewhere()
    backend = chosen_backend(options["backend"])
    for message in backend.check():
        if message.level >= ERROR:
            raise CommandError(f"{message.msg} {message.hint or ''}".strip())
        tell(command, options, str(message))
    connection = migrated_connection(backend)
    if not is_program and connection.in_atomic_block:
        raise CommandError(
            f"a transaction is open on database '{connection.alias}', and a worker would not see what it has written: "
            "call this outside of it (in tests with TransactionTestCase), or run jobs in this process with "
            "gristmill.testing.run_jobs()"
        )
    config = configuration(backend, connection, options)
    for sentence in odd_names(backend, connection, options["queue"] or (), options["exclude_queue"] or ()):
        tell(command, options, sentence)
    try:
        return find_binary(), config
    except BinaryMissing as error:
        raise CommandError(str(error)) from error


def tell(command: BaseCommand, options: dict[str, Any], sentence: str) -> None:
    """Says what is odd, in the form of the worker's log."""
    if wants_json(options):
        command.stderr.write(line_of("WARN", sentence))
    else:
        warn(command, sentence)


def wants_json(options: dict[str, Any]) -> bool:
    """Tells whether the worker is to log JSON, by the command line or by the settings, as far as those can be read."""
    if options["json_logs"] is not None:
        return bool(options["json_logs"])
    tasks: Any = settings.TASKS
    entry = tasks.get(options["backend"] or "default", {}) if isinstance(tasks, dict) else {}
    own = entry.get("OPTIONS", {}).get("WORKER", {})
    return isinstance(own, dict) and own.get("json_logs") is True


def refuse_elsewhere() -> None:
    """Raises CommandError on systems on which workers do not run."""
    if sys.platform != "linux":
        raise CommandError(
            f"workers run on Linux, and this is {sys.platform}; web processes and tests may enqueue here, and a "
            "container or a virtual machine with Linux can run the worker"
        )


def is_for_good(error: CommandError) -> bool:
    """Tells whether starting again would end the same way; a database that is away comes back."""
    if not isinstance(error.__cause__, DatabaseError):
        return True
    return any(words in str(error.__cause__) for words in FOR_GOOD)


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
        name: number.default if wanted.get(name) is None else number_of(wanted[name], number)
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
    excluded = list(wanted.get("exclude_queue") or [])
    queues = served_queues(backend, connection, wanted.get("queue"), excluded)
    said_of_queues = queue_settings(backend.options, queues, excluded)
    # One loop looks for all of them, so the most impatient queue sets its pace.
    poll_interval = min([numbers["poll_interval"], *said_of_queues.pop("poll_intervals")])
    return {
        "database": database_settings(connection),
        "database_alias": connection.alias,
        "python": sys.executable,
        "python_options": interpreter_options(),
        "python_path": [os.path.abspath(entry) for entry in sys.path],
        "settings_module": settings_module,
        "setup": backend.options.get("SETUP"),
        "backend": backend.alias,
        "queues": queues,
        "queues_are_chosen": bool(wanted.get("queue")),
        "exclude_queues": excluded,
        "label": label,
        "heartbeat_file": os.path.abspath(wanted["heartbeat_file"]) if wanted.get("heartbeat_file") else None,
        **numbers,
        **said_of_queues,
        **{f"{name}_seconds": seconds_of(wanted.get(name)) for name in DURATIONS},
        "poll_interval": poll_interval,
        "callback_timeout": backend.callback_timeout,
        # Without a number the engine takes one for each core that it may use, quotas and affinity included.
        "processes": numbers["processes"],
        "once": bool(wanted.get("once")),
        "until_done": bool(wanted.get("until_done")),
        "allow_unserved": bool(wanted.get("allow_unserved")),
        "reload": reload,
        "json_logs": bool(wanted.get("json_logs")),
        "log_jobs": bool(wanted.get("log_jobs")),
        "schedules": not wanted.get("no_schedules"),
        "verbosity": options["verbosity"],
    }

"""System checks: every misconfiguration that can be seen before the first job."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from django.apps import AppConfig, apps
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connections
from django.utils.connection import ConnectionDoesNotExist

from gristmill import registry
from gristmill.compat import task_backends
from gristmill.middleware import ENQUEUE, RUN, path_errors
from gristmill.option_rules import default_errors
from gristmill.schema import DIALECTS, is_in_memory, tables_exist, unsupported
from gristmill.task_options import NOT_GIVEN, NOTHING
from gristmill.tasks import transactional_elsewhere

if TYPE_CHECKING:
    from gristmill.backend import GristmillBackend

OPTIONS = frozenset(
    {
        *("CLOCK", "DATABASE", "DEFAULTS", "MAX_JSON_BYTES", "OUTSIDE_TRANSACTION", "QUEUES", "RETENTION", "SCHEDULES"),
        "WORKER",
        *(ENQUEUE, RUN),
    }
)


def check_backend(backend: GristmillBackend, **kwargs: Any) -> list[CheckMessage]:
    """Checks one alias of TASKS."""
    if not apps.is_installed("gristmill"):
        return [
            Error(
                f"TASKS['{backend.alias}'] uses Gristmill, but its app is not installed.",
                hint="Add 'gristmill' to INSTALLED_APPS.",
                id="gristmill.E001",
            )
        ]
    return [
        *check_options(backend),
        *check_queues(backend),
        *check_database(backend),
        *check_transactional(backend),
        *check_schedules(backend),
    ]


def check_options(backend: GristmillBackend) -> Iterator[CheckMessage]:
    """Checks the names and values of OPTIONS."""
    from gristmill.commands.worker_options import option_errors, queue_errors

    where = f"TASKS['{backend.alias}']['OPTIONS']"
    for name in sorted(set(backend.options) - OPTIONS):
        yield Error(
            f"{where} has an unknown key {name!r}.",
            hint=f"The keys are {', '.join(sorted(OPTIONS))}.",
            id="gristmill.E002",
        )
    limit = backend.max_json_bytes
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 2:
        yield Error(f"{where}['MAX_JSON_BYTES'] must be a number of bytes, not {limit!r}.", id="gristmill.E003")
    for name, values in (("CLOCK", ("database", "django")), ("OUTSIDE_TRANSACTION", ("refuse", "allow"))):
        value = backend.options.get(name, values[0])
        if value not in values:
            yield Error(
                f"{where}['{name}'] must be {' or '.join(map(repr, values))}, not {value!r}.", id="gristmill.E003"
            )
    for name in (ENQUEUE, RUN):
        for sentence in path_errors(backend.options.get(name) or []):
            yield Error(f"{where}['{name}'] {sentence}.", id="gristmill.E009")
    for sentence in option_errors(backend.options.get("WORKER", {})):
        yield Error(f"{where}['WORKER']: {sentence}.", id="gristmill.E004")
    for sentence in queue_errors(backend.options):
        yield Error(f"{where}{sentence}.", id="gristmill.E004")


def check_queues(backend: GristmillBackend) -> Iterator[CheckMessage]:
    """Checks DEFAULTS, those of each queue, and that the queues exist."""
    where = f"TASKS['{backend.alias}']['OPTIONS']"
    hint = "They are options for tasks that do not say otherwise, such as {'max_attempts': 3}."
    for sentence in default_errors(backend.options.get("DEFAULTS", {})):
        yield Error(f"{where}['DEFAULTS']: {sentence}.", hint=hint, id="gristmill.E007")
    queues = backend.options.get("QUEUES", {})
    for name, entry in queues.items() if isinstance(queues, dict) else ():
        if backend.queues and name not in backend.queues:
            yield Warning(
                f"{where}['QUEUES'] is about a queue {name!r} that the backend does not have.",
                hint=f"TASKS['{backend.alias}']['QUEUES'] names {', '.join(map(repr, sorted(backend.queues)))}.",
                id="gristmill.W003",
            )
        defaults = entry.get("defaults", {}) if isinstance(entry, dict) else {}
        # What is no dictionary at all has been named among the settings of queues.
        for sentence in default_errors(defaults) if isinstance(defaults, dict) else ():
            yield Error(f"{where}['QUEUES'][{name!r}]['defaults']: {sentence}.", hint=hint, id="gristmill.E007")


def check_transactional(backend: GristmillBackend) -> Iterator[CheckMessage]:
    """Checks that transactional tasks write where a router has put the queue; where OPTIONS says it, import does."""
    if backend.options.get("DATABASE"):
        return
    database = backend.database
    for task in registry.tasks.get(backend.alias, {}).values():
        given = getattr(task, "options", NOTHING).transactional
        if given is not NOT_GIVEN and given and database != ("default" if given is True else given):
            yield Error(
                transactional_elsewhere(task.module_path, given, database) + ".",
                hint="Your router sends the app gristmill to that database.",
                id="gristmill.E008",
            )


def check_schedules(backend: GristmillBackend) -> Iterator[CheckMessage]:
    """Checks the schedules of the settings, which name tasks, and that no two schedules have one name."""
    from gristmill.scheduling.announcing import announcement
    from gristmill.scheduling.settings import WHERE, setting_errors

    if not backend.options.get("SCHEDULES"):
        return
    try:
        registry.load()
    except Exception as error:
        # Whoever runs it will see why; here it is only why nothing can be said.
        yield Warning(
            f"{WHERE.format(alias=backend.alias)} cannot be checked: the project's tasks cannot be imported "
            f"({type(error).__name__}: {error}).",
            hint="Import the `tasks` modules of your apps in manage.py shell to see where it fails.",
            id="gristmill.W004",
        )
        return
    sentences = setting_errors(backend)
    if not sentences:
        try:
            announcement(backend)
        except ImproperlyConfigured as error:
            sentences = [str(error)]
    for sentence in sentences:
        yield Error(
            f"{sentence}.",
            hint="An entry is {'name': {'task': 'shop.tasks.report', 'cron': '30 8 * * *', …}}, with the options of "
            "gristmill.schedule.",
            id="gristmill.E010",
        )


def check_database(backend: GristmillBackend) -> Iterator[CheckMessage]:
    """Checks the engine and settings of the database that has the queue."""
    alias = backend.database
    try:
        connection = connections[alias]
    except ConnectionDoesNotExist:
        yield Error(
            f"TASKS['{backend.alias}']['OPTIONS']['DATABASE'] names '{alias}', which is not in DATABASES.",
            id="gristmill.E005",
        )
        return
    if connection.vendor not in DIALECTS:
        yield Error(unsupported(connection) + ".", id="gristmill.E006")
    elif connection.vendor == "sqlite" and not is_in_memory(connection):
        mode = connection.settings_dict.get("OPTIONS", {}).get("transaction_mode")
        if str(mode).upper() not in ("IMMEDIATE", "EXCLUSIVE"):
            yield Warning(
                f"Transactions on SQLite database '{alias}' are deferred: one that reads and then writes fails with "
                '"database is locked" as soon as a worker has written in between, however long the timeout.',
                hint="Below DATABASES in the settings, add: "
                f'DATABASES["{alias}"].setdefault("OPTIONS", {{}})["transaction_mode"] = "IMMEDIATE"',
                id="gristmill.W001",
            )


def check_tables(
    app_configs: Sequence[AppConfig] | None, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Warns where a database that a backend uses has no Gristmill tables. Runs only where databases may be asked."""
    from gristmill.backend import GristmillBackend

    if not databases or sys.argv[1:2] == ["migrate"]:
        return []
    aliases = {backend.database for backend in task_backends.all() if isinstance(backend, GristmillBackend)}
    return list(_missing_tables(sorted(aliases & set(databases))))


def _missing_tables(aliases: Iterable[str]) -> Iterator[CheckMessage]:
    for alias in aliases:
        try:
            migrated = tables_exist(connections[alias])
        except DatabaseError:
            continue
        if not migrated:
            yield Warning(
                f"The gristmill tables are missing on database '{alias}'.",
                hint="Run manage.py migrate" + ("." if alias == "default" else f" --database {alias}."),
                id="gristmill.W002",
            )

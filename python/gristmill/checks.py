"""System checks: every misconfiguration that can be seen before the first job."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from django.apps import AppConfig, apps
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connections
from django.utils.module_loading import import_string

from gristmill.compat import task_backends
from gristmill.database.check import check_migrations, check_place, check_routing
from gristmill.database.dialects import DIALECTS, unsupported
from gristmill.database.schema import is_in_memory, tables_exist
from gristmill.middleware import ENQUEUE, RUN, path_errors
from gristmill.schedules.announcing import announcement
from gristmill.schedules.declared import declared
from gristmill.schedules.settings import WHERE, setting_errors
from gristmill.tasks import registry
from gristmill.tasks.aliases import OwnBackend
from gristmill.tasks.callback_timeout import NAME as CALLBACK_TIMEOUT
from gristmill.tasks.callback_timeout import callback_timeout_error
from gristmill.tasks.discovery.causes import is_in_tests
from gristmill.tasks.discovery.modules import NAME as TASK_MODULES
from gristmill.tasks.discovery.modules import pattern_errors
from gristmill.tasks.exception_names import problem_of
from gristmill.tasks.notify import NAME as NOTIFY
from gristmill.tasks.notify import notify_error
from gristmill.tasks.options import NOT_GIVEN, NOTHING, checked, default_errors
from gristmill.tasks.secret_words import NAME as REDACT
from gristmill.tasks.secret_words import secret_words_error
from gristmill.tasks.task import transactional_elsewhere
from gristmill.worker.options import option_errors, queue_errors

if TYPE_CHECKING:
    from gristmill.backend import GristmillBackend
    from gristmill.compat import AnyTask

OPTIONS = frozenset(
    {
        *("CLOCK", "DATABASE", "DEFAULTS", "EMAIL", "MAX_JSON_BYTES", "OUTSIDE_TRANSACTION", "QUEUES", "RETENTION"),
        *("SCHEDULES", "SETUP", "WORKER", CALLBACK_TIMEOUT, NOTIFY, REDACT, TASK_MODULES),
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
    try:
        _ = backend.database
    except ImproperlyConfigured as error:
        return [*check_options(backend), *check_queues(backend), Error(f"{error}.", id="gristmill.E005")]
    return [
        *check_options(backend),
        *check_queues(backend),
        *check_database(backend),
        *check_transactional(backend),
        *check_isolation(backend),
        *check_schedules(backend),
        *check_retry_on(backend),
    ]


def check_options(backend: GristmillBackend) -> Iterator[CheckMessage]:
    """Checks the names and values of OPTIONS."""
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
    if (sentence := callback_timeout_error(backend.options)) is not None:
        yield Error(f"{where}{sentence}.", id="gristmill.E003")
    if (sentence := notify_error(backend.options)) is not None:
        yield Error(f"{where}{sentence}.", hint=NOTIFY_HINT, id="gristmill.E017")
    if (sentence := secret_words_error(backend.options)) is not None:
        yield Error(f"{where}{sentence}.", id="gristmill.E003")
    for sentence in pattern_errors(backend.options.get(TASK_MODULES, ["tasks"])):
        yield Error(f"{where}['{TASK_MODULES}'] {sentence}.", id="gristmill.E012")
    if (sentence := setup_error(backend.options.get("SETUP"))) is not None:
        yield Error(f"{where}['SETUP'] {sentence}.", id="gristmill.E013")
    for name in (ENQUEUE, RUN):
        for sentence in path_errors(backend.options.get(name) or []):
            yield Error(f"{where}['{name}'] {sentence}.", id="gristmill.E009")
    for sentence in option_errors(backend.options.get("WORKER", {})):
        yield Error(f"{where}['WORKER']: {sentence}.", id="gristmill.E004")
    for sentence in queue_errors(backend.options):
        yield Error(f"{where}{sentence}.", id="gristmill.E004")


NOTIFY_HINT = "docs/operating/notices.md says who is told of what."


def setup_error(path: Any) -> str | None:
    """Says what is wrong with the function that is called before Django is set up."""
    if path is None:
        return None
    if not isinstance(path, str) or "." not in path:
        return f"must be the path of a function, such as 'configurations.setup', not {path!r}"
    try:
        function = import_string(path)
    except ImportError as error:
        return f"names {path!r}, which cannot be imported: {error}"
    return None if callable(function) else f"names {path!r}, which is no function"


def check_queues(backend: GristmillBackend) -> Iterator[CheckMessage]:
    """Checks DEFAULTS, those of each queue, and that the queues exist."""
    where = f"TASKS['{backend.alias}']['OPTIONS']"
    hint = "They are options for tasks that do not say otherwise, such as {'max_attempts': 3}."
    for sentence in default_errors(backend.options.get("DEFAULTS", {})):
        yield Error(f"{where}['DEFAULTS']: {sentence}.", hint=hint, id="gristmill.E007")
    yield from check_served_queues(backend)
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


def check_served_queues(backend: GristmillBackend) -> Iterator[CheckMessage]:
    """Checks that the queues that workers are told to serve, or to leave out, exist."""
    worker = backend.options.get("WORKER", {})
    if not backend.queues or not isinstance(worker, dict):
        return
    hint = f"TASKS['{backend.alias}']['QUEUES'] names {', '.join(map(repr, sorted(backend.queues)))}."
    for option, kind, code in (("queue", Error, "gristmill.E018"), ("exclude_queue", Warning, "gristmill.W003")):
        named = worker.get(option)
        # What is no list has been named among the options of workers.
        for name in named if isinstance(named, list) else ():
            if name not in backend.queues:
                yield kind(
                    f"TASKS['{backend.alias}']['OPTIONS']['WORKER']['{option}'] names a queue {name!r} that the "
                    "backend does not have.",
                    hint=hint,
                    id=code,
                )


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


def check_isolation(backend: GristmillBackend) -> Iterator[CheckMessage]:
    """Says where transactional tasks do not have the isolation that the settings ask for."""
    alias = backend.database
    level = connections.settings.get(alias, {}).get("OPTIONS", {}).get("isolation_level")
    names = sorted(
        task.module_path for task in registry.tasks.get(backend.alias, {}).values() if is_transactional(task)
    )
    if not level or not names or connections[alias].vendor != "postgresql":
        return
    from django.db.backends.postgresql.psycopg_any import IsolationLevel

    above = {each.value: each.name.replace("_", " ") for each in IsolationLevel if not each.name.startswith("READ_")}
    if level in above:
        yield Warning(
            f"Transactional tasks run at READ COMMITTED, not at the {above[level]} of DATABASES['{alias}']['OPTIONS']: "
            f"{', '.join(names[:3])}{' and others' if len(names) > 3 else ''}.",
            hint="A task that needs it says so in its first statement: SET TRANSACTION ISOLATION LEVEL "
            f"{above[level]}. Where none does, add 'gristmill.W005' to SILENCED_SYSTEM_CHECKS.",
            id="gristmill.W005",
        )


def is_transactional(task: AnyTask) -> bool:
    """Tells whether a task's handler and the end of its job are one commit."""
    given = getattr(task, "options", NOTHING).transactional
    return given is not NOT_GIVEN and bool(given)


def check_schedules(backend: GristmillBackend) -> Iterator[CheckMessage]:
    """Checks the schedules of code and settings: that the engine can read their rules, and no two have one name."""
    try:
        registry.load()
    except Exception as error:
        # Whoever runs it will see why; here it is only why nothing can be said.
        if backend.options.get("SCHEDULES"):
            yield Warning(
                f"{WHERE.format(alias=backend.alias)} cannot be checked: the project's tasks cannot be imported "
                f"({type(error).__name__}: {error}).",
                hint="Import the `tasks` modules of your apps in manage.py shell to see where it fails.",
                id="gristmill.W004",
            )
        return
    sentences = setting_errors(backend)
    if not sentences and (backend.options.get("SCHEDULES") or declared(backend.alias)):
        try:
            announcement(backend)
        except ImproperlyConfigured as error:
            sentences = [str(error)]
    for sentence in sentences:
        yield Error(f"{sentence}.", hint=SCHEDULE_HINT, id="gristmill.E010")


SCHEDULE_HINT = (
    "docs/guides/schedules.md has the options, docs/reference/cron.md the expressions. An entry of the settings is "
    "{'name': {'task': 'shop.tasks.report', 'cron': '30 8 * * *', …}}."
)


def check_retry_on(backend: GristmillBackend) -> Iterator[CheckMessage]:
    """Checks that paths of exception classes name what can be raised: of the defaults, and of the tasks here."""
    hint = "A path is that of the class's own module and name, such as 'requests.exceptions.ConnectionError'."
    for where, path in _retry_on(backend):
        if (problem := problem_of(path)) is not None:
            yield Error(f"{where} has {path!r} in retry_on, {problem}.", hint=hint, id="gristmill.E014")


def _retry_on(backend: GristmillBackend) -> Iterator[tuple[str, str]]:
    where = f"TASKS['{backend.alias}']['OPTIONS']"
    queues = backend.options.get("QUEUES", {})
    defaults = [(f"{where}['DEFAULTS']", backend.options.get("DEFAULTS", {}))]
    for name, entry in queues.items() if isinstance(queues, dict) else ():
        if isinstance(entry, dict):
            defaults.append((f"{where}['QUEUES'][{name!r}]['defaults']", entry.get("defaults", {})))
    for owner, given in defaults:
        # Whatever else is wrong with them has been said.
        if isinstance(given, dict) and "retry_on" in given:
            with suppress(ValueError):
                yield from ((owner, path) for path in checked("retry_on", given["retry_on"]) or ())
    # Where they cannot be imported, whoever runs them will see why.
    with suppress(Exception):
        registry.load()
    for task in dict.fromkeys(registry.tasks.get(backend.alias, {}).values()):
        paths = getattr(task, "options", NOTHING).retry_on
        yield from ((task.module_path, path) for path in (paths if isinstance(paths, tuple) else ()))


def check_database(backend: GristmillBackend) -> Iterator[CheckMessage]:
    """Checks the engine and settings of the database that has the queue."""
    alias = backend.database
    connection = connections[alias]
    if connection.vendor not in DIALECTS:
        yield Error(unsupported(connection) + ".", id="gristmill.E006")
        return
    yield from check_routing(alias)
    # Tests have a database of their own, and run jobs without a worker.
    if not is_in_tests():
        yield from check_place(connection)
    if not connection.settings_dict.get("AUTOCOMMIT", True):
        yield Error(
            f"Database '{alias}' has AUTOCOMMIT off, so nothing that transactional tasks and operations on jobs write "
            "is ever committed.",
            hint=f"Leave 'AUTOCOMMIT' out of DATABASES['{alias}'], or keep the queue on another alias: "
            f"TASKS['{backend.alias}']['OPTIONS']['DATABASE'].",
            id="gristmill.E011",
        )
    if connection.vendor == "sqlite" and not is_in_memory(connection):
        mode = connection.settings_dict.get("OPTIONS", {}).get("transaction_mode")
        if str(mode).upper() not in ("IMMEDIATE", "EXCLUSIVE"):
            yield Warning(
                f"Transactions on SQLite database '{alias}' are deferred: one that reads and then writes fails with "
                '"database is locked" as soon as a worker has written in between, however long the timeout.',
                hint="Below DATABASES in the settings, add: "
                f'DATABASES["{alias}"].setdefault("OPTIONS", {{}})["transaction_mode"] = "IMMEDIATE"',
                id="gristmill.W001",
            )


def check_use(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Says where the app is installed and no alias of TASKS uses it: Django then runs tasks where they are enqueued."""
    kinds = (kind for backend in task_backends.all() for kind in type(backend).__mro__)
    if is_in_tests() or any(kind.__module__.startswith("gristmill.") for kind in kinds):
        return []
    return [
        Warning(
            "gristmill is in INSTALLED_APPS, and no alias of TASKS uses it: tasks run where they are enqueued, or "
            "not at all.",
            hint='Add to the settings: TASKS = {"default": {"BACKEND": "gristmill.backend.GristmillBackend"}}.',
            id="gristmill.W011",
        )
    ]


def check_tables(
    app_configs: Sequence[AppConfig] | None, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Warns where a database that a backend uses has no Gristmill tables. Runs only where databases may be asked."""
    if not databases or sys.argv[1:2] == ["migrate"]:
        return []
    aliases = {backend.database for backend in task_backends.all() if isinstance(backend, OwnBackend)}
    return list(_missing_tables(sorted(aliases & set(databases))))


def _missing_tables(aliases: Iterable[str]) -> Iterator[CheckMessage]:
    for alias in aliases:
        try:
            migrated = tables_exist(connections[alias])
        except DatabaseError:
            continue
        if migrated:
            yield from check_migrations(connections[alias])
        else:
            yield Warning(
                f"The gristmill tables are missing on database '{alias}'.",
                hint="Run manage.py migrate" + ("." if alias == "default" else f" --database {alias}."),
                id="gristmill.W002",
            )

"""Which of the project's TASKS aliases a command is about."""

from __future__ import annotations

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError
from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from gristmill.backend import GristmillBackend
from gristmill.compat import task_backends
from gristmill.database.dialects import DIALECTS, unsupported
from gristmill.database.schema import tables_exist
from gristmill.tasks.aliases import gristmill_backends


def chosen_backend(alias: str | None) -> GristmillBackend:
    """Returns the backend that `--backend` names; without it, "default" or the only one that is Gristmill's."""
    known = gristmill_backends()
    listed = ", ".join(known) or "none"
    if alias is None:
        if "default" not in known and len(known) != 1:
            raise CommandError(f"name a TASKS alias that uses Gristmill with --backend (there are: {listed})")
        alias = "default" if "default" in known else next(iter(known))
    if alias not in task_backends.settings:
        raise CommandError(f"there is no backend '{alias}' in TASKS; those that use Gristmill: {listed}")
    if alias not in known:
        path = task_backends.settings[alias].get("BACKEND")
        raise CommandError(f"backend '{alias}' is {path}, not Gristmill's; those that use Gristmill: {listed}")
    return known[alias]


def migrated_connection(backend: GristmillBackend) -> BaseDatabaseWrapper:
    """Returns an open connection to the backend's database, or says in one sentence why it cannot be used."""
    connection = connections[backend.database]
    if connection.vendor not in DIALECTS:
        raise CommandError(unsupported(connection))
    try:
        migrated = tables_exist(connection)
    except (DatabaseError, ImproperlyConfigured) as error:
        raise CommandError(f"database '{connection.alias}' cannot be reached: {why_not(error)}") from error
    if not migrated:
        option = "" if connection.alias == "default" else f" --database {connection.alias}"
        raise CommandError(
            f"the gristmill tables are missing on database '{connection.alias}'; run manage.py migrate{option}"
        )
    return connection


def why_not(error: Exception) -> str:
    """Returns what the driver says, with what to do where that is known."""
    said = str(error).strip()
    if not said.endswith("no encryption"):
        return said
    setting = "set 'sslmode' in OPTIONS of DATABASES to 'require', or to 'verify-full' with its root"
    return f"{said}; the server wants TLS: {setting}"

"""Puts together what the engine is handed of a database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.db.backends.base.base import BaseDatabaseWrapper

from gristmill.database.dialects import dialect_of
from gristmill.database.schema import is_in_memory
from gristmill.database.statements import carry_out
from gristmill.worker.connecting.hosts import hosts_of
from gristmill.worker.connecting.keywords import cannot
from gristmill.worker.connecting.options import session_settings
from gristmill.worker.connecting.tls import tls_of


def database_settings(connection: BaseDatabaseWrapper) -> dict[str, Any]:
    """Returns what the engine needs to open the same database by itself; raises CommandError for what it cannot do."""
    connection.ensure_connection()
    return SETTINGS[dialect_of(connection)](connection)


def sqlite_settings(connection: BaseDatabaseWrapper) -> dict[str, Any]:
    """Returns the file, and whether a commit waits for the disk, where the settings say anything of it."""
    path = sqlite_path(connection)
    if "synchronous" not in str(connection.settings_dict["OPTIONS"].get("init_command", "")).lower():
        return {"engine": "sqlite", "path": path}
    with connection.cursor() as cursor:
        ((synchronous,),) = cursor.execute("pragma synchronous").fetchall()
    return {"engine": "sqlite", "path": path, "synchronous": "full" if synchronous >= 2 else "normal"}


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


def postgres_settings(connection: BaseDatabaseWrapper) -> dict[str, Any]:
    """Returns the hosts, the login, TLS and the session's settings, and where Django's session is."""
    said = parameters(connection)
    keyword = cannot(said)
    if keyword:
        raise CommandError(
            f"workers cannot do as '{keyword}' says ({said[keyword]!r}, in OPTIONS, the environment or a service file) "
            f"of database '{connection.alias}'; take it away, or give the worker an alias of DATABASES without it"
        )
    name, login = said.get("dbname") or said.get("user", ""), said.get("user")
    hosts = hosts_of(connection, said, name, login)
    timeout = int(said.get("connect_timeout") or 0)
    found = {
        "engine": "postgres",
        "hosts": hosts,
        "user": login,
        "name": name,
        **tls_of(connection.alias, said, hosts),
        "parameters": session_settings(connection.alias, said.get("options", "")),
        "role": connection.settings_dict["OPTIONS"].get("assume_role"),
        "application_name": said.get("application_name") or said.get("fallback_application_name"),
        "connect_timeout": timeout if timeout > 0 else None,
        "whereabouts": whereabouts(connection),
    }
    return {name: value for name, value in found.items() if value is not None}


def parameters(connection: BaseDatabaseWrapper) -> dict[str, str]:
    """Returns what libpq connected with, by its own names, without the password."""
    info = connection.connection.info
    said = info.get_parameters() if hasattr(info, "get_parameters") else info.dsn_parameters
    return {name: str(value) for name, value in said.items() if name != "password"}


def whereabouts(connection: BaseDatabaseWrapper) -> dict[str, Any]:
    """Returns which tables Django's session reads, as whom, and whether it is encrypted."""
    ((database, schema, table, role, encrypted),) = carry_out(connection, "whereabouts", [])
    return {"database": database, "schema": schema, "table": table, "role": role, "encrypted": bool(encrypted)}


#: What each database's engine is handed.
SETTINGS = {"postgres": postgres_settings, "sqlite": sqlite_settings}

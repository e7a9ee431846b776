"""System checks of where the queue's tables are: a database that can be shared, reached, and is routed to."""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from django.core.checks import CheckMessage, Error, Warning
from django.db import router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from gristmill.database.schema import is_in_memory

APP = "gristmill"
#: What is mounted here, as Linux tells.
MOUNTS = Path("/proc/self/mounts")
#: Kinds of file systems on which several hosts may write, and whose locks SQLite's WAL cannot lean on.
NETWORKS = re.compile(r"nfs\d*|cifs|smb\w*|9p|afs|ceph|gfs2|lustre|ocfs2|fuse\.(sshfs|glusterfs|s3fs|ceph|rclone)")
#: PgBouncer's own port, and names that providers give to its transaction mode.
POOLER_PORT, POOLER_HOST = 6432, re.compile(r"(^|[.-])(pooler|pgbouncer)([.-]|$)")


def check_routing(alias: str) -> Iterator[CheckMessage]:
    """Says where `migrate` would not make the tables on the database that the queue is kept in."""
    if not router.allow_migrate(alias, APP):
        yield Error(
            f"The queue is kept on database '{alias}', where your router does not let migrate make its tables.",
            hint=f"Have DATABASE_ROUTERS allow the app gristmill on '{alias}' (allow_migrate), or name in "
            "TASKS[…]['OPTIONS']['DATABASE'] the alias that they allow.",
            id="gristmill.E017",
        )


def check_place(connection: BaseDatabaseWrapper) -> Iterator[CheckMessage]:
    """Warns of a SQLite file that cannot be shared, and of a pooler before PostgreSQL."""
    alias, given = connection.alias, connection.settings_dict
    if is_in_memory(connection):
        yield Warning(
            f"SQLite database '{alias}' is in memory, where no worker can reach its jobs.",
            hint=f"Give DATABASES['{alias}']['NAME'] a file. Tests run jobs with gristmill.testing.run_jobs().",
            id="gristmill.W009",
        )
    elif connection.vendor == "sqlite":
        kind = file_system_of(Path(given["NAME"]))
        if kind is not None and NETWORKS.fullmatch(kind):
            yield Warning(
                f"The file of SQLite database '{alias}' is on a network file system ({kind}), where its locks and its "
                "write-ahead log do not hold: jobs may be lost, and the file may be damaged.",
                hint="Keep it on a local disk of the one host that serves it, or move to PostgreSQL.",
                id="gristmill.W008",
            )
    elif connection.vendor == "postgresql" and (sign := sign_of_pooler(given)) is not None:
        yield Warning(
            f"Database '{alias}' seems to be behind a transaction pooler ({sign}), through which workers cannot work.",
            hint="Web processes may enqueue through it. Give workers a settings module whose HOST and PORT are "
            "PostgreSQL itself, or a pool in session mode; then add 'gristmill.W010' to SILENCED_SYSTEM_CHECKS.",
            id="gristmill.W010",
        )


def check_migrations(connection: BaseDatabaseWrapper) -> Iterator[CheckMessage]:
    """Warns of tables that are older, or newer, than this package."""
    alias = connection.alias
    module, _ = MigrationLoader.migrations_module(APP)
    if module is None:
        return
    applied = {name for app, name in MigrationRecorder(connection).applied_migrations() if app == APP}
    known = {found.name for found in pkgutil.iter_modules(import_module(module).__path__) if found.name[0].isdigit()}
    if unknown := sorted(applied - known):
        yield Warning(
            f"The gristmill tables on database '{alias}' are newer than this package: it does not know {unknown[-1]}.",
            hint="Install the version of gristmill that migrated them here too, before workers start.",
            id="gristmill.W012",
        )
    elif applied and (left := sorted(known - applied)):
        yield Warning(
            f"The gristmill tables on database '{alias}' are older than this package: {left[0]} is not applied.",
            hint="Run manage.py migrate" + ("." if alias == "default" else f" --database {alias}."),
            id="gristmill.W002",
        )


def file_system_of(path: Path) -> str | None:
    """Returns the kind of file system that a file is on, as Linux names it; None where nobody says."""
    try:
        lines = MOUNTS.read_text(errors="replace").splitlines()
    except OSError:
        return None
    folder = path.absolute().resolve().parent
    found: tuple[int, str] | None = None
    for line in lines:
        _, mounted, kind, *_ = [*line.split(" "), "", "", ""]
        # Blanks and the like are written as \040.
        point = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), mounted))
        # Of two on one place the later one is seen.
        if mounted and folder.is_relative_to(point) and (found is None or len(point.parts) >= found[0]):
            found = len(point.parts), kind
    return found and found[1]


def sign_of_pooler(given: dict[str, object]) -> str | None:
    """Says by what settings show that they mean a pooler in transaction mode; None where nothing does."""
    if given.get("DISABLE_SERVER_SIDE_CURSORS"):
        return "DISABLE_SERVER_SIDE_CURSORS"
    if any(port.strip() == str(POOLER_PORT) for port in str(given.get("PORT") or "").split(",")):
        return f"port {POOLER_PORT}"
    host = next((host for host in str(given.get("HOST") or "").split(",") if POOLER_HOST.search(host)), None)
    return host and f"host {host.strip()}"

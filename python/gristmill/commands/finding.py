"""Which job a command that shows one is about: an id, or the beginning of one, on any of Gristmill's databases."""

from __future__ import annotations

import re
from uuid import UUID

from django.core.management.base import CommandError

from gristmill.aliases import gristmill_backends
from gristmill.backend import GristmillBackend
from gristmill.commands.aliases import chosen_backend, migrated_connection
from gristmill.commands.tables import printable

#: The shortest beginning of an id that is looked up.
LEAST = 8
#: Jobs that are named where a beginning fits several.
SHOWN = 5


def found_job(text: str, database: str | None) -> tuple[UUID, str]:
    """Returns the id that is meant and the database that keeps the job; CommandError says what is wrong with it."""
    digits = re.sub(r"-", "", text.strip().lower())
    if not re.fullmatch(r"[0-9a-f]{1,32}", digits):
        raise CommandError(f"{printable(text)!r} is not the id of a job: 32 hexadecimal digits, or the first {LEAST}")
    if len(digits) < LEAST:
        raise CommandError(f"{digits!r} is too short: give at least the first {LEAST} digits of the id")
    found = [(job_id, alias) for alias in databases(database) for job_id in beginning_with(digits, alias)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise CommandError(no_such_job(digits))
    said = ", ".join(job_id.hex for job_id, _ in found[:SHOWN])
    more = ", …" if len(found) > SHOWN else ""
    raise CommandError(f"{digits!r} is the beginning of several ids: {said}{more}")


def databases(database: str | None) -> list[str]:
    """Returns the databases to look on: the one that is named, else all that keep jobs."""
    backends: list[GristmillBackend] = list(gristmill_backends().values()) or [chosen_backend(None)]
    known = list(dict.fromkeys(backend.database for backend in backends))
    if database is not None and database not in known:
        raise CommandError(
            f"no backend of Gristmill's keeps jobs on database {database!r}; there is {', '.join(known)}"
        )
    for backend in backends:
        if database in (None, backend.database):
            migrated_connection(backend)
    return [database] if database is not None else known


def beginning_with(digits: str, alias: str) -> list[UUID]:
    """Returns the first jobs whose ids begin so."""
    from gristmill.models import JobRow

    low, high = UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))
    rows = JobRow.objects.using(alias).filter(pk__gte=low, pk__lte=high).order_by("pk")
    return list(rows.values_list("pk", flat=True)[: SHOWN + 1])


def no_such_job(digits: str) -> str:
    """Says that no job has this id, and why that may be."""
    whole = len(digits) == 32
    return (
        f"there is no job {digits if whole else f'whose id begins with {digits}'}. It may have ended and been pruned "
        "(14 days after its end, unless settings or the task say otherwise), or its transaction was rolled back or is "
        "still open"
    )

"""Which job or worker is meant: an id, or the beginning or the end of one, on any of Gristmill's databases."""

from __future__ import annotations

import re
from uuid import UUID

from django.core.management.base import CommandError
from django.db import connections
from django.db.models import TextField
from django.db.models.functions import Cast

from gristmill.backend import GristmillBackend
from gristmill.commands.aliases import chosen_backend, migrated_connection
from gristmill.inspect.tables import printable
from gristmill.models import JobRow, Worker
from gristmill.tasks.aliases import gristmill_backends

#: The fewest digits of an id that are looked up.
LEAST = 8
#: Ends are looked for among so many newest jobs; the index knows beginnings only.
NEWEST = 1_000_000
#: Workers that are looked at, the newest first.
NEWEST_WORKERS = 10_000
#: Jobs or workers that are named where a beginning fits several.
SHOWN = 5


def found_job(text: str, database: str | None) -> tuple[UUID, str]:
    """Returns the id that is meant and the database that keeps the job; CommandError says what is wrong with it."""
    digits = digits_of(text, "job")
    aliases, what = databases(database), "beginning"
    found = [(job_id, alias) for alias in aliases for job_id in beginning_with(digits, alias)]
    if not found and len(digits) < 32:
        what = "end"
        found = [(job_id, alias) for alias in aliases for job_id in ending_with(digits, alias)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise CommandError(no_such_job(digits))
    said = ", ".join(job_id.hex for job_id, _ in found[:SHOWN])
    more = ", …" if len(found) > SHOWN else ""
    raise CommandError(f"{digits!r} is the {what} of several ids: {said}{more}")


def digits_of(text: str, what: str) -> str:
    """Returns the digits of an id, or of its beginning or end."""
    digits = re.sub(r"-", "", text.strip().lower())
    if not re.fullmatch(r"[0-9a-f]{1,32}", digits):
        raise CommandError(
            f"{printable(text)!r} is not the id of a {what}: 32 hexadecimal digits, or its first or last {LEAST} or "
            "more"
        )
    if len(digits) < LEAST:
        raise CommandError(f"{digits!r} is too short: give at least the first or last {LEAST} digits of the id")
    return digits


def found_worker(text: str) -> UUID:
    """Returns the id of the worker that is meant: of those that live, else of the newest that have ended."""
    digits = digits_of(text, "worker")
    if len(digits) == 32:
        return UUID(digits)
    found: list[UUID] = []
    for living in (True, False):
        for alias in databases(None):
            rows = Worker.objects.using(alias).order_by("-pk")
            if living:
                rows = rows.filter(stopped_at=None, lost_at=None)
            found += [
                worker_id
                for worker_id in rows.values_list("pk", flat=True)[:NEWEST_WORKERS]
                if worker_id.hex.startswith(digits) or worker_id.hex.endswith(digits)
            ]
        if found:
            break
    if len(found) == 1:
        return found[0]
    if not found:
        raise CommandError(
            f"there is no worker whose id begins or ends with {digits}; manage.py gristmill workers lists what runs"
        )
    said = ", ".join(worker_id.hex for worker_id in found[:SHOWN])
    more = ", …" if len(found) > SHOWN else ""
    raise CommandError(f"{digits!r} is the beginning or the end of several workers' ids: {said}{more}")


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
    low, high = UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))
    rows = JobRow.objects.using(alias).filter(pk__gte=low, pk__lte=high).order_by("pk")
    return list(rows.values_list("pk", flat=True)[: SHOWN + 1])


def ending_with(digits: str, alias: str) -> list[UUID]:
    """Returns the newest jobs whose ids end so, among the newest there are."""
    newest = JobRow.objects.using(alias).order_by("-pk")[:NEWEST]
    if connections[alias].features.has_native_uuid_field:
        # Written with hyphens, of which as many stand before the last digits as in any id.
        whole = str(UUID(digits.rjust(32, "0")))
        length = next(n for n in range(len(digits), 37) if whole[-n:].replace("-", "") == digits)
        digits = whole[-length:]
    # A subquery, so that no more than these are looked at.
    rows = JobRow.objects.using(alias).filter(pk__in=newest.values("pk")).annotate(text=Cast("pk", TextField()))
    found = rows.filter(text__endswith=digits).order_by("-pk").values_list("pk", flat=True)
    return list(found[: SHOWN + 1])


def no_such_job(digits: str) -> str:
    """Says that no job has this id, and why that may be."""
    whole = len(digits) == 32
    which = digits if whole else f"whose id begins or ends with {digits}"
    return (
        f"there is no job {which}. It may have ended and been pruned (14 days after its end, unless settings or the "
        "task say otherwise), or its transaction was rolled back or is still open"
    )

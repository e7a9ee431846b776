"""
Which failures somebody has to be told of: those of a cause that nobody has been told of in their hour.

Looked for among the newest failures and among the first causes, each by a bounded number of rows. Who adds the row of a
cause and an hour tells, in one transaction with the job that does it: so each is told once, whoever looks, and none
is lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from django.db import connections, transaction

from gristmill.database.statements import carry_out
from gristmill.inspect import groups
from gristmill.models import NoticeRow, ResultRow
from gristmill.values.moments import database_now, utc_text

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

    from gristmill.compat import AnyTask

#: What failed longer ago is no news: nobody looked for so long.
NEWS = timedelta(hours=1)
#: Newest failures that are looked through.
NEWEST = 10_000
#: Notices of one hour on one database: beyond so many causes, who is told looks at the page of failures.
MOST_AN_HOUR = 20
#: How long it is remembered who was told, and hours that one look forgets.
KEPT, FORGOTTEN = timedelta(days=7), 100
#: Of which nobody is told: they would be told by what has failed.
OWN = "gristmill.notices."


class Failed(NamedTuple):
    """The newest failure of a cause."""

    fingerprint: str
    job_id: UUID
    hour: datetime


def look(alias: str, database: str, tell: AnyTask) -> int:
    """Enqueues a job of `tell` for each cause that nobody has been told of; returns how many."""
    connection = connections[database]
    now = database_now(connection)
    forget(database, now - KEPT)
    told = 0
    for failed in untold(connection, alias, now - NEWS):
        if has_been_told_enough(database, failed.hour):
            break
        with transaction.atomic(using=database):
            binds = [failed.fingerprint, utc_text(failed.hour), id_bind(connection, failed.job_id)]
            if carry_out(connection, "notice", binds):
                tell.enqueue(failed.fingerprint, failed.job_id.hex, utc_text(failed.hour))
                told += 1
    return told


def untold(connection: BaseDatabaseWrapper, alias: str, since: datetime) -> Iterator[Failed]:
    """Yields the causes of an alias's failures since a moment that nobody has been told of in their hour."""
    recent = groups.newest_fingerprints(connection, NEWEST, since)
    found = dict.fromkeys([*recent, *groups.every_fingerprint(connection)])
    named = [each for each in found if each is not None][: 2 * groups.MOST_GROUPS]
    # Counted no further than to one: which is the newest is all that is asked.
    newest = {each.newest for each in groups.counted_groups(connection, named, 1)}
    rows = ResultRow.objects.using(connection.alias).filter(pk__in=newest, backend=alias, finished_at__gte=since)
    failed = [
        Failed(row.fingerprint, row.id, hour_of(row.finished_at))
        for row in rows.order_by("-finished_at")
        if row.fingerprint is not None and not row.task_name.startswith(OWN)
    ]
    known = told_of(connection, failed)
    yield from (each for each in failed if (each.fingerprint, each.hour) not in known)


def told_of(connection: BaseDatabaseWrapper, failed: Sequence[Failed]) -> set[tuple[str, datetime]]:
    """Returns those of these causes and hours that somebody has been told of."""
    told = NoticeRow.objects.using(connection.alias).filter(
        fingerprint__in=[each.fingerprint for each in failed], hour__in={each.hour for each in failed}
    )
    return set(told.values_list("fingerprint", "hour"))


def has_been_told_enough(database: str, hour: datetime) -> bool:
    """Tells whether an hour has had its notices."""
    return NoticeRow.objects.using(database).filter(hour=hour)[:MOST_AN_HOUR].count() >= MOST_AN_HOUR


def forget(database: str, until: datetime) -> None:
    """Forgets who was told of what before a moment, a bounded number of hours of it."""
    rows = NoticeRow.objects.using(database)
    for _ in range(FORGOTTEN):
        oldest = rows.filter(hour__lt=until).order_by("hour").values_list("hour", flat=True).first()
        if oldest is None:
            return
        rows.filter(hour=oldest)._raw_delete(database)


def hour_of(moment: datetime) -> datetime:
    """Returns the beginning of a moment's hour."""
    return moment.replace(minute=0, second=0, microsecond=0)


def id_bind(connection: BaseDatabaseWrapper, job_id: UUID) -> str:
    """Returns an id as a statement takes it."""
    return str(NoticeRow._meta.get_field("job_id").get_db_prep_value(job_id, connection))


__all__ = ["look"]

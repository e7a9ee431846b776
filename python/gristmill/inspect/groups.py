"""
The groups of failures, along the index that has them: which there are, how large each is, and its newest job.

Each question is bounded: groups are found by one probe each, however many failures are between two of them, and counted
to a cap.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db.backends.base.base import BaseDatabaseWrapper

from gristmill.database.dialects import about
from gristmill.inspect.listing.branches import A_FAILURE, FAILED, GROUPED, UNSUCCESSFUL, Order
from gristmill.inspect.listing.walking import ask, moment_bind
from gristmill.inspect.survey import CAP
from gristmill.models import ResultRow
from gristmill.values.moments import from_utc

#: Groups that are counted: more causes than a person looks at in a day.
MOST_GROUPS = 100
#: Failures among which the newest groups are looked for.
NEWEST = 1_000


class Counted(NamedTuple):
    """A group; None is what has no fingerprint. `more`: there are more than `size`."""

    fingerprint: str | None
    size: int
    more: bool
    first_at: datetime | None
    newest: UUID


def newest_fingerprints(
    connection: BaseDatabaseWrapper, most: int = NEWEST, since: datetime | None = None
) -> list[str | None]:
    """Returns the groups of the newest failures, the latest first; those since a moment."""
    later = "" if since is None else "and p.finished_at >= %s "
    sql = (
        f"select p.fingerprint, p.state from {results(connection, FAILED)} where {UNSUCCESSFUL} {later}"
        "order by p.finished_at desc, p.id desc limit %s"
    )
    rows = ask(connection, sql, [*([] if since is None else [moment_bind(connection, since)]), most])
    return list(dict.fromkeys(fingerprint for fingerprint, state in rows if state != "cancelled"))


def every_fingerprint(connection: BaseDatabaseWrapper) -> list[str]:
    """Returns the groups that there are, at most so many, by one probe each."""
    first = f"select p.fingerprint from {results(connection, GROUPED)} where {A_FAILURE} and p.fingerprint"
    least = "order by p.fingerprint limit 1"
    sql = (
        f"with recursive known (fingerprint, number) as (select * from ({first} is not null {least}) as least "
        f"cross join (select 1) as one union all select ({first} > known.fingerprint {least}), known.number + 1 "
        "from known where known.fingerprint is not null and known.number < %s) "
        "select fingerprint from known where fingerprint is not null"
    )
    return [fingerprint for (fingerprint,) in ask(connection, sql, [MOST_GROUPS])]


def counted_groups(
    connection: BaseDatabaseWrapper, fingerprints: Sequence[str | None], cap: int | None = None
) -> list[Counted]:
    """Returns these groups, those of them that are still there, each counted to a cap."""
    cap = CAP if cap is None else cap
    named = [fingerprint for fingerprint in fingerprints if fingerprint is not None]
    found: list[tuple[Any, ...]] = []
    if named:
        wanted = f"(values {', '.join(['(%s)'] * len(named))}) as wanted (fingerprint)"
        if about(connection).keeps_text:
            wanted = f"(select column1 as fingerprint from (values {', '.join(['(%s)'] * len(named))})) as wanted"
        of_it = "p.fingerprint = wanted.fingerprint"
        columns = f"wanted.fingerprint, {numbers_of(connection, of_it)}"
        found += ask(connection, f"select {columns} from {wanted}", [cap + 1, *named])
    if len(named) < len(fingerprints):
        columns = f"null, {numbers_of(connection, 'p.fingerprint is null')}"
        found += ask(connection, f"select {columns}", [cap + 1])
    return [
        Counted(fingerprint, min(size, cap), size > cap, moment_of(connection, first_at), id_of(newest))
        for fingerprint, size, first_at, newest in found
        if newest is not None
    ]


def numbers_of(connection: BaseDatabaseWrapper, condition: str) -> str:
    """Returns the columns that say how many failures there are of a group, since when, and which is the newest."""
    source = f"from {results(connection, GROUPED)} where {condition} and {A_FAILURE}"
    return (
        f"(select count(*) from (select 1 {source} limit %s) as counted), "
        f"(select p.finished_at {source} order by p.finished_at, p.id limit 1), "
        f"(select p.id {source} order by p.finished_at desc, p.id desc limit 1)"
    )


def fingerprints_of(connection: BaseDatabaseWrapper, ids: Sequence[str]) -> dict[str, str | None]:
    """Returns the groups of these jobs."""
    rows = ResultRow.objects.using(connection.alias).filter(pk__in=ids)
    return {job_id.hex: fingerprint for job_id, fingerprint in rows.values_list("id", "fingerprint")}


def results(connection: BaseDatabaseWrapper, order: Order) -> str:
    """Names the results, and on SQLite the index."""
    table = "gristmill_result as p"
    return f"{table} indexed by {order.index_name}" if about(connection).keeps_text else table


def moment_of(connection: BaseDatabaseWrapper, value: Any) -> datetime | None:
    """Returns a moment as Django has it."""
    return from_utc(value) if value is not None and about(connection).keeps_text else value


def id_of(value: Any) -> UUID:
    """Returns an id as Python has it."""
    return value if isinstance(value, UUID) else UUID(hex=value)

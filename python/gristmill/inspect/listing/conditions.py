"""
What single terms of a search ask of a row: conditions as SQL, with the names in them looked up first.

Each look-up reads a bounded number of rows: whose ids begin so, which jobs a schedule made, who has a key, which
workers are meant. Conditions are asked of the rows of one stride; what else they look at, they probe by its key.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

from django.db.models import Q

from gristmill.database.dialects import about
from gristmill.inspect.listing.branches import A_FAILURE
from gristmill.inspect.listing.choices import choices
from gristmill.inspect.listing.cursors import NIL, Key
from gristmill.inspect.listing.search import LEAST_DIGITS, WITHOUT_GROUP, Search, SearchError
from gristmill.inspect.listing.walking import ALL, Condition, Ends
from gristmill.inspect.questions import id_bind
from gristmill.inspect.tables import printable
from gristmill.models import JobRow, Tick, UniqueKeyRow, Worker
from gristmill.tasks import registry
from gristmill.tasks.aliases import gristmill_backends

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

#: Jobs of a schedule that are looked for: those of its newest ticks.
MOST_TICKS = 500
#: Workers of one label or host: each boot is one.
MOST_WORKERS = 100


@dataclass
class Ids:
    """Which jobs are meant by their ids: the ends of a walk, and what to look for in its rows; or none at all."""

    ends: Ends = ALL
    conditions: list[Condition] = field(default_factory=list)
    # Their ids, where they are known one by one: probes of the primary key.
    few: list[Condition] = field(default_factory=list)
    empty: bool = False


def among(column: str, names: tuple[str, ...]) -> list[Condition]:
    """Returns the condition that a column is one of these."""
    if not names:
        return []
    marks = ", ".join(["%s"] * len(names))
    return [Condition(f"p.{column} in ({marks})", names)]


def task_names(connection: BaseDatabaseWrapper, search: Search) -> tuple[str, ...] | None:
    """Returns the tasks that are meant, None for any; raises SearchError where no known task has such a name."""
    if not search.tasks and not search.words:
        return None
    names: list[str] = []
    registry.load()
    if not search.words and {*search.tasks} <= {*registry.names()}:
        return search.tasks
    known = choices(connection).tasks
    for name in search.tasks:
        names += [name] if name in known else [each for each in known if each.endswith(f".{name}")] or [name]
    if not search.words:
        return tuple(dict.fromkeys(names))
    alike = [each for each in known if all(word.lower() in each.lower() for word in search.words)]
    if not alike:
        words = " ".join(map(printable, search.words))
        raise SearchError(
            f"no task that is known here has {words!r} in its name; write task:NAME for one that is not known, "
            "args.NAME:VALUE for an argument, or error:TEXT"
        )
    return tuple(each for each in alike if each in names) if names else tuple(alike)


def by_id(connection: BaseDatabaseWrapper, search: Search) -> Ids | None:
    """Returns what finds jobs by the beginning of their ids, or where none begins so by the end."""
    if not search.ids:
        return None
    parts: list[Condition] = []
    ends: list[tuple[UUID, UUID]] = []
    for digits in search.ids:
        low, high = UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))
        if len(digits) == 32 or JobRow.objects.using(connection.alias).filter(pk__gte=low, pk__lte=high)[:1]:
            ends.append((low, high))
            parts.append(Condition("p.id between %s and %s", (id_bind(connection, low), id_bind(connection, high))))
        else:
            ends.append((NIL, UUID("f" * 32)))
            text = "p.id" if about(connection).keeps_text else "replace(p.id::text, '-', '')"
            parts.append(Condition(f"substr({text}, {33 - len(digits)}) = %s", (digits,)))
    sql = " or ".join(part.sql for part in parts)
    either = Condition(f"({sql})", tuple(bind for part in parts for bind in part.binds))
    return Ids(between_ids(min(low for low, _ in ends), max(high for _, high in ends)), [either])


def between_ids(low: UUID, high: UUID) -> Ends:
    """Returns the ends of a walk by ids from one to another, both included."""
    return Ends(Key(None, low), Key(None, UUID(int=high.int + 1)) if high.int < 2**128 - 1 else None)


def by_key(connection: BaseDatabaseWrapper, search: Search) -> Ids | None:
    """Returns what finds the jobs that have a key now, and where nobody has, those that had it."""
    if not search.keys:
        return None
    holders = UniqueKeyRow.objects.using(connection.alias).filter(pk__in=search.keys).values_list("job_id", flat=True)
    if ids := list(holders):
        return one_of(connection, ids)
    marks = ", ".join(["%s"] * len(search.keys))
    keyed = f"select 1 from gristmill_job as keyed where keyed.id = p.id and keyed.unique_key in ({marks})"
    return Ids(conditions=[Condition(f"exists ({fenced(connection, keyed)})", search.keys)])


def by_schedule(connection: BaseDatabaseWrapper, search: Search) -> Ids | None:
    """Returns what finds the jobs of a schedule's newest ticks, whatever alias it is of."""
    if not search.schedules:
        return None
    ids: list[UUID] = []
    for alias in gristmill_backends():
        for name in search.schedules:
            ticks = Tick.objects.using(connection.alias).filter(backend=alias, schedule=name, job_id__isnull=False)
            made = ticks.order_by("-nominal").values_list("job_id", flat=True)[:MOST_TICKS]
            ids += [job_id for job_id in made if job_id is not None]
    return one_of(connection, ids[:MOST_TICKS])


def one_of(connection: BaseDatabaseWrapper, ids: list[UUID]) -> Ids:
    """Returns what finds these jobs, a bounded number."""
    if not ids:
        return Ids(empty=True)
    marks = ", ".join(["%s"] * len(ids))
    named = Condition(f"p.id in ({marks})", tuple(id_bind(connection, job_id) for job_id in ids))
    return Ids(between_ids(min(ids), max(ids)), few=[named])


def by_worker(connection: BaseDatabaseWrapper, search: Search) -> Condition | None:
    """Returns the condition that a worker of this label, host or id has had the job or has it now; None: none has."""
    meant = Q(label__in=search.workers) | Q(host__in=search.workers)
    for text in search.workers:
        digits = text.replace("-", "").lower()
        if LEAST_DIGITS <= len(digits) <= 32 and set(digits) <= set("0123456789abcdef"):
            meant |= Q(pk__gte=UUID(digits.ljust(32, "0")), pk__lte=UUID(digits.ljust(32, "f")))
    workers = Worker.objects.using(connection.alias).filter(meant).order_by("-started_at")
    ids = list(workers.values_list("pk", flat=True)[:MOST_WORKERS])
    if not ids:
        return None
    marks = ", ".join(["%s"] * len(ids))
    binds = tuple(id_bind(connection, each) for each in ids)
    had = f"select 1 from gristmill_attempt as had where had.job_id = p.id and had.worker_id in ({marks})"
    has = f"select 1 from gristmill_running as has where has.id = p.id and has.worker_id in ({marks})"
    sql = f"(exists ({fenced(connection, had)}) or exists ({fenced(connection, has)}))"
    return Condition(sql, (*binds, *binds))


def by_error(connection: BaseDatabaseWrapper, text: str) -> Condition:
    """Returns the condition that an attempt of the job failed with this text, in whatever case it is written."""
    place = "instr" if about(connection).keeps_text else "strpos"
    columns = "coalesce(tried.reason, '') || ' ' || coalesce(tried.exception_class_path, '')"
    said = f"{columns} || ' ' || coalesce(tried.traceback, '')"
    tried = (
        "select 1 from gristmill_attempt as tried where tried.job_id = p.id and tried.outcome <> 'successful' "
        f"and {place}(lower({said}), %s) > 0"
    )
    return Condition(f"exists ({fenced(connection, tried)})", (text.lower(),))


def of_group(group: str) -> Condition:
    """Returns the condition that a job is of a group of failures, as the index of groups has it."""
    if group == WITHOUT_GROUP:
        return Condition(f"p.fingerprint is null and {A_FAILURE}")
    return Condition(f"p.fingerprint = %s and {A_FAILURE}", (group,))


def fenced(connection: BaseDatabaseWrapper, probe: str) -> str:
    """Returns a probe that PostgreSQL carries out for each row, and never for the whole table at once."""
    return probe if about(connection).keeps_text else f"{probe} offset 0"

"""What a search asks of a branch: in which order it is walked, from where to where, and what is looked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.utils import timezone

from gristmill.inspect.listing import conditions
from gristmill.inspect.listing.branches import BY_ID, GROUPED, Branch, Order
from gristmill.inspect.listing.cursors import NIL, Key
from gristmill.inspect.listing.search import Search, SearchError
from gristmill.inspect.listing.walking import ALL, Condition, Ends, moment_bind
from gristmill.inspect.questions import id_bind
from gristmill.tasks.aliases import gristmill_backends
from gristmill.values.bounds import refuse_beyond
from gristmill.values.ids import first_id_at
from gristmill.values.moments import database_now

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper


@dataclass
class Filters:
    """What a walk is told: its order and its ends, conditions on its rows, the lane; empty: nothing matches."""

    order: Order
    ends: Ends = ALL
    # Ids of the only rows that there are to look at.
    few: list[Condition] = field(default_factory=list)
    conditions: list[Condition] = field(default_factory=list)
    lane: tuple[str, str, str] | None = None
    empty: bool = False


def filters_of(
    connection: BaseDatabaseWrapper, branch: Branch, search: Search, backends: tuple[str, ...] = ()
) -> Filters:
    """Returns what a search asks of a branch, and of these TASKS aliases if any; raises SearchError."""
    found = Filters(branch.order)
    for look_up in (conditions.by_id, conditions.by_key, conditions.by_schedule):
        ids = look_up(connection, search)
        if ids is not None:
            found.order = BY_ID
            found.ends = found.ends.within(ids.ends)
            found.conditions += ids.conditions
            found.few += ids.few
            found.empty = found.empty or ids.empty
    if search.group is not None:
        found.empty = found.empty or branch.table != "gristmill_result"
        if found.order == branch.order:
            found.order = GROUPED
        found.few.append(conditions.of_group(search.group))
    tasks = conditions.task_names(connection, search)
    if branch.name == "ready" and found.order == branch.order:
        found.lane = lane_of(tasks, search.queues, backends or aliases_on(connection))
    if found.lane is None:
        for column, names in (("backend", backends), ("queue_name", search.queues), ("task_name", tasks or ())):
            found.conditions += conditions.among(column, names)
    bound_by_moment(connection, branch, search, found)
    if search.workers:
        worker = conditions.by_worker(connection, search)
        found.conditions += [] if worker is None else [worker]
        found.empty = found.empty or worker is None
    found.conditions += [conditions.by_error(connection, text) for text in search.errors]
    # What is unsuccessful needs no looking for along the indexes that have nothing else.
    if branch.filtered and not (branch.name == "unsuccessful" and found.order in (branch.order, GROUPED)):
        found.conditions.append(Condition(branch.filtered))
    return found


def lane_of(
    tasks: tuple[str, ...] | None, queues: tuple[str, ...], backends: tuple[str, ...]
) -> tuple[str, str, str] | None:
    """Returns the one lane that is meant; None where there are several."""
    if tasks is not None and len(tasks) == len(queues) == len(backends) == 1:
        return backends[0], queues[0], tasks[0]
    return None


def aliases_on(connection: BaseDatabaseWrapper) -> tuple[str, ...]:
    """Returns the TASKS aliases that keep their jobs on a database."""
    return tuple(alias for alias, each in gristmill_backends().items() if each.database == connection.alias)


def bound_by_moment(connection: BaseDatabaseWrapper, branch: Branch, search: Search, found: Filters) -> None:
    """Adds what `before:` and `after:` ask: of the moment that the branch goes by, else of when jobs were enqueued."""
    moments = {
        name: moment_at(connection, name, given)
        for name, given in (("after", search.after), ("before", search.before))
        if given is not None
    }
    column = branch.order.column
    # Ids of version 7 begin with the moment at which they were made.
    keys = {
        name: Key(None, first_id_at(moment)) if column is None else Key(moment, NIL) for name, moment in moments.items()
    }
    if found.order.column == column and found.lane is None:
        found.ends = found.ends.within(Ends(keys.get("after"), keys.get("before")))
        return
    for name, key in keys.items():
        sign = ">=" if name == "after" else "<"
        if column is not None:
            found.conditions.append(Condition(f"p.{column} {sign} %s", (moment_bind(connection, key.moment),)))
        elif found.lane is not None:
            found.conditions.append(Condition(f"p.id {sign} %s", (id_bind(connection, key.id),)))
        else:
            found.ends = found.ends.within(Ends(key) if name == "after" else Ends(None, key))


def moment_at(connection: BaseDatabaseWrapper, name: str, given: datetime | timedelta) -> datetime:
    """Returns the moment that is meant, as Django has it; raises SearchError for one beyond the calendar."""
    try:
        moment = database_now(connection) - given if isinstance(given, timedelta) else as_django(given)
        refuse_beyond(moment)
    except (OverflowError, ValueError):
        raise SearchError(f"{name}: is no date in this calendar; write {name}:2026-12-24 or {name}:2h") from None
    return moment


def as_django(moment: datetime) -> datetime:
    """Returns a moment as USE_TZ wants it; without a zone it is Django's."""
    zone = timezone.get_default_timezone()
    if settings.USE_TZ:
        return moment if timezone.is_aware(moment) else timezone.make_aware(moment, zone)
    return timezone.make_naive(moment, zone) if timezone.is_aware(moment) else moment

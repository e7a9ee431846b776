"""
Walks a branch along an index, from one place to the next, and looks at a bounded number of rows however rare a match.

Where nothing is filtered it asks for as many rows as it needs. Else it goes in strides: it asks where the next so many
rows end, and then for those among them that match. So no statement reads more rows than one stride has, whatever the
filter, and who walks can stop between two of them and say how far they came.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import UUID

from django.db.backends.base.base import BaseDatabaseWrapper

from gristmill.database.dialects import about
from gristmill.inspect.listing.branches import Branch, Order
from gristmill.inspect.listing.cursors import Key
from gristmill.inspect.questions import id_bind
from gristmill.models import ReadyRow
from gristmill.values.moments import from_utc

#: Rows that one request looks at, and seconds: what comes first. A person waits for it.
MOST_ROWS, MOST_SECONDS = 100_000, 2.0
#: Rows of the first stride and of the longest; each is so many times as long as the one before: who matches is quick.
FIRST_STRIDE, LONGEST_STRIDE, GROWTH = 250, 4_000, 4
#: From -100 to 100: the priorities that a lane may have.
MOST_PRIORITIES = 201


class Condition(NamedTuple):
    """A condition on the row `p` of a branch's table."""

    sql: str
    binds: tuple[Any, ...] = ()


class Ends(NamedTuple):
    """Between which places a walk goes: from the first one on, and up to the last one without it."""

    low: Key | None = None
    high: Key | None = None

    def within(self, other: Ends) -> Ends:
        """Returns what lies between the ends of both."""
        lows = [each for each in (self.low, other.low) if each is not None]
        highs = [each for each in (self.high, other.high) if each is not None]
        return Ends(max(lows, key=rank, default=None), min(highs, key=rank, default=None))


ALL = Ends()


class Found(NamedTuple):
    """A row that matches."""

    key: Key
    backend: str
    queue_name: str
    task_name: str
    # Where arguments are asked for.
    args: str | None = None
    kwargs: str | None = None
    options: str | None = None


@dataclass
class Walk:
    """What is walked, and which of its rows match."""

    connection: BaseDatabaseWrapper
    branch: Branch
    order: Order
    ends: Ends = ALL
    # The only rows there are to look at, by their ids; and what rows are looked through for.
    few: Sequence[Condition] = ()
    filters: Sequence[Condition] = ()
    # What a statement cannot ask, of a row with its arguments.
    test: Callable[[Found], bool] | None = None
    # What its arguments have in them as text, or the test would say no.
    needles: Sequence[str] = ()
    # (backend, queue, task) of ready jobs: in the order in which they are claimed.
    lane: tuple[str, str, str] | None = None


@dataclass
class Walked:
    """What was found, how many rows were looked at, and where the walk was stopped before its end."""

    found: list[Found] = field(default_factory=list)
    looked: int = 0
    stopped: Key | None = None


class Stretch(NamedTuple):
    """A part of a walk that one index range covers."""

    order: Order
    after: Key | None
    conditions: tuple[Condition, ...] = ()
    priority: int | None = None


def go(walk: Walk, after: Key | None, limit: int, *, backwards: bool = False) -> Walked:
    """Returns the first rows behind a place that match, so many at most; backwards: the last ones before it."""
    walked, until = Walked(), time.monotonic() + MOST_SECONDS
    plain, stride = not walk.filters and walk.test is None, FIRST_STRIDE
    for stretch in stretches(walk, after, backwards):
        at, rest = stretch.after, True
        while rest:
            if plain:
                walked.found += matching(walk, stretch, at, None, limit, limit - len(walked.found), backwards)
                rest = False
            else:
                stop, number = end_of_stride(walk, stretch, at, stride, backwards)
                walked.looked += number
                look_through(walk, walked, stretch, at, stop, stride, limit, backwards)
                at, rest = stop, number == stride
                stride = min(stride * GROWTH, LONGEST_STRIDE)
            if len(walked.found) >= limit:
                return walked
            if rest and (walked.looked >= MOST_ROWS or time.monotonic() > until):
                walked.stopped = at
                return walked
    return walked


def look_through(
    walk: Walk,
    walked: Walked,
    stretch: Stretch,
    at: Key | None,
    stop: Key | None,
    stride: int,
    limit: int,
    backwards: bool,
) -> None:
    """Adds what matches in one stride, until there is enough."""
    while stop is not None and len(walked.found) < limit:
        wanted = limit - len(walked.found)
        rows = matching(walk, stretch, at, stop, stride, wanted, backwards)
        walked.found += [row for row in rows if walk.test is None or walk.test(row)]
        if len(rows) < wanted:
            return
        at = rows[-1].key


def stretches(walk: Walk, after: Key | None, backwards: bool) -> Iterator[Stretch]:
    """Yields the parts of a walk, one after the other: one for all, of a lane one for each of its priorities."""
    if walk.lane is None:
        yield Stretch(walk.order, after)
        return
    of_lane = Condition("p.backend = %s and p.queue_name = %s and p.task_name = %s", walk.lane)
    order = Order("deadline", newest_first=False, index_name="gristmill_ready_claim")
    priority = after.priority if after is not None else None
    if priority is not None:
        yield Stretch(order, after, (of_lane, Condition("p.priority = %s", (priority,))), priority)
    best, beyond = ("min", ">") if backwards else ("max", "<")
    for _ in range(MOST_PRIORITIES):
        bound = (of_lane,) if priority is None else (of_lane, Condition(f"p.priority {beyond} %s", (priority,)))
        ((priority,),) = ask(
            walk.connection,
            f"select {best}(p.priority) from {table_of(walk, order)} where {' and '.join(each.sql for each in bound)}",
            [bind for each in bound for bind in each.binds],
        )
        if priority is None:
            return
        yield Stretch(order, None, (of_lane, Condition("p.priority = %s", (priority,))), priority)


def end_of_stride(walk: Walk, stretch: Stretch, at: Key | None, stride: int, backwards: bool) -> tuple[Key | None, int]:
    """Returns where the next so many rows end, and how many there are."""
    columns = ", ".join(stretch.order.columns)
    inner, binds = part(walk, stretch, at, None, stride, backwards, columns)
    last = sorting(stretch.order, not backwards)
    sql = f"select {columns}, count(*) over () from ({inner}) as stride order by {last} limit 1"
    rows = ask(walk.connection, sql, binds)
    if not rows:
        return None, 0
    *key, number = rows[0]
    return key_of(walk, stretch, key), number


def matching(
    walk: Walk, stretch: Stretch, at: Key | None, stop: Key | None, stride: int, limit: int, backwards: bool
) -> list[Found]:
    """Returns the first rows that match between two places, the last one included; so many are looked at, at most."""
    order = stretch.order
    columns = [f"p.{name}" for name in (*order.columns, "backend", "queue_name", "task_name")]
    # What is filtered is a part that has its own limit: no filter can have it read in another way.
    source, binds = part(walk, stretch, at, stop, stride, backwards, "*")
    source, filters = f"({source}) as p", [*walk.filters]
    if walk.test is not None:
        joined, name = with_arguments(walk)
        source += joined
        columns += [f"{name}.args", f"{name}.kwargs", f"{name}.options"]
        place = "instr" if about(walk.connection).keeps_text else "strpos"
        filters += [Condition(f"{place}({name}.args || {name}.kwargs, %s) > 0", (each,)) for each in walk.needles]
    where = f" where {' and '.join(each.sql for each in filters)}" if filters else ""
    ordered = sorting(order, backwards, "p.")
    sql = f"select {', '.join(columns)} from {source}{where} order by {ordered} limit %s"
    binds += [*(bind for each in filters for bind in each.binds), limit]
    width = len(order.columns)
    return [Found(key_of(walk, stretch, row[:width]), *row[width:]) for row in ask(walk.connection, sql, binds)]


def part(
    walk: Walk, stretch: Stretch, at: Key | None, stop: Key | None, limit: int, backwards: bool, columns: str
) -> tuple[str, list[Any]]:
    """Returns a statement that reads the first rows of a stretch between two places, along its index, and its binds."""
    order = stretch.order
    known = [Condition(walk.branch.known)] if walk.branch.known and order == walk.branch.order else []
    conditions = [*stretch.conditions, *known, *walk.few]
    conditions += bounds(walk, order, at, stop, falling=order.newest_first != backwards)
    sql = f"select {columns} from {table_of(walk, order)}"
    if conditions:
        sql += f" where {' and '.join(each.sql for each in conditions)}"
    sql += f" order by {sorting(order, backwards, 'p.')} limit %s"
    return sql, [*(bind for each in conditions for bind in each.binds), limit]


def bounds(walk: Walk, order: Order, at: Key | None, stop: Key | None, *, falling: bool) -> list[Condition]:
    """Returns where a part of a walk begins and ends: a condition each, as SQLite starts at the first one it finds."""
    low, high = walk.ends if walk.lane is None else ALL
    if falling:
        upper = ("<", at) if at is not None and (high is None or rank(at) < rank(high)) else ("<", high)
        lower = (">=", stop or low)
    else:
        lower = (">", at) if at is not None and (low is None or rank(at) >= rank(low)) else (">=", low)
        upper = ("<=", stop) if stop is not None else ("<", high)
    return [between(walk.connection, order, sign, key) for sign, key in (lower, upper) if key is not None]


def rank(key: Key) -> tuple[Any, ...]:
    """Returns what places of one walk compare by."""
    return (key.id,) if key.moment is None else (key.moment, key.id)


def between(connection: BaseDatabaseWrapper, order: Order, sign: str, key: Key) -> Condition:
    """Returns the condition that a row lies beyond a place."""
    job_id = id_bind(connection, key.id)
    if order.column is None:
        return Condition(f"p.id {sign} %s", (job_id,))
    return Condition(f"(p.{order.column}, p.id) {sign} (%s, %s)", (moment_bind(connection, key.moment), job_id))


def sorting(order: Order, backwards: bool, prefix: str = "") -> str:
    """Returns an order as SQL."""
    direction = " desc" if order.newest_first != backwards else ""
    return ", ".join(f"{prefix}{name}{direction}" for name in order.columns)


def table_of(walk: Walk, order: Order) -> str:
    """Names the table, and on SQLite the index: what it reads is not to depend on statistics."""
    table = f"{walk.branch.table} as p"
    return f"{table} indexed by {order.index_name}" if order.index_name and about(walk.connection).keeps_text else table


def with_arguments(walk: Walk) -> tuple[str, str]:
    """Returns what joins the job's own row, one probe for each row of the stride, and its name; who has none stays."""
    if walk.branch.table == "gristmill_job":
        return "", "p"
    if about(walk.connection).keeps_text:
        return " left join gristmill_job as j on j.id = p.id", "j"
    # Fenced, so that it is never joined to the whole table.
    fenced = "select args, kwargs, options from gristmill_job where id = p.id offset 0"
    return f" left join lateral ({fenced}) as j on true", "j"


def key_of(walk: Walk, stretch: Stretch, values: Sequence[Any]) -> Key:
    """Returns a place as Python has it."""
    *moments, job_id = values
    moment = moments[0] if moments else None
    if moment is not None and about(walk.connection).keeps_text:
        moment = from_utc(moment)
    return Key(moment, job_id if isinstance(job_id, UUID) else UUID(hex=job_id), stretch.priority)


def ask(connection: BaseDatabaseWrapper, sql: str, binds: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Carries a question out."""
    with connection.cursor() as cursor:
        cursor.execute(sql, [*binds])
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found


def moment_bind(connection: BaseDatabaseWrapper, moment: Any) -> Any:
    """Returns a moment as the database keeps it."""
    return ReadyRow._meta.get_field("deadline").get_db_prep_value(moment, connection)

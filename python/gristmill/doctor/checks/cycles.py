"""I9: no job waits for itself, however far round."""

from __future__ import annotations

from collections import deque
from typing import Any

from gristmill.doctor.check import ROWS, CannotTell, Finding, Key, Question, of_page
from gristmill.doctor.checks.propagations import none
from gristmill.doctor.examination import Examination, among, between, keys_after

#: Open edges between waiting jobs that are kept in memory; a graph beyond that is not searched.
MOST_EDGES = 1_000_000
#: Jobs of a cycle that are named.
SHOWN = 5
#: Jobs of a cycle that are looked at again in one statement.
AGAIN = 200


def edges_sql(vendor: str) -> str:
    """Where each of the two waits, and nobody is about to look for a cycle there."""
    return f"""select {{key}}
from gristmill_edge as here
join gristmill_waiting as dependent on dependent.id = here.dependent_id
join gristmill_waiting as precondition on precondition.id = here.precondition_id
where {{range}}
    and here.state = 'open'
    and {none(vendor, ("resolve",), "dependent.id")}"""


def find(examination: Examination) -> list[Finding]:
    """Finds the cycles among waiting jobs, and names one job of each."""
    waits_for: dict[Any, list[Any]] = {}
    count, after = 0, None
    while True:
        with examination.reading() as cursor:
            keys = keys_after(cursor, "gristmill_edge", after, ROWS)
            edges = select(examination.vendor, cursor, *between("gristmill_edge", after, keys[-1])) if keys else []
        for dependent, precondition in edges:
            waits_for.setdefault(dependent, []).append(precondition)
        count += len(edges)
        if count > MOST_EDGES:
            raise CannotTell(f"more than {MOST_EDGES:,} open edges between jobs that wait are too many to search")
        if len(keys) < ROWS:
            break
        after = keys[-1]
    found = []
    for cycle in cycles(waits_for):
        if still_there(examination, cycle):
            names = [getattr(job_id, "hex", job_id) for job_id in cycle]
            first = min(range(len(names)), key=lambda place: names[place])
            names = names[first:] + names[:first]
            said = " waits for ".join(names[:SHOWN])
            more = f" waits for {len(names) - SHOWN:,} more, the last of which" if len(names) > SHOWN else ""
            sentence = f"{said}{more} waits for {names[0]}: none of them will ever run"
            found.append(CYCLE.finding(names[0], sentence, length=len(names), jobs=names[:100]))
    return found


def select(vendor: str, cursor: Any, condition: str, binds: dict[str, Any]) -> list[Key]:
    """Returns the edges that a cycle could be made of."""
    cursor.execute(of_page(edges_sql(vendor), "gristmill_edge", condition, vendor), binds)
    return list(cursor.fetchall())


def cycles(waits_for: dict[Any, list[Any]]) -> list[list[Any]]:
    """
    Returns cycles of a graph, none of them sharing a job, so that every job in a knot of them is reached from one.

    Jobs that wait for nothing in the graph are taken off until none is left to take; what remains waits for what
    remains, so whoever follows it comes round.
    """
    waited_for_by: dict[Any, list[Any]] = {}
    for dependent, preconditions in waits_for.items():
        for precondition in preconditions:
            waited_for_by.setdefault(precondition, []).append(dependent)
    missing = {dependent: len(preconditions) for dependent, preconditions in waits_for.items()}
    free = deque(job_id for job_id in waited_for_by if job_id not in missing)
    while free:
        for dependent in waited_for_by.get(free.popleft(), ()):
            missing[dependent] -= 1
            if not missing[dependent]:
                free.append(dependent)
    rest = {job_id for job_id, count in missing.items() if count}
    found, seen = [], set()
    for start in sorted(rest, key=str):
        path: list[Any] = []
        position: dict[Any, int] = {}
        job_id = start
        while job_id not in seen:
            seen.add(job_id)
            position[job_id] = len(path)
            path.append(job_id)
            job_id = next(other for other in waits_for[job_id] if other in rest)
        if job_id in position:
            found.append(path[position[job_id] :])
    return found


def still_there(examination: Examination, cycle: list[Any]) -> bool:
    """Tells whether a cycle that was put together from several looks is there at once, as far as a statement tells."""
    pairs = list(zip(cycle, [*cycle[1:], cycle[0]], strict=True))
    with examination.reading() as cursor:
        return all(
            len(select(examination.vendor, cursor, *among("gristmill_edge", pairs[start : start + AGAIN])))
            == len(pairs[start : start + AGAIN])
            for start in range(0, len(pairs), AGAIN)
        )


CYCLE = Question("cycle", "I9", "No job waits for itself, however far round.", find)

CHECKS = (CYCLE,)

"""
How an operation on jobs is carried out: a verb of the engine's, in batches, asked again where a job was on the move.

A verb answers only for jobs that it could lock at once. What is missing from its answer has ended, is in a state
that the verb does not change, or is being moved by a claim or a promotion at this moment.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from datetime import timezone as dt_timezone
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import OperationalError, connections, router, transaction
from django.utils import timezone

from gristmill.database.dialects import about
from gristmill.database.refusals import CONFLICTS, sqlstate_of
from gristmill.database.statements import Row, carry_out
from gristmill.database.transactions import read_committed
from gristmill.database.wake import wake_after_commit
from gristmill.tasks.aliases import gristmill_backends
from gristmill.values.moments import utc_text
from gristmill.verbs.changing import Change

if TYPE_CHECKING:
    from gristmill.models import JobQuerySet

#: Jobs in one statement. Its locks last until the commit, and claims pass over them.
BATCH = 1_000
#: How often a job that is being moved is asked again, or after a deadlock. A claim takes milliseconds; the pauses come
#: to 0.3 s.
ASKED_AGAIN = 5
FIRST_PAUSE = 0.01
#: Ids that one page of a query set reads. Each page may sort what is left, so pages are larger than batches.
PAGE = 20_000
#: The longest name of an actor, and the longest reason.
MOST_CHARACTERS = 1_000

#: The states that each verb takes jobs from.
STATES = {
    "cancel": ("ready", "scheduled", "waiting", "stranded", "held", "running"),
    "change": ("ready", "scheduled", "waiting", "stranded", "held"),
    "delete": ("failed", "cancelled", "poisoned", "successful"),
    "hold": ("ready", "scheduled", "waiting", "stranded"),
    "release": ("held",),
    "retry": ("failed", "cancelled", "poisoned", "successful"),
    "run_now": ("scheduled",),
    "add_preconditions": ("ready", "scheduled", "waiting", "stranded", "held"),
}
# Why not, where the state forbids it.
REFUSALS = {
    "cancel": "it has ended ({state})",
    "change": "only what has not started can be changed, and it is {state}",
    "hold": "only what does not run yet can be held, and it is {state}",
    "release": "it is not held but {state}",
    "retry": "it has not ended, it is {state}",
    "run_now": "it is not scheduled but {state}",
    "add_preconditions": "it waits for nothing any more, as it is {state}",
}


def carried_out(
    verb: str,
    ids: Iterable[UUID],
    actor: str,
    reason: str | None,
    database: str,
    *,
    after: Sequence[str] = (),
    change: Change | None = None,
) -> dict[str, str]:
    """
    Carries out a verb for at most BATCH jobs, and returns what became of each, by id.

    `add_preconditions` is of one job at a time, and alone takes `after`; `change` alone takes what is to change.
    """
    from gristmill.models import Job

    # Sorted, so that two operations lock in one order; each id once.
    asked = sorted({job_id.hex for job_id in ids})
    outcomes: dict[str, str] = {}
    pause = FIRST_PAUSE
    for again in range(ASKED_AGAIN + 1):
        if again:
            time.sleep(pause)
            pause *= 2
        try:
            outcomes.update(_ask(verb, _binds(verb, asked, actor, reason, after, change, database), database))
        except OperationalError as error:
            # All of it is undone, for the sake of another transaction. One of the caller's own is theirs to try again.
            if again == ASKED_AGAIN or connections[database].in_atomic_block or sqlstate_of(error) not in CONFLICTS:
                raise
            continue
        asked = [job_id for job_id in asked if job_id not in outcomes]
        if not asked:
            break
        found = Job.objects.using(database).filter(pk__in=[UUID(job_id) for job_id in asked])
        states = {job_id.hex: state for job_id, state in found.values_list("pk", "state")}
        for job_id in asked:
            state = states.get(job_id)
            if state is None:
                outcomes[job_id] = "refused: there is no such job"
            elif state not in STATES[verb]:
                outcomes[job_id] = f"refused: {REFUSALS[verb].format(state=state)}"
        asked = [job_id for job_id in asked if job_id not in outcomes]
        if not asked:
            break
    outcomes.update(dict.fromkeys(asked, "refused: another transaction is moving it; ask again"))
    return outcomes


def _binds(
    verb: str,
    ids: list[str],
    actor: str,
    reason: str | None,
    after: Sequence[str],
    change: Change | None,
    database: str,
) -> list[Any]:
    if verb == "add_preconditions":
        (job_id,) = ids
        return [job_id, json.dumps(list(after)), actor, now_bind(database)]
    more = [reason] if verb == "hold" else change.binds(database) if change is not None else []
    return [json.dumps(ids), actor, *more, now_bind(database)]


def _ask(verb: str, binds: list[Any], database: str) -> dict[str, str]:
    with read_committed(database) as connection:
        outcomes = {UUID(str(job_id)).hex: done for job_id, _, done in unpacked(carry_out(connection, verb, binds))}
        if any(done in ("released", "retried", "readied", "changed", "added") for done in outcomes.values()):
            wake_after_commit(connection)
    return outcomes


def unpacked(rows: Iterable[Row]) -> list[Row]:
    """Returns the rows of an answer; SQLite packs them into one: a JSON list of lists."""
    found: list[Row] = []
    for row in rows:
        if len(row) == 1 and isinstance(row[0], str) and row[0].startswith("["):
            found += (tuple(each) for each in json.loads(row[0]))
        else:
            found.append(row)
    return found


def now_bind(database: str) -> str | None:
    """Returns the moment to act at: Django's where its clock counts on this database, else None for the server's."""
    backends = gristmill_backends().values()
    if any(backend.database == database and backend.uses_django_clock() for backend in backends):
        return utc_text(timezone.now())
    return None if about(connections[database]).has_a_clock else utc_text(datetime.now(dt_timezone.utc))


def words(text: str | None, what: str) -> str | None:
    """Returns a person's words as they may be stored, or says what is wrong with them."""
    if text is None:
        return None
    if not isinstance(text, str):
        raise TypeError(f"{what} must be text, not {text!r}")
    if "\0" in text:
        raise ValueError(f"{what} has a NUL character, which no database stores in text")
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + "…"


def pages(jobs: JobQuerySet, verb: str) -> Iterator[list[UUID]]:
    """
    Yields the ids of a query set's jobs that a verb may concern, in batches, in order of id.

    Jobs enqueued after the first page was read are left out, so that it ends however fast they come.
    """
    from gristmill.models import JobRow

    if jobs.query.is_sliced:
        raise TypeError(f"{verb} takes no slice of a query set; filter it instead")
    database = database_of_set(jobs)
    newest = JobRow.objects.using(database).order_by("-pk").values_list("pk", flat=True).first()
    if newest is None:
        return
    chosen = (
        jobs.using(database).filter(state__in=STATES[verb], pk__lte=newest).order_by("pk").values_list("pk", flat=True)
    )
    page = list(chosen[:PAGE])
    while page:
        for start in range(0, len(page), BATCH):
            yield page[start : start + BATCH]
        page = list(chosen.filter(pk__gt=page[-1])[:PAGE]) if len(page) == PAGE else []


@contextmanager
def reading_by_state(database: str) -> Iterator[None]:
    """
    Lets PostgreSQL leave out the table of results where a filter on the state excludes it.

    The state of a result is a column, and the check on that column is looked at only if the planner is told to.
    """
    connection = connections[database]
    if connection.vendor != "postgresql":
        yield
        return
    with transaction.atomic(using=database), connection.cursor() as cursor:
        cursor.execute("set local constraint_exclusion = on")
        yield
        # In a transaction of the caller's it would last until that ends.
        cursor.execute("set local constraint_exclusion = default")


def database_of_set(jobs: JobQuerySet) -> str:
    """Returns the database that a query set's jobs are changed on: the one it names, else where the router writes."""
    named: str | None = vars(jobs)["_db"]
    return named or router.db_for_write(jobs.model)

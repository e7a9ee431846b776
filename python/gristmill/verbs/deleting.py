"""
Deletes jobs that somebody has chosen, by the rules of pruning.

Only what has ended, and never what a job still waits for. Their attempts, what they have waited for and their unique
keys go with them. A thousand jobs a statement, each in the transaction that is open, else in one of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING
from uuid import UUID

from django.db.models import ProtectedError

from gristmill.database.statements import carry_out
from gristmill.database.transactions import read_committed
from gristmill.verbs.batched import STATES, database_of_set, pages, unpacked

if TYPE_CHECKING:
    from gristmill.models import Job, JobQuerySet

FORGOTTEN, THINNED = "forgotten", "thinned"
#: Dependents that a refusal to delete names.
SHOWN = 100


def delete(jobs: JobQuerySet) -> int:
    """Deletes the jobs of a query set that may be, and returns how many these were."""
    outcomes = (forget(ids, database_of_set(jobs)) for ids in pages(jobs, "delete"))
    return sum(done == FORGOTTEN for some in outcomes for done in some.values())


def delete_one(job: Job, database: str) -> int:
    """
    Deletes a job if it has ended; returns 1, or 0 where there is no such job any more.

    Raises ProtectedError, with the reason, while it has not ended or a job waits for it that has not.
    """
    outcome = forget([job.id], database).get(job.id, "")
    if outcome == FORGOTTEN:
        return 1
    found = type(job).objects.using(database).filter(pk=job.id).first()
    if found is None:
        return 0
    why = outcome.removeprefix("refused: ")
    if not why:
        ended = found.state in STATES["delete"]
        why = "another transaction is moving it; ask again" if ended else f"it has not ended, it is {found.state}"
    raise ProtectedError(f"job {job.id.hex} is not deleted: {why}", {found, *found.dependents[:SHOWN]})


def forget(ids: Iterable[UUID], database: str) -> dict[UUID, str]:
    """Forgets jobs, a thousand at most; "forgotten", or "refused: " and why. Missing: it has not ended, or moves."""
    # Sorted, so that two who delete lock in one order.
    rest = sorted(job_id.hex for job_id in ids)
    outcomes: dict[UUID, str] = {}
    while rest:
        with read_committed(database) as connection:
            answer = unpacked(carry_out(connection, "forget", [json.dumps(rest)]))
        # What has very many preconditions loses some of them each time.
        rest = sorted(UUID(str(job_id)).hex for job_id, _, done in answer if done == THINNED)
        outcomes.update({UUID(str(job_id)): done for job_id, _, done in answer if done != THINNED})
    return outcomes

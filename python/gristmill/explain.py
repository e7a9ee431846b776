"""
Says why a job does not run.

    from gristmill.explain import explain

    print(explain(result))                       # a job, a TaskResult or an id
    explain(result).as_dict()                    # for programs: every reason with its facts

What it waits for and what that waits for, its date, who holds it and why, whether its queue is paused, whether any
worker would run it, how many jobs come before it; where it runs; how it ended. Everything it asks is bounded: a count
stops and says so, a list names its first few and says how many more there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgiref.sync import sync_to_async

from gristmill.compat import TaskResultDoesNotExist
from gristmill.inspect.explaining.answer import Explanation, Reason
from gristmill.operations import database_of, id_of

if TYPE_CHECKING:
    from gristmill.operations import AnyJob

__all__ = ["Explanation", "Reason", "aexplain", "explain"]


def explain(job: AnyJob, *, using: str | None = None) -> Explanation:
    """
    Says why a job does not run, or what became of it: a job, a TaskResult or an id.

    `using` is the database that keeps it, where only an id is given and it is not the default alias's. Raises
    TaskResultDoesNotExist for an unknown job.
    """
    # A door may be opened before apps are ready; what is behind this one reads models.
    from gristmill.inspect.explaining.look import Look, jobs_by_id
    from gristmill.inspect.explaining.reasons import explained

    database, job_id = using or database_of(job), id_of(job)
    found = jobs_by_id([job_id], database).get(job_id)
    if found is None:
        raise TaskResultDoesNotExist(job_id.hex)
    return explained(Look(found, database))


async def aexplain(job: AnyJob, *, using: str | None = None) -> Explanation:
    """See `explain`."""
    return await sync_to_async(explain)(job, using=using)

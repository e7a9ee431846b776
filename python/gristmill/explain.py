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
from gristmill.explaining.answer import Explanation, Reason
from gristmill.explaining.gates import gate_reasons
from gristmill.explaining.life import cancel_asked, date, dependents, errands, held, result, running
from gristmill.explaining.line import in_line, nobody_serves, paused
from gristmill.explaining.look import Look, jobs_by_id
from gristmill.explaining.roots import failed_above
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
    database, job_id = using or database_of(job), id_of(job)
    found = jobs_by_id([job_id], database).get(job_id)
    if found is None:
        raise TaskResultDoesNotExist(job_id.hex)
    look = Look(found, database)
    reasons = reasons_of(look)
    return Explanation(
        id=found.id.hex,
        task_name=found.task_name,
        backend=found.backend,
        queue_name=found.queue_name,
        state=found.state,
        headline=reasons[0].sentence,
        reasons=reasons,
    )


async def aexplain(job: AnyJob, *, using: str | None = None) -> Explanation:
    """See `explain`."""
    return await sync_to_async(explain)(job, using=using)


def reasons_of(look: Look) -> list[Reason]:
    """Returns every reason, what the state shows first."""
    state = look.job.state
    if state == "running":
        return [running(look), *cancel_asked(look), *dependents(look), *errands(look)]
    if look.job.finished_at is not None:
        return [result(look), *dependents(look), *errands(look)]
    reasons = [held(look)] if state == "held" else []
    if state in ("held", "stranded", "waiting"):
        reasons += gate_reasons(look)
    if state == "stranded":
        reasons += failed_above(look)
    reasons += date(look)
    if state == "ready":
        stops = [*paused(look), *nobody_serves(look)]
        # Without a worker it is in nobody's line.
        reasons += stops or [in_line(look)]
    else:
        reasons += [*paused(look), *nobody_serves(look)]
    if not reasons:
        # Between two looks it has moved on; the state that was read is what can be told.
        reasons.append(Reason(state, f"{state.capitalize()}; a worker moves it on in a moment."))
    return [*reasons, *cancel_asked(look), *dependents(look), *errands(look)]

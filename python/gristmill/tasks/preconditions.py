"""What a job waits for, in the forms in which people give it: results, jobs, ids, and how many of them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias
from uuid import UUID

from gristmill.compat import InvalidTaskBackend, TaskResult, task_backends
from gristmill.exceptions import UnknownJob
from gristmill.tasks.aliases import gristmill_backends
from gristmill.values.ids import parse_id

if TYPE_CHECKING:
    from gristmill.compat import AnyTaskResult
    from gristmill.models import Job

    OnePrecondition: TypeAlias = AnyTaskResult | Job | UUID | str
    After: TypeAlias = OnePrecondition | Iterable[OnePrecondition]

#: The engine counts with 32 bits.
MOST = 2**31 - 1

OnPreconditionFailure: TypeAlias = Literal["strand", "proceed", "fail"]
ON_PRECONDITION_FAILURE = ("strand", "proceed", "fail")


@dataclass(frozen=True)
class AtLeast:
    """So many preconditions are enough; made by `at_least`."""

    count: int


AfterMode: TypeAlias = "Literal['all', 'any'] | AtLeast"


def at_least(count: int) -> AtLeast:
    """
    Says, as a task's `after_mode`, that so many preconditions are enough; of fewer, all are needed.

    Raises ValueError for anything but a whole number from 1 up.
    """
    if type(count) is not int or not 1 <= count <= MOST:
        raise ValueError(f"at_least takes a whole number from 1 to {MOST:,}; got {count!r}")
    return AtLeast(count)


class Precondition(NamedTuple):
    """A job that another one waits for."""

    # 32 hex digits.
    id: str
    # The alias of TASKS that it was enqueued through; None where only its id is known.
    backend: str | None = None
    # Where it was read.
    database: str | None = None
    # How it was when it was given, in Django's word; what counts is how it is when a worker looks.
    status: str | None = None


def preconditions(given: After | None) -> tuple[Precondition, ...]:
    """Returns each precondition once, in the order given; raises ValueError for what is no job."""
    if given is None:
        return ()
    one = _precondition(given)
    if one is not None:
        return (one,)
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        raise ValueError(_wrong())
    found: dict[str, Precondition] = {}
    for each in given:
        one = _precondition(each)
        if one is None:
            raise ValueError(f"{_wrong()}, and {each!r:.100} is none")
        found.setdefault(one.id, one)
    return tuple(found.values())


def _wrong() -> str:
    return "must be a result, a Job, the id of one, or several of them, or None"


def _precondition(given: Any) -> Precondition | None:
    if isinstance(given, Precondition):
        return given
    if isinstance(given, TaskResult):
        # Ids of other backends have other forms; that they are no jobs of ours is said where the database is known.
        job_id = parse_id(given.id)
        return Precondition(str(given.id) if job_id is None else job_id.hex, given.backend, None, given.status.value)
    if isinstance(given, (UUID, str)):
        job_id = parse_id(given)
        return None if job_id is None else Precondition(job_id.hex)
    # Not imported here: a task may be made before apps are ready, and then there is no Job either.
    models = sys.modules.get("gristmill.models")
    if models is not None and isinstance(given, models.Job):
        return Precondition(given.id.hex, given.backend, given._state.db)
    return None


def ids_on(database: str, given: Sequence[Precondition]) -> list[str]:
    """Returns the ids of preconditions that are all on one database; raises UnknownJob for one that is not."""
    elsewhere: dict[tuple[str | None, str | None], str | None] = {}
    for one in given:
        where = (one.backend, one.database)
        if where not in elsewhere:
            elsewhere[where] = _database_of(one)
        its = elsewhere[where]
        if its is not None and its != database:
            raise UnknownJob(
                f"job {one.id} is on database '{its}', but what is to wait for it goes to '{database}'; "
                "a job waits for jobs of its own database only"
            )
    return [one.id for one in given]


def _database_of(one: Precondition) -> str | None:
    """Returns where a precondition is; None where its id does not tell."""
    if one.backend is None:
        return one.database
    ours = gristmill_backends().get(one.backend)
    if ours is not None:
        return ours.database
    if one.database is not None:
        return one.database
    try:
        kind = type(task_backends[one.backend]).__name__
    except InvalidTaskBackend:
        kind = "unknown"
    raise UnknownJob(
        f"job {one.id} was enqueued through backend '{one.backend}' of TASKS ({kind}), whose jobs are in no database "
        "of Gristmill's"
    )


def unknown_job(job_ids: Sequence[str], database: str) -> UnknownJob:
    """Returns the error for preconditions of which the database knows nothing."""
    others = f" (nor are {len(job_ids) - 1:,} others)" if len(job_ids) > 1 else ""
    return UnknownJob(
        f"job {job_ids[0]} is not known on database '{database}'{others}: its transaction has not committed or was "
        "rolled back, or it finished so long ago that it was pruned (OPTIONS['RETENTION'], or the task's own retention)"
    )


__all__ = ["AtLeast", "Precondition", "at_least", "ids_on", "preconditions", "unknown_job"]

"""What all enqueues of one task have in common: its options as they are persisted, worked out once a task."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from django.core.exceptions import ImproperlyConfigured

from gristmill.compat import AnyTask
from gristmill.enqueue.deadlines import inherited_deadline
from gristmill.enqueue.new_job import NewJob
from gristmill.enqueue.verbs import Rule
from gristmill.tasks.discovery.causes import warn_unless_imported
from gristmill.tasks.fitting import Fit
from gristmill.tasks.options import NOT_GIVEN, NOTHING, TaskOptions, checked, default_errors, stored
from gristmill.tasks.preconditions import Precondition
from gristmill.tasks.task import task_name_of
from gristmill.tasks.uniqueness import KeyMaker, Unique
from gristmill.values.bounds import later

if TYPE_CHECKING:
    from gristmill.backend import GristmillBackend


NOT_UNIQUE = Unique()


class Prepared(NamedTuple):
    """What an enqueue of a task needs to know."""

    backend: GristmillBackend
    task_name: str
    # What calls have to be like.
    fit: Fit
    options_json: str | None
    # A timedelta counts from the enqueue. Inherited: from the job that runs, as nothing is said of it anywhere.
    deadline: datetime | timedelta | None
    inherits_deadline: bool
    # Seconds that its jobs' results are kept; None for as long as the worker says.
    retention: float | None
    unique: Unique
    # None where its jobs need not be unique.
    key_maker: KeyMaker | None
    # What its jobs wait for, and how: see `gristmill.enqueue.new_job.Gate`.
    after: tuple[Precondition, ...]
    needed: int | None
    on_precondition_failure: str
    held: bool

    @property
    def rule(self) -> Rule:
        """What an enqueue does that meets another job with its key."""
        return Rule(self.unique, self.fit, self.backend.max_json_bytes)

    def deadline_at(self, enqueued_at: datetime) -> datetime | None:
        """Returns the deadline of a job enqueued then; None for the usual one."""
        deadline = self.deadline_or_inherited()
        return later(enqueued_at, deadline) if isinstance(deadline, timedelta) else deadline

    def deadline_or_inherited(self) -> datetime | timedelta | None:
        """Returns the deadline of a job that is enqueued here: of its own, else of the job that runs here."""
        return inherited_deadline() if self.inherits_deadline else self.deadline


def prepared_for(backend: GristmillBackend, task: AnyTask) -> Prepared:
    """Returns what enqueues of this task through this backend have in common; remembered on the task."""
    # Django's own tasks, which a backend of ours may be handed, have slots and remember nothing.
    memory = getattr(task, "__dict__", None)
    known: Prepared | None = None if memory is None else memory.get("_prepared")
    if known is not None and known.backend is backend:
        return known
    made = _prepared(backend, task)
    warn_unless_imported(task)
    if memory is not None:
        memory["_prepared"] = made
    return made


def with_key(job: NewJob, prepared: Prepared, key: str) -> NewJob:
    """Returns a job that needs this key, for as long as its task says."""
    return job._replace(key=key, until=prepared.unique.until, period=cast("float | None", prepared.unique.period))


def _prepared(backend: GristmillBackend, task: AnyTask) -> Prepared:
    options: TaskOptions = getattr(task, "options", NOTHING)
    given = dict(options.given())
    chain = (given, *project_defaults(backend, task.queue_name))
    plain: dict[str, Any] = {"takes_context": True} if task.takes_context else {}
    plain |= stored(partial(_first, chain))
    deadline = _first(chain, "deadline", NOT_GIVEN)
    inherits = deadline is NOT_GIVEN
    unique: Unique | None = given.get("unique")
    return Prepared(
        backend=backend,
        task_name=task_name_of(task),
        fit=Fit(task),
        options_json=json.dumps(plain, ensure_ascii=False, separators=(",", ":")) if plain else None,
        deadline=None if inherits else timedelta(seconds=deadline) if isinstance(deadline, float) else deadline,
        inherits_deadline=inherits,
        retention=plain.get("retention"),
        unique=unique or NOT_UNIQUE,
        key_maker=KeyMaker(task, unique) if unique else None,
        after=given.get("after", ()),
        needed=plain.get("needed"),
        on_precondition_failure=plain.get("on_precondition_failure", "strand"),
        held=given.get("hold", False),
    )


def project_defaults(backend: GristmillBackend, queue_name: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Returns the checked defaults of the queue and of the backend; raises ImproperlyConfigured for wrong ones."""
    where = f"TASKS['{backend.alias}']['OPTIONS']"
    queues = backend.options.get("QUEUES") or {}
    if not isinstance(queues, dict):
        raise ImproperlyConfigured(f"{where}['QUEUES'] must be a dictionary of queue names, not {queues!r}")
    queue = queues.get(queue_name) or {}
    kept = {} if queue.get("retention") is None else {"retention": queue["retention"]}
    defaults = _checked(f"{where}['QUEUES']['{queue_name}']['defaults']", queue.get("defaults") or {})
    return (
        {**_checked(f"{where}['QUEUES']['{queue_name}']", kept), **defaults},
        _checked(f"{where}['DEFAULTS']", backend.options.get("DEFAULTS") or {}),
    )


def _checked(where: str, given: Any) -> dict[str, Any]:
    for sentence in default_errors(given):
        raise ImproperlyConfigured(f"{where}: {sentence}")
    return {name: checked(name, value) for name, value in given.items()}


def _first(chain: tuple[Mapping[str, Any], ...], name: str, otherwise: Any) -> Any:
    return next((options[name] for options in chain if name in options), otherwise)

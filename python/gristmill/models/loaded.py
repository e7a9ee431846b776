"""
What becomes of a row that a fixture brings along (`loaddata`, `serialized_rollback`).

What is in the database stays as it is, so that loading twice is as good as once, and a worker's row is not set back. A
job is where it has got furthest: by its generation, its token, and whether it has ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.db import connections, models

# As a whole, for its modules lean on this one.
from gristmill import models as tables
from gristmill.models.primary import PrimaryQuerySet
from gristmill.values.moments import database_now

if TYPE_CHECKING:
    from gristmill.models.attempts import Attempt
    from gristmill.models.rows import Place, PropagationRow


class Loaded(models.Model):
    """A row that a fixture may bring along; read where jobs are written."""

    if TYPE_CHECKING:
        objects: ClassVar[models.Manager[Any]]
    else:
        objects = PrimaryQuerySet.as_manager()

    class Meta:
        abstract = True

    def _save_table(
        self,
        raw: bool = False,
        cls: Any = None,
        force_insert: bool = False,
        force_update: bool = False,
        using: Any = None,
        update_fields: Any = None,
    ) -> Any:
        """Adds what a fixture brings along where it is not there; saves as Django does otherwise."""
        if not raw:
            return super()._save_table(raw, cls, force_insert, force_update, using, update_fields)  # type: ignore[misc]
        for field in self._meta.pk_fields:
            # The parts of a key of several columns come as text.
            setattr(self, field.attname, field.to_python(getattr(self, field.attname)))
        self._load(using)
        return False

    def _load(self, using: str) -> None:
        add(self, using)


def add(row: models.Model, using: str) -> None:
    """Adds a row unless there is one with its key."""
    type(row)._base_manager.using(using).bulk_create([row], ignore_conflicts=True)


def add_attempt(row: Attempt, using: str) -> None:
    """Adds an attempt; a job's token never goes back behind its attempts, and one that runs here has not ended."""
    if row.outcome == "successful" and row.return_value is None:
        # As JSON has it; a serializer tells it from no value at all as little as Python does.
        row.return_value = "null"
    running, place = tables.RunningRow._base_manager.using(using), place_of(row.job_id, using)
    if place is not None and place.token <= row.token:
        if isinstance(place, tables.RunningRow) and runs_here(place, using):
            return
        type(place)._base_manager.using(using).filter(pk=place.pk).exclude(pk__in=running.values("pk")).update(
            token=row.token
        )
    add(row, using)


def add_propagation(row: PropagationRow, using: str) -> None:
    """Adds a propagation under a number of its own, unless the same one is there."""
    rows = type(row)._base_manager.using(using)
    if not rows.filter(kind=row.kind, job_id=row.job_id, other_id=row.other_id).exists():
        row.pk = None
        rows.bulk_create([row])


def add_place(row: Place, using: str) -> None:
    """Puts a job where it has got furthest."""
    newest = tables.Attempt._base_manager.using(using).filter(job_id=row.pk).order_by("-token").first()
    if isinstance(row, tables.RunningRow) and newest is not None and newest.token >= row.token:
        # It has ended while the fixture was written, which has its later place too.
        return
    here = place_of(row.pk, using)
    if here is None:
        add(row, using)
        return
    ended_here = newest is not None and newest.token >= here.token
    if progress_of(row) <= progress_of(here) or (runs_here(here, using) and not ended_here):
        return
    type(here)._base_manager.using(using).filter(pk=here.pk)._raw_delete(using)
    row.awaited = row.awaited or here.awaited
    add(row, using)
    left = {"running": ["started"], "result": ["started", "finished"]}.get(row._meta.db_table[len("gristmill_") :], [])
    tables.UniqueKeyRow._base_manager.using(using).filter(job_id=row.pk, until__in=left)._raw_delete(using)
    if row.awaited and isinstance(row, tables.ResultRow):
        now = database_now(connections[using])
        tables.PropagationRow._base_manager.using(using).create(kind="notify", job_id=row.pk, due_at=now)


def place_of(job_id: Any, using: str) -> Place | None:
    """Returns a job's place row, locked where the database can; None where it has none."""
    for model in (tables.ReadyRow, tables.ScheduledRow, tables.WaitingRow, tables.RunningRow, tables.ResultRow):
        rows = model._base_manager.using(using).filter(pk=job_id)
        found: Place | None = (rows.select_for_update() if connections[using].in_atomic_block else rows).first()
        if found is not None:
            return found
    return None


def progress_of(place: Place) -> tuple[int, int, int]:
    """Orders the places that a job has had: an attempt runs before it leads somewhere else, and an end comes last."""
    order = {"running": 0, "result": 2}
    return place.generation, place.token, order.get(place._meta.db_table[len("gristmill_") :], 1)


def runs_here(place: Place, using: str) -> bool:
    """Tells whether a worker that this database knows is at work on it."""
    worker_id = getattr(place, "worker_id", None)
    if worker_id is None:
        return False
    return tables.Worker._base_manager.using(using).filter(pk=worker_id, stopped_at=None, lost_at=None).exists()

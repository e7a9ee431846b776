"""A field for a project's own models: the job that does something for a row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import models
from django.db.models.fields.related_descriptors import ForwardManyToOneDescriptor

from gristmill.compat import TaskResult
from gristmill.models.jobs import Job
from gristmill.tasks.aliases import default_database, gristmill_backend
from gristmill.values.ids import parse_id

if TYPE_CHECKING:
    from typing import TypeAlias

    from gristmill.compat import AnyTaskResult

    Given: TypeAlias = "Job | AnyTaskResult | UUID | str | None"
    Base: TypeAlias = models.ForeignKey[Given, "Job | None"]
    Descriptor: TypeAlias = ForwardManyToOneDescriptor[Any]
else:
    Base, Descriptor = models.ForeignKey, ForwardManyToOneDescriptor


@dataclass(frozen=True)
class JobState:
    """How far the job of a `JobField` is; false where none was ever asked for."""

    #: A state of `Job`; "pruned" where the job has ended and was forgotten, None where there never was one.
    state: str | None
    #: It has succeeded, or has ended so long ago that it was pruned.
    is_done: bool = False
    #: It has not ended.
    is_processing: bool = False
    #: It has failed, was cancelled or poisoned, or needs a job that has.
    is_error: bool = False

    def __bool__(self) -> bool:
        return self.state is not None

    def __str__(self) -> str:
        return self.state or ""


class JobDescriptor(Descriptor):
    """Reads the job, or None; takes a job, a result or an id."""

    field: JobField

    def __get__(self, instance: Any, cls: Any = None) -> Any:
        """Asks for the job once; `refresh_from_db()` forgets it."""
        if instance is None:
            return self
        try:
            return super().__get__(instance, cls)
        except Job.DoesNotExist:
            self.field.set_cached_value(instance, None)
            return None

    def __set__(self, instance: Any, value: Any) -> None:
        """Takes it; raises ValueError for what is none."""
        setattr(instance, self.field.attname, self.field.id_of(value))
        if value is None or isinstance(value, Job):
            self.field.set_cached_value(instance, value)

    def get_queryset(self, **hints: Any) -> Any:
        """Looks where the queue is, wherever the row is."""
        return Job.objects.using(self.field.database)


class JobField(Base):
    """
    The job that does something for this row: a foreign key to `Job` that no database enforces.

        class Photo(models.Model):
            resizing = JobField()

        photo.resizing = resize.enqueue(photo.pk)

    Takes a result, a Job, an id or None. Reads as a Job, asked for once; as None where nothing was assigned, or where
    the job has ended and was pruned, which leaves the id (`photo.resizing_id`) as it is. `photo.resizing_state` tells
    the two apart: it has `is_done`, `is_processing` and `is_error`. Null and not editable unless you say otherwise.
    `backend` is the alias of TASKS whose database has the jobs. For many rows use `prefetch_related`; `select_related`
    works where rows and queue are on one database, but reads every job there is.
    """

    forward_related_accessor_class = JobDescriptor

    def __init__(self, *, backend: str | None = None, **options: Any) -> None:
        self.backend = backend
        usual = {"to": "gristmill.Job", "null": True, "blank": True, "editable": False, "related_name": "+"}
        super().__init__(on_delete=models.DO_NOTHING, db_constraint=False, **{**usual, **options})

    def deconstruct(self) -> Any:
        """Names the field for migrations."""
        name, _, args, kwargs = super().deconstruct()
        for each in ("on_delete", "db_constraint"):
            kwargs.pop(each, None)
        # Said always: what Django leaves out here is not what holds unless given.
        kwargs.update(null=self.null, blank=self.blank, editable=self.editable)
        if self.backend is not None:
            kwargs["backend"] = self.backend
        return name, "gristmill.models.JobField", args, kwargs

    @property
    def database(self) -> str:
        """The alias of the database that has the jobs."""
        return default_database() if self.backend is None else gristmill_backend(self.backend).database

    def contribute_to_class(self, cls: type[models.Model], name: str, *args: Any, **kwargs: Any) -> None:
        """Adds `<name>_state` beside it."""
        super().contribute_to_class(cls, name, *args, **kwargs)
        if not cls._meta.abstract and not hasattr(cls, f"{name}_state"):
            setattr(cls, f"{name}_state", property(lambda row: self.state_of(row)))

    def state_of(self, row: models.Model) -> JobState:
        """Returns how far a row's job is."""
        if getattr(row, self.attname) is None:
            return JobState(None)
        job: Job | None = getattr(row, self.name)
        if job is None:
            return JobState("pruned", is_done=True)
        return JobState(job.state, is_done=job.is_done, is_processing=job.is_processing, is_error=job.is_error)

    def id_of(self, value: Any) -> Any:
        """Returns the id of a job as it is given; raises ValueError for what is none."""
        if value is None:
            return None
        given = value.pk if isinstance(value, Job) else value.id if isinstance(value, TaskResult) else value
        job_id = parse_id(given)
        if job_id is None:
            raise ValueError(f"{self.name} takes a result, a Job or the id of one, not {value!r:.200}")
        return job_id

    def get_db_prep_save(self, value: Any, connection: Any) -> Any:
        """Writes the id."""
        return super().get_db_prep_save(value if hasattr(value, "as_sql") else self.id_of(value), connection)

    def validate(self, value: Any, model_instance: Any) -> None:
        """Does not ask for the job: it may be pruned at any time."""
        models.Field.validate(self, value, model_instance)


__all__ = ["JobField", "JobState"]

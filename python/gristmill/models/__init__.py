"""
What the queue's tables look like from Django.

`Job` is for reading: every job once, with its state. Rows are written by the backend's enqueue and by workers,
never through these models. The models of the tables behind it are here so that Django's test runner empties
them; they are not for use.
"""

from gristmill.models.attempts import UNCOUNTED_OUTCOMES, Attempt, AttemptQuerySet
from gristmill.models.fields import JSONTextField, MomentField
from gristmill.models.job_field import JobField, JobState
from gristmill.models.jobs import Job, Progress
from gristmill.models.querysets import JobQuerySet, State
from gristmill.models.rows import (
    ControlRow,
    EdgeRow,
    ErrandRow,
    GateRow,
    JobRow,
    ProgressRow,
    ReadyRow,
    ResultRow,
    RunningRow,
    ScheduledRow,
    UniqueKeyRow,
    WaitingRow,
)
from gristmill.models.schedules import Schedule, ScheduleQuerySet, Tick, TickQuerySet
from gristmill.models.workers import Action, Queue, Worker

__all__ = [
    "UNCOUNTED_OUTCOMES",
    "Action",
    "Attempt",
    "AttemptQuerySet",
    "ControlRow",
    "EdgeRow",
    "ErrandRow",
    "GateRow",
    "JSONTextField",
    "Job",
    "JobField",
    "JobQuerySet",
    "JobRow",
    "JobState",
    "MomentField",
    "Progress",
    "ProgressRow",
    "Queue",
    "ReadyRow",
    "ResultRow",
    "RunningRow",
    "Schedule",
    "ScheduleQuerySet",
    "ScheduledRow",
    "State",
    "Tick",
    "TickQuerySet",
    "UniqueKeyRow",
    "WaitingRow",
    "Worker",
]

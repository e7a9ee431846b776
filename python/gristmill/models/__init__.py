"""
What the queue's tables look like from Django.

`Job` is for reading: every job once, with its state. Rows are written by the backend's enqueue and by workers,
never through these models. The models of the tables behind it are here so that Django's test runner empties
them; they are not for use.
"""

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured

if apps.apps_ready and not apps.is_installed("gristmill"):
    # Django would speak of an app_label.
    raise ImproperlyConfigured(
        "Gristmill's app is not installed, so its tables are not there: add 'gristmill' to INSTALLED_APPS and run "
        "manage.py migrate"
    )

from gristmill.models.attempts import UNCOUNTED_OUTCOMES, UNDONE_OUTCOMES, Attempt, AttemptQuerySet
from gristmill.models.fields import JSONTextField, MomentField
from gristmill.models.job_field import JobField, JobState
from gristmill.models.jobs import Job, Progress
from gristmill.models.pages import Failures, Overview, Queues, Schedules
from gristmill.models.querysets import JobQuerySet, State
from gristmill.models.rows import (
    CancelRequestRow,
    DepthRow,
    EdgeRow,
    GateRow,
    JobRow,
    NoticeRow,
    ProgressRow,
    PropagationRow,
    PulseRow,
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
    "UNDONE_OUTCOMES",
    "Action",
    "Attempt",
    "AttemptQuerySet",
    "CancelRequestRow",
    "DepthRow",
    "EdgeRow",
    "Failures",
    "GateRow",
    "JSONTextField",
    "Job",
    "JobField",
    "JobQuerySet",
    "JobRow",
    "JobState",
    "MomentField",
    "NoticeRow",
    "Overview",
    "Progress",
    "ProgressRow",
    "PropagationRow",
    "PulseRow",
    "Queue",
    "Queues",
    "ReadyRow",
    "ResultRow",
    "RunningRow",
    "Schedule",
    "ScheduleQuerySet",
    "ScheduledRow",
    "Schedules",
    "State",
    "Tick",
    "TickQuerySet",
    "UniqueKeyRow",
    "WaitingRow",
    "Worker",
]

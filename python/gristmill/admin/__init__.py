"""
Gristmill in Django's admin: whether anything is wrong, what failed, why a job does not run, and what to do about it.

Pages are read from bounded queries, however large the tables are, and work without JavaScript. Each action has a
permission of its own, is asked for by a POST, and is written down.
"""

from django.contrib import admin

from gristmill.admin.failures import FailurePage
from gristmill.admin.jobs import JobPage
from gristmill.admin.overview import OverviewPage
from gristmill.admin.queues import QueuePage
from gristmill.admin.schedules import SchedulePage
from gristmill.admin.workers import WorkerPage
from gristmill.models import Failures, Job, Overview, Queues, Schedules, Worker

admin.site.register(Overview, OverviewPage)
admin.site.register(Job, JobPage)
admin.site.register(Failures, FailurePage)
admin.site.register(Queues, QueuePage)
admin.site.register(Schedules, SchedulePage)
admin.site.register(Worker, WorkerPage)

__all__ = ["FailurePage", "JobPage", "OverviewPage", "QueuePage", "SchedulePage", "WorkerPage"]

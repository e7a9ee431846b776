"""
Pages of the admin that are no table's: proxies, so that each has its place and its name there.

Django registers no model whose primary key is of several columns, so queues and schedules have one here too. No model
without a table, as `dumpdata` would look for it.
"""

from __future__ import annotations

from gristmill.models.jobs import Job


class Overview(Job):
    """Whether anything is wrong."""

    class Meta:
        proxy = True
        default_permissions = ("view",)
        verbose_name = "overview"
        verbose_name_plural = "overview"


class Failures(Job):
    """What failed, by its causes. Who may see it has the permission of `Job`."""

    class Meta:
        proxy = True
        default_permissions = ()
        verbose_name = "failure"


class Queues(Job):
    """Every queue. Who may see it has the permission of `Queue`."""

    class Meta:
        proxy = True
        default_permissions = ()
        verbose_name = "queue"


class Schedules(Job):
    """Every schedule. Who may see it has the permission of `Schedule`."""

    class Meta:
        proxy = True
        default_permissions = ()
        verbose_name = "schedule"

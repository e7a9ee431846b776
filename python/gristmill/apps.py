"""Gristmill as a Django app."""

from django.apps import AppConfig
from django.core import checks
from django.db.models.signals import post_migrate

from gristmill.backends.check import check_djangos_own
from gristmill.checks import check_tables, check_use
from gristmill.database.schema import lay_tables, set_wal
from gristmill.mail.check import check_mail
from gristmill.tasks.discovery.check import check_task_modules


class GristmillConfig(AppConfig):
    """Registers the models, and sees to the tables after every `migrate`."""

    name = "gristmill"
    verbose_name = "Gristmill"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Registers the checks that are of no single alias, and connects the signals that run after every `migrate`."""
        checks.register(check_tables, checks.Tags.database)
        checks.register(check_use)
        checks.register(check_task_modules)
        checks.register(check_djangos_own)
        checks.register(check_mail)
        post_migrate.connect(lay_tables, sender=self, dispatch_uid="gristmill.lay_tables")
        post_migrate.connect(set_wal, sender=self, dispatch_uid="gristmill.set_wal")

"""Gristmill as a Django app."""

from django.apps import AppConfig
from django.core import checks
from django.db.models.signals import post_migrate


class GristmillConfig(AppConfig):
    """Registers the models and keeps SQLite databases in WAL mode."""

    name = "gristmill"
    verbose_name = "Gristmill"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Registers the database check, and connects the signal that runs after every `migrate`."""
        from gristmill.checks import check_tables
        from gristmill.schema import set_wal

        checks.register(check_tables, checks.Tags.database)
        post_migrate.connect(set_wal, sender=self, dispatch_uid="gristmill.set_wal")

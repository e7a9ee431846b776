"""Connects the receivers, for journeys that ask for them."""

from __future__ import annotations

import os

from django.apps import AppConfig


class ListeningConfig(AppConfig):
    """The app."""

    name = "listening"

    def ready(self) -> None:
        """Connects them where JOURNEY_RECEIVERS is set."""
        if os.environ.get("JOURNEY_RECEIVERS"):
            from gristmill.compat import task_finished, task_started
            from listening import receivers

            task_started.connect(receivers.started)
            task_finished.connect(receivers.finished)

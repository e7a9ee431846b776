"""
`manage.py overlook`: reads lines of JSON, and answers each with the problems on the admin's overview.

A line may have code to "run" first, as in `manage.py shell`, and say how this process differs from others: its
"version", the minutes that its clock is "ahead", the "queues" that its settings name, up to how many it counts ("cap"),
and after how many seconds it calls a transaction "long".
"""

from __future__ import annotations

import json
import re
import sys
from contextlib import ExitStack
from datetime import datetime, timedelta, timezone
from html import unescape
from typing import Any
from unittest import mock

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand
from django.db import connection
from django.test import RequestFactory
from django.utils.html import strip_tags

from gristmill.compat import task_backends
from gristmill.models import Overview

PROBLEMS = "gristmill.inspect.problems"
ITEM = re.compile(r'<li class="gm-\w+"><span class="gm-badge">([^<]+)</span>(.*?)</li>', re.DOTALL)


class Command(BaseCommand):
    """Looks as often as it is asked to, which is quicker than a command a look."""

    def handle(self, **options: object) -> None:
        for line in sys.stdin:
            asked: dict[str, Any] = json.loads(line)
            exec(asked.pop("run", ""), {})
            self.stdout.write(json.dumps(overview(**asked)))
            self.stdout.flush()
            # Nobody is kept from changing the journal's mode, or the tables.
            connection.close()


def overview(
    version: str | None = None,
    ahead: float | None = None,
    queues: list[str] | None = None,
    cap: int | None = None,
    long: float | None = None,
) -> list[list[str]]:
    """The problems that the page shows: kind and sentence."""
    with ExitStack() as differing:
        for name, value in {
            f"{PROBLEMS}.workers.__version__": version,
            f"{PROBLEMS}.queues.CAP": cap,
            "gristmill.inspect.survey.CAP": cap,
            "gristmill.inspect.survey.OLD_SECONDS": long,
        }.items():
            if value is not None:
                differing.enter_context(mock.patch(name, value))
        if queues is not None:
            differing.enter_context(mock.patch.object(task_backends["default"], "queues", set(queues)))
        if ahead is not None:
            moment = datetime.now(tz=timezone.utc) + timedelta(minutes=ahead)
            differing.enter_context(mock.patch("django.utils.timezone.now", lambda: moment))
        return [[kind, unescape(strip_tags(said)).strip()] for kind, said in ITEM.findall(page())]


def page() -> str:
    request = RequestFactory().get("/admin/gristmill/overview/")
    request.user = get_user_model()(username="lea", is_staff=True, is_superuser=True)
    response: Any = admin.site.get_model_admin(Overview).changelist_view(request)
    text: str = response.render().content.decode()
    assert "Queues" in text, text
    return text

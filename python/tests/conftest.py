"""What the tests share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import Any

import pytest
from django.conf import settings
from django.db import connections
from django.utils import timezone as django_timezone

from gristmill.compat import task_backends
from tests import rows


def pytest_report_header() -> str:
    """Says in the first lines which database is under test."""
    return f"database: {settings.DATABASES['default']['ENGINE']}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out, on SQLite, what only PostgreSQL can be asked."""
    if settings.DATABASES["default"]["ENGINE"].endswith("postgresql"):
        return
    left_out = [item for item in items if item.get_closest_marker("only_on_postgres")]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


@pytest.fixture
def backend() -> Any:
    """The backend of the alias "default"."""
    return task_backends["default"]


@pytest.fixture
def frozen(monkeypatch: pytest.MonkeyPatch) -> datetime:
    """Stops Django's clock at a moment far in the past."""
    moment = datetime(2020, 1, 1, 12, 30, 15, 123456, tzinfo=timezone.utc)
    monkeypatch.setattr(django_timezone, "now", lambda: moment)
    return moment


@pytest.fixture
def elsewhere() -> Callable[[Callable[[], Any]], Any]:
    """Calls a function on a thread of its own, so on a database connection of its own, and returns its answer."""

    def call(function: Callable[[], Any]) -> Any:
        answers: list[Any] = []

        def work() -> None:
            try:
                answers.append(function())
            finally:
                connections.close_all()

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        return answers[0]

    return call


@pytest.fixture(autouse=True)
def _no_attempts_left() -> Iterator[None]:
    """Starts every test's made-up workers anew."""
    rows.reset()
    yield

"""Fixtures for pytest, known by itself where Gristmill is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gristmill.testing import Ran


@pytest.fixture
def run_jobs() -> Callable[..., Ran]:
    """Gives `gristmill.testing.run_jobs`; the test asks for its database as ever, as with `@pytest.mark.django_db`."""
    # Not above: this module is loaded in every run of pytest, also where there is no Django project.
    from gristmill.testing import run_jobs

    return run_jobs


@pytest.fixture
def arun_jobs() -> Callable[..., Awaitable[Ran]]:
    """Gives `gristmill.testing.arun_jobs`, for tests that are async."""
    from gristmill.testing import arun_jobs

    return arun_jobs

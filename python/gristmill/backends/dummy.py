"""
Notes what is enqueued and runs nothing, for tests: `backend.results` and `backend.clear()` are as Django's.

Every option of Gristmill's tasks is accepted, arguments are checked as they are on the way into the database, and every
job is new: `unique` has no effect, and neither has what a job is to wait for.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from django.utils import timezone

from gristmill.backends.common import BackendOfTests
from gristmill.compat import Task as DjangoTask
from gristmill.compat import dummy, task_enqueued
from gristmill.results.result import JobResult, P, R


class DummyBackend(BackendOfTests, dummy.DummyBackend):
    """Django's dummy backend, for tasks with Gristmill's options."""

    def enqueue(self, task: DjangoTask[P, R], args: Any, kwargs: Any) -> JobResult[P, R]:
        """Keeps the result in `results` and returns a copy."""
        self.validate_task(task)
        result = self.new_result(task, args, kwargs)
        object.__setattr__(result, "enqueued_at", timezone.now())
        self.results.append(result)
        task_enqueued.send(type(self), task_result=result)
        # A copy, so that a caller cannot change what is kept.
        return deepcopy(result)


__all__ = ["DummyBackend"]

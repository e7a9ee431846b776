"""What the backends without a database share."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from gristmill.compat import AnyTask, BaseTaskBackend, TaskResultStatus
from gristmill.compat import Task as DjangoTask
from gristmill.enqueue.bulk import Call, Enqueued, one_by_one
from gristmill.enqueue.graphs import GraphResults, Node, graph_one_by_one
from gristmill.results.result import JobResult, P, R
from gristmill.tasks.fitting import Fit
from gristmill.tasks.task import Task, unchecked_copy
from gristmill.values.ids import new_id


class BackendOfTests(BaseTaskBackend):
    """Takes tasks with Gristmill's options, and results that know whether a job existed."""

    task_class = Task

    def validate_task(self, task: AnyTask) -> None:
        """Checks a task as Django does; `run_after` may also be a timedelta, where dates are supported."""
        if self.supports_defer and isinstance(task.run_after, timedelta):
            task = unchecked_copy(task, run_after=None)
        super().validate_task(task)

    def new_result(self, task: DjangoTask[P, R], args: Any, kwargs: Any) -> JobResult[P, R]:
        """Returns the result of a job that has just been asked for; arguments are checked as for the database."""
        fit = Fit(task)
        fit.refuse_misfit(args, kwargs)
        args_json, kwargs_json = fit.encoded(args, kwargs)
        return JobResult(
            task=task,
            id=new_id().hex,
            status=TaskResultStatus.READY,
            enqueued_at=None,
            started_at=None,
            finished_at=None,
            last_attempted_at=None,
            args=json.loads(args_json),
            kwargs=json.loads(kwargs_json),
            backend=self.alias,
            errors=[],
            worker_ids=[],
        )

    def enqueue_many(self, task: AnyTask, calls: Iterable[Call | Sequence[Any]]) -> Enqueued:
        """Enqueues each call by itself."""
        return one_by_one(self, task, calls)

    def enqueue_graph(self, nodes: Sequence[Node], order: Sequence[int]) -> GraphResults:
        """Enqueues each node of a graph by itself, after those that it waits for."""
        return graph_one_by_one(nodes, order)

"""What the backends without a database share."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from gristmill.bulk import Call, Enqueued, one_by_one
from gristmill.compat import AnyTask, BaseTaskBackend, TaskResultStatus
from gristmill.compat import Task as DjangoTask
from gristmill.graphs import GraphResults, Node, graph_one_by_one
from gristmill.ids import new_id
from gristmill.json_rule import encode
from gristmill.results import JobResult, P, R
from gristmill.tasks import Task, unchecked_copy


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
        return JobResult(
            task=task,
            id=new_id().hex,
            status=TaskResultStatus.READY,
            enqueued_at=None,
            started_at=None,
            finished_at=None,
            last_attempted_at=None,
            args=json.loads(encode(args, where="args")),
            kwargs=json.loads(encode(kwargs, where="kwargs")),
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

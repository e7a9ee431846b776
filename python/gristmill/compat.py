"""The one place that knows which tasks framework is installed: Django's own, or the backport on Django 5.2."""

from typing import TYPE_CHECKING, Any

import django

if TYPE_CHECKING or django.VERSION >= (6, 0):
    from django.tasks import TaskContext, TaskResult, TaskResultStatus, task, task_backends
    from django.tasks.backends import dummy, immediate
    from django.tasks.backends.base import BaseTaskBackend
    from django.tasks.base import Task, TaskError
    from django.tasks.exceptions import InvalidTask, InvalidTaskBackend, TaskResultDoesNotExist, TaskResultMismatch
    from django.tasks.signals import task_enqueued, task_finished, task_started
    from django.utils.json import normalize_json
else:
    try:
        import django_tasks  # noqa: F401
    except ImportError as error:
        from django.core.exceptions import ImproperlyConfigured

        raise ImproperlyConfigured(
            f"Django {django.__version__} has no tasks framework of its own; "
            "install the backport with: pip install 'gristmill[django52]'"
        ) from error
    from django_tasks import TaskContext, TaskResult, TaskResultStatus, exceptions, task, task_backends
    from django_tasks.backends import dummy, immediate
    from django_tasks.backends.base import BaseTaskBackend
    from django_tasks.base import Task, TaskError
    from django_tasks.exceptions import TaskResultDoesNotExist, TaskResultMismatch
    from django_tasks.signals import task_enqueued, task_finished, task_started
    from django_tasks.utils import normalize_json

    # The backport's names up to 0.12; it takes Django's names after that.
    InvalidTask = getattr(exceptions, "InvalidTask", None) or exceptions.InvalidTaskError
    InvalidTaskBackend = getattr(exceptions, "InvalidTaskBackend", None) or exceptions.InvalidTaskBackendError

if TYPE_CHECKING:
    from typing import TypeAlias

    from django.tasks import TaskResult as ResultBase
    from django.tasks.base import Task as TaskBase

    AnyTask: TypeAlias = Task[..., Any]
    AnyTaskResult: TypeAlias = TaskResult[..., Any]
else:
    # Neither Django's classes nor the backport's take the same parameters at run time.
    AnyTask, AnyTaskResult = Task, TaskResult

    class _Subscriptable:
        """A class to inherit from under the parameters that type checkers know of it."""

        def __init__(self, real):
            self.real = real

        def __getitem__(self, parameters):
            return self.real

    TaskBase, ResultBase = _Subscriptable(Task), _Subscriptable(TaskResult)

__all__ = [
    "AnyTask",
    "AnyTaskResult",
    "BaseTaskBackend",
    "InvalidTask",
    "InvalidTaskBackend",
    "ResultBase",
    "Task",
    "TaskBase",
    "TaskContext",
    "TaskError",
    "TaskResult",
    "TaskResultDoesNotExist",
    "TaskResultMismatch",
    "TaskResultStatus",
    "dummy",
    "immediate",
    "normalize_json",
    "task",
    "task_backends",
    "task_enqueued",
    "task_finished",
    "task_started",
]

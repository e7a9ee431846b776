"""Sends Django's task signals so that no receiver costs a job its end."""

from __future__ import annotations

import logging
import weakref
from typing import Any

from asgiref.sync import sync_to_async

from gristmill.compat import TaskResult
from gristmill.failure import class_path

logger = logging.getLogger("gristmill")


def announce(sent: Any, sender: type, result: TaskResult[..., Any]) -> None:
    """Sends a signal; what its receivers raise is logged and changes nothing about the job."""
    try:
        sent.send_robust(sender=sender, task_result=result)
    except BaseException as error:
        logger.exception("job %s: a signal receiver raised %s", result.id, class_path(error))


async def announce_async(sent: Any, sender: type, result: TaskResult[..., Any]) -> None:
    """Sends a signal from the event loop: receivers that are not async run in the thread for such code."""
    if only_logs(sent):
        announce(sent, sender, result)
        return
    # Not asend_robust(), whose receivers do not see the exception that is being handled on every version.
    await sync_to_async(announce)(sent, sender, result)


def only_logs(sent: Any) -> bool:
    """Tells whether nobody but Django's own logging listens, which neither waits nor uses a database."""
    for entry in sent.receivers:
        receiver = entry[1]
        if isinstance(receiver, weakref.ReferenceType):
            receiver = receiver()
        module = getattr(receiver, "__module__", None) or ""
        if receiver is not None and not module.startswith(("django.tasks.", "django_tasks.")):
            return False
    return True

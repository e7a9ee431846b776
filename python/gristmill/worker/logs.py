"""
Lines of a log as workers write them: for people, or as JSON, with the same keys as the engine's own lines.

    LOGGING = {
        "version": 1,
        "disable_existing_loggers": False,
        # or gristmill.worker.logs.JSONFormatter
        "formatters": {"worker": {"()": "gristmill.worker.logs.LineFormatter"}},
        …
    }

A record that is logged while a job runs has `job.id`, `task.name` and `queue.name`. With --json-logs every line of a
worker is JSON, whatever the project's formatters are, and so is what tasks print.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from datetime import datetime, timezone
from typing import Any

from gristmill.runner import capture

#: Set by a worker with --json-logs for the processes that come of it.
JSON = "GRISTMILL_JSON_LOGS"
#: Set by a worker that says errors only.
QUIET = "GRISTMILL_QUIET"
#: As the engine calls them.
LEVELS = {"WARNING": "WARN", "CRITICAL": "ERROR", "NOTSET": "INFO"}


class LineFormatter(logging.Formatter):
    """`moment level message key=value …`, and below it the traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line."""
        said = said_of(self, record)
        moment, level, message = said.pop("timestamp"), said.pop("level"), said.pop("message")
        said.pop("logger")
        below = [text for name in ("traceback", "stack") if (text := said.pop(name, None))]
        more = "".join(f" {name}={value}" for name, value in said.items())
        return "\n".join([f"{moment} {level:>5} {message}{more}", *below])


class JSONFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line."""
        return json.dumps(said_of(self, record), ensure_ascii=False, default=repr)


def said_of(formatter: logging.Formatter, record: logging.LogRecord) -> dict[str, Any]:
    """Returns what there is to say of a record, in the order of a line."""
    said = {
        "timestamp": moment_of(record.created),
        "level": LEVELS.get(record.levelname, record.levelname),
        "message": record.getMessage(),
        **job_of(capture.current()),
        "logger": record.name,
    }
    if record.exc_info and record.exc_info[0] is not None:
        said["traceback"] = formatter.formatException(record.exc_info)
    elif record.exc_text:
        said["traceback"] = record.exc_text
    if record.stack_info:
        said["stack"] = record.stack_info
    return said


def job_of(record: capture.Record | None) -> dict[str, str]:
    """Returns the job that this code belongs to."""
    job = record.job if record is not None else None
    if job is None:
        return {}
    named = {"job.id": job.get("id"), "task.name": job.get("task"), "queue.name": job.get("queue_name")}
    return {name: str(value) for name, value in named.items() if value}


def moment_of(seconds: float) -> str:
    """Returns a moment in the engine's form."""
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")


def printed(line: str, stream: str, record: capture.Record | None) -> str:
    """Returns a printed line as JSON; one that is JSON of ours already is left as it is."""
    if line.startswith(capture.STRUCTURED):
        return line
    moment = moment_of(datetime.now(timezone.utc).timestamp())
    said = {"timestamp": moment, "level": "INFO", "message": line, **job_of(record), "stream": stream}
    return json.dumps(said, ensure_ascii=False)


def line_of(level: str, message: str) -> str:
    """Returns a line that no logger has a part in, as JSON."""
    moment = moment_of(datetime.now(timezone.utc).timestamp())
    return json.dumps({"timestamp": moment, "level": level, "message": message}, ensure_ascii=False)


def configure() -> None:
    """Gives the log of a worker's Python processes its form, once the project has set its own up."""
    wants_json = is_json()
    formatter = JSONFormatter() if wants_json else LineFormatter()
    # Where nobody has configured anything, this writes warnings and errors to the standard error.
    assert logging.lastResort is not None
    logging.lastResort.setFormatter(formatter)
    if QUIET in os.environ:
        logging.lastResort.setLevel(logging.ERROR)
    # Imported before logging was set up, which turns off every logger that it does not name.
    logging.getLogger("gristmill").disabled = False
    if not wants_json:
        return
    for handler in handlers():
        if isinstance(handler, logging.StreamHandler) and isinstance(handler.stream, capture.Stream):
            handler.setFormatter(formatter)
    threading.excepthook = log_from_thread


def is_json() -> bool:
    """Tells whether this process belongs to a worker with --json-logs."""
    return JSON in os.environ


def handlers() -> list[logging.Handler]:
    """Returns the handlers of every logger."""
    loggers = [logging.getLogger(), *logging.Logger.manager.loggerDict.values()]
    return [handler for each in loggers if isinstance(each, logging.Logger) for handler in each.handlers]


def log_from_thread(args: threading.ExceptHookArgs) -> None:
    """Logs what a thread has raised, which Python would print."""
    if args.exc_type is SystemExit or args.exc_value is None:
        return
    name = args.thread.name if args.thread is not None else "a thread"
    logging.getLogger("gristmill").error("%s raised an exception", name, exc_info=args.exc_value)

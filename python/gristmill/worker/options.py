"""The worker's options: on the command line, in OPTIONS["WORKER"], and what may be said of each queue."""

from __future__ import annotations

import math
import os
from argparse import ArgumentParser, BooleanOptionalAction
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, NamedTuple

from gristmill.values.bounds import seconds_of
from gristmill.values.durations import MOST_DAYS, duration


class Number(NamedTuple):
    """An option that takes a number, with its bounds."""

    kind: type
    least: float
    most: float
    default: Any
    help: str


# Bounds are what a person could mean; beyond them is a slip of the hand.
NUMBERS = {
    "processes": Number(int, 1, 1024, None, "How many runner processes (default: one for each core it may use)."),
    "concurrency": Number(
        int, 1, 1000, 10,
        "How many async jobs one runner has under way at a time (default: 10). Other jobs have a runner to themselves.",
    ),
    "max_jobs": Number(int, 1, 2**53, None, "Stop after this many jobs."),
    "max_jobs_per_runner": Number(int, 1, 2**53, None, "Replace a runner process after this many jobs."),
    "max_runner_memory_mb": Number(
        int, 16, 2**24, None,
        "Replace a runner process, between two jobs, once it has grown beyond this many MiB.",
    ),
    "poll_interval": Number(float, 0.01, 3600, 2.0, "Longest wait between two looks while idle (default: 2)."),
    "grace": Number(float, 0, 86_400, 25.0, "How many seconds a stop waits for running jobs (default: 25)."),
    "heartbeat": Number(
        float, 0.05, 600, 5.0,
        "Seconds between two heartbeats (default: 5). A worker that vanishes is noticed after 13 of them less 5 s.",
    ),
}  # fmt: skip
FLAGS = {
    "once": "Claim what is due now, one job for each runner, run it, and stop.",
    "until_done": "Stop when nothing is ready, or running here, any more; exit with 3 if it cannot run what is left.",
    "allow_unserved": "With --until-done: exit with 0 also where such jobs are left.",
    "reload": "Restart runners when source code changes (default: under DEBUG, unless --once or --until-done).",
    "json_logs": "Log one JSON object a line, from runners too.",
    "log_jobs": "Log each job's success too; failures are logged anyway.",
    "no_schedules": "Leave schedules alone: announce none, and make no jobs when their time comes.",
}
#: Lengths of time: as `5m` on the command line, as a timedelta or a number of seconds in OPTIONS["WORKER"].
DURATIONS = {
    "deadline_horizon": "Serve only jobs whose deadline is no further away than this, such as 5m (default: any).",
}
#: Files.
PATHS = {
    "heartbeat_file": "Write this file anew with each heartbeat, for probes that ask no database (default: none).",
}
LISTS = {
    "queue": "Serve this queue; may be repeated (default: all queues of the backend).",
    "exclude_queue": "Leave this queue alone; may be repeated.",
}
LABEL = "A name for people; {pid} and {host} are replaced (default: {host}-{pid})."

#: What OPTIONS["QUEUES"] may say of a queue.
QUEUE_KEYS = ("defaults", "poll_interval", "prefetch", "processes", "retention")
#: How long finished jobs are kept where nothing else is said, in seconds.
RETENTION = 14 * 86_400.0


def add_options(parser: ArgumentParser) -> None:
    """Adds them to a parser. None of them has a default here, so that the project's own defaults can be seen."""
    parser.add_argument("--backend", metavar="ALIAS", help="The TASKS alias to serve (default: default).")
    for name, text in LISTS.items():
        parser.add_argument(option(name), action="append", metavar="QUEUE", help=text)
    parser.add_argument("--label", help=LABEL)
    for name, number in NUMBERS.items():
        parser.add_argument(option(name), metavar="N" if number.kind is int else "SECONDS", help=number.help)
    for name, text in DURATIONS.items():
        parser.add_argument(option(name), type=duration, metavar="TIME", help=text)
    for name, text in PATHS.items():
        parser.add_argument(option(name), metavar="PATH", help=text)
    for name in ("once", "until_done", "allow_unserved", "json_logs", "log_jobs", "no_schedules"):
        parser.add_argument(option(name), action="store_true", default=None, help=FLAGS[name])
    parser.add_argument("--reload", action=BooleanOptionalAction, default=None, help=FLAGS["reload"])


def option(name: str) -> str:
    """Spells an option as on the command line."""
    return "--" + name.replace("_", "-")


def known_options() -> set[str]:
    """Returns the names that OPTIONS["WORKER"] may have."""
    return {*NUMBERS, *DURATIONS, *PATHS, *FLAGS, *LISTS, "label"}


def option_errors(wanted: Any, name_of: Any = repr) -> Iterator[str]:
    """Yields one sentence for each thing that is wrong with a set of options."""
    if not isinstance(wanted, dict):
        yield f"must be a dictionary, not {wanted!r}"
        return
    for name in sorted(set(wanted) - known_options(), key=str):
        yield f"unknown key {name!r}; the keys are {', '.join(sorted(known_options()))}"
    for name, number in NUMBERS.items():
        value = wanted.get(name)
        if value is not None and not is_within(value, number):
            yield f"{name_of(name)} must be {bounds_of(number)}, not {value!r}"
    for name in DURATIONS:
        value = wanted.get(name)
        if value is not None and not is_duration(value):
            yield f"{name_of(name)} must be {DURATION_BOUNDS}, not {value!r}"
    for name in PATHS:
        value = wanted.get(name)
        if value is not None and not (isinstance(value, (str, os.PathLike)) and is_path(os.fspath(value))):
            yield f"{name_of(name)} must be the path of a file, not {value!r}"
    for name in FLAGS:
        if not isinstance(wanted.get(name), (bool, type(None))):
            yield f"{name_of(name)} must be True or False, not {wanted[name]!r}"
    for name in LISTS:
        value = wanted.get(name)
        if value is not None and not (
            isinstance(value, (list, tuple)) and all(isinstance(q, str) and q for q in value)
        ):
            yield f"{name_of(name)} must be a list of queue names, not {value!r}"
    label = wanted.get("label")
    if label is not None and not (isinstance(label, str) and 1 <= len(label) <= 200 and label.isprintable()):
        yield f"{name_of('label')} must be 1 to 200 printable characters, not {label!r}"


def queue_errors(options: dict[str, Any]) -> Iterator[str]:
    """Yields one sentence for each thing that is wrong with OPTIONS["QUEUES"] and OPTIONS["RETENTION"]."""
    retention = options.get("RETENTION")
    if retention is not None and not is_duration(retention):
        yield f"['RETENTION'] must be {DURATION_BOUNDS}, not {retention!r}"
    queues = options.get("QUEUES", {})
    if not isinstance(queues, dict):
        yield f"['QUEUES'] must be a dictionary of queue names, not {queues!r}"
        return
    for queue_name, wanted in queues.items():
        where = f"['QUEUES'][{queue_name!r}]"
        if not isinstance(queue_name, str) or not queue_name or not isinstance(wanted, dict):
            yield f"{where} must be a dictionary under a queue's name, not {wanted!r}"
            continue
        for name in sorted(set(wanted) - set(QUEUE_KEYS), key=str):
            yield f"{where} has an unknown key {name!r}; the keys are {', '.join(QUEUE_KEYS)}"
        for name in ("processes", "poll_interval"):
            value = wanted.get(name)
            if value is not None and not is_within(value, NUMBERS[name]):
                yield f"{where}['{name}'] must be {bounds_of(NUMBERS[name])}, not {value!r}"
        if not isinstance(wanted.get("prefetch", True), bool):
            yield f"{where}['prefetch'] must be True or False, not {wanted['prefetch']!r}"
        if wanted.get("retention") is not None and not is_duration(wanted["retention"]):
            yield f"{where}['retention'] must be {DURATION_BOUNDS}, not {wanted['retention']!r}"
        if not isinstance(wanted.get("defaults", {}), dict):
            yield f"{where}['defaults'] must be a dictionary of task options, not {wanted['defaults']!r}"


def queue_settings(options: dict[str, Any], served: list[str] | None, excluded: list[str]) -> dict[str, Any]:
    """Returns what the engine is told of the queues that it serves, and for how long finished jobs are kept."""
    queues: dict[str, dict[str, Any]] = {
        name: wanted
        for name, wanted in options.get("QUEUES", {}).items()
        if (served is None or name in served) and name not in excluded
    }
    retention = seconds_of(options.get("RETENTION"))
    return {
        "queue_limits": {name: int(wanted["processes"]) for name, wanted in queues.items() if wanted.get("processes")},
        "unprefetched": sorted(name for name, wanted in queues.items() if not wanted.get("prefetch", True)),
        "poll_intervals": [
            number_of(wanted["poll_interval"], NUMBERS["poll_interval"])
            for wanted in queues.values()
            if wanted.get("poll_interval")
        ],
        "retention": RETENTION if retention is None else retention,
    }


def is_path(value: object) -> bool:
    """Tells whether the engine can be told of a path: text that is not empty, as JSON has it."""
    if not isinstance(value, str):
        return False
    return value != "" and "\0" not in value and not any("\ud800" <= character <= "\udfff" for character in value)


DURATION_BOUNDS = f"a timedelta or a number of seconds, from 0 to {MOST_DAYS:,} days"


def is_duration(value: object) -> bool:
    """Tells whether a value is a length of time, such as finished jobs may be kept for."""
    seconds = seconds_of(value)
    return seconds is not None and 0 <= seconds <= MOST_DAYS * 86_400


def bounds_of(number: Number) -> str:
    """Says what a number may be."""
    what = "a whole number" if number.kind is int else "a number of seconds"
    return f"{what} from {number.least:,} to {number.most:,}"


def number_of(value: Any, number: Number) -> float:
    """Returns what was given for an option as its kind of number: a timedelta is seconds."""
    if number.kind is float and isinstance(value, timedelta):
        return value.total_seconds()
    parsed: float = number.kind(value)
    return parsed


def is_within(value: Any, number: Number) -> bool:
    """Tells whether a value, perhaps as text from the command line, is a number within its bounds."""
    if isinstance(value, bool):
        return False
    try:
        parsed = number_of(value, number)
    except (TypeError, ValueError, OverflowError):
        return False
    if number.kind is int and not isinstance(value, str) and parsed != value:
        return False
    return math.isfinite(parsed) and number.least <= parsed <= number.most

"""
Shows workers, queues and recent failures.

Counts stop at 10,000 and are then shown as "10,000+", so this is quick however many jobs there are. Finished jobs are
counted among the newest 10,000, failures looked for among the newest 1,000.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from gristmill.backend import GristmillBackend
from gristmill.commands.aliases import chosen_backend, migrated_connection
from gristmill.inspect.forecast import Forecast, forecasts_of
from gristmill.inspect.survey import QueueSeen, Survey, Unroutable, survey, together
from gristmill.inspect.surveys import each_database
from gristmill.inspect.tables import age, printable, room_of, table, wrapped
from gristmill.inspect.workers import WorkerSeen
from gristmill.tasks.aliases import gristmill_backends, worker_command

HELP = "Show workers, queues and recent failures."

STATES = (
    *("ready", "scheduled", "retrying", "waiting", "stranded", "held"),
    *("running", "successful", "failed", "cancelled"),
)
#: Of a worker's id the last digits are shown; the first ones are much the same for all that start together.
SHORT_ID = 8
#: Shown only where there are any.
RARE = ("retrying", "waiting", "stranded", "held", "cancelled")


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the options."""
    parser.add_argument("--backend", metavar="ALIAS", help="Only this TASKS alias (default: all that use Gristmill).")
    parser.add_argument("--json", action="store_true", help="Print one JSON object.")


def handle(command: BaseCommand, options: dict[str, Any]) -> None:
    """Prints what is going on."""
    seen = together(surveys_of(options["backend"]))
    if options["json"]:
        command.stdout.write(json.dumps({**seen.as_json(), "forecasts": [asdict(one) for one in forecasts(seen)]}))
    else:
        command.stdout.write("\n".join(lines(seen, room_of(command.stdout), forecasts(seen))))


def forecasts(seen: Survey) -> list[Forecast]:
    """Returns when queues that were looked at will be done, of those of which that can be said."""
    return [
        forecast
        for connection, aliases in each_database()
        for forecast in forecasts_of(connection, [queue for queue in seen.queues if queue.backend in aliases])
    ]


def surveys_of(alias: str | None) -> list[Survey]:
    """Returns one survey for each database that the named alias, or all of Gristmill's, keep jobs on."""
    if alias is None and not gristmill_backends():
        raise CommandError("no alias in TASKS uses gristmill.backend.GristmillBackend")
    backends = [chosen_backend(name) for name in ([alias] if alias else gristmill_backends())]
    by_database: dict[str, list[GristmillBackend]] = {}
    for backend in backends:
        by_database.setdefault(backend.database, []).append(backend)
    return [
        survey(migrated_connection(group[0]), {backend.alias: backend.queues for backend in group})
        for group in by_database.values()
    ]


def lines(seen: Survey, room: int | None = None, forecasts: Sequence[Forecast] = ()) -> list[str]:
    """Returns what a person reads, on a terminal of so many columns."""
    said = ["Workers", *worker_lines(seen, room), "", "Queues", *queue_lines(seen.queues, room)]
    if seen.oldest_ready_seconds is not None:
        said += ["", *wrapped(f"The oldest ready job has been due for {age(seen.oldest_ready_seconds)}.", room)]
    for forecast in forecasts:
        said += wrapped(f"Queue {printable(forecast.queue_name)}: {forecast}.", room)
    if any(queue.paused is not None for queue in seen.queues):
        said += ["", "Paused queues", *paused_lines(seen.queues, room)]
    said += unserved_lines(seen.unroutable, room)
    if seen.cancels:
        head = ["ASKED", "TASK", "JOB"]
        cancels = [(f"{age(one.seconds_ago)} ago", one.task_name, one.id) for one in seen.cancels]
        said += ["", *wrapped("Running, and asked to end", room), *table(head, cancels, cut=["TASK"], room=room)]
    if seen.held:
        head = ["HELD", "BACKEND", "QUEUE", "REASON"]
        held = [(f"{one.held:,}" + "+" * one.at_least, one.backend, one.queue_name, one.reason) for one in seen.held]
        said += ["", "Held", *table(head, held, right=["HELD"], cut=["REASON", "QUEUE"], room=room)]
    if seen.failures:
        head = ["ENDED", "TASK", "JOB", "ERROR"]
        failures = [(f"{age(one.seconds_ago)} ago", one.task_name, one.id, one.error) for one in seen.failures]
        said += ["", "Recent failures", *table(head, failures, cut=["ERROR", "TASK"], room=room)]
    return said


def unserved_lines(lanes: list[Unroutable], room: int | None = None) -> list[str]:
    """Returns the table of what no running worker claims, and why; that no worker runs at all is said elsewhere."""
    told = [lane for lane in lanes if lane.kind != "no worker"]
    if not told:
        return []
    head = ["TASK", "BACKEND", "QUEUE", "READY"]
    rows = [(lane.task_name, lane.backend, lane.queue_name, f"{lane.ready:,}" + "+" * lane.at_least) for lane in told]
    said = ["", *wrapped("Ready, but no running worker serves them", room)]
    said += table(head, rows, right=["READY"], cut=["TASK"], room=room)
    for task_name, why in dict.fromkeys((lane.task_name, lane.why) for lane in told):
        said += (f"  {line}" for line in wrapped(f"{printable(task_name)}: {printable(why, 400)}.", less(room, 2)))
    return said


def no_worker_lines(seen: Survey, room: int | None = None) -> list[str]:
    """Says which aliases have no worker, of those that have ready jobs; without any worker at all, of one at least."""
    served = {worker.backend for worker in seen.workers if worker.state != "silent"}
    bare = list(dict.fromkeys(queue.backend for queue in seen.queues if queue.backend not in served))
    waiting = [alias for alias in bare if any(queue.backend == alias and queue.ready for queue in seen.queues)]
    if not seen.workers:
        alias = (waiting or ["default" if "default" in bare or not bare else bare[0]])[0]
        said = wrapped(f"no worker is running; start one with {worker_command(alias)}", less(room, 2))
        waiting = [other for other in waiting if other != alias]
    else:
        said = []
    for alias in waiting:
        said += wrapped(f"no worker serves backend {alias!r}; start one with {worker_command(alias)}", less(room, 2))
    return [f"  {line}" for line in said]


def less(room: int | None, columns: int) -> int | None:
    """Returns the room that is left beside an indent."""
    return None if room is None else room - columns


def worker_lines(seen: Survey, room: int | None = None) -> list[str]:
    """Returns the table of workers, and what to do where one is missing."""
    if not seen.workers:
        return no_worker_lines(seen, room)
    return [*worker_table(seen.workers, room), *no_worker_lines(seen, room)]


def worker_table(workers: list[WorkerSeen], room: int | None = None, *, with_ids: bool = False) -> list[str]:
    """Returns the table of workers, and below it what is asked of them."""
    with_backend = len({worker.backend for worker in workers}) > 1 or workers[0].backend != "default"
    ids = ["ID"] if with_ids else []
    head = [
        *ids,
        "LABEL",
        *(["BACKEND"] if with_backend else []),
        "HOST",
        "PID",
        "STATE",
        "HEARTBEAT",
        "RUNNING",
        "QUEUES",
    ]
    rows = []
    for worker in workers:
        queues = "all" if worker.include_queues is None else ", ".join(worker.include_queues)
        if worker.exclude_queues:
            queues += " but " + ", ".join(worker.exclude_queues)
        rows.append(
            [
                *([worker.id[-SHORT_ID:]] if with_ids else []),
                worker.label,
                *([worker.backend] if with_backend else []),
                worker.host,
                worker.pid,
                worker.state,
                f"{age(worker.heartbeat_seconds_ago)} ago",
                f"{worker.running} of {worker.processes}",
                queues,
            ]
        )
    said = table(head, rows, right=["PID"], cut=["QUEUES", "HOST", "LABEL"], room=room)
    for worker in workers:
        if worker.asked is not None:
            sentence = f"{printable(worker.label)}: {worker.asked_in_words}"
            said += (f"  {line}" for line in wrapped(sentence, less(room, 2)))
    return said


def queue_lines(queues: list[QueueSeen], room: int | None = None) -> list[str]:
    """Returns the table of queues."""
    if not queues:
        return ["  there are no jobs"]
    with_backend = len({queue.backend for queue in queues}) > 1 or queues[0].backend != "default"
    with_state = any(queue.paused is not None for queue in queues)
    states = [state for state in STATES if state not in RARE or any_in(queues, state)]
    rows = [
        [
            *([queue.backend] if with_backend else []),
            queue.queue_name,
            *(["active" if queue.paused is None else "paused"] if with_state else []),
            *(f"{getattr(queue, state):,}" + "+" * (state in queue.at_least) for state in states),
        ]
        for queue in queues
    ]
    numbers = [state.upper() for state in states]
    head = [*(["BACKEND"] if with_backend else []), "QUEUE", *(["STATE"] if with_state else []), *numbers]
    return table(head, rows, right=numbers, cut=["QUEUE"], room=room)


def any_in(queues: list[QueueSeen], state: str) -> bool:
    """Tells whether any queue has jobs of a state."""
    return any(getattr(queue, state) for queue in queues)


def paused_lines(queues: list[QueueSeen], room: int | None = None) -> list[str]:
    """Returns the table of paused queues with their reasons."""
    paused = [queue for queue in queues if queue.paused is not None]
    with_backend = any(queue.backend != "default" for queue in paused)
    rows = [
        [
            queue.queue_name,
            *([queue.backend] if with_backend else []),
            f"{age(queue.paused_seconds_ago or 0)} ago",
            queue.paused or "",
        ]
        for queue in paused
    ]
    head = ["QUEUE", *(["BACKEND"] if with_backend else []), "SINCE", "REASON"]
    return table(head, rows, cut=["REASON", "QUEUE"], room=room)

"""
Chaos with locks: somebody's transactions hold random rows and keys of ours, or on SQLite the file.

LOCKS_SECONDS is for how long (12 without it). SEED repeats who holds what, as far as time allows.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import psycopg
import pytest
from project import Database, Project, hex_of
from waiting import PATIENCE, pause, wait_for

SECONDS = float(os.environ.get("LOCKS_SECONDS", "12"))
SEED = int(os.environ.get("SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
# How much later than without locks anything may come that nobody holds.
LATER = 1.0 * PATIENCE
RATE = 5.0
HOLDERS = 4

# Each with the columns that say whose row it is. A worker's own row is left out: who holds that holds the worker.
TABLES = {
    "gristmill_job": ("id",),
    "gristmill_ready": ("id",),
    "gristmill_scheduled": ("id",),
    "gristmill_waiting": ("id",),
    "gristmill_running": ("id",),
    "gristmill_result": ("id",),
    "gristmill_attempt": ("job_id",),
    "gristmill_gate": ("job_id",),
    "gristmill_edge": ("precondition_id", "dependent_id"),
    "gristmill_propagation": ("job_id",),
    "gristmill_unique_key": ("job_id", "key"),
    "gristmill_progress": ("job_id",),
    "gristmill_schedule": ("name",),
    "gristmill_tick": ("schedule",),
}

MOVING = {"gristmill_scheduled", "gristmill_running", "gristmill_unique_key", "gristmill_schedule", "gristmill_edge"}


@dataclass
class Held:
    """What was held, ever."""

    names: set[str] = field(default_factory=set)
    times: int = 0


@contextlib.contextmanager
def rows_held(database: Database) -> Iterator[Held]:
    """Some web requests, each of which locks a random row, one after another."""
    held, over = Held(), threading.Event()

    def hold(seed: int) -> None:
        chance = random.Random(seed)
        while not over.is_set():
            # What moves matters most, and is there for a moment only.
            table = chance.choices(list(TABLES), weights=[4 if name in MOVING else 1 for name in TABLES])[0]
            columns = ", ".join(f"{column}::text" for column in TABLES[table])
            seconds = chance.uniform(1, max(2.0, min(20.0, SECONDS / 3)))
            with psycopg.connect(database.url) as connection:
                lock = f"select {columns} from {table} order by random() limit 1 for update skip locked"
                row = connection.execute(lock).fetchone()  # type: ignore[arg-type]
                if row is not None:
                    held.names.update(hex_of(value) for value in row)
                    held.times += 1
                    over.wait(seconds)
                connection.rollback()
            # An empty table is no reason to ask without a pause.
            over.wait(0.01)

    holders = [threading.Thread(target=hold, args=(SEED + n,)) for n in range(HOLDERS)]
    for holder in holders:
        holder.start()
    try:
        yield held
    finally:
        over.set()
        for holder in holders:
            holder.join()


@contextlib.contextmanager
def file_held(database: Database) -> Iterator[Held]:
    """A writer that takes five seconds, again and again."""
    held, over = Held(), threading.Event()

    def write() -> None:
        while not over.is_set():
            with contextlib.closing(sqlite3.connect(urlsplit(database.url).path, timeout=60)) as connection:
                connection.isolation_level = None
                connection.execute("begin immediate")
                held.times += 1
                over.wait(5)
                connection.execute("rollback")
            over.wait(1)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield held
    finally:
        over.set()
        writer.join()


def lateness(project: Project, dated: dict[str, float], but: set[str]) -> float:
    """By how much the latest of these jobs started after it was due, those left out that somebody held."""
    assert not set(dated) <= but, "everything was held, so nothing was shown"
    started = {run.job: run.started for run in reversed(project.runs())}
    return max(started[job] - due for job, due in dated.items() if job not in but)


def dated(project: Project, seconds: float) -> dict[str, float]:
    """Jobs that are due one after another, and when."""
    lines = project.manage("dated", str(seconds), str(RATE)).split("\n")
    return {job: float(due) for job, due in (line.split() for line in lines if line)}


def tick_lateness(project: Project, since: str, schedules: list[str]) -> float:
    named = ", ".join(f"'{name}'" for name in schedules)
    (row,) = project.database.rows(
        "select coalesce(max(extract(epoch from found_at - nominal)), 0) as late from gristmill_tick "
        f"where schedule in ({named}) and nominal > '{since}'"
    )
    return float(row["late"])


SCHEDULES = {
    "free": {"task": "work.tasks.note", "every": 1, "catch_up": "all"},
    "other": {"task": "work.tasks.note", "every": 2, "catch_up": "all"},
}


def test_nobody_waits_for_a_transaction_but_who_needs_what_it_holds(project: Project) -> None:
    print(f"SEED={SEED} LOCKS_SECONDS={SECONDS:g}")
    env = {"JOURNEY_SCHEDULES": json.dumps(SCHEDULES)}
    for _ in range(2):
        project.start_worker("--processes", "2", env=env)
    wait_for("the first ticks", lambda: len(project.runs()) > 1, 30)

    quiet = dated(project, max(4.0, SECONDS / 4))
    usual = project.wait_until_finished(list(quiet), within=SECONDS + 30)
    assert set(usual.values()) == {"successful"}
    without = lateness(project, quiet, set())
    if project.database.is_sqlite:
        with file_held(project.database) as held:
            loud = dated(project, SECONDS)
            pause(SECONDS)
    else:
        (row,) = project.database.rows("select now()::text as now")
        ticks_without = tick_lateness(project, "2000-01-01", list(SCHEDULES))
        with rows_held(project.database) as held:
            loud = dated(project, SECONDS)
            pause(SECONDS)
        free = [name for name in SCHEDULES if name not in held.names]
        ticks_with = tick_lateness(project, str(row["now"]), free) if free else 0.0
    ended = project.wait_until_finished(list(loud), within=60)
    assert set(ended.values()) == {"successful"}

    # Nothing lost, nothing twice, nothing told untrue.
    runs = [run.job for run in project.runs()]
    assert all(runs.count(job) == 1 for job in [*quiet, *loud])
    assert project.doctor_finds() == []
    for name, options in SCHEDULES.items():
        found = project.database.rows(f"select nominal from gristmill_tick where schedule = '{name}' order by nominal")
        between = "extract(epoch from max(nominal) - min(nominal))"
        if project.database.is_sqlite:
            between = "unixepoch(max(nominal)) - unixepoch(min(nominal))"
        (row,) = project.database.rows(f"select {between} as span from gristmill_tick where schedule = '{name}'")
        instants = round(float(row["span"]) / float(str(options["every"]))) + 1
        assert len(found) == instants, f"ticks of {name} are missing"

    if project.database.is_sqlite:
        print(f"{len(loud)} jobs while the file was held {held.times} times")
        return
    late = lateness(project, loud, held.names)
    print(
        f"{len(loud)} jobs while {held.times} rows were held: at most {late:.2f} s late, {without:.2f} s without; "
        f"ticks {ticks_with:.2f} s, {ticks_without:.2f} s without"
    )
    assert held.times >= HOLDERS
    if late > without + LATER or ticks_with > ticks_without + LATER:
        pytest.fail(f"somebody's locks kept others waiting\n{project.what_workers_said()}")

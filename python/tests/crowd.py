"""Many rows in every table that lists read, by plain SQL; and how many of them a statement reads."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import connection

PLACE = "id, backend, queue_name, task_name, priority, run_after, deadline, token, generation"
#: Tables that grow without bound.
LARGE = ("job", "ready", "scheduled", "waiting", "result", "attempt")
#: Instructions of SQLite's virtual machine that count as a row: one in a scan costs three, one with attempts eighty.
INSTRUCTIONS = 8


def fill(count: int) -> None:
    """So many jobs of each kind: ready, scheduled, waiting, successful; and two hundredths of that failed and held."""
    postgres = connection.vendor == "postgresql"
    numbers = (
        f"generate_series(1, {count}) as n(n)"
        if postgres
        else f"(with recursive c(n) as (select 1 union all select n + 1 from c where n < {count}) select n from c) as n"
    )
    now = "clock_timestamp()" if postgres else "strftime('%Y-%m-%d %H:%M:%f', 'now') || '000'"
    with connection.cursor() as cursor:
        for kind, digit in (("ready", 1), ("scheduled", 2), ("waiting", 3), ("result", 4)):
            # Ids in order, of version 7.
            digits = f"lpad(to_hex(n), 8, '0') || '000070008000{digit:012d}'"
            job_id = f"({digits})::uuid" if postgres else f"printf('%08x', n) || '000070008000{digit:012d}'"
            cursor.execute(
                "insert into gristmill_job (id, backend, queue_name, task_name, priority, enqueued_at, args, kwargs) "
                f"select {job_id}, 'default', 'default', 'tests.app.tasks.add', 0, {now}, '[' || n || ']', '{{}}' "
                f"from {numbers}"
            )
            few = "case when n % 50 = 0 then {} else {} end"
            columns, values = {
                "ready": ("", ""),
                "scheduled": ("", ""),
                "waiting": (", held", f", {few.format('true', 'false')}"),
                "result": (
                    ", finished_at, state, fingerprint",
                    f", {moment(postgres, 'n')}, {few.format(*FAILED)}, {few.format(group(postgres), 'null')}",
                ),
            }[kind]
            run_after = moment(postgres, "n") if kind == "scheduled" else "null"
            cursor.execute(
                f"insert into gristmill_{kind} ({PLACE}{columns}) "
                f"select {job_id}, 'default', 'default', 'tests.app.tasks.add', 0, {run_after}, "
                f"{moment(postgres, 'n')}, {int(kind == 'result')}, 1{values} from {numbers}"
            )
        worker = "gen_random_uuid()" if postgres else "lower(hex(randomblob(16)))"
        cursor.execute(
            "insert into gristmill_attempt "
            "(job_id, token, generation, worker_id, claimed_at, ended_at, outcome, traceback) "
            f"select id, 1, 1, {worker}, finished_at, finished_at, state, "
            "case state when 'failed' then 'ValueError: no' end from gristmill_result"
        )


FAILED = ("'failed'", "'successful'")
#: The group of every other failure; each of the others is one by itself.
GROUP = "a" * 16


def group(postgres: bool) -> str:
    """The fingerprint of a failure, by its number."""
    digits = "lpad(to_hex(n), 16, '0')" if postgres else "printf('%016x', n)"
    return f"case when n % 100 = 0 then '{GROUP}' else {digits} end"


def moment(postgres: bool, seconds: str) -> str:
    """A moment so many seconds after the beginning of a year."""
    if postgres:
        return f"timestamptz '2026-01-01 00:00:00+00' + {seconds} * interval '1 second'"
    return f"strftime('%Y-%m-%d %H:%M:%f', '2026-01-01', '+' || {seconds} || ' seconds') || '000'"


def analyze() -> None:
    """Has the planner know how large the tables are."""
    with connection.cursor() as cursor:
        cursor.execute("analyze")


@contextmanager
def statements() -> Iterator[list[tuple[str, Sequence[Any]]]]:
    """Notes every statement that is carried out meanwhile, with its binds."""
    noted: list[tuple[str, Sequence[Any]]] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        noted.append((sql, params or ()))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        yield noted


def rows_read(sql: str, binds: Sequence[Any]) -> int:
    """How many rows of large tables, or of their indexes, a statement reads, as the database itself counts."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            # A small table may well be cheapest read whole. Planned are ones that are a hundred times as large.
            cursor.execute("set seq_page_cost = 100")
            cursor.execute(f"explain (analyze, timing off, costs off, format json) {sql}", binds)
            ((plan,),) = cursor.fetchall()
            cursor.execute("reset seq_page_cost")
        (top,) = json.loads(plan) if isinstance(plan, str) else plan
        return max(read_by(top["Plan"]), default=0)
    steps = 0

    def step() -> int:
        nonlocal steps
        steps += 1
        return 0

    connection.ensure_connection()
    connection.connection.set_progress_handler(step, INSTRUCTIONS)
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql, binds)
            cursor.fetchall()
    finally:
        connection.connection.set_progress_handler(None, 0)
    return steps


def read_by(node: dict[str, Any]) -> Iterator[int]:
    """What each scan of a plan reads."""
    if node.get("Relation Name", node.get("Index Name", "")).removeprefix("gristmill_").split("_")[0] in LARGE:
        removed = sum(node.get(name, 0) for name in node if name.startswith("Rows Removed"))
        yield int((node["Actual Rows"] + removed) * node["Actual Loops"])
    for below in node.get("Plans", ()):
        yield from read_by(below)

"""Fills the package's tables by plain SQL: what a shop has after a week, a statement for each table."""

import json
import time
import uuid
from datetime import timedelta

from django.db import connection
from django.utils import timezone

from gristmill.models import RunningRow, Schedule, Worker

WEEK_MS = 7 * 86_400_000
WORKERS, RUNNERS, SCHEDULES, TICKS = 10, 8, 20, 200
PLACE = "id, backend, queue_name, task_name, priority, run_after, deadline, token, generation"
LANE = "'default', 'queue-' || (n % 20), 'shop.tasks.task_' || (n % 5)"


class Filling:
    """Jobs of each kind, spread over the week before now."""

    def __init__(self) -> None:
        self.postgres = connection.vendor == "postgresql"
        self.start = int(time.time() * 1_000) - WEEK_MS

    def fill(self, finished: int, ready: int) -> None:
        """So many that have ended and are ready, a tenth of these scheduled and a tenth waiting, and some that run."""
        few = max(ready // 10, 10)
        self.jobs(1, finished, self.moment(self.ms(finished)))
        self.ended(finished)
        self.jobs(2, ready, self.moment(self.ms(ready)))
        self.place("ready", 2, ready, "null")
        self.jobs(3, few, self.moment(self.ms(few)))
        self.place("scheduled", 3, few, self.moment(f"{self.start + 2 * WEEK_MS} + n"))
        self.jobs(4, few, self.moment(self.ms(few)))
        self.place(
            "waiting", 4, few, "null", ", held, stranded, held_reason",
            ", n % 10 = 0, n % 10 = 1, case when n % 10 = 0 then 'until Monday' end",
        )  # fmt: skip
        self.edges(few)
        with connection.cursor() as cursor:
            cursor.execute("analyze")

    def jobs(self, digit: int, count: int, enqueued_at: str) -> None:
        """What was asked."""
        self.insert(
            "job (id, backend, queue_name, task_name, priority, enqueued_at, args, kwargs)",
            f"{self.id(digit, count)}, {LANE}, n % 3, {enqueued_at}, '[' || n || ']', '{{\"order\": ' || n || '}}'",
            count,
        )

    def place(self, table: str, digit: int, count: int, run_after: str, more: str = "", values: str = "") -> None:
        """Where they are."""
        deadline = self.moment(f"{self.start + 2 * WEEK_MS} + n")
        columns = f"{self.id(digit, count)}, {LANE}, n % 3, {run_after}, {deadline}, 0, 1{values}"
        self.insert(f"{table} ({PLACE}{more})", columns, count)

    def ended(self, count: int) -> None:
        """Results, of which each fiftieth failed, with their attempts."""
        state = "case when n % 50 = 0 then 'failed' when n % 999 = 0 then 'poisoned' else 'successful' end"
        ended_at = self.moment(f"{self.ms(count)} + 2000")
        deadline = self.moment(f"{self.ms(count)} + {WEEK_MS}")
        job_id = self.id(1, count)
        self.insert(
            f"result ({PLACE}, finished_at, state)",
            f"{job_id}, {LANE}, n % 3, null, {deadline}, 1, 1, {ended_at}, {state}",
            count,
        )
        worker = "gen_random_uuid()" if self.postgres else "lower(hex(randomblob(16)))"
        said = "case when n % 50 = 0 then 'Traceback' || chr(10) || 'ValueError: no order ' || n end"
        self.insert(
            "attempt (job_id, token, generation, worker_id, claimed_at, ended_at, outcome, traceback)",
            f"{job_id}, 1, 1, {worker}, {self.moment(self.ms(count))}, {ended_at}, {state}, "
            + (said if self.postgres else said.replace("chr(", "char(")),
            count,
        )

    def edges(self, count: int) -> None:
        """Gates of what waits, each with two preconditions among what is ready."""
        now = self.moment(f"{self.start + WEEK_MS}")
        self.insert(
            "gate (job_id, on_precondition_failure, epoch, armed_at, resolved, open, successful, failed)",
            f"{self.id(4, count)}, 'strand', 1, {now}, true, 2, 0, 0",
            count,
        )
        for step in (0, 1):
            first = self.id(2, count, f"(n + {step})")
            self.insert("edge (precondition_id, dependent_id)", f"{first}, {self.id(4, count)}", count - step)

    def insert(self, table: str, values: str, count: int) -> None:
        """One statement: a row for each number."""
        numbers = (
            f"generate_series(1, {count}) as numbers(n)"
            if self.postgres
            else "(with recursive c(n) as "
            f"(select 1 union all select n + 1 from c where n < {count}) select n from c) as numbers"
        )
        with connection.cursor() as cursor:
            cursor.execute(f"insert into gristmill_{table} select {values} from {numbers}")

    def ms(self, count: int, n: str = "n") -> str:
        """When the nth was enqueued, spread over the week."""
        return f"({self.start} + {n} * {max(WEEK_MS // max(count, 1), 1)})"

    def id(self, digit: int, count: int, n: str = "n") -> str:
        """The nth id, of version 7: its moment, the kind, its number."""
        ms, kind = self.ms(count, n), f"7000800{digit}"
        if self.postgres:
            return f"(lpad(to_hex({ms}::bigint), 12, '0') || '{kind}' || lpad(to_hex({n}), 12, '0'))::uuid"
        return f"(printf('%012x', {ms}) || '{kind}' || printf('%012x', {n}))"

    def moment(self, ms: str) -> str:
        """A moment in milliseconds as the database keeps it."""
        if self.postgres:
            return f"to_timestamp(({ms}) / 1000.0)"
        return f"(strftime('%Y-%m-%d %H:%M:%f', ({ms}) / 1000.0, 'unixepoch') || '000')"


def people_and_machines() -> None:
    """Workers with what they run, and schedules with their ticks."""
    now = timezone.now()
    tasks = [f"shop.tasks.task_{number}" for number in range(5)]
    for number in range(WORKERS):
        worker = Worker.objects.create(
            id=uuid.uuid4(), label=f"mill-{number}", host="mill", pid=4_711 + number, version="0.1.0",
            backend="default", queues={"include": None, "exclude": []}, tasks=tasks, processes=RUNNERS, started_at=now,
            heartbeat_at=now, heartbeat_seconds=5.0, lease_seconds=86_400.0,
        )  # fmt: skip
        for _ in range(RUNNERS):
            RunningRow.objects.create(
                id=uuid.uuid4(), backend="default", queue_name="queue-0", task_name=tasks[0], priority=0, deadline=now,
                token=1, generation=1, worker_id=worker.id, claimed_at=now,
            )  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(
            "insert into gristmill_job (id, backend, queue_name, task_name, priority, enqueued_at, args, kwargs) "
            "select id, backend, queue_name, task_name, priority, claimed_at, '[]', '{}' from gristmill_running"
        )
    for number in range(SCHEDULES):
        Schedule.objects.create(
            backend="default", name=f"nightly-{number}", origin="database", queue_name="queue-0", task_name=tasks[0],
            definition=json.dumps({"cron": "0 2 * * *"}), job="{}", created_at=now, defined_at=now, high_water=now,
            next_at=now + timedelta(hours=number + 1),
        )  # fmt: skip

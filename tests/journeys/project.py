"""A real Django project on a database of its own, its real workers, and what can be seen of them from outside."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import desk
import history
import psycopg
from waiting import PATIENCE, wait_for

SITE = Path(__file__).resolve().parent / "site"
MARK = "JOURNEY_WORKER"


class Database:
    """Where the jobs are; read with plain SQL, so that a test sees what any console would show."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.is_sqlite = url.startswith("sqlite:")
        # One for each thread: what is looked at fifty times a second should not be connected to as often.
        self._kept = threading.local()

    def rows(self, statement: str) -> list[dict[str, Any]]:
        """What a query gives."""
        if self.is_sqlite:
            with contextlib.closing(sqlite3.connect(urlsplit(self.url).path, timeout=20)) as connection:
                cursor = connection.execute(statement)
                names = [column[0] for column in cursor.description]
                return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        try:
            return self._asked(statement)
        except psycopg.OperationalError:
            # It was cut, perhaps long ago; a new one says whether the server is there.
            self.disconnect()
            return self._asked(statement)

    def _asked(self, statement: str) -> list[dict[str, Any]]:
        connection: psycopg.Connection | None = getattr(self._kept, "connection", None)
        if connection is None:
            connection = self._kept.connection = psycopg.connect(self.url, autocommit=True)
        cursor = connection.execute(statement)  # type: ignore[arg-type]
        names = [column.name for column in cursor.description or []]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def disconnect(self) -> None:
        """Closes this thread's own session, if there is one."""
        if connection := self._kept.__dict__.pop("connection", None):
            connection.close()

    def cut_all_connections(self) -> int:
        """Ends every other session of this database, as a failover does; how many there were."""
        (row,) = self.rows(
            "select count(pg_terminate_backend(pid)) as cut from pg_stat_activity "
            "where datname = current_database() and pid <> pg_backend_pid()"
        )
        return int(row["cut"])


def new_database(kind: str, folder: Path, server: str | None) -> Database:
    """An empty one."""
    if kind == "sqlite":
        return Database(f"sqlite://{folder / 'journey.sqlite3'}")
    assert server
    name = f"journey_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"create database {name}")  # type: ignore[arg-type]
    parts = urlsplit(server)
    return Database(parts._replace(path=f"/{name}").geturl())


def copy_database(template: Database, folder: Path, server: str | None) -> Database:
    """One like the template, which nobody uses."""
    if template.is_sqlite:
        copy = Database(f"sqlite://{folder / 'journey.sqlite3'}")
        shutil.copy(urlsplit(template.url).path, urlsplit(copy.url).path)
        return copy
    assert server
    name, origin = f"journey_{uuid.uuid4().hex[:12]}", urlsplit(template.url).path.removeprefix("/")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"create database {name} template {origin}")  # type: ignore[arg-type]
    return Database(urlsplit(server)._replace(path=f"/{name}").geturl())


class Worker:
    """One `manage.py gristmill worker`, in a session of its own."""

    def __init__(
        self,
        project: Project,
        options: Sequence[str],
        env: dict[str, str],
        cwd: Path = SITE,
        before: Sequence[str] = (),
    ) -> None:
        self.mark = uuid.uuid4().hex
        self.log = project.folder / f"worker-{self.mark[:8]}.log"
        self.log.touch()
        command = ["gristmill", "worker", *options]
        own = {**project.env, **env, MARK: self.mark}
        self.process: desk.Started | subprocess.Popen[bytes]
        if cwd == SITE and not before:
            self.process = desk.Started(SITE, command, own, output=str(self.log), errors=str(self.log))
            return
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [*before, sys.executable, SITE / "manage.py", *command],
                cwd=cwd,
                env=own,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The supervisor: the management command has become it."""
        return self.process.pid

    def processes(self) -> list[int]:
        """Every living process that came of it, itself included, zombies left out."""
        marker = f"{MARK}={self.mark}".encode()
        return [pid for pid in living_processes() if pid == self.pid or marker in environment_of(pid)]

    def zygote(self) -> int:
        """The process that imported the project: the supervisor's only child."""
        (child,) = [pid for pid in self.processes() if parent_of(pid) == self.pid]
        return child

    def send(self, number: signal.Signals) -> None:
        """A signal to the supervisor alone."""
        os.kill(self.pid, number)

    def send_to_all(self, number: signal.Signals) -> None:
        """A signal to every process, the supervisor last."""
        for pid in sorted(self.processes(), key=lambda pid: pid == self.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def exit_status(self, within: float) -> int:
        """How it ended; an AssertionError with its log when it does not."""
        try:
            return self.process.wait(within * PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the worker still runs after {within * PATIENCE:g} s:\n{self.said()}") from None

    def said(self) -> str:
        """Its output so far."""
        return self.log.read_text(errors="replace")

    def clear_away(self) -> list[int]:
        """Kills whatever is left; gives back what had outlived the supervisor."""
        ended = self.process.poll() is not None
        left = [pid for pid in self.processes() if pid != self.pid]
        for pid in [self.pid, *left]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        return left if ended else []


class Project:
    """The project of one journey."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.folder = folder
        self.history_file = folder / "history.jsonl"
        self.env = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("DJANGO_", "PYTEST_"))},
            "JOURNEY_DATABASE": database.url,
            "JOURNEY_HISTORY": str(self.history_file),
            "PYTHONUNBUFFERED": "1",
        }
        self.workers: list[Worker] = []
        # How long a journey that froze processes lets an attempt live on after it wakes up.
        self.frozen_seconds = 0.0

    def manage(self, *arguments: str, env: dict[str, str] | None = None) -> str:
        """What a management command prints."""
        status, said, errors = desk.run(SITE, arguments, {**self.env, **(env or {})}, within=60 * PATIENCE)
        assert status == 0, said + errors
        return said

    def enqueue(self, task: str, *arguments: object, count: int = 1, env: dict[str, str] | None = None) -> list[str]:
        """Ids of new jobs."""
        values = [json.dumps(argument) for argument in arguments]
        return self.manage("ask", task, str(count), *values, env=env).split()

    def start_worker(
        self, *options: str, env: dict[str, str] | None = None, cwd: Path = SITE, before: Sequence[str] = ()
    ) -> Worker:
        """A worker that will be cleared away when the journey is over; `before` is what execs it."""
        worker = Worker(self, options, env or {}, cwd, before)
        self.workers.append(worker)
        return worker

    def tell(self) -> None:
        """Lets what stands (see the site's tasks) end."""
        Path(f"{self.history_file}.told").touch()

    def runs(self) -> list[history.Run]:
        """What the tasks have written down."""
        return history.read(self.history_file)

    def wait_for_runs(self, count: int, within: float, job: str | None = None) -> list[history.Run]:
        """The runs, once there are so many starts (of one job)."""

        def enough() -> list[history.Run] | None:
            runs = [run for run in self.runs() if job in (None, run.job)]
            return runs if len(runs) >= count else None

        try:
            return wait_for(f"{count} starts", enough, within)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.what_workers_said()}") from None

    def jobs(self) -> dict[str, dict[str, Any]]:
        """Every job's row of the view, by id."""
        return {hex_of(row["id"]): row for row in self.database.rows("select * from gristmill_jobs")}

    def states(self) -> dict[str, str]:
        """Every job's state, by id."""
        rows = self.database.rows("select id, state from gristmill_jobs")
        return {hex_of(row["id"]): row["state"] for row in rows}

    def wait_until_finished(self, jobs: Sequence[str], within: float) -> dict[str, str]:
        """The states of these jobs, once all have ended."""

        def finished() -> dict[str, str] | None:
            states = self.states()
            own = {job: states[job] for job in jobs}
            return own if set(own.values()) <= {"successful", "failed", "cancelled", "poisoned"} else None

        try:
            return wait_for(f"{len(jobs)} jobs to end", finished, within)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.states()}\n{self.what_workers_said()}") from None

    def attempts(self, job: str) -> list[dict[str, Any]]:
        """The ended attempts of a job, oldest first."""
        rows = self.database.rows("select * from gristmill_attempt order by token")
        return [row for row in rows if hex_of(row["job_id"]) == job]

    def doctor_finds(self) -> list[str]:
        """What is broken, or worth a look, by the doctor's judgement; manage() fails where it could not tell."""
        (report,) = json.loads(self.manage("gristmill", "doctor", "--json"))["databases"]
        return [str(finding) for finding in report["findings"]]

    def what_workers_said(self) -> str:
        return "\n".join(f"--- {worker.log.name}\n{worker.said()[-3000:]}" for worker in self.workers)


def hex_of(value: object) -> str:
    """An id as 32 hex digits, whatever the driver made of it."""
    return str(value).replace("-", "")


def living_processes() -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if (entry / "stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX":
                    yield int(entry.name)


def parent_of(pid: int) -> int:
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    return 0


def environment_of(pid: int) -> list[bytes]:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return []


def monotonic() -> float:
    """The clock that tasks write down; one for the whole machine."""
    return time.monotonic()

"""The site that browsers look at, served by a thread of this process, and the real worker beside it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from waiting import PATIENCE, wait_for

SITE = Path(__file__).resolve().parent / "site"
USER, PASSWORD = "lea", "a secret"
STARTS_WITHIN = STOPS_WITHIN = 10.0


class Served:
    """Django's own server for tests, on a port that was free, with the admin's files."""

    def __init__(self) -> None:
        from django.contrib.staticfiles.handlers import StaticFilesHandler
        from django.test.testcases import LiveServerThread

        self.thread = LiveServerThread("127.0.0.1", StaticFilesHandler)
        self.thread.daemon = True
        self.thread.start()
        self.thread.is_ready.wait()
        if self.thread.error:
            raise self.thread.error

    @property
    def url(self) -> str:
        """Where it is, without a slash behind it."""
        return f"http://127.0.0.1:{self.thread.port}"

    def stop(self) -> None:
        self.thread.terminate()


class Worker:
    """`manage.py gristmill worker` of a project, in a session of its own."""

    def __init__(self, project: Path, log: Path, *options: str) -> None:
        self.project, self.log, self.options = project, log, options
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it, where it does not run, and waits for its row."""
        from gristmill.models import Worker as WorkerRow

        if self.process is not None:
            return
        with self.log.open("ab") as output:
            process = self.process = subprocess.Popen(
                [sys.executable, "manage.py", "gristmill", "worker", *self.options],
                cwd=self.project,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

        def lives() -> bool:
            assert process.poll() is None, self.log.read_text()
            return WorkerRow.objects.filter(pid=process.pid).exists()

        wait_for("the worker to start", lives, STARTS_WITHIN)

    def stop(self) -> None:
        """Lets it finish, within bounds."""
        if self.process is None:
            return
        process, self.process = self.process, None
        process.terminate()
        try:
            process.wait(STOPS_WITHIN * PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def session_of(username: str) -> str:
    """The cookie of a user who has logged in."""
    from django.contrib.auth import get_user_model
    from django.test import Client

    client = Client()
    client.force_login(get_user_model().objects.get(username=username))
    return client.cookies["sessionid"].value


def forget_jobs() -> None:
    """Empties the queue's tables, but for what the living worker has told of itself."""
    from django.db import connection, transaction

    from gristmill.models import RunningRow

    wait_for("what runs to end", lambda: not RunningRow.objects.exists(), STOPS_WITHIN)
    kept = {"gristmill_schema", "gristmill_worker"}
    names = {name for name in connection.introspection.table_names() if name.startswith("gristmill_")} - kept
    with connection.constraint_checks_disabled(), transaction.atomic(), connection.cursor() as cursor:
        for name in sorted(names):
            cursor.execute(f"delete from {connection.ops.quote_name(name)}")
        cursor.execute("delete from gristmill_worker where stopped_at is not null or lost_at is not null")

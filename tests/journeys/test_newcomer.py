"""An afternoon with docs/start and ten mistakes: the first line that each prints says what to do."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import encrypted
import pytest
from waiting import PATIENCE, wait_for

SETTINGS = """
import os
SECRET_KEY = "only in tests"
USE_TZ = True
INSTALLED_APPS = ["shop", "gristmill"]
if "PGPORT" in os.environ:
    DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "postgres", "USER": "gristmill",
                             "HOST": "127.0.0.1", "PORT": os.environ["PGPORT"],
                             "OPTIONS": {"sslmode": os.environ["TLS"]}}}
else:
    DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "shop.sqlite3",
                             "OPTIONS": {"transaction_mode": "IMMEDIATE"}}}
TASKS = {"default": {"BACKEND": "gristmill.backend.GristmillBackend", "QUEUES": ["default", "mail"]}}
"""
MANAGE = """
import os, sys
from django.core.management import execute_from_command_line
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
execute_from_command_line(sys.argv)
"""
TASKS = """
import time
from gristmill.compat import task

@task(queue_name="mail", priority=10)
def send_receipt(order_id: int) -> str:
    return f"receipt for order {order_id}"

@task
def count_stock(seconds: int) -> None:
    time.sleep(seconds)
"""
UNTIL_DONE = ("gristmill", "worker", "--processes", "1", "--until-done")


class Shop:
    """A project as docs/start has it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "shop").mkdir()
        for name, text in {
            "settings.py": SETTINGS,
            "manage.py": MANAGE,
            "shop/__init__.py": "",
            "shop/tasks.py": TASKS,
        }.items():
            (folder / name).write_text(text)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("DJANGO_", "PG", "PYTEST_"))}
        self.env = {**kept, "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}
        self.workers: list[subprocess.Popen[str]] = []

    def says(self, *arguments: str, status: int | None = None) -> list[str]:
        """The lines that a command prints, the innermost of a traceback's alone."""
        run = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(run, cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=60 * PATIENCE)
        assert status is None or done.returncode == status, done.stdout + done.stderr
        lines = (done.stdout + done.stderr).strip().splitlines()
        return lines[-1:] if "Traceback" in done.stderr else lines

    def ask(self, call: str, module: str = "shop.tasks") -> list[str]:
        """What an enqueue prints."""
        name, _, arguments = call.partition("(")
        return self.says("shell", "-v", "0", "-c", f"from {module} import {name}; {name}.enqueue({arguments}")

    def worker(self, *options: str) -> subprocess.Popen[str]:
        """A worker of one runner, whose output is a file."""
        with (self.folder / "worker.log").open("a") as output:
            self.workers.append(
                subprocess.Popen(
                    [sys.executable, "manage.py", "gristmill", "worker", "--processes", "1", *options],
                    cwd=self.folder,
                    env=self.env,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                    text=True,
                )
            )
        return self.workers[-1]

    def log(self) -> list[str]:
        """What workers have printed."""
        return (self.folder / "worker.log").read_text().splitlines()

    def close(self) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(tmp_path)
    yield shop
    shop.close()


def test_who_forgets_to_migrate_is_told_to(shop: Shop) -> None:
    assert "run manage.py migrate" in shop.ask("send_receipt(7)")[0]
    assert "run manage.py migrate" in shop.says(*UNTIL_DONE, status=78)[0]


def test_who_forgets_the_app_is_told_where_to_add_it(shop: Shop) -> None:
    settings = shop.folder / "settings.py"
    settings.write_text(SETTINGS.replace('"shop", "gristmill"', '"shop"'))
    assert "add 'gristmill' to INSTALLED_APPS and run manage.py migrate" in shop.ask("send_receipt(7)")[0]


def test_who_puts_a_task_elsewhere_is_told_where_workers_look(shop: Shop) -> None:
    shop.says("migrate", "-v", "0", status=0)
    (shop.folder / "shop" / "mails.py").write_text(TASKS)
    assert "add 'shop.mails' to OPTIONS['TASK_MODULES']" in shop.ask("send_receipt(7)", "shop.mails")[0]
    told = [line for line in shop.says(*UNTIL_DONE, status=3) if " WARN " in line]
    assert 'is its app in INSTALLED_APPS, and shop.mails among OPTIONS["TASK_MODULES"]?' in told[0]


def test_who_gives_wrong_arguments_is_told_which_there_are(shop: Shop) -> None:
    shop.says("migrate", "-v", "0", status=0)
    assert "shop.tasks.send_receipt(order_id: int): too many positional arguments" in shop.ask("send_receipt(7, 8)")[0]


def test_who_names_no_queue_of_the_project_is_told_which_there_are(shop: Shop) -> None:
    shop.says("migrate", "-v", "0", status=0)
    (line,) = shop.says(*UNTIL_DONE, "--queue", "Mail", status=78)
    assert "has no queue 'Mail'; its QUEUES are 'default', 'mail'; did you mean 'mail'?" in line


def test_who_takes_wal_away_is_told_what_sets_it(shop: Shop) -> None:
    shop.says("migrate", "-v", "0", status=0)
    sqlite3.connect(shop.folder / "shop.sqlite3").execute("pragma journal_mode = delete")
    (line,) = shop.says(*UNTIL_DONE, status=78)
    assert "is not in WAL mode" in line
    assert "run manage.py migrate" in line


def test_who_forgets_tls_is_told_that_the_server_wants_it(shop: Shop) -> None:
    with (
        encrypted.certificates() as made,
        encrypted.server(made, encrypted.ENCRYPTED, made.server) as server,
    ):
        shop.env |= {"PGPORT": server.url.rpartition(":")[2].partition("/")[0], "TLS": "require"}
        shop.says("migrate", "-v", "0", status=0)
        shop.env["TLS"] = "disable"
        assert "no encryption" in shop.ask("send_receipt(7)")[0]
        (line,) = shop.says(*UNTIL_DONE, status=78)
        assert "the server wants TLS: set 'sslmode' in OPTIONS of DATABASES to 'require'" in line


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_who_stops_a_worker_is_told_what_happens_and_what_the_next_signal_does(
    shop: Shop, number: signal.Signals
) -> None:
    shop.says("migrate", "-v", "0", status=0)
    worker = shop.worker()
    wait_for("the worker to serve", lambda: any("registered" in line for line in shop.log()), within=20)
    before = len(shop.log())
    worker.send_signal(number)
    assert worker.wait(20 * PATIENCE) == 0, shop.log()
    told = shop.log()[before]
    for words in (f"{number.name}: stopping: claims nothing more", "Once more", "hands it back", "A third time"):
        assert words in told


def test_who_kills_a_worker_hears_from_the_next_one_what_becomes_of_its_job(shop: Shop) -> None:
    shop.says("migrate", "-v", "0", status=0)
    shop.ask("count_stock(600)")
    worker = shop.worker()
    running = sqlite3.connect(shop.folder / "shop.sqlite3")
    started = "select count(*) from gristmill_running"
    wait_for("the job to run", lambda: running.execute(started).fetchone()[0], within=20)
    worker.kill()
    worker.wait()
    before, killed_at = len(shop.log()), time.monotonic()
    shop.worker()

    def told() -> list[str]:
        return [line for line in shop.log()[before:] if "ERROR" in line]

    wait_for("its job to be taken over", lambda: len(told()) >= 2, within=10)
    assert time.monotonic() - killed_at < 10 * PATIENCE
    assert "another worker ended without a word, as by a kill -9; what it had is taken over" in told()[0]
    assert "lost with its worker (runs again at once)" in told()[1]

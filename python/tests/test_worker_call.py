"""A worker that is called is a call: the engine runs as a child, and what it became of comes back to the caller."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command, execute_from_command_line
from django.db import connection, transaction

from gristmill.commands import starting, worker
from gristmill.models import Job
from tests.app.tasks import add

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Makes an executable that does what a shell script says."""

    def make(script: str) -> Path:
        path = tmp_path / "gristmill"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setenv("GRISTMILL_BINARY", str(path))
        return path

    return make


def test_the_line_after_a_call_runs_and_the_jobs_are_done_on_the_callers_own_database():
    ids = [add.enqueue(number).id for number in range(3)]

    call_command("gristmill", "worker", "--until-done", "--processes", "1")

    assert [Job.objects.get(pk=job_id).state for job_id in ids] == ["successful"] * 3
    assert add.get_result(ids[2]).return_value == 3


def test_what_is_left_unserved_is_raised_with_its_status():
    add.enqueue(1)
    with connection.cursor() as cursor:
        for table in ("gristmill_job", "gristmill_ready"):
            cursor.execute(f"update {table} set task_name = 'shop.mails.send'")

    with pytest.raises(CommandError) as ended:
        call_command("gristmill", "worker", "--until-done", "--processes", "1")

    assert ended.value.returncode == 3
    assert str(ended.value) == "the worker ended with status 3: ready jobs are left that it cannot run"
    call_command("gristmill", "worker", "--until-done", "--allow-unserved", "--processes", "1")


@pytest.mark.parametrize(
    ("script", "status", "words"),
    [
        ("exit 77", 77, "status 77: it handed jobs back; they run again elsewhere"),
        ("exit 78", 78, "status 78: it refused to start, and said why"),
        ("exit 99", 99, "status 99: it failed itself, and said why"),
        ("kill -9 $$", 137, "the worker was ended by signal 9 (SIGKILL)"),
    ],
)
def test_every_other_end_is_raised_too(stand_in, script, status, words):
    stand_in(script)

    with pytest.raises(CommandError) as ended:
        call_command("gristmill", "worker", "--until-done")

    assert ended.value.returncode == status
    assert words in str(ended.value)


def test_a_command_line_that_somebody_else_makes_up_is_a_call_too(stand_in):
    stand_in("exit 3")

    with pytest.raises(SystemExit) as ended:
        execute_from_command_line(["manage.py", "gristmill", "worker", "--until-done"])

    assert ended.value.code == 3


def test_only_the_program_itself_is_replaced(stand_in, monkeypatch):
    stand_in("exit 0")
    became = []
    monkeypatch.setattr(worker, "become", lambda *given: became.append(given))
    argv = ["manage.py", "gristmill", "worker", "--until-done"]
    monkeypatch.setattr(sys, "argv", argv)

    call_command("gristmill", "worker", "--until-done")
    assert became == []
    execute_from_command_line()
    assert len(became) == 1


def test_a_call_within_a_transaction_is_refused_as_its_jobs_could_not_be_seen():
    with (
        transaction.atomic(),
        pytest.raises(CommandError, match="a transaction is open on database 'default'") as refused,
    ):
        call_command("gristmill", "worker", "--until-done")

    assert "gristmill.testing.run_jobs()" in str(refused.value)
    connection.ensure_connection()


def test_a_call_leaves_the_callers_connections_and_signals_alone(stand_in):
    stand_in("exit 0")
    connection.ensure_connection()
    own, handler = connection.connection, signal.getsignal(signal.SIGTERM)

    call_command("gristmill", "worker", "--until-done")

    assert connection.connection is own
    assert signal.getsignal(signal.SIGTERM) is handler


def test_a_call_in_a_thread_runs_to_its_end(stand_in):
    stand_in("exit 77")
    statuses = []

    def call():
        try:
            starting.run(str(stand_in("exit 77")), {})
        except CommandError as ended:
            statuses.append(ended.returncode)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    assert statuses == [77]


def test_a_signal_goes_to_the_worker_first_and_then_to_the_caller(tmp_path, stand_in):
    mark = tmp_path / "told"
    binary = stand_in(f"trap 'touch {mark}; exit 0' INT\nkill -INT $PPID\nwhile :; do sleep 0.05; done")

    with pytest.raises(KeyboardInterrupt):
        starting.run(str(binary), {})

    assert mark.exists()


def test_a_worker_whose_caller_is_killed_ends_by_itself(tmp_path):
    said = tmp_path / "said"
    code = (
        "import os; os.environ['DJANGO_SETTINGS_MODULE'] = 'tests.settings'\n"
        "import django; django.setup()\n"
        "from django.db import connections\n"
        f"connections['default'].settings_dict['NAME'] = {str(connection.settings_dict['NAME'])!r}\n"
        "from django.core.management import call_command\n"
        "call_command('gristmill', 'worker', '--processes', '1')\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with said.open("wb") as output:
        caller = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=output, stderr=output)
    try:
        until(lambda: "registered" in said.read_text(), said)
    finally:
        caller.kill()
        caller.wait()

    until(lambda: "drained" in said.read_text(), said)
    assert "the process that called for this worker is gone" in said.read_text()


def until(condition, said):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, said.read_text()
        time.sleep(0.02)

"""What people read and type: ids by either end, sentences that say what to do, terminals of every kind."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import override_settings
from django.utils import timezone

import gristmill
from gristmill import operations
from gristmill.backends.check import check_djangos_own
from gristmill.commands import starting
from gristmill.commands.encodings import plain, speak_plainly
from gristmill.commands.status import lines
from gristmill.compat import TaskError, task_backends
from gristmill.inspect.survey import survey
from gristmill.inspect.workers import live_workers
from gristmill.models import Job, JobRow, ResultRow
from gristmill.results.result import JobError
from gristmill.tasks import registry
from gristmill.worker import booting
from tests import rows
from tests.app.tasks import add, send

pytestmark = pytest.mark.django_db(databases=["default", "other"])
PATH = "gristmill.backend.GristmillBackend"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def run(*arguments, stream=None):
    output = stream or io.StringIO()
    call_command("gristmill", *arguments, stdout=output)
    return output.getvalue()


# -- ids ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "part", [lambda id: id[:20], lambda id: id[-8:], lambda id: id[-14:], lambda id: id[-29:].upper()]
)
@pytest.mark.parametrize(
    ("command", "said"),
    [("explain", "ready"), ("graph", "add"), ("hold", "Held 1 job."), ("cancel", "Cancelled 1 job.")],
)
def test_every_command_takes_an_id_by_either_end(part, command, said):
    add.enqueue(1)
    job = add.enqueue(2)

    # Only the end differs between jobs of one millisecond.
    short = part(job.id)
    if job.id.startswith(short.lower()):
        JobRow.objects.exclude(pk=job.id).delete()
    assert said in run(command, short)


def test_several_ids_may_be_named_by_their_ends():
    first, second = add.enqueue(1), add.enqueue(2)

    assert "Held 2 jobs." in run("hold", first.id[-8:], second.id[-8:])


@pytest.mark.parametrize("command", ["explain", "cancel", "retry"])
def test_an_end_that_fits_no_job_or_several_is_refused(command):
    ids = [add.enqueue(number).id for number in range(2)]
    with pytest.raises(CommandError, match="whose id begins or ends with ffffffff"):
        run(command, "ffffffff")
    with pytest.raises(CommandError, match="is too short: give at least the first or last 8 digits"):
        run(command, ids[0][-5:])


# -- status -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "state"), [(9, "working"), (15, "silent")])
def test_a_worker_that_has_just_been_killed_is_shown_as_silent(seconds, state):
    rows.worker(heartbeat_at=timezone.now() - timedelta(seconds=seconds), heartbeat_seconds=5, lease_seconds=60)

    (worker,) = live_workers(connection, {"default": set()}, timezone.now())

    assert worker.state == state


def test_held_jobs_are_shown_with_the_reasons():
    for number in range(3):
        operations.hold(add.enqueue(number), reason="the disk is full")
    operations.hold(send.enqueue("a"))

    said = run("status").splitlines()

    start = said.index("Held")
    assert [line.split(maxsplit=3) for line in said[start + 2 : start + 4]] == [
        ["3", "default", "default", "the disk is full"],
        ["1", "default", "mail"],
    ]


def test_status_fits_a_terminal_of_eighty_columns():
    rows.worker(label="a-worker-with-a-long-label-indeed", host="host-of-the-shop.example.org", backend="any_queue")
    for number in range(3):
        operations.hold(add.enqueue(number), reason="the disk is full, and the provider of disks does not answer " * 2)
    rows.fail(send.enqueue("b").id, traceback="ValueError: " + "no such order " * 20)
    rows.claim(send.enqueue("c").id)
    JobRow.objects.filter(pk=add.enqueue(1).id).update(task_name="shop.mails.send")
    rows.ReadyRow.objects.update(task_name="shop.a_module_with_a_rather_long_name.that_is_nowhere.send_receipt")
    known = {alias: set() for alias in ("default", "any_queue")}

    said = lines(survey(connection, known), 80)

    assert [line for line in said if len(line) > 80] == []


# -- terminals ----------------------------------------------------------------------------------------------------


def test_what_a_terminal_does_not_have_is_written_in_ascii():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="latin-1")
    speak_plainly(stream, io.StringIO())
    stream.write("größer … → ✓ └── 日")
    stream.flush()

    assert raw.getvalue().decode("latin-1") == r"größer ... -> + +-- \u65e5"


def test_an_error_handler_of_encoding_decodes_nothing():
    with pytest.raises(UnicodeDecodeError):
        plain(UnicodeDecodeError("ascii", b"\xff", 0, 1, "no"))


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_every_command_speaks_on_a_terminal_of_another_encoding(encoding, monkeypatch):
    raw = io.BytesIO()
    rows.fail(add.enqueue(1).id, traceback="ValueError: 日本 …\n")
    stream = io.TextIOWrapper(raw, encoding=encoding)
    job = Job.objects.get()

    for arguments in (["status"], ["graph", job.id.hex], ["explain", job.id.hex]):
        call_command("gristmill", *arguments, stdout=stream)
    stream.flush()

    assert rb"ValueError: \u65e5\u672c ..." in raw.getvalue()


@pytest.mark.django_db(transaction=True)
def test_red_means_error(monkeypatch, settings):
    settings.TASKS = {"default": {"BACKEND": PATH, "QUEUES": []}}
    terminal = Terminal()
    monkeypatch.setattr("gristmill.commands.worker.run", lambda *_: None)

    call_command("gristmill", "worker", "--queue", "Mail", stderr=terminal, force_color=True)

    assert "no setting, task or job has a queue of that name" in terminal.getvalue()
    assert "\x1b[31" not in terminal.getvalue()


# -- sentences ----------------------------------------------------------------------------------------------------


def child(code, **env):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), **env}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)


def test_a_project_without_the_app_is_told_so_in_one_sentence():
    code = (
        "from django.conf import settings\n"
        f"settings.configure(INSTALLED_APPS=[], TASKS={{'default': {{'BACKEND': {PATH!r}}}}})\n"
        "import django; django.setup()\n"
        "from gristmill import task\n"
        "def f(): pass\n"
        "task(f).enqueue()\n"
    )
    done = child(code)
    assert done.stderr.splitlines()[-1].endswith(
        "ImproperlyConfigured: Gristmill's app is not installed, so its tables are not there: add 'gristmill' to "
        "INSTALLED_APPS and run manage.py migrate"
    )


def test_a_database_that_is_not_in_the_settings_is_named_wherever_it_is_met():
    with override_settings(TASKS={"default": {"BACKEND": PATH, "OPTIONS": {"DATABASE": "nope"}}}):
        (message,) = [each for each in task_backends["default"].check() if each.level >= 40]
        assert (message.id, message.msg) == (
            "gristmill.E005",
            "TASKS['default']['OPTIONS']['DATABASE'] names 'nope', which is not in DATABASES; there is 'default', "
            "'other'.",
        )
        with pytest.raises(ImproperlyConfigured, match="which is not in DATABASES"):
            add.enqueue(1)
        for command in ("status", "worker"):
            with pytest.raises(CommandError, match="which is not in DATABASES"):
                run(command)
        # Nor does a task that is transactional advise to write there.
        gristmill.task(transactional=True, name="words.transactional")(plain)


class Outer:
    class Inner(Exception):
        """Nested, as an exception of a model is."""


def test_the_class_of_an_error_is_found_within_a_class():
    job_id = add.enqueue(1).id
    rows.fail(job_id, f"{__name__}.Outer.Inner", "Inner: no\n")

    (error,) = add.get_result(job_id).errors

    assert error.exception_class is Outer.Inner
    assert isinstance(error, TaskError)
    assert error == TaskError(exception_class_path=error.exception_class_path, traceback=error.traceback)
    assert len({error, error}) == 1


@pytest.mark.parametrize("path", ["tests.nowhere.Gone", "tests.test_words.Outer.Gone", "tests.test_words.run", "Gone"])
def test_of_the_class_of_an_error_that_is_gone_the_error_is_djangos_own(path):
    with pytest.raises((ImportError, ValueError), match=path.split(".")[0]):
        _ = JobError(exception_class_path=path, traceback="").exception_class


@pytest.mark.parametrize("kind", ["dummy", "immediate"])
def test_djangos_own_backends_are_named_where_options_have_no_effect(kind, monkeypatch):
    monkeypatch.setattr(registry, "without_effect", {})
    module = task_backends["not_ours"].__module__.rpartition(".")[0]
    path = f"{module}.{kind}.{kind.title()}Backend"
    with override_settings(TASKS={"default": {"BACKEND": path}}):
        gristmill.task(plain)
        assert check_djangos_own(None) == []
        gristmill.task(max_attempts=3)(plain)

        (message,) = check_djangos_own(None)

    assert message.id == "gristmill.W007"
    assert "where the options of gristmill.commands.encodings.plain have no effect" in message.msg
    assert f"'gristmill.backends.{kind}.{kind.title()}Backend', which does the same" in message.hint


def test_reprs_are_one_line():
    operations.hold(add.enqueue(1), reason="two\nlines")
    rows.fail(add.enqueue(2).id, traceback="Traceback\nValueError: two\nlines\n")
    things = [add, add.using(priority=3), gristmill.remote("rust.resize"), gristmill.Unique(by="left")]
    things += [*Job.objects.all(), *ResultRow.objects.all(), add.get_result(str(Job.objects.first().id))]
    things += [Job.objects.all(), Job.objects.first().explain(), add.enqueue_many([(1,), (2,)])]
    for thing in things:
        assert "\n" not in repr(thing), repr(thing)


# -- set-ups of other kinds ---------------------------------------------------------------------------------------


def test_what_a_project_needs_before_the_setup_is_called_in_the_zygote(tmp_path, monkeypatch):
    (tmp_path / "before_setup.py").write_text("called = []\n\ndef setup():\n    called.append(1)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import before_setup

    for path, count in (("before_setup.setup", 1), ("", 1)):
        monkeypatch.setenv("GRISTMILL_SETUP", path)
        booting.call_before_setup()
        assert len(before_setup.called) == count
        assert "GRISTMILL_SETUP" not in os.environ
    assert starting.environment({"setup": "before_setup.setup"}, 7)["GRISTMILL_SETUP"] == "before_setup.setup"
    assert "GRISTMILL_SETUP" not in starting.environment({"setup": None}, 7)


@pytest.mark.parametrize("value", [7, "setup", "nowhere.setup", "os.path.sep"])
def test_a_setup_that_cannot_be_called_is_refused_by_a_check(value):
    with override_settings(TASKS={"default": {"BACKEND": PATH, "OPTIONS": {"SETUP": value}}}):
        assert "gristmill.E013" in {message.id for message in task_backends["default"].check()}
    with override_settings(TASKS={"default": {"BACKEND": PATH, "OPTIONS": {"SETUP": "os.getcwd"}}}):
        assert "gristmill.E013" not in {message.id for message in task_backends["default"].check()}

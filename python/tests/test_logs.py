"""What a worker's Python processes log: one form, with the job that it is about, and as JSON without exception."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
import threading
from types import SimpleNamespace

import pytest
from django.core.management import CommandError, call_command, execute_from_command_line
from django.dispatch import Signal

from gristmill.commands import starting
from gristmill.runner import capture
from gristmill.runner.signals import announce
from gristmill.worker import logs

JOB = {"id": "01a22b5190987e9486051a710c371826", "task": "shop.tasks.send", "queue_name": "mail"}
MOMENT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"


@pytest.fixture
def in_a_job():
    """As if a sync job ran here."""
    record, outer = capture.Record(), capture.current()
    record.job = JOB
    capture.serve_sync(record)
    yield record
    capture.serve_sync(outer)


@pytest.fixture
def kept():
    """Leaves Python's logging as it was."""
    last, hook, own = logging.lastResort, threading.excepthook, logging.getLogger("gristmill")
    form, level, disabled = last.formatter, last.level, own.disabled
    yield last
    last.setFormatter(form)
    last.setLevel(level)
    own.disabled, threading.excepthook = disabled, hook


def record(message="sent to %s", *args, level=logging.WARNING, error=None):
    exc_info = (type(error), error, error.__traceback__) if error is not None else None
    return logging.LogRecord("shop.mail", level, __file__, 1, message, args or ("lea",), exc_info)


def raised():
    try:
        raise ValueError("no such order")
    except ValueError as error:
        return error


def test_a_line_is_as_the_engine_writes_it(in_a_job):
    assert re.fullmatch(
        rf"{MOMENT}  WARN sent to lea job\.id={JOB['id']} task\.name=shop\.tasks\.send queue\.name=mail",
        logs.LineFormatter().format(record()),
    )


def test_a_traceback_stands_below_its_line():
    line, *below = logs.LineFormatter().format(record(level=logging.CRITICAL, error=raised())).splitlines()

    assert re.fullmatch(rf"{MOMENT} ERROR sent to lea", line)
    assert (below[0], below[-1]) == ("Traceback (most recent call last):", "ValueError: no such order")


def test_as_json_it_has_the_keys_of_the_engine(in_a_job):
    line = logs.JSONFormatter().format(record(error=raised()))
    said = json.loads(line)

    assert re.fullmatch(MOMENT, said.pop("timestamp"))
    assert said.pop("traceback").endswith("ValueError: no such order")
    assert said == {
        "level": "WARN",
        "message": "sent to lea",
        "job.id": JOB["id"],
        "task.name": "shop.tasks.send",
        "queue.name": "mail",
        "logger": "shop.mail",
    }
    assert "\n" not in line


def test_outside_of_a_job_no_job_is_named():
    assert "job.id" not in json.loads(logs.JSONFormatter().format(record()))


def stream():
    real = io.StringIO()
    return real, capture.Stream(real, lambda line, record: logs.printed(line, "stdout", record))


def said_on(real):
    return [json.loads(line) for line in real.getvalue().splitlines()]


def test_what_a_task_prints_is_json_line_by_line(in_a_job):
    real, printed = stream()
    printed.write("one\ntw")
    printed.write("o\nthr")
    printed.write(logs.JSONFormatter().format(record()) + "\n")
    printed.write("ee")
    printed.flush()

    assert [line["message"] for line in said_on(real)] == ["one", "two", "thr", "sent to lea", "ee"]
    assert {line["job.id"] for line in said_on(real)} == {JOB["id"]}
    # What is kept with the attempt is what was printed.
    assert in_a_job.text().startswith("one\ntwo\nthr{")


def test_what_no_job_prints_is_json_too():
    real, printed = stream()
    printed.write("at imp")
    printed.write("ort\nhalf")
    printed.write(logs.JSONFormatter().format(record()) + "\n")
    printed.write("rest")
    printed.flush()

    assert [line["message"] for line in said_on(real)] == ["at import", "half", "sent to lea", "rest"]
    assert said_on(real)[0]["stream"] == "stdout"


def test_without_json_what_is_printed_is_sent_on_as_it_is(in_a_job):
    real = io.StringIO()
    capture.Stream(real).write("one\n")

    assert real.getvalue() == "one\n"


def test_where_nothing_is_configured_lines_have_the_workers_form(kept, monkeypatch):
    for variable in (logs.JSON, logs.QUIET):
        monkeypatch.delenv(variable, raising=False)
    logging.getLogger("gristmill").disabled = True

    logs.configure()

    assert isinstance(kept.formatter, logs.LineFormatter)
    assert (kept.level, logging.getLogger("gristmill").disabled) == (logging.WARNING, False)
    monkeypatch.setenv(logs.QUIET, "1")
    logs.configure()
    assert kept.level == logging.ERROR


def test_with_json_the_projects_own_formatters_of_standard_streams_give_way(kept, monkeypatch, tmp_path):
    monkeypatch.setenv(logs.JSON, "1")
    own, handlers = logging.getLogger("shop.own"), []
    handlers.append(logging.StreamHandler(capture.Stream(io.StringIO())))
    handlers.append(logging.FileHandler(tmp_path / "log"))
    for handler in handlers:
        handler.setFormatter(logging.Formatter("mine: %(message)s"))
        own.addHandler(handler)
    try:
        logs.configure()
        assert isinstance(handlers[0].formatter, logs.JSONFormatter)
        assert not isinstance(handlers[1].formatter, logs.JSONFormatter)
    finally:
        for handler in handlers:
            own.removeHandler(handler)
            handler.close()


def test_what_a_thread_raises_is_logged(caplog):
    error = raised()
    logs.log_from_thread(SimpleNamespace(exc_type=ValueError, exc_value=error, exc_traceback=None, thread=None))
    logs.log_from_thread(SimpleNamespace(exc_type=SystemExit, exc_value=SystemExit(), exc_traceback=None, thread=None))

    (only,) = caplog.records
    assert only.exc_info[1] is error


# -- receivers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("debug", [False, True])
def test_what_a_receiver_raises_is_logged_under_production_settings(caplog, settings, debug):
    settings.DEBUG = debug
    sent, called = Signal(), []

    def broken(sender, **kwargs):
        raise LookupError("no shop")

    def fine(sender, **kwargs):
        called.append(1)

    sent.connect(broken)
    sent.connect(fine)
    announce(sent, type, SimpleNamespace(id="7"))

    (said,) = [each for each in caplog.records if each.name == "gristmill"]
    assert said.getMessage().startswith("job 7: a signal receiver, tests.test_logs.test_what_a_receiver_raises")
    assert said.getMessage().endswith("broken, raised builtins.LookupError")
    # Under DEBUG Django's own log has the traceback.
    assert bool(said.exc_info) is not debug
    assert called == [1]


# -- the command --------------------------------------------------------------------------------------------------


def test_json_and_quiet_are_told_to_the_processes_and_not_inherited(monkeypatch):
    for variable in (logs.JSON, logs.QUIET, starting.SETUP, starting.NAMES):
        monkeypatch.setenv(variable, "of another worker")

    told = starting.environment({"json_logs": True, "verbosity": 0}, 7)
    plain = starting.environment({"json_logs": False, "verbosity": 1}, 7)

    assert (told[logs.JSON], told[logs.QUIET]) == ("1", "1")
    assert not {logs.JSON, logs.QUIET, starting.SETUP, starting.NAMES} & set(plain)


@pytest.mark.django_db(transaction=True)
def test_with_json_a_worker_that_refuses_says_so_in_json(monkeypatch, capsys):
    argv = ["manage.py", "gristmill", "worker", "--json-logs", "--queue", "nope"]
    monkeypatch.setattr(sys, "argv", argv)

    with pytest.raises(SystemExit) as ended:
        execute_from_command_line(argv)

    assert ended.value.code == 78
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["message"].startswith("backend 'default' has no queue 'nope'")
    with pytest.raises(CommandError, match="has no queue 'nope'"):
        call_command("gristmill", "worker", "--json-logs", "--queue", "nope")

"""`manage.py gristmill worker`: refuses what cannot work in one sentence, then becomes the executable."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection, connections

from gristmill.commands import starting, worker
from gristmill.models import Job, JobRow, ReadyRow
from gristmill.values import binary
from tests.app.tasks import add

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])

# Says what an executable would see.
SPY = """#!{python}
import json, os, sys
config = os.read(int(os.environ["GRISTMILL_CONFIG_FD"]), 70_000).decode()
print(json.dumps({{"argv": sys.argv, "environ": dict(os.environ), "config": json.loads(config)}}))
"""


@pytest.fixture
def spy(tmp_path, monkeypatch):
    path = tmp_path / "gristmill"
    path.write_text(SPY.format(python=sys.executable), encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("GRISTMILL_BINARY", str(path))
    return path


@pytest.fixture
def handed_over(monkeypatch, spy):
    """Runs the command, and returns the configuration it would hand over."""
    found = []
    monkeypatch.setattr(worker, "run", lambda binary, config: found.append(config))

    def run(*arguments, **options):
        call_command("gristmill", "worker", *arguments, **options)
        return found[-1]

    return run


def test_without_options_the_settings_count(handed_over):
    config = handed_over()

    assert config["backend"] == "default"
    assert config["queues"] == ["default", "mail"]
    assert config["exclude_queues"] == []
    assert (config["grace"], config["heartbeat"], config["poll_interval"]) == (25.0, 5.0, 2.0)
    assert (config["once"], config["until_done"], config["max_jobs"]) == (False, False, None)
    assert (config["concurrency"], config["max_runner_memory_mb"]) == (10, None)
    assert config["deadline_horizon_seconds"] is None
    assert (config["retention"], config["queue_limits"], config["unprefetched"]) == (14 * 86_400.0, {}, [])
    assert config["callback_timeout"] == 30
    assert config["processes"] is None, "the engine counts the cores that it may use, quotas included"
    assert config["python"] == sys.executable
    assert config["settings_module"] == "tests.settings"
    assert config["label"].endswith(str(os.getpid()))
    assert "" not in config["python_path"]
    assert config["reload"] is False


def test_a_backend_without_queues_serves_all(handed_over):
    assert handed_over("--backend", "any_queue")["queues"] is None


def test_every_option_is_handed_over(handed_over):
    arguments = (
        "--queue mail --queue default --queue mail --exclude-queue spam --label w-{pid}@{host} --processes 3 "
        "--until-done --max-jobs 10 --poll-interval 0.5 --grace 0 --heartbeat 1 "
        "--max-jobs-per-runner 100 --concurrency 50 --max-runner-memory-mb 512 --deadline-horizon 5m "
        "--reload --json-logs --heartbeat-file run/heartbeat"
    )

    config = handed_over(*arguments.split(), "-v", "2")

    assert config["queues"] == ["mail", "default"]
    assert config["exclude_queues"] == ["spam"]
    assert config["label"].startswith(f"w-{os.getpid()}@")
    assert [config[name] for name in ("processes", "max_jobs", "max_jobs_per_runner")] == [3, 10, 100]
    assert [config[name] for name in ("concurrency", "max_runner_memory_mb")] == [50, 512]
    assert [config[name] for name in ("poll_interval", "grace", "heartbeat")] == [0.5, 0.0, 1.0]
    assert config["deadline_horizon_seconds"] == 300.0
    assert config["heartbeat_file"] == os.path.abspath("run/heartbeat")
    assert [config[name] for name in ("until_done", "reload", "json_logs", "verbosity")] == [True, True, True, 2]


def test_runners_have_the_options_of_the_interpreter(handed_over, monkeypatch):
    given = ["-OO", "-b", "-Wdefault", "-Werror::ResourceWarning", "-Xdev", "-Xown=1"]
    ask = "import json; from gristmill.commands.interpreter import interpreter_options as o; print(json.dumps(o()))"
    options = json.loads(subprocess.check_output([sys.executable, *given, "-c", ask]))

    say = "import sys; print(sys.flags.optimize, sys.flags.dev_mode, sys._xoptions, sys.warnoptions[-3:])"
    said = [subprocess.check_output([sys.executable, *each, "-c", say], text=True) for each in (given, options)]
    assert said[0].split()[:2] == ["2", "True"]
    assert said[0] == said[1]

    monkeypatch.setattr(sys, "warnoptions", ["error::ResourceWarning"])
    assert "-Werror::ResourceWarning" in handed_over()["python_options"]


@pytest.mark.parametrize(
    ("arguments", "reload"),
    [("", True), ("--no-reload", False), ("--once", False), ("--until-done", False), ("--once --reload", True)],
)
def test_under_debug_a_worker_that_stays_reloads(handed_over, settings, arguments, reload):
    settings.DEBUG = True

    assert handed_over(*arguments.split())["reload"] is reload


def test_the_project_may_set_defaults_and_the_command_line_wins(handed_over, settings):
    defaults = {"WORKER": {"processes": 9, "grace": 1, "json_logs": True}}
    settings.TASKS = {"default": {"BACKEND": "gristmill.backend.GristmillBackend", "OPTIONS": defaults}}

    config = handed_over("--processes", "2")

    assert (config["processes"], config["grace"], config["json_logs"]) == (2, 1.0, True)


@pytest.mark.parametrize("horizon", [timedelta(hours=1), 3600])
def test_the_project_may_set_a_deadline_horizon(handed_over, settings, horizon):
    options = {"WORKER": {"deadline_horizon": horizon}}
    settings.TASKS = {"default": {"BACKEND": "gristmill.backend.GristmillBackend", "OPTIONS": options}}

    assert handed_over()["deadline_horizon_seconds"] == 3600.0
    assert handed_over("--deadline-horizon", "0s")["deadline_horizon_seconds"] == 0.0


@pytest.mark.parametrize("horizon", [-1, "5m", True])
def test_a_deadline_horizon_that_makes_no_sense_is_refused(handed_over, settings, horizon):
    options = {"WORKER": {"deadline_horizon": horizon}}
    settings.TASKS = {"default": {"BACKEND": "gristmill.backend.GristmillBackend", "OPTIONS": options}}

    with pytest.raises(CommandError, match=r"deadline.horizon'? must be a timedelta or a number of seconds, from 0 to"):
        handed_over()


QUEUE_SETTINGS = {
    "RETENTION": timedelta(days=3),
    "CALLBACK_TIMEOUT": timedelta(minutes=2),
    "QUEUES": {
        "mail": {
            "processes": 2,
            "prefetch": False,
            "poll_interval": 0.5,
            "retention": 60,
            "defaults": {"max_attempts": 5},
        },
        "default": {"prefetch": True},
    },
}


@pytest.mark.parametrize(
    ("arguments", "limits", "unprefetched", "poll_interval"),
    [
        ("", {"mail": 2}, ["mail"], 0.5),
        ("--queue default", {}, [], 2.0),
        ("--exclude-queue mail", {}, [], 2.0),
        ("--poll-interval 0.2", {"mail": 2}, ["mail"], 0.2),
        ("--poll-interval 30", {"mail": 2}, ["mail"], 0.5),
    ],
)
def test_what_is_said_of_the_queues_served_is_handed_over(
    handed_over, settings, arguments, limits, unprefetched, poll_interval
):
    settings.TASKS = {
        "default": {
            "BACKEND": "gristmill.backend.GristmillBackend",
            "QUEUES": ["default", "mail"],
            "OPTIONS": QUEUE_SETTINGS,
        }
    }

    config = handed_over(*arguments.split())

    assert (config["queue_limits"], config["unprefetched"]) == (limits, unprefetched)
    assert config["poll_interval"] == poll_interval
    assert config["retention"] == 3 * 86_400.0
    assert config["callback_timeout"] == 120


@pytest.mark.parametrize(("queue_name", "retention"), [("mail", 60.0), ("default", None)])
def test_a_queues_retention_and_defaults_are_its_jobs(settings, queue_name, retention):
    settings.TASKS = {
        "default": {
            "BACKEND": "gristmill.backend.GristmillBackend",
            "QUEUES": ["default", "mail"],
            "OPTIONS": QUEUE_SETTINGS,
        }
    }

    job = Job.objects.get(pk=add.using(queue_name=queue_name).enqueue(1).id)

    assert (job.options or {}).get("retention") == retention
    assert (job.options or {}).get("max_attempts") == (5 if retention else None)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"RETENTION": timedelta(seconds=-1)}, "['RETENTION'] must be a timedelta or a number of seconds"),
        ({"RETENTION": float("inf")}, "['RETENTION'] must be a timedelta or a number of seconds"),
        ({"RETENTION": 10**400}, "['RETENTION'] must be a timedelta or a number of seconds"),
        ({"WORKER": {"grace": 10**400}}, "'grace' must be a number of seconds from 0 to 86,400"),
        ({"WORKER": {"heartbeat": timedelta.max}}, "'heartbeat' must be a number of seconds from 0.05 to 600"),
        ({"WORKER": {"max_jobs": timedelta(1)}}, "'max_jobs' must be a whole number from 1 to"),
        ({"QUEUES": {"mail": 3}}, "['QUEUES']['mail'] must be a dictionary under a queue's name, not 3"),
        ({"QUEUES": {"mail": {"processes": 0}}}, "['processes'] must be a whole number from 1 to 1,024, not 0"),
        ({"QUEUES": {"mail": {"poll_interval": 0}}}, "['poll_interval'] must be a number of seconds from 0.01 to"),
        ({"QUEUES": {"mail": {"prefetch": 1}}}, "['QUEUES']['mail']['prefetch'] must be True or False, not 1"),
        ({"QUEUES": {"mail": {"retention": -1}}}, "['retention'] must be a timedelta or a number of seconds"),
    ],
)
def test_settings_of_queues_that_cannot_work_are_refused(handed_over, settings, options, sentence):
    settings.TASKS = {"default": {"BACKEND": "gristmill.backend.GristmillBackend", "QUEUES": [], "OPTIONS": options}}

    with pytest.raises(CommandError) as refused:
        handed_over()

    assert sentence in str(refused.value)


def test_lengths_of_time_in_the_settings_may_be_timedeltas(handed_over, settings):
    worker_options = {
        "grace": timedelta(minutes=1),
        "heartbeat": timedelta(seconds=2),
        "poll_interval": timedelta(seconds=1),
    }
    queues = {"mail": {"poll_interval": timedelta(milliseconds=500)}}
    options = {"WORKER": worker_options, "QUEUES": queues}
    settings.TASKS = {"default": {"BACKEND": "gristmill.backend.GristmillBackend", "QUEUES": [], "OPTIONS": options}}

    config = handed_over()

    assert (config["grace"], config["heartbeat"], config["poll_interval"]) == (60.0, 2.0, 0.5)


def test_a_backend_of_any_queue_hands_over_what_is_said_of_all(handed_over, settings):
    reports = {"processes": 1, "prefetch": False, "poll_interval": 0.1}
    options = {"QUEUES": {**QUEUE_SETTINGS["QUEUES"], "reports": reports}, "RETENTION": 0}
    backend = {"BACKEND": "gristmill.backend.GristmillBackend", "QUEUES": [], "OPTIONS": options}
    settings.TASKS = {"default": backend}

    config = handed_over()

    assert config["queue_limits"] == {"mail": 2, "reports": 1}
    assert (config["unprefetched"], config["poll_interval"], config["retention"]) == (["mail", "reports"], 0.1, 0.0)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("--backend nope", "there is no backend 'nope' in TASKS"),
        ("--backend not_ours", "not Gristmill's; those that use Gristmill: default, any_queue, elsewhere"),
        ("--queue nope", "backend 'default' has no queue 'nope'; its QUEUES are 'default', 'mail'"),
        ("--queue Mail", "has no queue 'Mail'; its QUEUES are 'default', 'mail'; did you mean 'mail'?"),
        ("--queue mail,default", "'default', 'mail'; name one at a time: --queue mail --queue default"),
        ("--backend any_queue --queue a,b", "there is no queue 'a,b'; name one at a time: --queue a --queue b"),
        ("--queue mail --exclude-queue mail", "no queue is left to serve: of 'mail' all are excluded"),
        ("--exclude-queue mail --exclude-queue default", "no queue is left to serve: of 'default', 'mail' all are"),
        ("--processes 0", "--processes must be a whole number from 1 to 1,024, not '0'"),
        ("--processes many", "--processes must be a whole number"),
        ("--grace -1", "--grace must be a number of seconds from 0 to 86,400, not '-1'"),
        ("--poll-interval nan", "--poll-interval must be a number of seconds"),
        ("--poll-interval inf", "--poll-interval must be a number of seconds"),
        ("--heartbeat 0", "--heartbeat must be a number of seconds"),
        ("--max-jobs 1.5", "--max-jobs must be a whole number"),
        ("--concurrency 0", "--concurrency must be a whole number from 1 to 1,000, not '0'"),
        ("--max-runner-memory-mb 1", "--max-runner-memory-mb must be a whole number from 16 to"),
        ("--once --until-done", "--once and --until-done exclude each other"),
        ("--deadline-horizon 5", "'5' is not a length of time; write 90s, 15m, 2h or 7d"),
        ("--label=", "--label must be 1 to 200 printable characters"),
    ],
)
def test_what_cannot_work_is_refused_in_one_sentence(handed_over, arguments, sentence):
    with pytest.raises(CommandError) as refused:
        handed_over(*arguments.split())

    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)
    assert refused.value.returncode == (1 if "length of time" in sentence else 78)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("--backend any_queue --queue Mail", "--queue Mail: no setting, task or job has a queue of that name; did you"),
        ("--exclude-queue spam", "--exclude-queue spam: no setting, task or job has a queue of that name"),
    ],
)
def test_a_queue_that_nothing_has_is_warned_about(handed_over, capsys, arguments, sentence):
    handed_over(*arguments.split())

    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", ["--backend any_queue --queue mail", "--backend any_queue --queue left --queue mail"]
)
def test_a_queue_that_a_task_or_a_job_has_is_no_reason_to_warn(handed_over, capsys, arguments):
    add.using(backend="any_queue", queue_name="left").enqueue(1)

    handed_over(*arguments.split())

    assert capsys.readouterr().err == ""


def test_a_queue_that_has_left_the_settings_may_be_emptied(handed_over):
    JobRow.objects.filter(pk=add.enqueue(1).id).update(queue_name="old")
    ReadyRow.objects.update(queue_name="old")

    assert handed_over("--queue", "old")["queues"] == ["old"]


def test_an_unmigrated_database_is_refused(handed_over, monkeypatch):
    monkeypatch.setattr(type(connections["default"].introspection), "get_table_list", lambda self, cursor: [])

    with pytest.raises(CommandError, match=r"tables are missing on database 'default'; run manage\.py migrate$"):
        handed_over()


def test_a_database_without_autocommit_is_refused_in_one_sentence(monkeypatch):
    monkeypatch.setitem(connection.settings_dict, "AUTOCOMMIT", False)
    monkeypatch.setattr(worker, "run", lambda *_: pytest.fail("a worker was started"))

    with pytest.raises(CommandError) as refused:
        call_command("gristmill", "worker", "--until-done")

    assert str(refused.value).startswith("Database 'default' has AUTOCOMMIT off, so nothing that transactional tasks")
    assert "\n" not in str(refused.value)


def test_an_error_of_the_system_checks_is_refused(handed_over, settings):
    settings.TASKS = {"default": {"BACKEND": "gristmill.backend.GristmillBackend", "OPTIONS": {"CLOKC": "django"}}}

    with pytest.raises(CommandError, match="unknown key 'CLOKC'"):
        handed_over()


def test_an_unreachable_database_is_refused(handed_over, monkeypatch):
    def unreachable(*args, **kwargs):
        raise OperationalError("connection refused\n")

    monkeypatch.setattr(connection, "cursor", unreachable)

    with pytest.raises(CommandError, match=r"^database 'default' cannot be reached: connection refused$") as refused:
        handed_over()

    assert refused.value.returncode == 1, "it may come back, so starting the worker again helps"


@pytest.mark.parametrize("said", ['password authentication failed for user "shop"', "file is not a database"])
def test_a_database_that_lets_nobody_in_is_refused_for_good(handed_over, monkeypatch, said):
    def refuse(*args, **kwargs):
        raise OperationalError(said)

    monkeypatch.setattr(connection, "cursor", refuse)

    with pytest.raises(CommandError) as refused:
        handed_over()

    assert refused.value.returncode == 78


def test_a_system_that_workers_do_not_run_on_is_refused_in_one_sentence(handed_over, monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")

    with pytest.raises(
        CommandError, match=r"^workers run on Linux, and this is darwin; web processes and tests"
    ) as refused:
        handed_over()

    assert refused.value.returncode == 78


def test_the_executable_gets_everything_through_the_descriptor(spy):
    database = {"engine": "postgres", "password": "s3cret-canary", "name": "x"}
    code = f"from gristmill.commands.starting import become; become({str(spy)!r}, {{'database': {database!r}}})"

    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=child_env())

    seen = json.loads(answer.stdout)
    assert seen["argv"] == [str(spy), "worker"]
    assert seen["config"] == {"database": database, "environment": {}}
    assert "s3cret-canary" not in json.dumps([seen["argv"], seen["environ"]])


@pytest.mark.parametrize("start", ["become", "run"])
def test_the_roots_of_the_settings_are_the_executables_alone_and_what_was_there_is_handed_over(spy, start):
    database = {"engine": "postgres", "sslrootcert": "/root.crt"}
    code = "import django; django.setup(); from gristmill.commands import starting; "
    code += f"starting.{start}({str(spy)!r}, {{'database': {database!r}}})"
    own = {**child_env(), "SSL_CERT_FILE": "/of/the/project.crt"}
    own.pop("SSL_CERT_DIR", None)

    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=own)

    seen = json.loads(answer.stdout)
    assert (seen["environ"]["SSL_CERT_FILE"], seen["environ"]["SSL_CERT_DIR"]) == ("/root.crt", os.devnull)
    assert seen["config"]["environment"] == {"SSL_CERT_FILE": "/of/the/project.crt", "SSL_CERT_DIR": None}


def test_an_executable_that_cannot_start_is_one_sentence(tmp_path):
    path = tmp_path / "gristmill"
    path.write_bytes(b"\0not a program")
    path.chmod(0o755)

    with pytest.raises(CommandError, match=r"gristmill cannot be started: Exec format error$"):
        starting.become(str(path), {})
    with pytest.raises(CommandError, match=r"gristmill cannot be started: Exec format error$"):
        starting.run(str(path), {})


def test_the_settings_option_may_stand_after_the_subcommand(spy):
    environment = child_env()
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    command = [sys.executable, "-m", "django", "gristmill", "worker", "--settings", "tests.settings", "--backend", "x"]

    answer = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)

    assert answer.returncode == 78
    assert answer.stderr.startswith("CommandError: there is no backend 'x' in TASKS")


def test_a_missing_executable_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.delenv("GRISTMILL_BINARY", raising=False)
    monkeypatch.setattr(binary.sysconfig, "get_path", lambda name: str(tmp_path))
    monkeypatch.setattr(binary.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(binary.BinaryMissing, match="install the gristmill wheel, or name a build of it"):
        binary.find_binary()
    monkeypatch.setenv("GRISTMILL_BINARY", str(tmp_path / "nothing"))
    with pytest.raises(binary.BinaryMissing, match="which is not an executable file"):
        binary.find_binary()


def child_env():
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}

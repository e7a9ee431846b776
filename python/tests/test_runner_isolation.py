"""The transaction of a transactional job: its isolation, and what happens where another one was in its way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.dsn import ON_POSTGRES, settings_of_runners
from tests.supervisor import SETTINGS, Runner, Zygote, until

TASKS = """
from django.db import DatabaseError, connection, transaction
from gristmill.compat import task_finished

def run(statement, *binds):
    with connection.cursor() as cursor:
        cursor.execute(statement, binds)
        return cursor.fetchall() if cursor.description else None

@task
def prepare():
    if connection.vendor == "sqlite":
        run("pragma journal_mode = wal")
    run("drop table if exists noted")
    run("create table noted (name text primary key, value integer not null default 0)")
    run("insert into noted (name) values ('shared')")

@task
def noted(): return sorted(name for name, in run("select name from noted"))

@task
def note(name): run("insert into noted (name) values (%s)", name)

@task
def touch(): run("update noted set value = value + 1 where name = 'shared'")

@task
def level(): return run("show transaction_isolation")[0][0]

@task
def level_in_atomic():
    with transaction.atomic():
        return level.func()

@task
def level_of_its_own(level):
    run(f"set transaction isolation level {level}")
    return run("show transaction_isolation")[0][0]

@task
def level_too_late(level):
    note.func("before")
    run(f"set transaction isolation level {level}")

# Its snapshot is taken, and it goes on when the other has committed.
@task
def look_then_touch(level, path, inside=None):
    if level:
        run(f"set transaction isolation level {level}")
    run("select value from noted")
    open(path + ".looked", "w").close()
    deadline = time.monotonic() + 60
    while not os.path.exists(path + ".touched"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    note.func("looked")
    if inside == "atomic":
        with transaction.atomic():
            touch.func()
    elif inside == "swallowed":
        try:
            with transaction.atomic():
                touch.func()
        except DatabaseError:
            return "swallowed"
    elif inside != "at the end":
        touch.func()

@task
def look_then_touch_in_a_transaction(path):
    with transaction.atomic():
        look_then_touch.func("", path)

@task
def raise_of_its_own():
    try:
        run("select nothing from nowhere")
    except DatabaseError as error:
        raise ValueError("it would not divide") from error

@task
def end_it_then_break(name, statement):
    note.func(name)
    run(statement)
    note.func("after")
    run("insert into nowhere values (1)")

@task
def break_it(name):
    note.func(name)
    run("insert into nowhere values (1)")

@task
def reset_all():
    run("reset all")

seen = []
task_finished.connect(lambda sender, task_result, **kwargs: seen.append(task_result.task.name), weak=False)

@task
def finished(): return [name for name in seen if name not in ("prepare", "noted", "touch", "finished")]
"""
TRANSACTIONAL = {"transactional": True}
# What the end of an attempt touches; it is what is asked about here.
TOUCH = ["update noted set value = value + 1 where name = 'shared' returning value"]
ACCEPT = ["select 1"]


def settings(more: str = "") -> str:
    return SETTINGS + settings_of_runners() + more


@pytest.fixture
def zygote(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Zygote]:
    zygote = Zygote(tmp_path, TASKS, settings=settings(getattr(request, "param", "")))
    zygote.hello()
    yield zygote
    zygote.close()


@pytest.fixture
def runner(zygote: Zygote) -> Runner:
    runner = zygote.spawn()
    runner.run("prepare")
    return runner


@pytest.fixture
def touched(zygote: Zygote, tmp_path: Path) -> Callable[[], None]:
    """Has another runner write to a row once the first has looked at it."""
    other = zygote.spawn()

    def touch() -> None:
        until((tmp_path / "x.looked").exists)
        other.run("touch")
        (tmp_path / "x.touched").touch()

    return touch


def carry(runner: Runner, task: str, *arguments: Any, statements: list[str] = ACCEPT) -> list[tuple[str, Any]]:
    """Runs a transactional job; gives what it offered and what was said when it had been answered."""
    key = runner.start(task, arguments, options=TRANSACTIONAL)
    offered = runner.rest_until(key, "TF")
    if offered[-1][0] == "F":
        return offered
    runner.answer(key, statements)
    return offered + runner.rest(key)


def value(said: list[tuple[str, Any]]) -> Any:
    assert [kind for kind, _ in said] == ["T", "K"], said
    return said[0][1]["value"]


def failure(said: list[tuple[str, Any]]) -> Any:
    assert said[-1][0] == "F", said
    return said[-1][1]


ISOLATED = (
    "from django.db.backends.postgresql.psycopg_any import IsolationLevel\n"
    "DATABASES['default']['OPTIONS'] = {'isolation_level': IsolationLevel.SERIALIZABLE}\n"
)
BY_THE_SERVER = (
    "DATABASES['default']['OPTIONS'] = {'options': '-c default_transaction_isolation=repeatable\\\\ read'}\n"
)


@pytest.mark.only_on_postgres
@pytest.mark.parametrize("zygote", ["", ISOLATED, BY_THE_SERVER], indirect=True, ids=["none", "settings", "server"])
def test_whatever_the_default_a_transactional_job_runs_at_read_committed(runner: Runner) -> None:
    assert value(carry(runner, "level")) == '"read committed"'


@pytest.mark.only_on_postgres
@pytest.mark.parametrize("zygote", [ISOLATED, BY_THE_SERVER], indirect=True, ids=["settings", "server"])
def test_whatever_the_default_a_job_whose_row_was_touched_meanwhile_can_end(
    runner: Runner, touched: Callable[[], None], tmp_path: Path
) -> None:
    key = runner.start("look_then_touch", ["", str(tmp_path / "x"), "at the end"], options=TRANSACTIONAL)
    touched()
    ((kind, _),) = runner.rest_until(key, "TF")
    assert kind == "T"
    runner.answer(key, TOUCH)
    assert runner.rest(key) == [("K", "")]
    assert runner.run("noted") == ["looked", "shared"]


@pytest.mark.only_on_postgres
@pytest.mark.parametrize("zygote", [ISOLATED, BY_THE_SERVER], indirect=True, ids=["settings", "server"])
def test_other_jobs_keep_the_projects_isolation(runner: Runner) -> None:
    assert value(carry(runner, "level")) == '"read committed"'
    assert runner.run("level_in_atomic") in ("serializable", "repeatable read")


@pytest.mark.only_on_postgres
@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_a_handler_may_begin_with_an_isolation_of_its_own(runner: Runner, level: str) -> None:
    assert value(carry(runner, "level_of_its_own", level)) == f'"{level}"'
    # For its own transaction alone.
    assert value(carry(runner, "level")) == '"read committed"'


@pytest.mark.only_on_postgres
def test_one_that_has_looked_already_is_told_so_by_the_database(runner: Runner) -> None:
    failed = failure(carry(runner, "level_too_late", "serializable"))
    assert failed["reason"] == "error"
    assert "SET TRANSACTION ISOLATION LEVEL must be called before any query" in failed["traceback"]
    assert runner.run("noted") == ["shared"]


@pytest.mark.only_on_postgres
@pytest.mark.parametrize("inside", ["at the end", None, "atomic"])
@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_a_job_that_lost_to_another_transaction_is_a_conflict_and_no_failure(
    runner: Runner, touched: Callable[[], None], tmp_path: Path, level: str, inside: str | None
) -> None:
    runner.verdicts = {**runner.verdicts, "F": ""}  # it is tried again
    key = runner.start("look_then_touch", [level, str(tmp_path / "x"), inside], options=TRANSACTIONAL)
    touched()
    said = runner.rest_until(key, "TF")
    if inside == "at the end":
        assert said[-1][0] == "T"
        runner.answer(key, TOUCH)
        said = runner.rest(key)
    failed = failure(said)
    assert failed["reason"] == "conflict"
    assert failed["exception_class_path"] == "django.db.utils.OperationalError"
    assert "could not serialize access" in failed["traceback"]
    assert runner.run("noted") == ["shared"]
    # So nobody is told that it has ended.
    assert runner.run("finished") == []


@pytest.mark.only_on_postgres
def test_a_conflict_that_the_handler_has_dealt_with_is_none(
    runner: Runner, touched: Callable[[], None], tmp_path: Path
) -> None:
    arguments = ["repeatable read", str(tmp_path / "x"), "swallowed"]
    key = runner.start("look_then_touch", arguments, options=TRANSACTIONAL)
    touched()
    ((kind, offer),) = runner.rest_until(key, "TF")
    assert (kind, offer["value"]) == ("T", '"swallowed"')
    runner.answer(key, ACCEPT)
    assert runner.rest(key) == [("K", "")]


def test_what_a_handler_makes_of_an_error_of_the_database_is_its_own(runner: Runner) -> None:
    failed = failure(carry(runner, "raise_of_its_own"))
    assert (failed["reason"], failed["exception_class_path"]) == ("error", "builtins.ValueError")


@pytest.mark.only_on_postgres
@pytest.mark.parametrize("zygote", [ISOLATED], indirect=True, ids=["serializable"])
def test_in_a_job_that_is_not_transactional_a_conflict_is_an_error(
    runner: Runner, touched: Callable[[], None], tmp_path: Path
) -> None:
    key = runner.start("look_then_touch_in_a_transaction", [str(tmp_path / "x")])
    touched()
    ((kind, failed),) = runner.rest(key)
    assert (kind, failed["reason"]) == ("F", "error")
    assert "could not serialize access" in failed["traceback"]


@pytest.mark.skipif(ON_POSTGRES, reason="PostgreSQL locks rows")
@pytest.mark.parametrize(
    "zygote", ["DATABASES['default']['OPTIONS'] = {'transaction_mode': 'DEFERRED'}\n"], indirect=True
)
def test_on_sqlite_a_write_that_comes_after_anothers_is_a_conflict(
    runner: Runner, touched: Callable[[], None], tmp_path: Path
) -> None:
    key = runner.start("look_then_touch", ["", str(tmp_path / "x")], options=TRANSACTIONAL)
    touched()
    failed = failure(runner.rest_until(key, "TF"))
    assert (failed["reason"], failed["exception_class_path"]) == ("conflict", "django.db.utils.OperationalError")
    assert "database is locked" in failed["traceback"]


@pytest.mark.only_on_postgres
def test_what_a_handler_has_committed_before_it_broke_is_said_loudly(runner: Runner) -> None:
    failed = failure(carry(runner, "end_it_then_break", "kept", "commit"))
    assert failed["exception_class_path"] == "gristmill.exceptions.TransactionBroken"
    assert runner.run("noted") == ["kept", "shared"]
    # Where nothing was kept, what broke it is what is said.
    assert "nowhere" in failure(carry(runner, "break_it", "undone"))["traceback"]
    assert failure(carry(runner, "break_it", "undone"))["exception_class_path"] == "django.db.utils.ProgrammingError"
    assert runner.run("noted") == ["kept", "shared"]


@pytest.mark.only_on_postgres
def test_a_handler_that_takes_the_mark_away_is_not_trusted(runner: Runner) -> None:
    failed = failure(carry(runner, "reset_all"))
    assert failed["exception_class_path"] == "gristmill.exceptions.TransactionBroken"
    assert "RESET ALL" in failed["traceback"]


@pytest.mark.parametrize("zygote", ["DATABASES['default']['AUTOCOMMIT'] = False\n"], indirect=True)
def test_without_autocommit_a_transactional_job_fails_and_says_so(zygote: Zygote) -> None:
    failed = failure(carry(zygote.spawn(), "noted"))
    assert failed["exception_class_path"] == "gristmill.exceptions.TransactionBroken"
    assert failed["classes"] == ["gristmill.exceptions.TransactionBroken"]
    assert "autocommit is off on database 'default'" in failed["traceback"]

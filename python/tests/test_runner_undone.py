"""What the database has undone for reasons of its own is no failure of the handler's; and stored options that make no
sense are the failure of that job alone."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, InterfaceError, OperationalError

from gristmill.database.refusals import undone_by
from gristmill.runner.frame import HEADER, pack
from tests.dsn import settings_of_runners
from tests.supervisor import SETTINGS, Runner, Zygote

TASKS = """
from django.db import connection
from gristmill.compat import task_finished

seen = []

def run(statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)

@task
def prepare():
    run("drop table if exists made")
    run("create table made (name text primary key)")

@task
def make(name, statement=None):
    run(f"insert into made values ('{name}')")
    if statement is not None: run(statement)

@task
def made():
    with connection.cursor() as cursor:
        cursor.execute("select name from made order by name")
        return [name for name, in cursor.fetchall()]

@task
def finished(): return [*seen]

def note(task_result, **kwargs): seen.append([task_result.task.name, task_result.status])

task_finished.connect(note)
"""
TRANSACTIONAL = {"transactional": True}


@pytest.fixture(scope="module")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    zygote = Zygote(tmp_path_factory.mktemp("project"), TASKS, settings=SETTINGS + settings_of_runners())
    zygote.hello()
    yield zygote
    zygote.close()


@pytest.fixture
def runner(zygote: Zygote) -> Iterator[Runner]:
    runner = zygote.spawn()
    runner.run("prepare")
    yield runner
    zygote.kill(runner)
    assert zygote.exited()["runner"] == runner.number


def raises(sqlstate: str) -> str:
    return f"do $$ begin raise exception using errcode = '{sqlstate}'; end $$"


def ended_by(runner: Runner, statement: str, **options: Any) -> tuple[dict[str, Any], list[tuple[str, Any]]]:
    """Has a statement go wrong that is to end a job; gives the failure, and what came before."""
    key = runner.start("make", ["a"], options={**TRANSACTIONAL, **options})
    runner.rest_until(key, "T")
    runner.answer(key, [statement, "select 1"])
    *before, (kind, failure) = runner.rest(key)
    assert kind == "F"
    return failure, before


@pytest.mark.only_on_postgres
@pytest.mark.parametrize("sqlstate", ["40001", "40P01"])
def test_an_end_that_loses_to_another_transaction_is_a_conflict(runner: Runner, sqlstate: str) -> None:
    runner.verdicts = {**runner.verdicts, "F": ""}  # it is tried again
    failure, _ = ended_by(runner, raises(sqlstate))
    assert failure["reason"] == "conflict"
    assert failure["exception_class_path"] == "django.db.utils.OperationalError"
    assert runner.run("made") == []
    # So nobody is told that it has ended.
    assert runner.run("finished") == [[name, "SUCCESSFUL"] for name in ("prepare", "made")]


@pytest.mark.only_on_postgres
def test_a_handler_that_loses_to_another_transaction_is_a_conflict(runner: Runner) -> None:
    failure = runner.fail("make", ["a", raises("40001")], options=TRANSACTIONAL)
    assert failure["reason"] == "conflict"
    assert runner.run("made") == []


@pytest.mark.only_on_postgres
@pytest.mark.parametrize(
    "statement", [raises("58030"), raises("XX000"), "select pg_terminate_backend(pg_backend_pid())"]
)
def test_an_end_that_meets_an_outage_is_an_interruption(runner: Runner, statement: str) -> None:
    failure, before = ended_by(runner, statement)
    assert failure["reason"] == "interrupted"
    ((kind, output),) = before
    assert kind == "O"
    assert "the database went away while the job's end was written" in output
    assert runner.run("made") == []


@pytest.mark.only_on_postgres
@pytest.mark.parametrize("sqlstate", ["23505", "22003", "42P01", "P0001", "25P03"])
def test_an_end_that_is_refused_for_what_it_says_is_a_failure(runner: Runner, sqlstate: str) -> None:
    failure, _ = ended_by(runner, raises(sqlstate))
    assert failure["reason"] == "error"


@pytest.mark.only_on_postgres
def test_a_handler_that_meets_an_outage_fails_as_any_handler(runner: Runner) -> None:
    failure = runner.fail("make", ["a", raises("58030")], options=TRANSACTIONAL)
    assert failure["reason"] == "error"


@pytest.mark.only_on_postgres
def test_what_may_not_be_done_over_has_failed_for_good(runner: Runner) -> None:
    key = runner.start("make", ["a"], options=TRANSACTIONAL, retries_conflict=False)
    runner.rest_until(key, "T")
    runner.answer(key, [raises("40001"), "select 1"])
    ((_, failure),) = runner.rest(key)
    assert failure["reason"] == "conflict"
    assert ["make", "FAILED"] in runner.run("finished")


class Code(Exception):
    """What a driver raises."""

    def __init__(self, sqlstate: str | None) -> None:
        super().__init__("no")
        self.sqlstate = sqlstate


class Connection:
    """What is asked of one."""

    def __init__(self, vendor: str, driver: Any = None) -> None:
        self.vendor = vendor
        self.connection = driver


def because(error: DatabaseError | InterfaceError, sqlstate: str | None) -> DatabaseError | InterfaceError:
    error.__cause__ = Code(sqlstate)
    return error


@pytest.mark.parametrize(
    ("connection", "error", "returned", "undone"),
    [
        (Connection("sqlite"), OperationalError("database is locked"), False, "conflict"),
        (Connection("sqlite"), OperationalError("disk I/O error"), True, "interrupted"),
        (Connection("sqlite"), OperationalError("attempt to write a readonly database"), True, "interrupted"),
        (Connection("sqlite"), OperationalError("disk I/O error"), False, None),
        (Connection("sqlite"), OperationalError("no such table: made"), True, None),
        (Connection("sqlite"), IntegrityError("UNIQUE constraint failed: made.name"), True, None),
        (Connection("postgresql"), because(OperationalError("no"), "57P01"), True, "interrupted"),
        (Connection("postgresql"), because(OperationalError("the connection is lost"), None), True, "interrupted"),
        (Connection("postgresql", driver=object()), because(DatabaseError("no"), None), True, None),
        (Connection("postgresql"), because(IntegrityError("no"), "23505"), True, None),
        (Connection("postgresql"), ValueError("40001"), True, None),
    ],
)
def test_errors_speak_of_others_or_of_what_was_asked(
    connection: Any, error: BaseException, returned: bool, undone: str | None
) -> None:
    assert undone_by(connection, error, returned=returned) == undone


@pytest.mark.parametrize(
    "stored", ['{"max_memory_mb": 1e400}', '{"timeout": -1e400}', '{"timeout": "soon"}', "7", '{"schedule": 5}']
)
def test_options_that_make_no_sense_are_the_failure_of_their_job_alone(runner: Runner, stored: str) -> None:
    key, frame = runner.key_of("made", options="@stored@")
    runner.socket.sendall(pack(ord("R"), frame[HEADER.size :].replace(b'"@stored@"', stored.encode())))
    assert runner.expect("S")[: len(key)] == key
    ((kind, failure),) = runner.rest(key)
    assert (kind, failure["reason"]) == ("F", "error")
    assert runner.run("made") == []

"""Transactional jobs: the handler's writes and the job's end are one commit, or neither is."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.dsn import ON_POSTGRES, settings_of_runners
from tests.supervisor import AGAIN, SETTINGS, Runner, Zygote, until

TASKS = """
import threading
from django.db import IntegrityError, connection, transaction
from gristmill.compat import task_finished, task_started
from gristmill.tasks.postpone import Postpone

seen = []

def run(statement, *binds):
    with connection.cursor() as cursor:
        cursor.execute(statement, binds)
        return cursor.fetchall() if cursor.description else None

@task
def prepare():
    for table in ("child", "made", "ended", "counted"):
        run(f"drop table if exists {table}")
    run("create table made (name text primary key)")
    run("create table child (name text references made (name) deferrable initially deferred)")
    run("create table ended (token bigint primary key)")
    run("create table counted (n integer)")
    run("insert into counted values (0)")

@task
def made(): return sorted(name for name, in run("select name from made"))

@task
def ended(): return [token for token, in run("select token from ended")]

@task
def make(name, value=None):
    run("insert into made values (%s)", name)
    return value

@task
def make_and_fail(name):
    make.func(name)
    raise ValueError("no")

@task
def make_and_wait(name):
    make.func(name)
    time.sleep(FOREVER)

@task
def make_and_postpone(name, how):
    make.func(name)
    if how == "raise": raise Postpone(7, reason="busy")
    return Postpone(7, reason="busy")

@task
def make_a_set(name):
    make.func(name)
    return {1}

@task
def end_it(name, statement):
    make.func(name)
    run(statement)
    make.func(name + " after")

@task
def end_it_last(name, statement):
    make.func(name)
    run(statement)

@task
def end_it_and_fail(name, statement):
    make.func(name)
    run(statement)
    raise ValueError("no")

@task
def close_it(name):
    make.func(name)
    connection.close()

@task
def swallow(name):
    make.func(name)
    try:
        with transaction.atomic(savepoint=False):
            make.func(name)
    except IntegrityError:
        pass

@task
def swallow_in_a_savepoint(name):
    make.func(name)
    try:
        with transaction.atomic():
            make.func(name)
    except IntegrityError:
        return "fine"

@task
def swallow_bare(name):
    make.func(name)
    try:
        make.func(name)
    except IntegrityError:
        pass

@task
def break_a_promise(name):
    run("insert into child values ('nobody')")

@task
def count():
    with transaction.atomic():
        ((n,),) = run("select n from counted")
        time.sleep(0.001)
        run("update counted set n = %s", n + 1)

@task
def counted(): return run("select n from counted")[0][0]

@task
def mode():
    return [run("pragma busy_timeout")[0][0], connection.transaction_mode]

@task
def backend_pid(): return run("select pg_backend_pid()")[0][0]

@task
def terminate(pid): run("select pg_terminate_backend(%s)", pid)

@task
def nap_in_the_database(): run("select pg_sleep(600)")

@task
def napping():
    active = "datname = current_database() and state = 'active'"
    return run(f"select count(*) from pg_stat_activity where query = 'select pg_sleep(600)' and {active}")[0][0]

@task
def signals(): return [*seen]

def note(sender, task_result, **kwargs):
    seen.append([task_result.task.name, task_result.status, connection.in_atomic_block])
    if task_result.args == ["by a receiver"] and task_result.status == "SUCCESSFUL":
        make.func("a receiver's")
        run("insert into nowhere values (1)")

task_started.connect(note)
task_finished.connect(note)
"""
TRANSACTIONAL = {"transactional": True}
BIND = "$1::bigint" if ON_POSTGRES else "?1"
ACCEPT = [f"insert into ended values ({BIND}) returning token"]
REFUSE = ["select 1 where 1 = 2"]


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


@pytest.fixture
def other(zygote: Zygote, runner: Runner) -> Iterator[Runner]:
    """A second runner, to look with."""
    other = zygote.spawn()
    yield other
    zygote.kill(other)
    assert zygote.exited()["runner"] == other.number


def to_write(runner: Runner, key: bytes) -> Any:
    ((kind, offer),) = runner.rest_until(key, "T")
    assert kind == "T"
    return offer


def carry(runner: Runner, task: str, arguments: Any, statements: list[str] | None = None, token: int = 1) -> Any:
    """Runs one transactional job; gives what was said after it had been answered."""
    key = runner.start(task, arguments, options=TRANSACTIONAL, token=token)
    to_write(runner, key)
    runner.answer(key, ACCEPT if statements is None else statements, [token])
    return runner.rest(key)


def broken(runner: Runner, task: str, *arguments: Any) -> Any:
    ((kind, failure),) = runner.rest(runner.start(task, arguments, options=TRANSACTIONAL, **AGAIN))
    assert kind == "F"
    assert failure["reason"] == "error"
    assert failure["exception_class_path"] == "gristmill.exceptions.TransactionBroken"
    # So that nothing tries it again by itself.
    assert failure["classes"] == ["gristmill.exceptions.TransactionBroken"]
    return failure


def test_the_writes_and_the_end_are_one_commit(runner: Runner, other: Runner) -> None:
    key = runner.start("make", ["a", {"x": [1, "é"]}], options=TRANSACTIONAL, token=7)
    assert to_write(runner, key) == {"kind": "D", "value": '{"x":[1,"é"]}'}
    assert other.run("made") == []
    runner.answer(key, ACCEPT, [7])
    assert runner.rest(key) == [("K", "")]
    assert other.run("made") == ["a"]
    assert other.run("ended") == [7]


@pytest.mark.parametrize("statements", [[], REFUSE, ["select '[]'"], [ACCEPT[0], REFUSE[0]]])
def test_an_end_that_is_not_accepted_undoes_it_all(runner: Runner, other: Runner, statements: list[str]) -> None:
    assert carry(runner, "make", ["a"], statements) == [("U", "")]
    assert other.run("made") == []
    assert other.run("ended") == []
    assert runner.run("made") == []


@pytest.mark.parametrize("statements", [["select '[1]'"], [REFUSE[0], ACCEPT[0]]])
def test_the_last_statement_decides(runner: Runner, statements: list[str]) -> None:
    assert carry(runner, "make", ["a"], statements) == [("K", "")]
    assert runner.run("made") == ["a"]


def test_a_statement_that_fails_fails_the_attempt(runner: Runner) -> None:
    ((kind, failure),) = carry(runner, "make", ["a"], ["select * from nowhere"])
    assert kind == "F"
    assert "nowhere" in failure["traceback"]
    assert runner.run("made") == []


def test_a_failure_undoes_the_writes(runner: Runner) -> None:
    failure = runner.fail("make_and_fail", ["a"], options=TRANSACTIONAL)
    assert failure["exception_class_path"] == "builtins.ValueError"
    assert runner.run("made") == []


def test_a_bad_result_undoes_the_writes(runner: Runner) -> None:
    failure = runner.fail("make_a_set", ["a"], options=TRANSACTIONAL)
    assert failure["reason"] == "bad result"
    assert runner.run("made") == []


@pytest.mark.parametrize("how", ["raise", "return"])
def test_a_postponed_job_keeps_its_writes(runner: Runner, how: str) -> None:
    key = runner.start("make_and_postpone", ["a", how], options=TRANSACTIONAL)
    assert to_write(runner, key) == {"kind": "P", "after": 7.0, "until": None, "why": "busy"}
    runner.answer(key, ACCEPT, [1])
    assert runner.rest(key) == [("K", "")]
    assert runner.run("made") == ["a"]
    assert [status for name, status, _ in runner.run("signals") if name == "make_and_postpone"] == ["RUNNING"]


@pytest.mark.parametrize("task", ["end_it", "end_it_last", "end_it_and_fail"])
@pytest.mark.parametrize("statement", ["commit", "rollback"])
def test_a_handler_that_ends_the_transaction_itself_fails_loudly(runner: Runner, task: str, statement: str) -> None:
    assert "ended the transaction of its job" in broken(runner, task, "a", statement)["traceback"]
    assert carry(runner, "make", ["next"]) == [("K", "")]


def test_a_handler_that_closes_its_connection_fails(runner: Runner) -> None:
    failure = runner.fail("close_it", ["a"], options=TRANSACTIONAL)
    assert failure["exception_class_path"] == "gristmill.exceptions.TransactionBroken"
    assert runner.run("made") == []


def test_a_database_error_that_the_handler_swallows_is_a_failure(runner: Runner) -> None:
    broken(runner, "swallow", "a")
    assert runner.run("made") == []
    if ON_POSTGRES:
        broken(runner, "swallow_bare", "a")
        assert runner.run("made") == []


def test_a_database_error_inside_a_savepoint_is_not(runner: Runner) -> None:
    assert carry(runner, "swallow_in_a_savepoint", ["a"]) == [("K", "")]
    assert runner.run("made") == ["a"]


def test_what_the_commit_refuses_fails_the_attempt(runner: Runner) -> None:
    ((kind, failure),) = carry(runner, "break_a_promise", ["a"])
    assert kind == "F"
    assert failure["exception_class_path"] == "django.db.utils.IntegrityError"
    assert runner.run("ended") == []


def test_a_worker_that_goes_away_while_it_is_asked_undoes_it(zygote: Zygote, runner: Runner) -> None:
    lost = zygote.spawn()
    key = lost.start("make", ["a"], options=TRANSACTIONAL)
    to_write(lost, key)
    lost.socket.close()
    assert zygote.exited()["status"] == 1
    assert runner.run("made") == []


def test_receivers_are_told_once_how_a_job_ended_whose_commit_failed(runner: Runner) -> None:
    ((kind, failure),) = carry(runner, "break_a_promise", ["a"])
    assert (kind, failure["exception_class_path"]) == ("F", "django.db.utils.IntegrityError")
    told = [status for name, status, _ in runner.run("signals") if name == "break_a_promise"]
    assert told == ["RUNNING", "FAILED"]


def test_task_finished_is_sent_after_the_commit(runner: Runner) -> None:
    carry(runner, "make", ["a"])
    runner.fail("make_and_fail", ["b"], options=TRANSACTIONAL)
    carry(runner, "make", ["c"], REFUSE)
    told = [entry for entry in runner.run("signals") if entry[0].startswith("make")]
    assert told == [
        ["make", "RUNNING", False],
        ["make", "SUCCESSFUL", False],
        ["make_and_fail", "RUNNING", False],
        ["make_and_fail", "FAILED", False],
        ["make", "RUNNING", False],
    ]


def test_a_receiver_that_breaks_the_database_costs_its_own_writes_alone(runner: Runner) -> None:
    end = carry(runner, "make", ["by a receiver"])
    assert end[-1] == ("K", "")
    # After the commit each statement is a transaction of its own: what came before the broken one stays, too.
    assert runner.run("made") == ["a receiver's", "by a receiver"]
    assert runner.run("ended") == [1]


def test_a_timeout_undoes_the_writes(runner: Runner) -> None:
    failure = runner.fail("make_and_wait", ["a"], options={**TRANSACTIONAL, "timeout": 0.1})
    assert failure["reason"] == "timeout"
    assert runner.run("made") == []


def test_frames_that_come_before_the_answer_are_not_lost(runner: Runner) -> None:
    key = runner.start("make", ["a"], options=TRANSACTIONAL)
    to_write(runner, key)
    following, recalled = runner.send("made"), runner.send("made")
    runner.recall(recalled)
    # The handler has returned: a cancel comes too late.
    runner.cancel(key)
    runner.answer(key, ACCEPT, [1])
    # What is given back is said with the next thing that is.
    said = [runner.next() for _ in range(4)]
    assert [frame[0] for frame in said if frame] in (["B", "K", "S", "D"], ["K", "B", "S", "D"])
    assert said[-1] == ("D", following + b'["a"]')


def test_an_answer_to_another_attempt_is_no_answer(runner: Runner) -> None:
    key = runner.start("make", ["a"], options=TRANSACTIONAL)
    to_write(runner, key)
    runner.answer(key[:16] + bytes(8), ACCEPT, [1])
    runner.answer(key, REFUSE)
    assert runner.rest(key) == [("U", "")]


@pytest.mark.only_on_postgres
def test_a_lost_connection_does_not_cost_the_next_job(runner: Runner, other: Runner) -> None:
    other.run("terminate", [runner.run("backend_pid")])
    # The first may meet the closed connection, as in Django; not those after it.
    runner.all_of("made")
    assert runner.run("made") == []


@pytest.mark.only_on_postgres
def test_a_connection_interrupted_in_the_middle_is_not_used_again(runner: Runner) -> None:
    began = time.monotonic()
    failure = runner.fail("nap_in_the_database", options={"timeout": 0.1})
    assert failure["reason"] == "timeout", failure["traceback"]
    assert runner.fail("nap_in_the_database", options={"timeout": 0.1, **TRANSACTIONAL})["reason"] == "timeout"
    # Nor does the query go on without anybody who waits for it.
    until(lambda: runner.run("napping") == 0)
    assert time.monotonic() - began < 60
    assert runner.run("made") == []


@pytest.mark.skipif(ON_POSTGRES, reason="PostgreSQL locks rows")
def test_on_sqlite_writers_wait_for_each_other(zygote: Zygote, runner: Runner) -> None:
    busy, mode = runner.run("mode")
    assert busy >= 60_000
    assert mode == "IMMEDIATE"
    runners = [zygote.spawn() for _ in range(4)]
    keys = [[each.send("count") for _ in range(25)] for each in runners]
    for each, its_keys in zip(runners, keys, strict=True):
        for key in its_keys:
            assert each.expect("S").startswith(key)
            assert each.rest(key) == [("D", None)]
    assert runner.run("counted") == 100
    for each in runners:
        zygote.kill(each)
        zygote.exited()


def test_a_task_that_commits_in_a_plain_job_is_left_alone(runner: Runner) -> None:
    until(lambda: runner.run("made") == [])
    assert runner.run("make", ["plain", 5]) == 5
    assert runner.run("made") == ["plain"]

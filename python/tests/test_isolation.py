"""With a stricter isolation as the database's default, what we begin ourselves is READ COMMITTED all the same."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, connections, transaction

from gristmill.database import statements
from gristmill.database.statements import run
from gristmill.database.transactions import read_committed
from tests.app.tasks import add
from tests.supervisor import until
from tests.test_marked_for_rollback import OPERATIONS, Before

pytestmark = [pytest.mark.only_on_postgres, pytest.mark.django_db(transaction=True)]

SERVER = {"options": "-c default_transaction_isolation=serializable"}


def level() -> str:
    ((found,),) = run(connection, ["show transaction_isolation"], [])
    return str(found)


@pytest.fixture(params=["settings", "server"])
def strict(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A database whose transactions are serializable unless they say otherwise."""
    from django.db.backends.postgresql.psycopg_any import IsolationLevel

    options = {"isolation_level": IsolationLevel.SERIALIZABLE} if request.param == "settings" else SERVER
    connection.close()
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", options)
    yield
    connection.close()


@pytest.mark.usefixtures("strict")
def test_a_transaction_of_ours_is_read_committed_and_one_of_the_callers_keeps_its_level() -> None:
    with read_committed("default"):
        assert level() == "read committed"
    with transaction.atomic():
        assert level() == "serializable"
        with read_committed("default"):
            assert level() == "serializable"


@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize("name", sorted({*OPERATIONS} - {"run_jobs", "enqueue", "aenqueue", "enqueue after"}))
def test_an_operation_outside_a_transaction_is_read_committed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before, levels = Before(), []
    wrapper = type(connections["default"])
    cursor = wrapper.cursor

    def note_run(connection: Any, texts: Any, binds: Any) -> Any:
        levels.append(level())
        return run(connection, texts, binds)

    def note_cursor(self: Any, *arguments: Any) -> Any:
        if self.in_atomic_block:
            levels.append(level())
        return cursor(self, *arguments)

    monkeypatch.setattr(statements, "run", note_run)
    monkeypatch.setattr(wrapper, "cursor", note_cursor)

    OPERATIONS[name](before)

    assert {*levels} == {"read committed"}


@pytest.mark.usefixtures("strict")
def test_who_waits_for_a_unique_key_that_is_then_taken_gets_the_job_that_has_it() -> None:
    task = add.using(unique=True)
    taken, got = threading.Event(), []

    def take() -> None:
        try:
            with transaction.atomic():
                got.append(task.enqueue(1))
                taken.set()
                with connection.cursor() as cursor:
                    held_up = (
                        "select 1 from pg_locks where not granted and pg_backend_pid() = any(pg_blocking_pids(pid))"
                    )
                    until(lambda: cursor.execute(held_up) or cursor.fetchone())
        finally:
            connections.close_all()

    thread = threading.Thread(target=take)
    thread.start()
    try:
        assert taken.wait(60)
        second = task.enqueue(1)
    finally:
        thread.join()

    assert (second.existing, second.id) == (True, got[0].id)

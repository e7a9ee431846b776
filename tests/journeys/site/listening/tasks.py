"""Tasks that leave an effect behind, one line in a file, and have at most a second for it."""

from __future__ import annotations

import os
import time
from typing import Any

from django.db import connection, transaction
from work.tasks import write_line

import gristmill
from gristmill import Constant, Context, Postpone
from listening.receivers import act as do

AGAIN = {"max_attempts": 3, "backoff": Constant(0), "timeout": 1}


def leave_an_effect(context: Context) -> None:
    """One line."""
    write_line("effects", {"job": context.task_result.id, "attempt": context.attempt})


@gristmill.task(takes_context=True, **AGAIN)
def act(context: Context, what: str) -> None:
    """Succeeds, or fails if it is told to."""
    leave_an_effect(context)
    if what == "fail":
        raise ValueError("as asked")


@gristmill.task(takes_context=True, **AGAIN)
async def act_later(context: Context, what: str) -> None:
    """The same among others."""
    leave_an_effect(context)
    if what == "fail":
        raise ValueError("as asked")


@gristmill.task(takes_context=True, transactional=True, **AGAIN)
def act_at_once(context: Context, what: str) -> None:
    """The same in one transaction with its end; what its hooks do may be told, too."""
    leave_an_effect(context)
    when, _, how = what.partition(": ")
    if when == "on commit":

        def hook() -> None:
            do(how)

        transaction.on_commit(hook)
        transaction.on_commit(lambda: write_line("hooks", {"job": context.task_result.id}))
    if what == "fail":
        raise ValueError("as asked")


@gristmill.task(takes_context=True, transactional=True, **AGAIN)
def promise_too_much(context: Context) -> None:
    """Writes what the commit will refuse."""
    leave_an_effect(context)
    with connection.cursor() as cursor:
        cursor.execute("create table mother (name text primary key)")
        cursor.execute("create table child (mother text references mother (name) deferrable initially deferred)")
        cursor.execute("insert into child values ('nobody')")


@gristmill.task(takes_context=True, max_postpones=2)
def put_off(context: Context) -> None:
    """Postpones itself too often."""
    raise Postpone(0)


def slow_advice(error: BaseException, result: Any) -> float:
    """Takes more time than the task has."""
    time.sleep(4)
    return 0


def deadly_advice(error: BaseException, result: Any) -> float:
    """Ends its process."""
    os._exit(3)


@gristmill.task(takes_context=True, max_attempts=2, backoff=slow_advice, timeout=1)
def ask_slowly(context: Context) -> None:
    """Fails."""
    leave_an_effect(context)
    raise ValueError("as asked")


@gristmill.task(takes_context=True, max_attempts=2, backoff=slow_advice, timeout=1)
async def ask_slowly_later(context: Context) -> None:
    """The same among others."""
    leave_an_effect(context)
    raise ValueError("as asked")


@gristmill.task(takes_context=True, max_attempts=2, backoff=deadly_advice)
def ask_to_death(context: Context) -> None:
    """Fails."""
    leave_an_effect(context)
    raise ValueError("as asked")

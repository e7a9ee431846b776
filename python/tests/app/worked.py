"""Tasks that `run_jobs()` runs in tests."""

from __future__ import annotations

import os
from typing import Any

from django.db import IntegrityError, transaction

from gristmill.compat import task
from tests.app.models import Order

#: What ran, in the order in which it ran.
ran: list[Any] = []


class Sad(Exception):
    """What the tasks here raise."""


@task
def note(what):
    ran.append(what)
    return what


@task
def fail(what="no"):
    Order.objects.create(name="before")
    raise Sad(what)


@task
def place(name):
    return Order.objects.create(name=name).pk


@task
def twice(what):
    note.enqueue(f"{what} 1")
    note.enqueue(f"{what} 2")


@task
def again(count):
    ran.append(count)
    again.enqueue(count + 1)


@task
def collide():
    """The database refuses its second write; by itself that ends a transaction on PostgreSQL."""
    Order.objects.create(pk=7, name="first")
    Order(pk=7, name="second").save(force_insert=True)


@task
def shrug_off_a_collision():
    Order.objects.create(pk=7, name="first")
    try:
        Order(pk=7, name="second").save(force_insert=True)
    except IntegrityError:
        ran.append("caught")


@task
def leave_open():
    transaction.atomic().__enter__()
    Order.objects.create(name="never committed")


@task
def later(what):
    transaction.on_commit(lambda: ran.append(what))


@task
def leave(kind):
    raise {"interrupt": KeyboardInterrupt, "exit": SystemExit}[kind]("on its own")


@task
def unsayable():
    return {1, 2}


@task
def press_ctrl_c():
    import signal

    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(1_000_000):
        pass


@task(takes_context=True)
def attempt_number(context):
    ran.append(context.attempt)
    if context.attempt < 3:
        raise Sad("try again")
    return context.attempt


@task
async def wait(what):
    ran.append(what)
    return what


@task
def kill(pid):
    import signal

    os.kill(pid, signal.SIGKILL)


@task
def run_inside():
    from gristmill.testing import run_jobs

    note.enqueue("inside")
    run_jobs()
    ran.append("outside")


@task
def twice_elsewhere(what):
    elsewhere = note.using(backend="elsewhere")
    elsewhere.enqueue(f"{what} 1")
    elsewhere.enqueue(f"{what} 2")

"""Tasks that `run_jobs()` runs in tests."""

from __future__ import annotations

import contextlib
import os
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, connection, transaction

import gristmill
from gristmill import Constant, Exponential, Postpone, operations
from gristmill.compat import task
from gristmill.models import RunningRow
from tests.app.models import Order

#: What ran, in the order in which it ran.
ran: list[Any] = []
#: What `obey` fails at.
refused: set[Any] = set()


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
def obey(what):
    ran.append(what)
    if what in refused:
        raise Sad(what)
    return what


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
def to_and_fro(count):
    """Enqueues itself on the other database, until it has run twenty times."""
    ran.append(count)
    if count < 20:
        to_and_fro.using(backend="default" if count % 2 else "elsewhere").enqueue(count + 1)


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
def turn_autocommit_off():
    transaction.set_autocommit(False)
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


@gristmill.task(max_attempts=4, backoff=Exponential(base=10, factor=3, jitter=0))
def flaky(times):
    ran.append(times)
    raise Sad(len(ran))


@gristmill.task(max_attempts=None, backoff=Constant(0), retry_on=(Sad,), takes_context=True)
def third_time_lucky(context):
    ran.append(context.attempt)
    if context.attempt < 3:
        raise Sad("once more")
    return context.attempt


@gristmill.task(max_attempts=5, backoff=lambda error, result: None if "never" in str(error) else 60)
def ask(what):
    raise Sad(what)


@gristmill.task(max_postpones=2, postpone_delay=30)
def not_yet(kind):
    ran.append(kind)
    if kind == "raise":
        raise Postpone(timedelta(minutes=1), reason="too early")
    return Postpone()


@gristmill.task(unique=True)
def once(what):
    ran.append(what)


@gristmill.task(expires=60)
def fresh(what):
    ran.append(what)


@gristmill.task(transactional=True)
def pay(how):
    Order.objects.create(name=how)
    transaction.on_commit(lambda: ran.append(f"{how}: committed"))
    if how == "raise":
        raise Sad(how)
    if how == "set":
        return {how}
    if how == "collide":
        Order.objects.create(pk=7, name="first")
        with contextlib.suppress(IntegrityError):
            Order(pk=7, name="second").save(force_insert=True)
    if how == "later":
        raise Postpone(60)
    if how == "superseded":
        RunningRow.objects.all().delete()
    return connection.in_atomic_block


@gristmill.task(transactional=True)
def careless():
    transaction.on_commit(lambda: 1 / 0)


@task(takes_context=True)
def report(context):
    context.progress(1, 2, "half")
    context.metadata["colour"] = "blue"
    context.progress(2, 2, "all")
    context.log("a line")
    return context.attempt


@gristmill.task(max_attempts=3, takes_context=True)
def cancel_myself(context):
    operations.cancel(context.task_result)
    raise Sad("cancelled")


@task(takes_context=True)
def look_back(context):
    ran.append(context.preconditions)
    return [[one.id, one.status.value, one._return_value] for one in context.preconditions]


@task(takes_context=True)
async def look_back_later(context):
    return [[one.id, one.status.value, one._return_value] for one in await context.apreconditions()]


@task
def wait_for(*ids):
    ran.append(ids)
    raise Postpone(after=ids)


@task
def hurry_on(what):
    note.enqueue(what)


@gristmill.task(takes_context=True)
def gather(context, seconds=None):
    """Enqueues what it needs, goes back until that is there, and adds it up."""
    ran.append("gather")
    if not context.preconditions:
        raise Postpone(seconds, after=[obey.enqueue(number) for number in (1, 2)])
    return sum(one.return_value for one in context.preconditions)


@gristmill.task(takes_context=True)
def look_each_time(context):
    """Goes back until all that it waits for has ended."""
    ran.append("look")
    if not all(one.is_finished for one in context.preconditions):
        raise Postpone(after=[])


@gristmill.task(takes_context=True, transactional=True)
def gather_and_keep(context):
    """The same, in one transaction with what it writes."""
    Order.objects.create(name="kept")
    if not context.preconditions:
        raise Postpone(after=obey.enqueue(3))
    return context.preconditions[0].return_value

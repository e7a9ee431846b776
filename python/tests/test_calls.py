"""A call that cannot work is refused where it is made, naming the task, the argument and what to do."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import wraps
from pathlib import Path
from uuid import UUID

import pytest
from asgiref.sync import async_to_sync
from django.core.files.base import ContentFile
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext_lazy

import gristmill
from gristmill import Graph, Unique, call, chain, group, remote
from gristmill.backends.dummy import DummyBackend
from gristmill.backends.immediate import ImmediateBackend
from gristmill.models import Job, JobRow, ReadyRow
from tests.app.models import Order

pytestmark = pytest.mark.django_db

WHERE = r"tests\.test_calls\.{name}\({shown}\): {what}"


@gristmill.task
def add(n):
    return n


@gristmill.task
async def add_later(n, *, by=1):
    return n + by


@gristmill.task(takes_context=True)
def with_context(context, n):
    return n


@gristmill.task
def anything(*args, **kwargs):
    return args, kwargs


@gristmill.task
def strict(n, /, *, size):
    return n, size


def logged(function):
    @wraps(function)
    def logging(*args, **kwargs):
        return function(*args, **kwargs)

    return logging


@gristmill.task
@logged
def decorated(n):
    return n


def spoiling(old_args, old_kwargs, new_args, new_kwargs):
    return call(*old_args, *new_args)


@gristmill.task(unique=Unique(by=lambda n: 1, on_conflict="merge", merge=spoiling), name="tests.calls.merging")
def merging(n):
    return n


MISFITS = [
    (add, (1, 2, 3), {}, "n", "too many positional arguments"),
    (add, (), {}, "n", "missing a required argument: 'n'"),
    (add, (1,), {"m": 2}, "n", "got an unexpected keyword argument 'm'"),
    (add, (1,), {"n": 2}, "n", "multiple values for argument 'n'"),
    (add_later, (1, 2), {}, r"n, \*, by=1", "too many positional arguments"),
    (with_context, (), {}, "n", "missing a required argument: 'n'"),
    (with_context, (1,), {"context": None}, "n", "multiple values for argument 'context'"),
    (strict, (), {"n": 1, "size": 2}, r"n, /, \*, size", ""),
    (strict, (1,), {}, r"n, /, \*, size", "missing a required"),
]


@pytest.mark.parametrize(("task", "args", "kwargs", "shown", "what"), MISFITS)
def test_a_call_that_does_not_fit_is_refused_where_it_is_made(task, args, kwargs, shown, what):
    sentence = WHERE.format(name=task.name, shown=shown, what=what)

    with pytest.raises(TypeError, match=f"^{sentence}"):
        task.enqueue(*args, **kwargs)
    with pytest.raises(TypeError, match=f"^{sentence}"):
        async_to_sync(task.aenqueue)(*args, **kwargs)
    with pytest.raises(TypeError, match=f"^{sentence}"):
        task.with_args(*args, **kwargs).enqueue()

    assert not JobRow.objects.exists()


def test_a_bulk_names_the_call_that_does_not_fit_and_writes_nothing():
    with pytest.raises(TypeError, match=r"^calls\[2\]: tests\.test_calls\.add\(n\): too many positional arguments$"):
        add.enqueue_many([(1,), call(n=2), (1, 2)])

    assert not JobRow.objects.exists()


def test_a_graph_names_the_node_that_does_not_fit_and_writes_nothing():
    graph = Graph()
    graph.add(add, 1, after=graph.add(add, 1))
    graph.add(add)
    with pytest.raises(TypeError, match=r"^nodes\[2\]: tests\.test_calls\.add\(n\): missing a required argument: 'n'$"):
        graph.enqueue()
    with pytest.raises(TypeError, match=r"^nodes\[1\]: tests\.test_calls\.add\(n\): "):
        chain(add.with_args(1), group(add, add.with_args(2))).enqueue()

    assert not JobRow.objects.exists()


def test_what_a_merge_returns_has_to_fit_too():
    first = merging.enqueue(1)

    with pytest.raises(TypeError, match=r"^merge: tests\.test_calls\.merging\(n\): too many positional arguments$"):
        merging.enqueue(2)

    assert Job.objects.get(pk=first.id).args == [1]


@pytest.mark.parametrize("backend", [ImmediateBackend, DummyBackend])
def test_backends_without_a_database_refuse_what_the_database_would(backend, monkeypatch):
    ours = backend("default", {})
    monkeypatch.setattr(type(add), "get_backend", lambda task: ours)

    with pytest.raises(TypeError, match=r"^tests\.test_calls\.add\(n\): too many positional arguments$"):
        add.enqueue(1, 2)
    with pytest.raises(TypeError, match=r"^args\[0\]: set is not JSON .*\(argument 'n' of tests\.test_calls\.add\)$"):
        add.enqueue({1})


def test_what_nobody_can_know_here_is_accepted():
    """What a decorator's wrapper takes is its own matter, and a remote task's code lives elsewhere."""
    for task in (remote("elsewhere.add"), decorated, anything):
        task.enqueue(1, 2, three=3)
        task.enqueue_many([(1, 2), call(three=3)])

    assert ReadyRow.objects.count() == 9


def test_a_shape_that_has_fitted_before_says_nothing_of_another():
    for shape in [call(1), call(n=1)]:
        add.enqueue(*shape.args, **shape.kwargs)
    with pytest.raises(TypeError, match="unexpected keyword argument 'm'"):
        add.enqueue(1, m=1)


# -- JSON ----------------------------------------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = 1


@dataclass
class Point:
    x: int


REMEDIES = [
    (Order(), "Order", "pass its primary key"),
    (Order.objects.all(), "QuerySet", r"pass primary keys: list\(….values_list\('pk', flat=True\)\)"),
    (SimpleLazyObject(Order), "a lazy Order", "pass its primary key"),
    (SimpleLazyObject(lambda: "text"), "a lazy str", r"pass str\(…\)"),
    (SimpleLazyObject(lambda: 7), "a lazy int", r"pass int\(…\)"),
    (SimpleLazyObject(lambda: True), "a lazy bool", r"pass bool\(…\)"),
    (gettext_lazy("text"), "a lazy str", r"pass str\(…\)"),
    ({1}, "set", r"pass list\(…\)"),
    ((each for each in [1]), "generator", r"pass list\(…\)"),
    (datetime(2026, 1, 1), "datetime", r"pass ….isoformat\(\)"),
    (date(2026, 1, 1), "date", r"pass ….isoformat\(\)"),
    (time(1), "time", r"pass ….isoformat\(\)"),
    (timedelta(1), "timedelta", r"pass ….total_seconds\(\)"),
    (Decimal(1), "Decimal", r"pass str\(…\)"),
    (UUID(int=1), "UUID", r"pass str\(…\)"),
    (Path("/"), "PosixPath", r"pass str\(…\)"),
    (Colour.RED, "Colour", "pass its value"),
    (Point(1), "Point", r"pass dataclasses.asdict\(…\)"),
    (ContentFile(b""), "ContentFile", "save it, and pass its name"),
    (HttpRequest(), "HttpRequest", "pass what the task needs of it"),
    (len, "builtin_function_or_method", "pass its name"),
    (Point, "type", "pass its name"),
    (object(), "object", "pass the text, numbers, lists and dicts that the task needs of it"),
]


@pytest.mark.parametrize(("value", "name", "remedy"), REMEDIES, ids=[f"{each[1]}" for each in REMEDIES])
def test_an_argument_that_is_not_json_is_named_with_what_to_pass_instead(value, name, remedy):
    told = rf"{name} is not JSON \(Unsupported type: .*\); {remedy} \(argument 'n' of tests\.test_calls\."

    with pytest.raises(TypeError, match=rf"^args\[0\]: {told}add\)$"):
        add.enqueue(value)
    with pytest.raises(TypeError, match=rf"^kwargs\.n\.deep\[1\]: {told}add\)$"):
        add.enqueue(n={"deep": [1, value]})
    with pytest.raises(TypeError, match=rf"^calls\[1\]\.args\[0\]: {told}with_context\)$"):
        with_context.enqueue_many([(1,), (value,)])

    assert not JobRow.objects.exists()


@pytest.mark.parametrize(
    ("args", "kwargs", "told"),
    [
        ((1, {2}), {}, r"args\[1\]: .*\(argument 'args' of tests\.test_calls\.anything\)"),
        ((), {"a b": {2}}, r"kwargs\[\"a b\"\]: .*\(argument 'a b' of tests\.test_calls\.anything\)"),
        ((), {"x": float("nan")}, r"kwargs\.x: nan is not JSON; .*\(argument 'x' of tests\.test_calls\.anything\)"),
        ((), {"x": b"\xff"}, r"kwargs\.x: bytes that are not UTF-8 .* Base64 .*\(argument 'x' of"),
        ((), {"x": {(1, 2): 3}}, r"kwargs\.x key: tuple is not a JSON key .*str\(…\) .*\(argument 'x' of"),
        (("x" * 300_000,), {}, r"args: 300,004 bytes .*\(the arguments of tests\.test_calls\.anything\)"),
    ],
)
def test_whichever_argument_it_is_it_is_named(args, kwargs, told):
    with pytest.raises((TypeError, ValueError), match=rf"^{told}"):
        anything.enqueue(*args, **kwargs)


def test_a_remote_tasks_argument_is_named_as_far_as_it_is_known():
    with pytest.raises(TypeError, match=r"^args\[0\]: set is not JSON .* \(an argument of elsewhere\.add\)$"):
        remote("elsewhere.add").enqueue({1})

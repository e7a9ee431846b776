"""The lanes of ready jobs: one query, whatever there is, that reads as many rows as it counts."""

from __future__ import annotations

import pytest
from django.db import connection

from gristmill.inspect import lanes
from gristmill.inspect.lanes import lanes_of
from tests.app.tasks import add, send

pytestmark = pytest.mark.django_db


def seen(*backends, cap=10):
    return [
        (lane.backend, lane.queue_name, lane.task_name.rpartition(".")[2], lane.ready)
        for lane in lanes_of(connection, backends, cap)
    ]


def test_each_queue_and_task_of_the_aliases_asked_for_is_a_lane():
    add.enqueue_many([(number,) for number in range(3)])
    add.using(queue_name="mail").enqueue(1)
    send.enqueue("a")
    add.using(backend="any_queue", queue_name="a").enqueue(1)

    assert seen("default", "elsewhere") == [
        ("default", "default", "add", 3),
        ("default", "mail", "add", 1),
        ("default", "mail", "send", 1),
    ]
    assert seen("any_queue") == [("any_queue", "a", "add", 1)]
    assert seen() == []


def test_a_lane_is_counted_to_just_beyond_the_cap():
    add.enqueue_many([(number,) for number in range(30)])

    assert seen("default", cap=4) == [("default", "default", "add", 5)]


def test_the_first_in_line_is_of_the_highest_priority():
    add.using(priority=-5).enqueue(1)
    first = add.using(priority=7).enqueue(2)
    add.using(priority=7).enqueue(3)

    assert [lane.first_id.hex for lane in lanes_of(connection, ["default"], 10)] == [first.id]


def test_lanes_beyond_the_most_are_left_out(monkeypatch):
    monkeypatch.setattr(lanes, "MOST", 2)
    for queue_name in ("a", "b", "c"):
        add.using(backend="any_queue", queue_name=queue_name).enqueue(1)

    assert [lane[1] for lane in seen("any_queue")] == ["a", "b"]

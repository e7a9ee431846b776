"""Job ids."""

import time
import uuid

import pytest

from gristmill.values.ids import new_id, parse_id


def test_ids_of_one_process_sort_in_the_order_they_were_made():
    ids = [new_id() for _ in range(10_000)]

    assert ids == sorted(set(ids))


def test_an_id_is_a_uuid_of_version_7_with_the_time_in_it():
    before = time.time_ns() // 1_000_000
    made = new_id()

    assert made.version == 7
    assert made.variant == uuid.RFC_4122
    assert before - 1000 <= made.int >> 80 <= before + 60_000


def test_a_clock_that_goes_back_does_not_break_the_order(monkeypatch):
    first = new_id()
    monkeypatch.setattr(time, "time_ns", lambda: 0)

    assert new_id() > first


@pytest.mark.parametrize("text", ["123", "", "g" * 32, 123, None, b"0" * 32, "0" * 31 + "\0", "'; drop table"])
def test_what_is_no_id_is_none(text):
    assert parse_id(text) is None


def test_an_id_may_be_written_with_or_without_hyphens():
    made = new_id()

    assert parse_id(str(made)) == parse_id(made.hex) == parse_id(made) == made

"""The JSON rule: what passes is canonical, and what does not is named by its path."""

import enum
import json
import math
from collections import OrderedDict, deque
from datetime import datetime
from decimal import Decimal
from random import Random
from types import MappingProxyType

import pytest

from gristmill.compat import normalize_json
from gristmill.values.json_rule import MAX_DEPTH, MAX_INTEGER, encode


class Colour(enum.Enum):
    RED = 1


class Size(str, enum.Enum):
    BIG = "big"


class Number(enum.IntEnum):
    ONE = 1


def nested(depth):
    value = []
    for _ in range(depth - 1):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([1, "two", 3.5, None, True], '[1,"two",3.5,null,true]'),
        ({"a": {"b": (1, 2)}}, '{"a":{"b":[1,2]}}'),
        ((b"caf\xc3\xa9", "café"), '["café","café"]'),
        (deque([1, range(2)]), "[1,[0,1]]"),
        (MappingProxyType({"a": OrderedDict(b=1)}), '{"a":{"b":1}}'),
        ({1: "a", None: "b", 2.5: "c", b"d": "e", False: "f"}, '{"1":"a","null":"b","2.5":"c","d":"e","false":"f"}'),
        ([Size.BIG, Number.ONE], '["big",1]'),
        ([MAX_INTEGER, -MAX_INTEGER], f"[{MAX_INTEGER},-{MAX_INTEGER}]"),
        ([1e22, -0.0], "[1e+22,-0.0]"),
        ("back\\u0000slash", '"back\\\\u0000slash"'),
        ("<\u2028\x1f\U0001f600>", '"<\u2028\\u001f\U0001f600>"'),
        ([], "[]"),
        ({}, "{}"),
    ],
)
def test_what_is_json_becomes_canonical_text(value, text):
    assert encode(value, where="args") == text


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ([{"items": [0, 1, 2, {3}]}], TypeError, r"^args\[0\]\.items\[3\]: set is not JSON"),
        ([datetime(2026, 1, 1)], TypeError, r"^args\[0\]: datetime is not JSON \(Unsupported type: "),
        ([Decimal(1)], TypeError, r"^args\[0\]: Decimal is not JSON"),
        ([Colour.RED], TypeError, r"^args\[0\]: Colour is not JSON"),
        ([{"a b": object()}], TypeError, r'^args\[0\]\["a b"\]: object is not JSON'),
        ([{(1, 2): 3}], TypeError, r"^args\[0\] key: tuple is not a JSON key"),
        ([b"\xff"], ValueError, r"^args\[0\]: bytes that are not UTF-8 are not JSON \(Unsupported value: "),
        ([math.nan], ValueError, r"^args\[0\]: nan is not JSON"),
        ([{"a": -math.inf}], ValueError, r"^args\[0\]\.a: -inf is not JSON"),
        (["a\0b"], ValueError, r"^args\[0\]: text with a NUL"),
        ([{"a\0b": 1}], ValueError, r"^args\[0\] key: text with a NUL"),
        (["\ud800"], ValueError, r"^args\[0\]: text with a lone surrogate"),
        ([MAX_INTEGER + 1], ValueError, r"^args\[0\]: an integer beyond 64 bits"),
        ([-MAX_INTEGER - 1], ValueError, r"^args\[0\]: an integer beyond 64 bits"),
        ([{1: "a", "1": "b"}], ValueError, r'^args\[0\]: two keys become "1" as JSON'),
        (nested(MAX_DEPTH + 1), ValueError, r"nested deeper than 100 levels$"),
        (["x" * 300_000], ValueError, r"^args: 300,004 bytes of JSON are over the limit of 262,144"),
        (["é" * 140_000], ValueError, r"^args: 280,004 bytes of JSON are over the limit of 262,144"),
    ],
)
def test_what_is_not_json_is_refused_by_its_path(value, error, message):
    with pytest.raises(error, match=message):
        encode(value, where="args")


def test_a_structure_that_contains_itself_is_refused():
    value = []
    value.append(value)

    with pytest.raises(ValueError, match="nested deeper"):
        encode(value, where="args")


def test_the_deepest_allowed_nesting_passes():
    assert encode(nested(MAX_DEPTH), where="args") == "[" * MAX_DEPTH + "]" * MAX_DEPTH


def test_the_limit_can_be_set():
    with pytest.raises(ValueError, match="over the limit of 10 "):
        encode("0123456789", where="result", max_bytes=10)


def value_of(random, depth):
    """A random value of every kind that Django's rule knows."""
    kind = random.randrange(9 if depth else 6)
    if kind < 6:
        text = "".join(random.choice('aé"\\\n\x1f\u2028😀\\u0000') for _ in range(random.randrange(5)))
        return [None, random.random() < 0.5, random.randint(-(2**62), 2**62), random.uniform(-1e9, 1e9), text,
                text.encode()][kind]  # fmt: skip
    items = [value_of(random, depth - 1) for _ in range(random.randrange(4))]
    if kind == 6:
        return items
    if kind == 7:
        return tuple(items)
    return {random.choice(["a", "b c", "ü", b"d", 1, 2.5, None]): item for item in items}


@pytest.mark.parametrize("seed", range(200))
def test_it_says_what_djangos_own_rule_says(seed):
    value = value_of(Random(seed), 4)

    assert encode(value, where="args") == json.dumps(normalize_json(value), ensure_ascii=False, separators=(",", ":"))


def test_the_text_reads_back_as_what_was_given():
    value = {"text": 'quotes " and \\ and \n', "list": [1, [2.5, None]], "nested": {"ключ": "значение"}}

    assert json.loads(encode(value, where="result")) == value

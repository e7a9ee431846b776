"""What people type to find jobs: read into one form, or refused with a sentence that says what to write."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from gristmill.inspect.listing.search import Search, SearchError


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("", Search()),
        ("  ", Search()),
        ("state:failed queue:mail", Search(state="failed", queues=("mail",))),
        ("State:FAILED", None),
        ("state:FAILED", Search(state="failed")),
        ("send_receipt", Search(words=("send_receipt",))),
        ("0192f0c0", Search(ids=("0192f0c0",))),
        ("0192F0C0-A0B0-7000-8000-00000000000A", Search(ids=("0192f0c0a0b07000800000000000000a",))),
        ("id:0192f0c0a", Search(ids=("0192f0c0a",))),
        # Too short for an id: a word.
        ("decade", Search(words=("decade",))),
        ("args.order_id:7 args.user.name:Ada", Search(args=(("order_id", "7"), ("user.name", "Ada")))),
        ("args.0:7", Search(args=(("0", "7"),))),
        ('error:"no such table" error:x', Search(errors=("no such table", "x"))),
        (r'error:"say \"no\" \\ twice"', Search(errors=('say "no" \\ twice',))),
        ('"a word:with a colon"', Search(words=("a word:with a colon",))),
        ("task:a task:b", Search(tasks=("a", "b"))),
        ("key:abc schedule:nightly worker:mill-1", Search(keys=("abc",), schedules=("nightly",), workers=("mill-1",))),
        ("after:2h before:7d", Search(after=timedelta(hours=2), before=timedelta(days=7))),
        ("after:2026-12-24", Search(after=datetime(2026, 12, 24))),
        ("before:2026-12-24T18:00:00Z", Search(before=datetime(2026, 12, 24, 18, tzinfo=timezone.utc))),
        ("error:http://x", Search(errors=("http://x",))),
    ],
)
def test_a_search_is_read_into_one_form(text, meant):
    if meant is None:
        with pytest.raises(SearchError, match="'State' is no term; did you mean state:"):
            Search.parse(text)
    else:
        assert Search.parse(text) == meant


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("x" * 201, "a search has 200 characters at most, and this one 201"),
        ("a " * 9, "a search has 8 terms at most, and this one 9"),
        ("colour:red", "'colour' is no term; there is id:, task:, queue:"),
        ("quene:mail", "'quene' is no term; did you mean queue:?"),
        ("queue:", "nothing stands behind queue:; write queue:VALUE"),
        ('queue:""', "nothing stands behind queue:; write queue:VALUE"),
        ('error:"no end', 'a quote is opened and not closed at error:"no'),
        ('error:"a"b', 'error:"a"b cannot be read; write name:value or name:"a value with spaces"'),
        ("state:done", "'done' is no state; "),
        ("state:faild", "'faild' is no state; did you mean failed?"),
        ("state:failed state:ready", "state: stands there twice; leave one of the two out"),
        ("id:0192", "'0192' is too short: give the first or last 8 digits"),
        ("id:printer", "'printer' is no id: 32 hexadecimal digits"),
        ("before:yesterday", "'yesterday' is no date; write before:2026-12-24"),
        ("after:2026-02-30", "'2026-02-30' is no date; write after:2026-12-24"),
        ("after:999999d", None),
        ("args.:7", "an argument has a name: args.order_id:7"),
        ("args.a..b:7", "an argument has a name: args.order_id:7"),
        ("\x1b[31m:x", None),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_to_write(text, sentence):
    try:
        found = Search.parse(text)
    except SearchError as error:
        assert sentence is None or str(error).startswith(sentence)
        assert str(error).isprintable()
    else:
        assert sentence is None
        assert found

"""Lists of jobs: every job once, in the order that its state wants, page by page, forwards and back."""

from __future__ import annotations

import base64
import json
import uuid
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

import gristmill
from gristmill import Unique, operations
from gristmill.inspect.listing import walking
from gristmill.inspect.listing.branches import BRANCHES
from gristmill.inspect.listing.choices import choices
from gristmill.inspect.listing.counts import counts
from gristmill.inspect.listing.pages import page_of
from gristmill.inspect.listing.search import Search, SearchError
from gristmill.models import Attempt, Job, JobRow, ReadyRow, ResultRow, RunningRow, ScheduledRow, Tick
from tests import goals, rows
from tests.app.tasks import add, send

#: An id that no job has; the same in every process, as names of tests are made of it.
NO_JOB = "0" * 31 + "1"

pytestmark = pytest.mark.django_db(databases=["default", "other"])


@gristmill.task(redact=["card"])
def charge(order_id, card, note=""):
    return order_id


def listed(text="", branch="all", **more):
    return [row.id for row in page_of(connection, Search.parse(text), branch, **more).rows]


def walked(branch, text="", size=2, **more):
    """The ids of every page there is, page by page, by the cursors of one after the other."""
    search, cursor, found = Search.parse(text), None, []
    while True:
        page = page_of(connection, search, branch, size=size, cursor=cursor, **more)
        found.append([row.id for row in page.rows])
        if page.next is None:
            return found
        cursor = page.next


def walked_back(branch, text="", size=2):
    """The same, from the last page to the first."""
    search, cursor = Search.parse(text), None
    while (page := page_of(connection, search, branch, size=size, cursor=cursor)).next is not None:
        cursor = page.next
    found = [[row.id for row in page.rows]]
    while page.previous is not None:
        page = page_of(connection, search, branch, size=size, cursor=page.previous)
        found.append([row.id for row in page.rows])
    return found[::-1]


def flat(pages):
    return [job_id for page in pages for job_id in page]


def in_every_state():
    """Five jobs of each branch, the oldest first."""
    made = {name: [] for name in BRANCHES}
    for number in range(5):
        ready = add.enqueue(number)
        later = add.using(run_after=timedelta(days=5 - number)).enqueue(number)
        held, open_, failing, failed, done = (add.enqueue(number) for _ in range(5))
        operations.hold(held)
        running = add.enqueue(number)
        rows.claim(running.id)
        rows.fail(failed.id)
        rows.succeed(done.id)
        waiting = goals.wait(open_, ready).id.hex
        stranded = goals.wait(failing, failed).id.hex
        for name, job_id in (
            *(("ready", ready.id), ("scheduled", later.id), ("held", held.id), ("running", running.id)),
            *(("failed", failed.id), ("successful", done.id), ("waiting", waiting), ("stranded", stranded)),
        ):
            made[name].append(job_id)
    return made


def test_each_state_comes_in_the_order_that_it_wants():
    made = in_every_state()

    assert flat(walked("ready")) == made["ready"]
    assert flat(walked("running")) == made["running"]
    # The one enqueued last is due first.
    assert flat(walked("scheduled")) == made["scheduled"][::-1]
    for newest_first in ("waiting", "stranded", "held", "failed", "successful"):
        assert flat(walked(newest_first)) == made[newest_first][::-1]
    both = zip(made["failed"], made["successful"], strict=True)
    assert flat(walked("finished")) == [job_id for pair in both for job_id in pair][::-1]
    assert flat(walked("unsuccessful")) == made["failed"][::-1]
    assert walked("cancelled") == walked("poisoned") == [[]]


def test_all_is_every_job_once_newest_first():
    made = in_every_state()
    ids = sorted({job_id for of_state in made.values() for job_id in of_state}, reverse=True)

    assert flat(walked("all", size=7)) == ids
    assert {row.state for row in page_of(connection).rows} == {row.state for row in Job.objects.all()}


@pytest.mark.parametrize("text", ["", "queue:default"])
def test_the_way_back_shows_the_same_pages(text):
    in_every_state()
    for branch in BRANCHES:
        forwards, back = walked(branch, text), walked_back(branch, text)

        assert flat(back) == flat(forwards)
        # Only the first page may be cut otherwise.
        assert back[-1] == forwards[-1]


def test_jobs_of_one_moment_are_each_on_one_page():
    for number in range(7):
        rows.fail(add.enqueue(number).id)
    ResultRow.objects.update(finished_at=timezone.now())

    pages = walked("failed")

    assert [len(page) for page in pages] == [2, 2, 2, 1]
    assert len({job_id for page in pages for job_id in page}) == 7


def test_ready_jobs_of_a_lane_come_as_they_are_claimed():
    low = [add.using(priority=-5).enqueue(number).id for number in range(3)]
    soon = add.using(deadline=timedelta(minutes=1)).enqueue(1).id
    usual = [add.enqueue(number).id for number in range(2)]
    high = [add.using(priority=7).enqueue(number).id for number in range(3)]
    send.enqueue("a")
    lane = f"queue:default task:{add.module_path}"

    assert flat(walked("ready", lane, backends=("default",))) == [*high, soon, *usual, *low]
    assert flat(walked("ready", f"{lane} args.left:1", backends=("default",))) == [high[1], soon, usual[1], low[1]]


def test_a_job_that_moves_between_two_pages_costs_no_other_its_place():
    first = [add.enqueue(number).id for number in range(4)]
    page = page_of(connection, branch="ready", size=2)
    rows.succeed(first[0])
    rows.succeed(first[1])

    after = page_of(connection, branch="ready", size=2, cursor=page.next)

    assert [row.id for row in after.rows] == first[2:]


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "nonsense",
        "é" * 10,
        "x" * 5_000,
        base64.urlsafe_b64encode(b"[]").decode(),
        base64.urlsafe_b64encode(b"[" * 300).decode(),
        base64.urlsafe_b64encode(json.dumps(["failed", None, NO_JOB]).encode()).decode(),
        base64.urlsafe_b64encode(json.dumps(["all", "2026-01-01 00:00:00.000000", NO_JOB]).encode()).decode(),
        base64.urlsafe_b64encode(json.dumps(["all", None, "x"]).encode()).decode(),
        base64.urlsafe_b64encode(json.dumps(["all", None, NO_JOB, "forth"]).encode()).decode(),
        base64.urlsafe_b64encode(json.dumps({"all": None}).encode()).decode(),
    ],
)
def test_a_cursor_that_is_none_shows_the_first_page(cursor):
    ids = [add.enqueue(number).id for number in range(3)][::-1]

    assert listed(cursor=cursor) == ids


@pytest.mark.parametrize("value", ["0001-01-01 00:00:00.000000", "9999-12-31 23:59:59.999999", "2026-13-01", 7, [1]])
def test_a_cursor_beyond_the_calendar_does_no_harm(value):
    rows.fail(add.enqueue(1).id)
    cursor = base64.urlsafe_b64encode(json.dumps(["failed", value, NO_JOB]).encode()).decode()

    page_of(connection, branch="failed", cursor=cursor)


# -- searching ----------------------------------------------------------------------------------------------------


def test_a_job_is_found_by_what_it_was_called_with():
    seven, text, nested = add.enqueue(7), add.enqueue("7"), add.enqueue({"user": {"id": 17}}, right=[1, 2])
    add.enqueue(77)

    assert listed("args.left:7") == [text.id, seven.id]
    assert listed("args.0:7") == [text.id, seven.id]
    assert listed("args.left.user.id:17") == [nested.id]
    assert listed("args.right:2") == [nested.id]
    assert listed("args.right:3") == listed("args.nothing:7") == []


def test_what_is_hidden_cannot_be_searched_for():
    job = charge.enqueue(7, "4111", note="x")
    send.enqueue("a", token="4111")

    assert listed("args.order_id:7") == listed("args.note:x") == [job.id]
    for text in ("args.card:4111", "args.1:4111", "args.token:4111", "args.card:[redacted]"):
        assert listed(text) == []


def test_a_job_is_found_by_the_beginning_and_the_end_of_its_id():
    first, second = add.enqueue(1).id, add.enqueue(2).id

    assert listed(first[:20]) == sorted([one for one in (first, second) if one.startswith(first[:20])], reverse=True)
    assert listed(second) == [second]
    assert listed(first[-12:]) == [first]
    assert listed(f"{first} {second}") == [second, first]
    assert listed(f"state:failed {first}") == []
    rows.fail(first)
    assert listed(f"state:failed {first}") == [first]
    assert listed("f" * 32) == []


def test_a_job_is_found_by_task_and_queue():
    job, mail = add.enqueue(1).id, send.enqueue("a").id

    assert listed("queue:mail") == listed("send") == listed("task:tests.app.tasks.send") == [mail]
    assert listed("task:tasks.add") == listed("task:add") == [job]
    assert listed("queue:mail queue:default") == [mail, job]
    assert listed("task:nowhere.at_all") == []
    with pytest.raises(SearchError, match="no task that is known here has 'nowhere' in its name; write task:NAME"):
        listed("nowhere")


def test_a_job_is_found_by_what_an_attempt_failed_with():
    failed, retried = add.enqueue(1), add.enqueue(2)
    rows.fail(failed.id, traceback="Traceback\nOperationalError: no such TABLE: shop\n")
    rows.failed_for_now(retried.id)

    assert listed('error:"No such table"') == listed("state:failed error:operational") == [failed.id]
    assert listed("state:scheduled error:error") == [retried.id]
    assert listed("error:elsewhere") == []


def test_a_job_is_found_by_its_worker():
    mill, other = rows.worker(label="mill-7", host="a"), rows.worker(label="mill-8", host="b")
    running, done = add.enqueue(1), add.enqueue(2)
    rows.claim(running.id, mill.id)
    rows.end(claimed := rows.claim(done.id, mill.id), "successful")
    rows.finish(claimed, "successful")
    rows.claim(add.enqueue(3).id, other.id)

    assert listed("worker:mill-7") == listed("worker:a") == listed(f"worker:{mill.id.hex}") == [done.id, running.id]
    assert listed("worker:nobody") == []


def test_a_job_is_found_by_its_key_and_by_its_schedule():
    keyed = add.using(unique=Unique(until="finished"))
    held = keyed.enqueue(1)
    key = JobRow.objects.get(pk=held.id).unique_key
    ticked = add.enqueue(5)
    now = timezone.now()
    Tick(backend="default", schedule="hourly", nominal=now, found_at=now, job_id=uuid.UUID(ticked.id)).save(
        force_insert=True
    )

    assert listed(f"key:{key}") == [held.id]
    operations.cancel(held)
    assert listed(f"key:{key}") == [held.id]
    assert listed("schedule:hourly") == [ticked.id]
    assert listed("schedule:daily") == listed("key:nobody") == []


def test_before_and_after_go_by_the_moment_of_the_state():
    now = timezone.now()
    old, new = add.enqueue(1), add.enqueue(2)
    rows.fail(old.id)
    rows.fail(new.id)
    ResultRow.objects.filter(pk=old.id).update(finished_at=now - timedelta(days=2))
    soon = add.using(run_after=now + timedelta(hours=1)).enqueue(1)

    assert listed("state:failed after:1d") == [new.id]
    assert listed("state:failed before:1d") == [old.id]
    assert listed("state:failed after:3d before:1d") == [old.id]
    assert listed(f"state:scheduled before:{(now + timedelta(hours=2)).isoformat()}") == [soon.id]
    assert listed(f"state:scheduled before:{now.isoformat()}") == []
    assert listed("after:1h") == [soon.id, new.id, old.id]
    assert listed("before:1h") == []
    with pytest.raises(SearchError, match="before: is no date in this calendar"):
        listed("before:999999d")


def test_a_search_without_an_index_says_how_far_it_looked_and_goes_on(monkeypatch):
    for name, value in (("FIRST_STRIDE", 2), ("LONGEST_STRIDE", 2), ("MOST_ROWS", 4)):
        monkeypatch.setattr(walking, name, value)
    wanted = add.enqueue("here")
    for number in range(9):
        add.enqueue(number)

    first = page_of(connection, Search.parse("args.left:here"))
    second = page_of(connection, Search.parse("args.left:here"), cursor=first.next)
    third = page_of(connection, Search.parse("args.left:here"), cursor=second.next)

    assert (first.rows, first.looked.rows) == ([], 4)
    assert str(first.looked).startswith("looked at the newest 4 jobs from here, back to 20")
    assert ([row.id for row in third.rows], third.looked, third.next) == ([wanted.id], None, None)


def test_a_search_that_takes_too_long_says_how_far_it_looked(monkeypatch):
    monkeypatch.setattr(walking, "FIRST_STRIDE", 2)
    monkeypatch.setattr(walking, "MOST_SECONDS", 0)
    for number in range(5):
        add.enqueue(number)

    assert page_of(connection, Search.parse("args.left:none")).looked.rows == 2


# -- bad rows -----------------------------------------------------------------------------------------------------


def test_a_row_that_cannot_be_read_is_listed_all_the_same():
    broken, unknown, lost, placeless = (add.enqueue(number) for number in range(4))
    JobRow.objects.filter(pk=broken.id).update(args="[1,", kwargs="nonsense", options="[")
    for model in (JobRow, ReadyRow):
        model.objects.filter(pk=unknown.id).update(task_name="gone.away")
    rows.fail(lost.id)
    Attempt.objects.all().delete()
    ReadyRow.objects.filter(pk=placeless.id).delete()

    found = {row.id: row for row in page_of(connection).rows}

    assert found[broken.id].arguments == "not JSON"
    assert (found[unknown.id].task_name, found[unknown.id].arguments) == ("gone.away", "1")
    assert (found[lost.id].state, found[lost.id].error) == ("failed", "")
    assert found[placeless.id].state == "nowhere"
    assert listed("args.left:1") == []


def test_a_place_without_its_job_is_listed_too():
    job = add.enqueue(1)
    JobRow.objects.all().delete()

    (row,) = page_of(connection, branch="ready").rows

    assert (row.id, row.state, row.arguments) == (job.id, "nowhere", "")
    assert listed("args.left:1", "ready") == []


def test_long_arguments_are_told_by_their_length():
    add.enqueue("x" * 50_000)

    assert page_of(connection).rows[0].arguments == "50,006 characters"


def test_arguments_and_errors_are_one_line_of_printable_text():
    job = add.enqueue("\x1b[31m\u202e<script>\n")
    rows.fail(job.id, traceback="ValueError: \x1b]0;title\x07<b>\n")

    (row,) = page_of(connection).rows

    assert row.arguments.isprintable()
    assert "<script>" in row.arguments


# -- beside a list ------------------------------------------------------------------------------------------------


def test_counts_stop_at_a_cap(monkeypatch):
    in_every_state()
    assert {name: str(count) for name, count in counts(connection).items()} == {
        **dict.fromkeys(("ready", "scheduled", "waiting", "stranded", "held"), "5"),
        **dict.fromkeys(("running", "failed"), "5"),
        **dict.fromkeys(("cancelled", "poisoned"), "0"),
        "successful": "5",
    }

    monkeypatch.setattr("gristmill.inspect.listing.counts.CAP", 4)
    assert str(counts(connection)["failed"]) == "4+"


def test_choices_are_of_settings_code_ready_jobs_and_workers():
    rows.worker(tasks=["elsewhere.task"], queues={"include": ["far"], "exclude": []})
    add.enqueue(1)
    ReadyRow.objects.update(queue_name="odd", task_name="gone.away")

    found = choices(connection)

    assert {"default", "mail", "far", "odd"} <= {*found.queues}
    assert {"tests.app.tasks.add", "elsewhere.task", "gone.away"} <= {*found.tasks}
    assert found.states == tuple(BRANCHES)
    assert not found.more


def test_a_page_is_twelve_statements_at_most(django_assert_max_num_queries):
    in_every_state()
    for branch in BRANCHES:
        with django_assert_max_num_queries(12):
            page_of(connection, Search.parse("queue:default error:x before:1h"), branch)


def test_a_running_job_is_there_even_if_two_places_have_it():
    job = add.enqueue(1)
    values = rows.columns_of(Job.objects.get()) | {"token": 1}
    RunningRow.objects.create(**values, worker_id=uuid.uuid4(), claimed_at=timezone.now())
    ScheduledRow.objects.create(**{**values, "run_after": timezone.now()})

    assert listed(branch="running") == listed(branch="scheduled") == listed(branch="ready") == [job.id]

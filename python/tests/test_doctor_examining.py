"""How `doctor` goes about it: page by page, twice, reading only; and what `--fix` puts right."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from gristmill.doctor import check as contract
from gristmill.doctor import examination as reading
from gristmill.doctor import examine as module
from gristmill.doctor.checks import CHECKS, cycles, health, places, schedules
from gristmill.doctor.checks.cycles import cycles as cycles_of
from gristmill.doctor.examine import examine
from gristmill.models import (
    Action,
    EdgeRow,
    GateRow,
    JobRow,
    PropagationRow,
    ReadyRow,
    Worker,
)
from tests import goals
from tests.app.tasks import add
from tests.busy import a_busy_healthy_database
from tests.damage import DAMAGE

pytestmark = pytest.mark.django_db

LOST = CHECKS[0]


def look(**options):
    """Examines without a pause; gives the report."""
    return examine("default", pause=lambda seconds: None, **options)


def only(monkeypatch, *checks):
    """Leaves only these checks."""
    monkeypatch.setattr(module, "CHECKS", checks)


def lose(number):
    """Jobs that are in no place."""
    for _ in range(number):
        ReadyRow.objects.filter(pk=add.enqueue(1).id).delete()


def test_it_looks_page_by_page(monkeypatch):
    only(monkeypatch, replace(LOST, rows=3))
    lose(1)
    add.enqueue_many((number,) for number in range(10))
    lose(1)
    said = []

    report = look(looked_at=said.append)

    assert len(report.problems) == 2
    assert said == [3, 6, 9, 12]


def test_keys_of_several_columns_are_paged_too(monkeypatch):
    only(monkeypatch, *(replace(check, rows=2) for check in CHECKS if isinstance(check, contract.RowCheck)))
    a_busy_healthy_database()

    report = look()

    assert report.findings == []
    assert report.rows > EdgeRow.objects.count() + JobRow.objects.count()


def test_what_a_second_look_does_not_find_does_not_count(monkeypatch):
    only(monkeypatch, LOST)
    job = add.enqueue(1)
    row = ReadyRow.objects.get(pk=job.id)
    ReadyRow.objects.filter(pk=job.id).delete()

    report = examine("default", pause=lambda seconds: row.save(force_insert=True))

    assert (report.findings, report.exit_status) == ([], 0)


def test_a_healthy_database_is_not_looked_at_twice():
    a_busy_healthy_database()

    examine("default", pause=lambda seconds: pytest.fail("nothing was found"))


def test_findings_beyond_a_bound_are_not_looked_for(monkeypatch):
    monkeypatch.setattr(module, "MOST_FINDINGS", 3)
    only(monkeypatch, replace(LOST, rows=2))
    lose(7)

    report = look()

    assert len(report.findings) == 3
    assert report.more == [LOST.name]


def test_a_check_that_takes_too_long_is_asked_for_less(monkeypatch):
    only(monkeypatch, replace(LOST, rows=64))
    lose(20)
    asked = []

    def slow(examination, table, after, size, checks):
        asked.append(size)
        if size > 8:
            raise module.Unanswered(LOST, OperationalError("canceling statement due to statement timeout"))
        return page_of(examination, table, after, size, checks)

    page_of = module.page_of
    monkeypatch.setattr(module, "page_of", slow)

    report = look()

    assert (len(report.problems), report.unchecked) == (20, {})
    assert asked[:2] == [64, 8]


def test_a_row_that_takes_too_long_costs_the_others_nothing(monkeypatch):
    only(monkeypatch, replace(LOST, rows=64), replace(CHECKS[1], rows=64))
    lose(20)
    heavy = JobRow.objects.order_by("pk")[6].pk
    page_of = module.page_of

    def slow(examination, table, after, size, checks):
        keys, found = page_of(examination, table, after, size, checks)
        if LOST in [replace(check, rows=LOST.rows) for check in checks] and heavy.hex in {
            getattr(key[0], "hex", key[0]) for key in keys
        }:
            raise module.Unanswered(checks[0], OperationalError("statement timeout"))
        return keys, found

    monkeypatch.setattr(module, "page_of", slow)

    report = look()

    assert report.unchecked == {LOST.name: "statement timeout"}
    assert len(report.problems) == 19
    assert heavy.hex not in {finding.subject for finding in report.problems}


@pytest.mark.django_db(transaction=True)
def test_a_check_that_cannot_be_carried_out_is_named_and_the_others_go_on(monkeypatch):
    broken = replace(LOST, name="broken", sql="select {key} from gristmill_nowhere as here where {range}")
    only(monkeypatch, broken, LOST)
    lose(1)

    report = look()

    assert list(report.unchecked) == ["broken"]
    assert len(report.problems) == 1
    assert report.exit_status == 2


def test_without_a_worker_what_workers_do_is_not_asked():
    lose(1)

    report = look()

    assert "overdue" in report.skipped
    assert [finding.check for finding in report.problems] == [LOST.name]


@pytest.mark.django_db(transaction=True)
def test_it_cannot_write(monkeypatch):
    def write(examination):
        with examination.reading() as cursor:
            cursor.execute("delete from gristmill_job")
        return []

    only(monkeypatch, replace(health.SCHEMA, ask=write))
    add.enqueue(1)

    report = look()

    assert JobRow.objects.count() == 1
    assert "read" in report.unchecked["schema version"]
    add.enqueue(2)
    assert JobRow.objects.count() == 2


@pytest.mark.only_on_postgres
@pytest.mark.django_db(transaction=True)
def test_on_postgres_no_statement_takes_long_and_none_waits_for_a_lock(monkeypatch):
    def tell(examination):
        with examination.reading() as cursor:
            cursor.execute("select current_setting('statement_timeout'), current_setting('lock_timeout')")
            return [health.SCHEMA.finding(*cursor.fetchall()[0])]

    def wait(examination):
        with examination.reading() as cursor:
            cursor.execute("select pg_sleep(0.4)")
        return []

    only(monkeypatch, replace(health.SCHEMA, ask=tell), replace(health.WORKERS, ask=wait))
    monkeypatch.setattr(reading, "STATEMENT_TIMEOUT", "150ms")

    report = look()

    assert [(finding.subject, finding.sentence) for finding in report.findings] == [("150ms", "200ms")]
    assert "statement timeout" in report.unchecked["workers"]


@pytest.mark.only_on_postgres
@pytest.mark.django_db(transaction=True)
def test_a_locked_table_is_not_waited_for(elsewhere):
    lose(1)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("lock table gristmill_attempt in access exclusive mode")
        report = elsewhere(look)

    assert "attempt without a job" in report.unchecked
    assert LOST.name in {finding.check for finding in report.problems}
    assert report.exit_status == 2


def test_cycles_are_found_whatever_their_length_and_each_once():
    ring = {number: [(number + 1) % 50_000] for number in range(50_000)}
    tail = {"a": [0], "b": ["a", "end"]}
    eight = {"x": ["y"], "y": ["x", "z"], "z": ["y"]}

    found = cycles_of({**ring, **tail, **eight, "free": ["end"]})

    assert sorted(len(cycle) for cycle in found) == [2, 50_000]
    assert cycles_of({"a": ["b", "c"], "b": ["d"], "c": ["d"]}) == []


def test_a_cycle_that_is_about_to_be_looked_for_is_no_alarm(monkeypatch):
    only(monkeypatch, cycles.CYCLE)
    busy = a_busy_healthy_database()
    next(plant for check, plant in DAMAGE if check == "cycle")(busy)
    assert len(look().problems) == 1

    goals.propagation("resolve", busy.waiting["all"], checks=True)

    assert look().problems == []


def test_a_graph_beyond_what_is_searched_is_said(monkeypatch):
    only(monkeypatch, cycles.CYCLE)
    monkeypatch.setattr(cycles, "MOST_EDGES", 1)
    a_busy_healthy_database()

    report = look()

    assert report.unchecked == {"cycle": "more than 1 open edges between jobs that wait are too many to search"}


MENDED = {
    "gate counts": ("counted again: 4 open, 1 successful, 0 failed", "evaluate"),
    "gate that nobody resolves": ("asked for its preconditions to be looked at", "resolve"),
    "waiting though its gate holds": ("asked for its gate to be evaluated", "evaluate"),
    "hopeless but not stranded": ("asked for its gate to be evaluated", "evaluate"),
    "stranded but hopeful": ("asked for its gate to be evaluated", "evaluate"),
    "ready though its gate does not hold": ("asked for its gate to be evaluated", "evaluate"),
    "scheduled though its gate does not hold": ("asked for its gate to be evaluated", "evaluate"),
    "edge that tells another end": ("asked for its precondition's end to be told", "notify"),
    "precondition that would not tell": ("asked for its preconditions to be looked at", "resolve"),
    "key of a job that left its states": ("freed the key", None),
    "progress of another attempt": ("forgot the progress", None),
    "job without a place": ("held it, as it had lost its place", None),
    "waiting for nothing": ("held it, as nobody knows what it waits for", None),
    "waiting for what does not exist": ("took it for failed", "evaluate"),
}
#: One that waits has its edges resolved; another forgets them.
GATED = "edge without a gate"
#: Rows of what is no job are removed, and nothing is kept of that.
REMOVED = {
    *(f"{place} row without a job" for place in contract.PLACES),
    *("attempt without a job", "gate without a job", "edge without a dependent"),
    *("cancel request without a job", "propagation without a job", "action without a job"),
}


@pytest.mark.parametrize(
    ("check", "plant"), [(c, p) for c, p in DAMAGE if c in MENDED], ids=[p.__name__ for c, p in DAMAGE if c in MENDED]
)
def test_what_can_be_put_right_is_and_is_written_down(check, plant):
    plant(a_busy_healthy_database())
    before = PropagationRow.objects.count()
    done, kind = MENDED[check]

    report = look(fix=True, actor="lea")

    assert [finding.mended for finding in report.findings] == [done]
    assert report.exit_status == 0
    if not JobRow.objects.filter(pk=report.findings[0].subject).exists():
        assert not Action.objects.filter(verb="doctor").exists()
        return
    action = Action.objects.get(verb="doctor")
    assert (action.actor, action.job_id.hex) == (f"lea: {done} ({check})", report.findings[0].subject)
    assert PropagationRow.objects.count() == before + (kind is not None)
    # Asked for is as good as done: the next run has nothing to say.
    assert look().findings == []


@pytest.mark.parametrize(
    "columns", [{"queues": {"include": ["mail"], "exclude": []}}, {"backend": "any_queue"}, {"started_at": "now"}]
)
def test_a_schedule_that_no_worker_could_see_to_yet_is_no_alarm(columns, monkeypatch):
    only(monkeypatch, schedules.LATE)
    busy = a_busy_healthy_database()
    next(plant for check, plant in DAMAGE if check == "schedule overdue")(busy)
    assert len(look().warnings) == 1

    Worker.objects.update(**(columns if "started_at" not in columns else {"started_at": timezone.now()}))

    assert look().findings == []


def test_everything_that_can_be_put_right_is_tested():
    assert {check.name for check in CHECKS if getattr(check, "mend", "")} == {*MENDED, *REMOVED, GATED}


@pytest.mark.parametrize(
    ("check", "plant"), [(c, p) for c, p in DAMAGE if c in REMOVED], ids=[p.__name__ for c, p in DAMAGE if c in REMOVED]
)
def test_what_a_job_that_is_gone_has_left_is_removed(check, plant):
    plant(a_busy_healthy_database())

    report = look(fix=True, actor="lea")

    assert [(finding.check, finding.mended) for finding in report.findings] == [(check, "removed it")]
    assert not Action.objects.filter(verb="doctor").exists()
    assert look().findings == []


def test_a_fix_leaves_alone_what_takes_a_person():
    ReadyRow.objects.filter(pk=add.enqueue(1).id).update(counts='{"crashes":3}')

    report = look(fix=True)

    assert report.exit_status == 1
    assert Action.objects.count() == 0


def test_a_fix_looks_once_more_in_the_transaction_that_mends(monkeypatch):
    busy = a_busy_healthy_database()
    GateRow.objects.filter(pk=busy.id("all")).update(open=3)
    mend = module.mend

    def too_late(examination, finding, actor):
        GateRow.objects.filter(pk=busy.id("all")).update(open=4)
        return mend(examination, finding, actor)

    monkeypatch.setattr(module, "mend", too_late)

    assert [finding.mended for finding in look(fix=True).findings] == ["it was no more so"]
    assert Action.objects.filter(verb="doctor").count() == 0


@pytest.mark.only_on_postgres
@pytest.mark.django_db(transaction=True)
def test_a_gate_that_somebody_works_on_is_left_for_the_next_run(elsewhere):
    busy = a_busy_healthy_database()
    GateRow.objects.filter(pk=busy.id("all")).update(open=3)
    with transaction.atomic():
        list(GateRow.objects.select_for_update().filter(pk=busy.id("all")))
        report = elsewhere(lambda: look(fix=True))

    assert [finding.mended for finding in report.findings] == [""]
    assert report.exit_status == 1
    assert look(fix=True).exit_status == 0


def test_a_statement_looks_at_a_thousand_rows_at_most():
    assert {check.rows <= 1_000 for check in CHECKS if isinstance(check, contract.RowCheck)} == {True}
    assert len({check.name for check in CHECKS}) == len(CHECKS)
    assert places.CHECKS[0].invariant == "I1"

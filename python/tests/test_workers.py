"""Workers that are asked to be quiet, to claim again, or to stop: by programs, by command, and how that is shown."""

from __future__ import annotations

import io
import json
import uuid
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from gristmill import operations
from gristmill.database.statements import carry_out
from gristmill.explain import explain
from gristmill.inspect.survey import survey
from gristmill.inspect.workers import live_workers
from gristmill.models import Worker
from gristmill.verbs.batched import now_bind
from tests import rows
from tests.app.tasks import add

pytestmark = pytest.mark.django_db(databases=["default", "other"])
HOUR = timedelta(hours=1)


def run(*arguments):
    """Runs the command; returns (exit status, what it said)."""
    output = io.StringIO()
    try:
        call_command("gristmill", "workers", *arguments, stdout=output)
    except SystemExit as ended:
        return ended.code, output.getvalue().strip()
    return 0, output.getvalue().strip()


def beat(worker):
    """Its next heartbeat."""
    binds = [worker.pk.hex, now_bind("default")]
    return carry_out(connection, "heartbeat", binds)


def seen():
    return live_workers(connection, {"default": set()}, timezone.now())


# -- by programs --------------------------------------------------------------------------------------------------


def test_a_worker_is_quieted_resumed_and_stopped_and_its_heartbeats_say_so():
    worker = rows.worker()

    answer = operations.quiet_worker(worker, actor="lea")
    assert (bool(answer), answer.outcomes) == (True, {worker.pk.hex: "asked"})
    assert beat(worker) == [("quiet", "lea")]
    assert operations.resume_worker(worker.pk).done == {"resumed": 1}
    assert beat(worker) == [(None, None)]
    assert operations.stop_worker(worker.pk.hex, actor="the deploy")
    assert beat(worker) == [("stop", "the deploy")]


def test_many_are_asked_at_once_each_with_an_answer():
    living, stopped = rows.worker(), rows.worker(stopped_at=timezone.now(), exit_status=0)
    lost, nobody = rows.worker(lost_at=timezone.now()), uuid.uuid4()

    answer = operations.quiet_worker([living, stopped, lost.pk, nobody, living])

    assert answer.outcomes == {
        living.pk.hex: "asked",
        stopped.pk.hex: "refused: it has stopped",
        lost.pk.hex: "refused: it was lost",
        nobody.hex: "refused: there is no such worker",
    }
    assert list(Worker.objects.exclude(asked=None)) == [living]


def test_a_stop_is_not_taken_back_and_what_is_not_quiet_is_not_resumed():
    stopping, working = rows.worker(), rows.worker()
    operations.stop_worker(stopping)

    for ask in (operations.quiet_worker, operations.resume_worker, operations.stop_worker):
        assert list(ask(stopping).refused) == ["it was asked to stop, which nobody takes back"]
    assert list(operations.resume_worker(working).refused) == ["it was not quiet"]
    assert Worker.objects.get(pk=stopping.pk).asked == "stop"


def test_what_is_no_worker_is_refused_before_anybody_is_asked():
    worker = rows.worker()
    with pytest.raises(ValueError, match="'7f3a' is not the id of a worker"):
        operations.stop_worker([worker, "7f3a"])
    with pytest.raises(ValueError, match="NUL"):
        operations.stop_worker(worker, actor="\0")
    assert Worker.objects.get().asked is None


def test_a_worker_on_another_database_is_found_there():
    values = {field.attname: getattr(rows.worker(), field.attname) for field in Worker._meta.fields}
    Worker.objects.all().delete()
    there = Worker.objects.using("other").create(**values)

    assert operations.quiet_worker(there.pk.hex, actor="lea")

    assert Worker.objects.using("other").get().asked_by == "lea"
    assert not operations.quiet_worker(there.pk.hex, using="default")


# -- how it is shown ----------------------------------------------------------------------------------------------


def test_who_asked_and_whether_the_worker_has_heard_is_shown():
    worker = rows.worker()
    operations.quiet_worker(worker, actor="lea")
    Worker.objects.update(asked_at=timezone.now() - timedelta(minutes=3), heartbeat_at=timezone.now() - HOUR)
    (one,) = seen()
    assert one.asked_in_words == "to be quiet from its next heartbeat on, asked by lea 3 min ago"

    beat(worker)

    (one,) = seen()
    assert (one.state, one.asked_in_words) == ("quiet", "quiet, asked by lea 3 min ago")
    operations.stop_worker(worker)
    Worker.objects.update(asked_at=timezone.now() - timedelta(minutes=4))
    (one,) = seen()
    assert (one.state, one.asked_in_words) == ("stopping", "stopping, asked 4 min ago")


def test_a_quiet_worker_serves_nothing_and_that_is_why_a_job_waits():
    worker = rows.worker()
    job = add.enqueue(1)
    assert survey(connection, {"default": set()}).unroutable == []

    operations.quiet_worker(worker)

    (lane,) = survey(connection, {"default": set()}).unroutable
    assert (lane.kind, lane.why) == (
        "only quiet",
        "the only worker that serves it was asked to claim nothing; take that back with manage.py gristmill workers "
        f"resume {worker.pk.hex[-8:]}, or start another",
    )
    assert "was asked to claim nothing" in str(explain(job.id))
    rows.worker()
    assert survey(connection, {"default": set()}).unroutable == []


def test_who_serves_it_and_is_to_stop_is_no_reason_to_resume():
    operations.stop_worker(rows.worker(), actor="lea")
    add.enqueue(1)

    (lane,) = survey(connection, {"default": set()}).unroutable

    assert lane.why == (
        "the only worker that serves it was asked to stop; start another with manage.py gristmill worker"
    )


def test_status_names_who_asked():
    worker = rows.worker(label="mill-7")
    operations.quiet_worker(worker, actor="lea")
    Worker.objects.update(asked_at=timezone.now() - timedelta(minutes=3))
    output = io.StringIO()

    call_command("gristmill", "status", stdout=output)

    assert "  mill-7: quiet, asked by lea 3 min ago" in output.getvalue().splitlines()


# -- the command --------------------------------------------------------------------------------------------------


def test_workers_are_listed_with_ids_that_the_command_takes():
    worker = rows.worker(label="mill-7")
    rows.worker(stopped_at=timezone.now())

    status, said = run()
    head, line = said.splitlines()
    assert (status, head.split()[:2], line.split()[:2]) == (0, ["ID", "LABEL"], [worker.pk.hex[-8:], "mill-7"])
    status, said = run("quiet", line.split()[0], "--actor", "lea")

    assert (status, said) == (
        0,
        f"Asked worker {worker.pk.hex} to be quiet: it claims nothing more from its next heartbeat on, and finishes "
        "what it holds.",
    )
    assert (Worker.objects.get(pk=worker.pk).asked, Worker.objects.get(pk=worker.pk).asked_by) == ("quiet", "lea")
    assert run("resume", worker.pk.hex[:8])[0] == 0
    assert "Asked worker" in run("stop", str(worker.pk))[1]
    assert Worker.objects.get(pk=worker.pk).asked_by.endswith("with manage.py gristmill workers stop")


def test_without_a_worker_the_list_says_how_to_start_one():
    assert run() == (0, "No worker is running; start one with manage.py gristmill worker.")
    assert json.loads(run("--json")[1]) == {"workers": []}


def test_json_is_one_object():
    worker = rows.worker()
    assert json.loads(run("quiet", worker.pk.hex, "--json", "--actor", "lea")[1]) == {
        "verb": "quiet",
        "done": {"asked": 1},
        "refused": {},
        "outcomes": {worker.pk.hex: "asked"},
    }
    (one,) = json.loads(run("list", "--json")[1])["workers"]
    assert (one["id"], one["asked"], one["asked_by"], one["heard"]) == (worker.pk.hex, "quiet", "lea", False)


def test_who_is_gone_is_left_alone_with_a_word_and_the_others_are_asked():
    living, gone = rows.worker(), rows.worker(stopped_at=timezone.now())

    status, said = run("stop", gone.pk.hex[:12], living.pk.hex[:12])
    assert (status, said.splitlines()[0]) == (0, f"Left worker {gone.pk.hex} alone: it has stopped.")
    assert Worker.objects.get(pk=living.pk).asked == "stop"

    assert run("stop", gone.pk.hex)[0] == 1


def test_an_id_that_means_nobody_or_several_is_refused():
    one = rows.worker(id=uuid.UUID("0192f0c0a0b07000800000000000000a"))
    rows.worker(id=uuid.UUID("0192f0c0a0b07000800000000000000b"))

    with pytest.raises(CommandError, match="is the beginning or the end of several workers' ids: 0192f0c0"):
        run("stop", "0192f0c0")
    with pytest.raises(CommandError, match="is too short"):
        run("stop", "0192f0c")
    with pytest.raises(CommandError, match="no worker whose id begins or ends with ffffffff"):
        run("stop", "ffffffff")
    assert list(Worker.objects.exclude(asked=None)) == []
    assert run("stop", "0000000a")[0] == 0
    assert list(Worker.objects.exclude(asked=None)) == [one]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["quiet"], "which worker"),
        (["list", "0192f0c0"], "to list takes no id"),
        (["stop", "0192f0c0", "--backend", "default"], "--backend belongs to the list"),
        (["--backend", "nowhere"], "there is no backend 'nowhere'"),
    ],
)
def test_what_contradicts_itself_is_refused_in_one_sentence(arguments, words):
    with pytest.raises(CommandError, match=words):
        run(*arguments)

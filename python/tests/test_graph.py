"""`graph`: what a job waits for and what waits for it, read within bounds and drawn for people."""

from __future__ import annotations

import io
import json
import uuid
from datetime import timedelta
from xml.etree import ElementTree as ET

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from gristmill import operations
from gristmill.inspect.drawing import reading
from gristmill.inspect.drawing.reading import read_graph
from gristmill.inspect.explaining.look import Look
from gristmill.models import Attempt, EdgeRow, Job, JobRow, RunningRow
from tests import goals, rows
from tests.app.tasks import add
from tests.sql import PLACES, execute

pytestmark = pytest.mark.django_db(databases=["default", "other"])
SVG = "{http://www.w3.org/2000/svg}"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


def run(job, *arguments, stream=None, **options):
    output = stream or io.StringIO()
    call_command("gristmill", "graph", goals.id_of(job).hex, *arguments, stdout=output, **options)
    return output.getvalue()


def read(job, depth=4, max_jobs=80):
    return read_graph(Look(Job.objects.get(pk=goals.id_of(job)), "default"), depth=depth, max_jobs=max_jobs)


def named(job, name):
    """Gives a job's task another name."""
    for table in ("job", *PLACES):
        execute(f"update gristmill_{table} set task_name = %s where id = %s", name, goals.id_of(job))
    return job


def took(job, seconds):
    """It succeeded, and took so long."""
    rows.succeed(job.id)
    ended = timezone.now()
    started = ended - timedelta(seconds=seconds)
    Attempt.objects.filter(job_id=job.id).update(claimed_at=started, started_at=started, ended_at=ended)
    return job


def chain(length):
    """Jobs of which each waits for the one before."""
    jobs = [add.enqueue(0)]
    for number in range(1, length):
        jobs.append(goals.wait(add.enqueue(number), jobs[-1]))
    return jobs


def test_it_goes_both_ways_and_takes_in_every_edge_between():
    top, left, right = add.enqueue(1), add.enqueue(2), add.enqueue(3)
    goals.wait(left, top)
    goals.wait(right, top)
    bottom = goals.wait(add.enqueue(4), left, right, top)
    beside = goals.wait(add.enqueue(5), top)

    graph = read(left)

    assert set(graph.nodes) == {top.id, left.id, bottom.id.hex}
    assert beside.id.hex not in graph.nodes
    assert {(edge.precondition, edge.dependent) for edge in graph.edges} == {
        (top.id, left.id), (left.id, bottom.id.hex), (top.id, bottom.id.hex),
    }  # fmt: skip


def test_so_many_steps_are_drawn_and_what_lies_beyond_is_counted():
    jobs = chain(9)

    graph = read(jobs[4], depth=2)

    assert set(graph.nodes) == {goals.id_of(job).hex for job in jobs[2:7]}
    assert [(fold.side, fold.words) for fold in graph.folds] == [
        ("before", "1 more (1 waiting)"),
        ("after", "1 more (1 waiting)"),
    ]
    assert graph.notes == ["2 steps before and after the job are drawn; --depth draws more."]


def test_of_many_neighbours_those_that_matter_are_drawn_and_the_others_counted():
    many = [add.enqueue(number) for number in range(100)]
    for job in many[:95]:
        rows.succeed(job.id)
    for job in many[95:98]:
        rows.fail(job.id)
    rows.claim(many[98].id)

    graph = read(goals.wait(add.enqueue(0), *many))

    assert [node.state for node in graph.nodes.values()][1:] == [
        "running", "failed", "failed", "failed", "ready", "successful", "successful", "successful",
    ]  # fmt: skip
    assert [fold.words for fold in graph.folds] == ["and 92 more (92 successful)"]


def test_one_more_is_drawn_rather_than_told():
    graph = read(goals.wait(add.enqueue(0), *[add.enqueue(number) for number in range(reading.FAN + 1)]))

    assert (len(graph.nodes), graph.folds) == (reading.FAN + 2, [])


def test_so_many_jobs_are_drawn_and_that_is_said():
    middle = add.enqueue(0)
    for number in range(20):
        goals.wait(add.enqueue(number), middle)

    graph = read(middle, max_jobs=5)

    assert len(graph.nodes) == 5
    assert [fold.count for fold in graph.folds] == [16]
    assert graph.notes == ["5 jobs are drawn; --max-jobs draws more."]


def test_a_million_neighbours_are_counted_to_a_bound(monkeypatch, django_assert_max_num_queries):
    monkeypatch.setattr(reading, "LOOKED_AT", 20)
    job = goals.wait(add.enqueue(0), *[add.enqueue(number) for number in range(50)])

    with django_assert_max_num_queries(10):
        graph = read(job)

    assert [fold.words for fold in graph.folds] == ["and 12+ more (12 ready)"]


def test_the_number_of_queries_depends_on_what_is_drawn_only(django_assert_max_num_queries):
    jobs = chain(30)

    with django_assert_max_num_queries(14):
        read(jobs[15], depth=3)


def test_a_forgotten_precondition_is_drawn_by_what_its_edge_says():
    job = goals.wait(add.enqueue(2), add.enqueue(1))
    EdgeRow.objects.update(precondition_id=uuid.uuid4(), state="failed")

    node = next(node for node in read(job).nodes.values() if node.id != job.id.hex)

    assert (node.state, node.words) == ("forgotten", "ended and forgotten")


def test_the_longest_way_follows_what_attempts_took():
    short, long = took(add.enqueue(1), 10), took(add.enqueue(2), 100)
    middle = add.enqueue(3)
    rows.claim(middle.id)
    RunningRow.objects.update(claimed_at=timezone.now() - timedelta(seconds=50))
    for one in (short, long):
        EdgeRow(precondition_id=one.id, dependent_id=middle.id, state="successful").save(force_insert=True)
    last = goals.wait(add.enqueue(4), middle)

    graph = read(last)

    assert graph.critical == [long.id, middle.id, last.id.hex]
    assert 150 <= graph.critical_seconds < 155
    assert short.id not in graph.critical


def test_where_nothing_has_run_there_is_no_longest_way():
    assert read(chain(3)[1]).critical == []


def test_a_circle_is_drawn_and_said():
    one, other = add.enqueue(1), add.enqueue(2)
    goals.wait(other, one)
    goals.wait(one, Job.objects.get(pk=other.id))

    graph = read(one)

    assert len(graph.edges) == 2
    assert graph.notes == ["Some of these jobs wait for each other in a circle: none of those will ever run."]
    assert run(one).count("see above") == 2
    ET.fromstring(run(one, "--svg", "-"))


def test_the_text_is_a_tree_each_way_in_which_nothing_is_told_twice():
    fetch = took(named(add.enqueue(0), "studio.fetch"), 41)
    parts = [named(add.enqueue(number), "studio.encode") for number in range(3)]
    for part in parts:
        goals.wait(part, fetch)
    join = goals.wait(named(add.enqueue(9), "studio.join"), *parts)
    tell = goals.wait(named(add.enqueue(10), "studio.tell"), join)

    assert run(join).splitlines() == [
        "studio.join  waiting",
        join.id.hex,
        "Waits for its 3 preconditions; it needs all of them.",
        "",
        "Before it",
        f"├─ ◌ studio.encode    waiting, 1 of 1 done                       {parts[0].id}",
        f"│  └─ ✓ studio.fetch  successful, took 41 s                      {fetch.id}",
        f"├─ ◌ studio.encode    waiting, 1 of 1 done (after fetch, above)  {parts[1].id}",
        f"└─ ◌ studio.encode    waiting, 1 of 1 done (after fetch, above)  {parts[2].id}",
        "",
        "After it",
        f"└─ ◌ studio.tell  waiting, 0 of 1 done  {tell.id.hex}",
        "",
        "Longest way so far: fetch (41 s) → encode → join, 41 s in all.",
    ]


def test_a_job_by_itself_is_told_so():
    said = run(add.enqueue(1)).splitlines()

    assert said[-3:] == ["It waits for nothing.", "", "Nothing waits for it."]


@pytest.mark.parametrize("columns", [140, 80, 50])
def test_the_text_fits_any_terminal_with_ids_whole(columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    jobs = chain(4)
    operations.hold(jobs[0], "because of what was said at the end of the last meeting but one")

    said = run(jobs[2], stream=Terminal(), no_color=True)

    assert goals.id_of(jobs[0]).hex in said.split()
    assert max(len(line) for line in said.splitlines()) <= max(columns, 45)


def test_states_are_coloured_on_a_terminal_only():
    job = chain(2)[1]

    assert "\x1b" not in run(job)
    assert "\x1b[33m◌" not in run(job, stream=Terminal(), no_color=True)
    assert "\x1b[36m○" in run(job, stream=Terminal(), force_color=True)


def test_json_has_jobs_edges_and_folds():
    job = goals.wait(add.enqueue(0), *[add.enqueue(number) for number in range(12)])

    said = json.loads(run(job, "--json"))

    assert said["root"] == job.id.hex
    assert len(said["jobs"]) == reading.FAN + 1
    assert said["jobs"][0]["gate"]["open"] == 12
    assert said["folds"] == [{"side": "before", "job": job.id.hex, "states": {"ready": 4}, "at_least": False}]
    assert {edge["state"] for edge in said["edges"]} == {"open"}


def test_the_picture_needs_nothing_else_and_runs_nothing():
    bad = '</text><script>alert(1)</script>\x1b"&'
    done = named(add.enqueue(1), f"studio.{bad}")
    rows.claim(done.id)
    RunningRow.objects.update(claimed_at=timezone.now() - timedelta(seconds=10))
    many = [add.enqueue(number) for number in range(12)]
    job = goals.wait(named(add.enqueue(2), "studio.mux"), done, *many)
    operations.hold(many[0], bad)

    picture = run(job, "--svg", "-")

    root = ET.fromstring(picture)
    kinds = {element.tag.removeprefix(SVG) for element in root.iter()}
    assert kinds <= {"svg", "title", "desc", "style", "rect", "g", "text", "path", "circle"}
    attributes = {name for element in root.iter() for name in element.attrib}
    assert not {name for name in attributes if name.startswith("on") or "href" in name}
    assert "url(" not in picture
    assert "@import" not in picture
    assert "prefers-color-scheme:dark" in picture
    texts = [element.text for element in root.iter(f"{SVG}text")]
    assert {"mux", "waiting", "running", "and 5 more"} <= set(texts)
    assert any("longest way so far" in (text or "") for text in texts)


def test_every_job_is_in_the_picture_with_its_whole_name(tmp_path):
    jobs = chain(5)
    file = tmp_path / "graph.svg"

    said = run(jobs[2], "--svg", str(file))

    titles = {element.text for element in ET.parse(file).iter(f"{SVG}title")}
    assert said == f"Drew 5 jobs in {file}.\n"
    assert all(any(goals.id_of(job).hex in (title or "") for title in titles) for job in jobs)


def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path):
    with pytest.raises(CommandError, match=r"cannot write .*: No such file or directory"):
        run(add.enqueue(1), "--svg", str(tmp_path / "missing" / "graph.svg"))


@pytest.mark.parametrize("arguments", [["--depth", "0"], ["--max-jobs", "2001"], ["--depth", "two"]])
def test_numbers_have_bounds(arguments):
    with pytest.raises(CommandError, match="is not a number from 1 to 2,000"):
        run(add.enqueue(1), *arguments)


def test_an_unknown_job_is_one_sentence():
    JobRow.objects.all().delete()

    with pytest.raises(CommandError, match="there is no job f"):
        call_command("gristmill", "graph", "f" * 32)

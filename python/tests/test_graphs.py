"""Whole graphs in one enqueue: the same rows as one by one, in bulk, with no cycle and nothing left open to resolve."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

import gristmill
from gristmill import Graph, chain, group
from gristmill.compat import InvalidTask, TaskResult, task_backends, task_enqueued
from gristmill.exceptions import GraphCycle, UnknownJob
from gristmill.models import EdgeRow, GateRow, Job, JobRow, PropagationRow, ReadyRow, WaitingRow
from tests.app.tasks import add, send

pytestmark = pytest.mark.django_db


@gristmill.task(unique=True)
def once(what): ...


@gristmill.task
def named(after):
    return after


def edges():
    """What waits for what, as pairs of ids (precondition, dependent)."""
    return {(row.precondition_id.hex, row.dependent_id.hex) for row in EdgeRow.objects.all()}


def deadlines(results):
    """When each job is to be done, in days from now."""
    read = {job.id.hex: job.deadline for job in Job.objects.all()}
    return [round((read[result.id] - timezone.now()) / timedelta(days=1)) for result in results]


def test_a_graph_is_enqueued_as_it_was_drawn():
    graph = Graph()
    a = graph.add(add, 1)
    b = graph.add(send, "a", after=a)
    c = graph.add(add.using(after_mode="any", on_precondition_failure="proceed"), 2, right=3, after=[a, b])

    results = graph.enqueue()

    assert edges() == {(results[a].id, results[b].id), (results[a].id, results[c].id), (results[b].id, results[c].id)}
    gates = {gate.job_id.hex: gate for gate in GateRow.objects.all()}
    assert set(gates) == {results[b].id, results[c].id}
    assert (gates[results[b].id].needed, gates[results[b].id].on_precondition_failure, gates[results[b].id].open) == (
        *(None, "strand", 1),
    )
    assert (gates[results[c].id].needed, gates[results[c].id].on_precondition_failure, gates[results[c].id].open) == (
        *(1, "proceed", 2),
    )
    jobs = {job.id.hex: job for job in Job.objects.all()}
    assert [jobs[result.id].state for result in results] == ["ready", "waiting", "waiting"]
    assert (jobs[results[c].id].args, jobs[results[c].id].kwargs) == ([2], {"right": 3})
    assert jobs[results[b].id].queue_name == "mail"


def test_edges_among_new_jobs_are_born_open_and_have_nothing_to_resolve():
    graph = Graph()
    first = graph.add(add, 1)
    graph.add(add, 2, after=first)
    first, second = graph.enqueue().ids

    assert GateRow.objects.get().resolved
    assert not PropagationRow.objects.exists()
    assert [(row.id.hex, row.awaited) for row in ReadyRow.objects.all()] == [(first, True)]
    assert [(row.id.hex, row.awaited) for row in WaitingRow.objects.all()] == [(second, False)]


def test_what_also_waits_for_a_job_that_is_there_has_to_be_resolved():
    there = add.enqueue(0)
    graph = Graph()
    first = graph.add(add, 1)
    graph.add(add, 2, after=[first, there])
    graph.add(add.using(after=there), 3, after=first)

    results = graph.enqueue()

    assert GateRow.objects.filter(resolved=False, open=2).count() == 2
    assert {row.job_id.hex for row in PropagationRow.objects.filter(kind="resolve")} == {results.ids[1], results.ids[2]}
    assert (there.id, results.ids[2]) in edges() and (results.ids[0], results.ids[2]) in edges()


def test_results_are_as_they_are_read():
    graph = Graph()
    first = graph.add(add.using(run_after=timedelta(days=1)), 1)
    second = graph.add(send, "a", after=first)
    results = graph.enqueue()

    assert [task_backends["default"].get_result(result.id) for result in results] == list(results)
    assert (results[first], results[second], results[-1], results.last) == (*results, results[1], results[1])
    assert results[0:1] == [results[0]]
    assert not results[0].existing
    with pytest.raises(KeyError, match="another graph"):
        results[Graph().add(add, 1)]


def test_a_task_with_an_argument_called_after_is_given_as_a_step():
    graph = Graph()
    first = graph.add(add, 1)
    node = graph.add(named.with_args(after=3), after=first)

    assert Job.objects.get(pk=graph.enqueue()[node].id).kwargs == {"after": 3}


def test_a_cycle_is_refused_naming_its_tasks_and_nothing_is_enqueued():
    graph = Graph()
    first = graph.add(add, 1)
    second = graph.add(send, "a", after=first)
    third = graph.add(add, 2, after=second)
    first.after(third)
    graph.add(add, 3, after=third)

    with pytest.raises(
        GraphCycle,
        match=r"tests\.app\.tasks\.add \(nodes\[0\]\) waits for tests\.app\.tasks\.add \(nodes\[2\]\) waits for "
        r"tests\.app\.tasks\.send \(nodes\[1\]\) waits for tests\.app\.tasks\.add \(nodes\[0\]\)",
    ):
        graph.enqueue()
    assert not JobRow.objects.exists()


def test_a_job_that_waits_for_itself_is_a_cycle():
    graph = Graph()
    node = graph.add(add, 1)
    node.after(node)

    with pytest.raises(GraphCycle, match="waits for itself"):
        graph.enqueue()


def test_a_long_cycle_is_found_without_recursion_and_told_in_short():
    graph = Graph()
    first = last = graph.add(add, 1)
    for number in range(20_000):
        last = graph.add(add, number, after=last)
    first.after(last)

    with pytest.raises(GraphCycle, match=r"… 19,991 more …") as caught:
        graph.enqueue()
    assert len(str(caught.value)) < 1_000


def test_a_circle_that_two_nodes_close_by_becoming_one_job_is_refused():
    graph = Graph()
    first = graph.add(once, "x")
    between = graph.add(add, 1)
    same = graph.add(once, "x")
    first.after(between)
    between.after(same)

    with pytest.raises(
        GraphCycle, match=r"once \(nodes\[0\]\) waits for tests\.app\.tasks\.add \(nodes\[1\]\) waits for"
    ):
        graph.enqueue()
    assert not JobRow.objects.exists()

    # Where the job was there before, it waits for nothing that is new.
    there = once.enqueue("x")
    results = graph.enqueue()
    assert results[first].id == results[same].id == there.id
    assert not results[between].existing


def test_an_earlier_deadline_is_given_to_all_that_its_job_waits_for():
    day = timedelta(days=1)
    graph = Graph()
    a = graph.add(add, 1)
    b = graph.add(add.using(deadline=5 * day), 2, after=a)
    c = graph.add(add.using(deadline=2 * day), 3, after=b)
    d = graph.add(add.using(deadline=9 * day), 4, after=a)
    e = graph.add(add.using(deadline=timedelta(hours=12)), 5)
    f = graph.add(add, 6, after=e)

    results = graph.enqueue()

    by_node = dict(zip((a, b, c, d, e, f), deadlines(results), strict=True))
    assert by_node == {a: 2, b: 2, c: 2, d: 9, e: 0, f: 7}


def test_a_node_whose_unique_key_is_taken_is_the_job_that_has_it():
    there = once.enqueue("x")
    graph = Graph()
    before = graph.add(add, 1)
    taken = graph.add(once, "x", after=before)
    new = graph.add(once, "y", after=taken)
    same = graph.add(once, "y", after=before)
    last = graph.add(add, 2, after=[new, same])

    results = graph.enqueue()

    assert results[taken].id == there.id and results[taken].existing
    assert results[same].id == results[new].id and results[same].existing and not results[new].existing
    assert Job.objects.count() == 4
    # The kept job goes on as it was; what waits for it has to be resolved, what waits for the new one has not.
    assert edges() == {(there.id, results[new].id), (results[new].id, results[last].id)}
    gates = {gate.job_id.hex: (gate.resolved, gate.open) for gate in GateRow.objects.all()}
    assert gates == {results[new].id: (False, 1), results[last].id: (True, 1)}
    assert [propagation.job_id.hex for propagation in PropagationRow.objects.all()] == [results[new].id]


def test_a_node_that_becomes_what_it_waits_for_does_not_wait_for_itself():
    graph = Graph()
    first = graph.add(once, "x")
    second = graph.add(once, "x")
    first.after(second)

    results = graph.enqueue()

    assert results[first].id == results[second].id
    assert not EdgeRow.objects.exists()
    assert (GateRow.objects.get().open, GateRow.objects.get().resolved, PropagationRow.objects.count()) == (0, False, 1)


def test_periods_and_conflicts_of_unique_nodes_are_each_tasks_own():
    replacing = send.using(unique=gristmill.Unique(by="address", on_conflict="replace", until="pruned", period=60))
    there = replacing.enqueue("a")
    graph = Graph()
    graph.add(once, "z")
    graph.add(replacing.using(priority=50), "a")
    graph.add(replacing, "b")

    graph.enqueue()

    from gristmill.models import UniqueKeyRow

    assert Job.objects.get(pk=there.id).priority == 50
    assert sorted(UniqueKeyRow.objects.values_list("until", flat=True)) == ["pruned", "pruned", "started"]
    assert UniqueKeyRow.objects.filter(expires_at=None).count() == 1


def test_all_of_it_or_nothing():
    graph = Graph()
    graph.add(add, 1)
    graph.add(add, {1, 2})
    with pytest.raises(TypeError, match=r"^nodes\[1\]\.args\[0\]: set is not JSON"):
        graph.enqueue()

    graph = Graph()
    graph.add(add, 1)
    graph.add(add, 2, after="0" * 32)
    with pytest.raises(UnknownJob):
        graph.enqueue()

    assert not JobRow.objects.exists()


@pytest.mark.parametrize("wrong", [7, "no id", [7]])
def test_what_is_neither_node_nor_job_is_refused(wrong):
    with pytest.raises(InvalidTask, match=r"^tests\.app\.tasks\.add: after must be .*, or a node of the graph"):
        Graph().add(add, 1, after=wrong)


def test_a_node_of_another_graph_is_refused():
    with pytest.raises(InvalidTask, match="node of another graph"):
        Graph().add(add, 1, after=Graph().add(add, 1))


@pytest.mark.django_db(databases=["default", "other"])
def test_all_jobs_of_a_graph_go_to_one_database():
    graph = Graph()
    graph.add(add, 1)
    graph.add(add.using(backend="elsewhere"), 2)
    with pytest.raises(InvalidTask, match="'default' to 'default', 'elsewhere' to 'other'"):
        graph.enqueue()

    graph = Graph()
    graph.add(add, 1)
    graph.add(add.using(backend="any_queue"), 2)
    assert [result.backend for result in graph.enqueue()] == ["default", "any_queue"]


def test_a_backend_that_is_not_gristmills_takes_no_graph():
    graph = Graph()
    graph.add(add.using(backend="not_ours"), 1)
    with pytest.raises(InvalidTask, match="'not_ours'"):
        graph.enqueue()


def test_an_empty_graph_is_nothing(django_assert_max_num_queries):
    assert list(Graph().enqueue()) == []


def test_the_signal_is_sent_for_each_job_that_is_made():
    heard = []

    def listen(task_result, **kwargs):
        heard.append(task_result.id)

    task_enqueued.connect(listen)
    try:
        once.enqueue("x")
        results = chain(once.with_args("x"), add.with_args(1)).enqueue()
    finally:
        task_enqueued.disconnect(listen)
    assert heard[1:] == [results[1].id]


def test_a_graph_that_is_enqueued_twice_makes_new_jobs():
    graph = Graph()
    graph.add(add, 2, after=graph.add(add, 1))

    assert not set(graph.enqueue().ids) & set(graph.enqueue().ids)


@pytest.mark.parametrize("shape", ["chain", "fan"])
def test_a_large_graph_takes_a_statement_for_each_thousand_rows(shape, django_assert_max_num_queries):
    count = 10_000
    graph = Graph()
    first = last = graph.add(add, 0)
    for number in range(1, count):
        last = graph.add(add, number, after=last if shape == "chain" else first)

    with django_assert_max_num_queries(3 * count // 1_000 + 10):
        results = graph.enqueue()

    assert EdgeRow.objects.count() == GateRow.objects.count() == count - 1
    assert isinstance(results.last, TaskResult)


def test_a_chain_runs_one_after_the_other_and_a_group_side_by_side():
    results = chain(add.with_args(1), group(add.with_args(2), send.with_args("a")), add.with_args(3)).enqueue()

    a, b, c, d = results.ids
    assert edges() == {(a, b), (a, c), (b, d), (c, d)}
    assert [result.args for result in results] == [[1], [2], ["a"], [3]]
    assert results.last.id == d
    assert set(GateRow.objects.values_list("on_precondition_failure", flat=True)) == {"strand"}


def test_what_follows_a_group_with_then_runs_whatever_becomes_of_it():
    results = group(add.with_args(n) for n in range(3)).then(send.with_args("done")).enqueue()

    assert edges() == {(results.ids[n], results.ids[3]) for n in range(3)}
    assert GateRow.objects.get().on_precondition_failure == "proceed"
    assert Job.objects.get(pk=results.last.id).options == {"on_precondition_failure": "proceed"}


def test_of_a_chain_in_then_the_first_step_proceeds():
    results = group(add.with_args(1)).then(chain(group(add.with_args(2), add.with_args(3)), add.with_args(4))).enqueue()

    gates = {gate.job_id.hex: gate.on_precondition_failure for gate in GateRow.objects.all()}
    assert gates == {results.ids[1]: "proceed", results.ids[2]: "proceed", results.ids[3]: "strand"}


def test_chains_in_chains_are_one_chain_and_empty_groups_are_passed_through():
    results = chain(chain(add.with_args(1), add.with_args(2)), group(), add.with_args(3)).enqueue()

    assert edges() == {(results.ids[0], results.ids[1]), (results.ids[1], results.ids[2])}


def test_a_step_may_be_a_bare_task_and_is_enqueued_alone_too():
    assert len(chain(add.with_args(1), send.with_args("a")).enqueue()) == 2
    assert send.with_args("b").enqueue().args == ["b"]
    assert [part.task for part in chain(add, add).parts] == [add, add]


@pytest.mark.parametrize("wrong", [7, "add", None])
def test_what_is_no_step_is_refused(wrong):
    with pytest.raises(InvalidTask, match=r"a step is task\.with_args\(…\), a task"):
        chain(add.with_args(1), wrong)
    with pytest.raises(InvalidTask):
        group([wrong])
    with pytest.raises(TypeError, match="at least one step"):
        chain()


def test_all_of_them_can_be_awaited():
    from asgiref.sync import async_to_sync

    graph = Graph()
    graph.add(add, 1)
    assert len(async_to_sync(graph.aenqueue)()) == 1
    assert len(async_to_sync(chain(add.with_args(1)).aenqueue)()) == 1
    assert async_to_sync(add.with_args(1).aenqueue)().args == [1]

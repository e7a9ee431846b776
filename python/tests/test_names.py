"""What a task is called: by its path or a name of its own, by old names too, and by nothing that is not registered."""

from __future__ import annotations

import pytest

import gristmill
from gristmill.compat import InvalidTask, TaskResultMismatch
from gristmill.exceptions import UnknownTask
from gristmill.models import Job, JobRow, ReadyRow
from gristmill.tasks import registry
from tests.app.tasks import add


@gristmill.task(name="names.resize", aliases=["shop.tasks.resize", "names.shrink"])
def resize(photo_id):
    return photo_id


def another(photo_id):
    return photo_id


@pytest.mark.django_db
@pytest.mark.parametrize("bulk", [False, True])
def test_a_job_is_stored_under_its_tasks_name(bulk):
    result = resize.enqueue_many([(7,)])[0] if bulk else resize.enqueue(7)

    assert Job.objects.get().task_name == "names.resize"
    assert resize.get_result(result.id).id == result.id
    assert (resize.name, resize.task_name) == ("names.resize", "names.resize")
    assert resize.module_path == "tests.test_names.resize"
    assert (add.name, add.task_name) == ("add", "tests.app.tasks.add")


def test_workers_are_told_names_and_aliases():
    assert {"names.resize", "shop.tasks.resize", "names.shrink"} <= set(registry.names())
    assert "tests.test_names.resize" not in registry.names()


@pytest.mark.parametrize("backend", ["default", "elsewhere"])
def test_a_task_is_found_by_its_aliases(backend):
    assert registry.get(backend, "names.shrink") is resize
    assert registry.get(backend, "shop.tasks.resize") is resize


@pytest.mark.django_db
def test_an_old_job_shows_the_task_that_runs_it_now():
    result = resize.enqueue(7)
    for model in (JobRow, ReadyRow):
        model.objects.update(task_name="shop.tasks.resize")

    assert resize.get_result(result.id).task.func is resize.func


@pytest.mark.parametrize("given", [{"name": "names.resize"}, {"aliases": ["names.shrink"]}, {"name": add.module_path}])
def test_a_name_of_two_functions_is_refused_naming_both(given):
    with pytest.raises(InvalidTask) as caught:
        gristmill.task(**given)(another)

    first = add.module_path if given.get("name") == add.module_path else "tests.test_names.resize"
    name = next(iter(given.values()))
    name = name if isinstance(name, str) else name[0]
    assert str(caught.value) == f"the task name {name!r} is claimed by both {first} and tests.test_names.another"


def test_the_same_function_may_be_decorated_again():
    assert gristmill.task(name="names.resize")(resize.func).task_name == "names.resize"
    assert registry.get("default", "names.resize") is resize


# -- tasks whose code lives elsewhere ---------------------------------------------------------------------------

rust = gristmill.remote("rust.resize", queue_name="mail", priority=3, max_attempts=4)


@pytest.mark.django_db
def test_a_remote_task_is_enqueued_by_its_name():
    result = rust.using(timeout=5).enqueue(7, size="small")

    job = Job.objects.get(pk=result.id)
    assert (job.task_name, job.queue_name, job.priority) == ("rust.resize", "mail", 3)
    assert (job.args, job.kwargs) == ([7], {"size": "small"})
    assert job.options == {"max_attempts": 4, "timeout": 5.0}
    assert rust.get_result(result.id) == result
    assert len(rust.enqueue_many([(1,), (2,)])) == 2


@pytest.mark.django_db
def test_a_remote_tasks_results_are_told_apart_by_name():
    result = rust.enqueue(7)

    with pytest.raises(TaskResultMismatch):
        gristmill.remote("rust.shrink").get_result(result.id)


def test_a_remote_task_is_never_run_here():
    assert registry.get("default", "rust.resize") is None
    assert "rust.resize" not in registry.names()
    with pytest.raises(UnknownTask, match=r"^task rust\.resize is not registered here: its code lives elsewhere"):
        rust.call(7)


@pytest.mark.parametrize("name", ["", 7, "a\nb"])
def test_a_remote_name_is_checked(name):
    with pytest.raises(InvalidTask, match="name must be 1 to 200 printable characters"):
        gristmill.remote(name)


def test_a_remote_tasks_functions_live_with_its_code():
    with pytest.raises(InvalidTask, match=r"^rust\.x: a remote task's backoff function lives where its code does"):
        gristmill.remote("rust.x", backoff=another)
    with pytest.raises(InvalidTask, match="Queue 'nowhere' is not valid"):
        gristmill.remote("rust.x", queue_name="nowhere")

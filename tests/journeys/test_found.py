"""A task that was written is found by the workers that run, or said to be missing."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from project import Project
from waiting import wait_for

FIRST = "import gristmill\n\n@gristmill.task\ndef first():\n    return 1\n"
SECOND = "\n\n@gristmill.task\ndef second():\n    return 2\n"


class Bakery:
    """An app of the project that is written while the worker runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "bakery"
        self.folder.mkdir()
        self.write("__init__.py", "")
        path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
        self.env = {"JOURNEY_APPS": "bakery", "PYTHONPATH": path}

    def write(self, name: str, text: str) -> None:
        # Whole at once, as editors do: a worker that looks meanwhile sees one or the other.
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.write_text(text)
        fresh.replace(path)


@pytest.fixture
def bakery(tmp_path: Path) -> Bakery:
    (tmp_path / "apps").mkdir()
    return Bakery(tmp_path / "apps")


def ask(project: Project, bakery: Bakery, module: str, name: str) -> str:
    code = f"from {module} import {name}; print({name}.enqueue().id)"
    return project.manage("shell", "-v", "0", "-c", code, env=bakery.env).split()[-1]


def test_a_task_that_is_added_while_a_worker_reloads_is_served(project: Project, bakery: Bakery) -> None:
    bakery.write("tasks.py", FIRST)
    worker = project.start_worker("--processes", "1", "--reload", env=bakery.env)
    first = ask(project, bakery, "bakery.tasks", "first")
    assert project.wait_until_finished([first], within=20) == {first: "successful"}
    bakery.write("tasks.py", FIRST + SECOND)
    second = ask(project, bakery, "bakery.tasks", "second")
    assert project.wait_until_finished([second], within=20) == {second: "successful"}
    told = "select tasks from gristmill_worker"
    wait_for("people to be told", lambda: "bakery.tasks.second" in project.database.rows(told)[0]["tasks"], within=10)
    worker.send(signal.SIGTERM)
    assert worker.exit_status(within=10) == 0, worker.said()


@pytest.mark.parametrize("name", ["tasks.py", "tasks/bread.py"])
def test_a_module_of_tasks_that_is_added_while_a_worker_reloads_is_served(
    project: Project, bakery: Bakery, name: str
) -> None:
    worker = project.start_worker("--processes", "1", "--reload", env=bakery.env)
    wait_for("the worker to serve", lambda: "registered" in worker.said(), within=20)
    if "/" in name:
        bakery.write("tasks/__init__.py", "")
    bakery.write(name, FIRST)
    job = ask(project, bakery, "bakery." + name.removesuffix(".py").replace("/", "."), "first")
    assert project.wait_until_finished([job], within=20) == {job: "successful"}


def test_a_worker_says_what_it_knows_and_what_it_leaves_by_its_exit_status(project: Project, bakery: Bakery) -> None:
    bakery.write("tasks.py", FIRST)
    bakery.write("mails.py", SECOND.replace("\n\n@", "import gristmill\n\n@", 1))
    job = ask(project, bakery, "bakery.mails", "second")
    worker = project.start_worker("--processes", "1", "--until-done", env=bakery.env)
    assert worker.exit_status(within=20) == 3, worker.said()
    assert "tasks of " in worker.said()
    assert "1 ready job of bakery.mails.second cannot run here: no such task is known here; is its app" in worker.said()
    assert "left: 1 ready job of bakery.mails.second that cannot run here" in worker.said()
    assert project.states() == {job: "ready"}
    told = project.manage("gristmill", "explain", job, env=bakery.env)
    assert "add 'bakery.mails' to OPTIONS['TASK_MODULES']" in told
    allowed = project.start_worker("--processes", "1", "--until-done", "--allow-unserved", env=bakery.env)
    assert allowed.exit_status(within=20) == 0, allowed.said()
    named = {**bakery.env, "JOURNEY_OPTIONS": '{"TASK_MODULES": ["tasks", "bakery.mails"]}'}
    worker = project.start_worker("--processes", "1", "--until-done", env=named)
    assert worker.exit_status(within=20) == 0, worker.said()
    assert project.states() == {job: "successful"}


def test_a_project_that_cannot_be_imported_is_refused_for_good(project: Project) -> None:
    worker = project.start_worker("--processes", "1", env={"JOURNEY_BROKEN": "1"})
    assert worker.exit_status(within=20) == 78, worker.said()
    named = project.start_worker("--processes", "1", env={"JOURNEY_OPTIONS": '{"TASK_MODULES": ["shop.mail"]}'})
    assert named.exit_status(within=20) == 78, named.said()
    assert "names 'shop.mail', and there is no such module" in named.said()


def test_nothing_of_the_folder_that_a_worker_is_started_from_is_imported(project: Project, tmp_path: Path) -> None:
    for name in ("random", "json", "socket", "select", "platform"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('this folder is not on the path')")
    (job,) = project.enqueue("note")
    worker = project.start_worker("--processes", "1", "--until-done", cwd=tmp_path)
    assert worker.exit_status(within=20) == 0, worker.said()
    assert project.states() == {job: "successful"}

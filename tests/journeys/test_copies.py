"""A copied database is the queue as it was: what has ended does not run again, and a worker goes on with the rest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from copies import COPIERS, Copier, contents, path_of
from project import Database, Project, copy_database


@pytest.fixture
def busy(project: Project) -> Project:
    """A project with jobs in all places but running: some have ended, and others wait for each other."""
    project.enqueue("note", count=2)
    project.enqueue("fall")
    worker = project.start_worker("--until-done", "--processes", "1")
    assert worker.exit_status(within=30) == 0, worker.said()
    project.enqueue("note", count=2)
    project.enqueue("only", 5)
    project.manage("keep", "2", "3")
    project.manage("shapes", "0", "1000", "7")
    return project


@pytest.fixture
def copied(busy: Project, tmp_path: Path) -> Iterator[Project]:
    """The same project on another database and with no history, cleared away at the end."""
    folder = tmp_path / "copied"
    folder.mkdir()
    copy = Project(Database(""), folder)
    yield copy
    for worker in copy.workers:
        worker.clear_away()


def goes_on(copy: Project, database: Database, ended: set[str]) -> None:
    """Whether a worker does on a copy what is left to do, and nothing else."""
    copy.database = database
    copy.env["JOURNEY_DATABASE"] = database.url
    copy.manage("migrate", "--verbosity", "0")
    assert copy.doctor_finds() == []
    worker = copy.start_worker("--until-done", "--processes", "2")
    assert worker.exit_status(within=60) == 0, worker.said()
    ran = {run.job for run in copy.runs()}
    assert not ran & ended, "a job that had ended has run again"
    assert not {"ready", "running"} & set(copy.states().values())
    assert len(ran) > 20
    assert copy.doctor_finds() == []


@pytest.mark.parametrize("template", ["postgres"], indirect=True)
def test_a_restored_dump_of_postgres_has_every_job_in_its_place_and_goes_on(
    busy: Project, copied: Project, template: tuple[Database, str | None]
) -> None:
    goes_on(copied, *every_copy(busy, template, COPIERS["postgres"]))


@pytest.mark.parametrize("template", ["sqlite"], indirect=True)
def test_a_copied_file_of_sqlite_has_every_job_in_its_place_and_goes_on(
    busy: Project, copied: Project, template: tuple[Database, str | None]
) -> None:
    goes_on(copied, *every_copy(busy, template, COPIERS["sqlite"]))


@pytest.mark.parametrize("template", ["sqlite"], indirect=True)
@pytest.mark.parametrize("replaced", [True, False], ids=["replaced", "deleted"])
def test_a_worker_whose_file_of_sqlite_is_replaced_or_deleted_says_so_and_ends(
    project: Project, template: tuple[Database, str | None], tmp_path: Path, replaced: bool
) -> None:
    (before,) = project.enqueue("note")
    worker = project.start_worker("--processes", "1")
    project.wait_until_finished([before], within=15)
    path = Path(path_of(project.database))
    if replaced:
        other = tmp_path / "restored"
        other.mkdir()
        Path(path_of(copy_database(template[0], other, None))).replace(path)
    else:
        path.unlink()
    for left in ("-wal", "-shm"):
        Path(f"{path}{left}").unlink(missing_ok=True)

    assert worker.exit_status(within=6) == 99, worker.said()
    said = worker.said()
    assert str(path) in said and "start the worker again" in said
    assert ("replaced or restored" in said) == replaced
    project.manage("migrate", "--verbosity", "0")
    (after,) = project.enqueue("note")
    again = project.start_worker("--processes", "1", "--until-done")
    assert again.exit_status(within=30) == 0, again.said()
    assert project.states() == {after: "successful"}


def test_a_fixture_of_everything_has_every_job_in_its_place_and_goes_on(
    busy: Project, copied: Project, template: tuple[Database, str | None]
) -> None:
    ended = {job for job, state in busy.states().items() if state in ("successful", "failed")}
    fixture = busy.folder / "everything.json"
    busy.manage("dumpdata", "--output", str(fixture))
    copied.database = copy_database(template[0], copied.folder, template[1])
    copied.env["JOURNEY_DATABASE"] = copied.database.url
    for _ in range(2):
        copied.manage("loaddata", str(fixture))

    assert copied.states() == busy.states()
    goes_on(copied, copied.database, ended)


def every_copy(
    busy: Project, template: tuple[Database, str | None], copiers: list[Copier]
) -> tuple[Database, set[str]]:
    """One copy, once all of them are as the original is, and what has ended in it."""
    ended = {job for job, state in busy.states().items() if state in ("successful", "failed")}
    for copier in copiers:
        folder = busy.folder / copier.__name__
        folder.mkdir()
        copy = copier(busy.database, template, folder)
        assert contents(copy) == contents(busy.database), copier.__doc__
    return copy, ended

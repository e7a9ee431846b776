"""A database that is slow, locked, read-only, silent or full of connections; workers wait for better times."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import history
import postgres
import psycopg
import pytest
from project import Database, Project, monotonic
from proxy import Proxy
from waiting import PATIENCE, stays, wait_for

on_postgres = pytest.mark.parametrize("template", ["postgres"], indirect=True)


@on_postgres
def test_a_silent_network_is_noticed_and_left_behind(project: Project) -> None:
    port = int(project.database.url.rsplit(":", 1)[1].split("/")[0])
    proxy = Proxy(port)
    try:
        through = project.database.url.replace(f":{port}/", f":{proxy.port}/")
        worker = project.start_worker("--processes", "1", "--heartbeat", "1", env={"JOURNEY_DATABASE": through})
        (job,) = project.enqueue("note")
        project.wait_until_finished([job], within=15)
        proxy.black_hole()
        (job,) = project.enqueue("note")
        stays("nothing comes through", lambda: project.states()[job] == "ready", during=4)
        # Its old connections stay silent for ever; only new ones work.
        proxy.heal()
        healed_at = monotonic()
        assert project.wait_until_finished([job], within=20) == {job: "successful"}
        assert monotonic() - healed_at < 20 * PATIENCE
        assert worker.process.poll() is None, worker.said()
    finally:
        proxy.stop()


@on_postgres
def test_a_lock_on_a_table_delays_the_worker_and_does_not_end_it(project: Project) -> None:
    worker = project.start_worker("--processes", "1", "--heartbeat", "1")
    (job,) = project.enqueue("note")
    project.wait_until_finished([job], within=15)
    with psycopg.connect(project.database.url) as connection:
        connection.execute("lock table gristmill_running in access exclusive mode")
        (waiting,) = project.enqueue("note")
        stays("the worker is up", lambda: worker.process.poll() is None, during=4)
        connection.rollback()
    assert project.wait_until_finished([waiting], within=15) == {waiting: "successful"}


@on_postgres
def test_a_database_that_has_become_read_only_is_left_and_found_again(project: Project) -> None:
    worker = project.start_worker("--processes", "1", "--heartbeat", "1")
    (job,) = project.enqueue("note")
    project.wait_until_finished([job], within=15)
    name = project.database.url.rsplit("/", 1)[1]
    with psycopg.connect(project.database.url, autocommit=True) as connection:
        connection.execute(f"alter database {name} set default_transaction_read_only = on")  # type: ignore[arg-type]
        project.database.cut_all_connections()
        stays("the worker is up", lambda: worker.process.poll() is None, during=3)
    server = project.database.url.rsplit("/", 1)[0] + "/postgres"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"alter database {name} set default_transaction_read_only = off")  # type: ignore[arg-type]
    wait_for("the database to take writes", lambda: project.enqueue("note"), within=5)
    jobs = list(project.states())
    assert set(project.wait_until_finished(jobs, within=20).values()) == {"successful"}


@on_postgres
@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_whatever_the_servers_isolation_a_transactional_job_ends_when_others_begin_to_wait_for_it(
    project: Project, level: str
) -> None:
    name = project.database.url.rsplit("/", 1)[1]
    with psycopg.connect(project.database.url, autocommit=True) as connection:
        connection.execute(f"alter database {name} set default_transaction_isolation = '{level}'")  # type: ignore[arg-type]
    project.start_worker("--processes", "2", "--heartbeat", "1")
    (job,) = project.enqueue("leave_a_mark", 0, True)
    project.wait_for_runs(1, within=30, job=job)
    ask = f"from work.tasks import note; print(note.using(after={job!r}).enqueue().id)"
    waits = project.manage("shell", "--verbosity", "0", "-c", ask).strip().replace("-", "")
    running = "select id from gristmill_running where awaited"
    wait_for("a worker to have seen who waits", lambda: project.database.rows(running), within=30)
    project.tell()

    assert project.wait_until_finished([job, waits], within=60) == {job: "successful", waits: "successful"}
    assert [attempt["outcome"] for attempt in project.attempts(job)] == ["successful"]


def test_a_server_without_a_free_connection_is_waited_for(tmp_path: Path) -> None:
    with postgres.own_server(max_connections="14") as server:
        project = Project(Database(server.url), tmp_path)
        project.manage("migrate", "--verbosity", "0")
        worker = project.start_worker("--processes", "1", "--heartbeat", "1")
        (job,) = project.enqueue("note")
        project.wait_until_finished([job], within=15)
        crowd = fill(server.url)
        own = [connection.info.backend_pid for connection in crowd]
        # Whichever of the two is quicker gets a place that the cut frees; the worker needs more than one.
        crowd[0].execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where datname = current_database() and pid <> all(%s)",
            [own],
        )
        crowd += fill(server.url)
        stays("the worker is up", lambda: worker.process.poll() is None, during=3)
        for connection in crowd:
            connection.close()
        (job,) = project.enqueue("note")
        assert project.wait_until_finished([job], within=20) == {job: "successful"}
        assert worker.clear_away() == []
        assert history.overlaps(project.runs()) == []


def fill(url: str) -> list[psycopg.Connection[tuple[object, ...]]]:
    """Takes every connection that there is."""

    def taken() -> Iterator[psycopg.Connection[tuple[object, ...]]]:
        for _ in range(50):
            try:
                yield psycopg.connect(url)
            except psycopg.OperationalError:
                return

    return list(taken())

"""A worker that knows several hosts goes to whichever of them can be written to."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import postgres
from project import Database, Project


def test_a_worker_follows_the_primary_to_the_next_of_its_hosts(tmp_path: Path) -> None:
    with postgres.own_server() as first, postgres.own_server() as second:
        project = Project(Database(first.url), tmp_path)
        project.manage("migrate", "--verbosity", "0")
        project.env |= {
            "JOURNEY_HOSTS": "127.0.0.1,127.0.0.1",
            "JOURNEY_PORTS": f"{first.port},{second.port}",
            "JOURNEY_DATABASE_OPTIONS": json.dumps({"target_session_attrs": "read-write"}),
        }
        worker = project.start_worker("--processes", "1", "--heartbeat", "1")
        try:
            (before,) = project.enqueue("note")
            project.wait_until_finished([before], within=15)
            switch_over(first, second)
            project.database = Database(second.url)
            (after,) = project.enqueue("note")
            assert project.wait_until_finished([before, after], within=60) == {
                before: "successful",
                after: "successful",
            }
            assert worker.process.poll() is None, worker.said()
            assert Database(first.url).rows("select pg_is_in_recovery() as stands_by") == [{"stands_by": True}]
        finally:
            worker.clear_away()


def switch_over(primary: postgres.Server, other: postgres.Server) -> None:
    """Has the other server go on where the primary was, which is from then on its standby: it can only be read."""
    # First who has none of its tables: a worker that came there would leave for good.
    other.stop()
    primary.stop()
    for path in other.data.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    postgres.run_as(primary.user, ["cp", "-R", f"{primary.data}/.", other.data])
    postgres.run_as(primary.user, ["touch", primary.data / "standby.signal"])
    other.start()
    primary.start()

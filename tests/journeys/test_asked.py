"""A worker that somebody asks to be quiet or to stop, from elsewhere, and one whose heartbeats a probe looks at."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import desk
from project import SITE, Project, Worker
from waiting import PATIENCE, stays, wait_for

QUICK = ("--processes", "1", "--heartbeat", "0.5", "--grace", "120")


def ask(project: Project, verb: str) -> None:
    (row,) = json.loads(project.manage("gristmill", "workers", "--json"))["workers"]
    said = project.manage("gristmill", "workers", verb, row["id"][-8:], "--actor", "lea")
    assert "from its next heartbeat on" in said


def until_said(worker: Worker, words: str) -> None:
    wait_for(f"the worker to say: {words}", lambda: words in worker.said(), within=10)


def test_a_quiet_worker_finishes_what_runs_claims_nothing_and_goes_on_when_it_is_resumed(project: Project) -> None:
    (running,) = project.enqueue("stand")
    worker = project.start_worker(*QUICK)
    project.wait_for_runs(1, within=15)
    ask(project, "quiet")
    until_said(worker, "quiet: claims nothing more")
    (waiting,) = project.enqueue("note")
    project.tell()
    assert project.wait_until_finished([running], within=15) == {running: "successful"}
    stays("the quiet worker leaves it", lambda: project.states()[waiting] == "ready", during=2.1)
    said = project.manage("gristmill", "status")
    assert "quiet, asked by lea" in said, said
    ask(project, "resume")
    assert project.wait_until_finished([waiting], within=15) == {waiting: "successful"}
    worker.send(signal.SIGTERM)
    assert worker.exit_status(within=10) == 0, worker.said()


def test_a_worker_that_is_asked_to_stop_ends_as_by_a_first_signal(project: Project) -> None:
    (running,) = project.enqueue("stand")
    worker = project.start_worker(*QUICK)
    project.wait_for_runs(1, within=15)
    (waiting,) = project.enqueue("note")
    ask(project, "stop")
    until_said(worker, "stopping: claims nothing more")
    assert "by=lea" in worker.said()
    project.tell()
    assert worker.exit_status(within=10) == 0, worker.said()
    assert project.states() == {running: "successful", waiting: "ready"}
    (row,) = project.database.rows("select exit_status, asked, asked_by from gristmill_worker")
    assert (row["exit_status"], row["asked"], row["asked_by"]) == (0, "stop", "lea")


def probe(project: Project, path: Path, *more: str) -> tuple[int, str]:
    """What a probe says that cannot reach the database."""
    env = {**project.env, "JOURNEY_DATABASE": "postgresql://nobody@127.0.0.1:1/nowhere"}
    arguments = ("gristmill", "health", "--heartbeat-file", str(path), *more)
    status, said, errors = desk.run(SITE, arguments, env, within=60 * PATIENCE)
    return status, said + errors


def test_a_probe_sees_by_a_file_alone_that_a_worker_lives_has_died_or_has_ended(project: Project) -> None:
    path = project.folder / "heartbeat"
    worker = project.start_worker(*QUICK, "--heartbeat-file", str(path))
    wait_for("the first heartbeat", path.exists, within=15)
    assert probe(project, path, "--max-age", "1m")[0] == 0
    before, its_id = path.stat().st_mtime_ns, json.loads(path.read_text())["worker"]
    wait_for("the next heartbeat", lambda: path.stat().st_mtime_ns > before, within=5)
    worker.send(signal.SIGKILL)
    worker.exit_status(within=5)
    wait_for("the probe to notice", lambda: probe(project, path, "--max-age", "2s")[0] == 1, within=10)
    # Another one finds what it left, and takes its own away.
    another = project.start_worker(*QUICK, "--heartbeat-file", str(path))
    wait_for("a heartbeat of the other", lambda: path.exists() and its_id not in path.read_text(), within=15)
    assert probe(project, path, "--max-age", "1m")[0] == 0
    another.send(signal.SIGTERM)
    assert another.exit_status(within=10) == 0, another.said()
    assert not path.exists()
    status, said = probe(project, path)
    assert (status, "or has ended" in said) == (1, True)


def test_a_heartbeat_file_that_cannot_be_written_is_one_sentence_at_the_start_and_a_warning_later(
    project: Project,
) -> None:
    refused = project.start_worker(*QUICK, "--heartbeat-file", str(project.folder / "nowhere" / "heartbeat"))
    assert refused.exit_status(within=10) == 78
    assert "cannot be written: No such file or directory" in refused.said()
    assert len(refused.said().strip().splitlines()) == 1, refused.said()

    folder = project.folder / "gone"
    folder.mkdir()
    worker = project.start_worker(*QUICK, "--heartbeat-file", str(folder / "heartbeat"))
    wait_for("the first heartbeat", (folder / "heartbeat").exists, within=15)
    folder.rename(project.folder / "moved")
    until_said(worker, "the heartbeat file cannot be written; the worker goes on")
    (job,) = project.enqueue("note")
    assert project.wait_until_finished([job], within=15) == {job: "successful"}
    assert worker.said().count("cannot be written") == 1
    worker.send(signal.SIGTERM)
    assert worker.exit_status(within=10) == 0, worker.said()

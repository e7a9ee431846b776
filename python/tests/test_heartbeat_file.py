"""`manage.py gristmill health --heartbeat-file`: a worker's last heartbeat by its file alone."""

from __future__ import annotations

import io
import json
import os
import time

import pytest
from django.core.management import CommandError, call_command

WORKER = "0192f0c0a0b07000800000000000000a"


def health(*arguments):
    """The exit status, and what is printed. No test here has a database, so whoever asks one fails."""
    output, status = io.StringIO(), 0
    try:
        call_command("gristmill", "health", *map(str, arguments), stdout=output)
    except SystemExit as ended:
        status = ended.code
    return status, output.getvalue().strip()


@pytest.fixture
def written(tmp_path):
    """Writes a heartbeat of so many seconds ago."""

    def write(seconds, text=None):
        path = tmp_path / "heartbeat"
        path.write_text(json.dumps({"worker": WORKER, "lease_seconds": 8.0}) if text is None else text)
        os.utime(path, (time.time() - seconds,) * 2)
        return path

    return write


def test_a_heartbeat_may_be_as_old_as_the_workers_lease(written):
    assert health("--heartbeat-file", written(4)) == (0, "Healthy: the last heartbeat was 4 s ago.")
    assert health("--heartbeat-file", written(20)) == (1, "The last heartbeat was 20 s ago, longer than 8 s.")


def test_max_age_says_otherwise(written):
    assert health("--heartbeat-file", written(20), "--max-age", "1m")[0] == 0
    assert health("--heartbeat-file", written(4), "--max-age", "2s") == (
        1,
        "The last heartbeat was 4 s ago, longer than 2 s.",
    )


def test_without_a_file_the_worker_has_not_started_or_has_ended(tmp_path):
    status, said = health("--heartbeat-file", tmp_path / "heartbeat")
    assert (status, said.endswith("its worker has not had its first heartbeat yet, or has ended.")) == (1, True)
    assert "cannot be read" in health("--heartbeat-file", tmp_path)[1]


@pytest.mark.parametrize("text", ["", "not json", "[]", '{"lease_seconds": "long", "worker": 4}', "\0" * 9_000])
def test_a_file_that_says_nothing_is_held_against_the_usual_lease(written, text):
    assert health("--heartbeat-file", written(50, text))[0] == 0
    assert health("--heartbeat-file", written(70, text))[0] == 1


def test_a_heartbeat_of_before_the_clock_was_set_back_is_none_of_now(written):
    assert health("--heartbeat-file", written(-3_600))[0] == 1


def test_json_is_one_object(written):
    status, said = health("--heartbeat-file", written(20), "--json")

    told = json.loads(said)
    assert (status, told.pop("heartbeat_seconds_ago") >= 20) == (1, True)
    assert told == {
        "healthy": False,
        "worker": WORKER,
        "problems": [
            {
                "kind": "heartbeat",
                "level": "error",
                "sentence": "The last heartbeat was 20 s ago, longer than 8 s.",
                "about": {"worker": WORKER},
            }
        ],
    }


@pytest.mark.parametrize(
    "more", [["--queue", "mail"], ["--workers", "2"], ["--max-backlog", "1"], ["--backend", "default"]]
)
def test_what_only_a_database_could_answer_is_refused_beside_a_file(written, more):
    with pytest.raises(CommandError, match="asks one worker's file alone: leave out --"):
        health("--heartbeat-file", written(1), *more)

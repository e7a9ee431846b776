"""Many processes write at once, and nobody is told that the database is locked."""

from __future__ import annotations

import os
import subprocess
import sys

from project import SITE, Project
from waiting import PATIENCE, wait_for

WORKERS, WEB_PROCESSES, GENERATIONS = 3, 4, 2
SECONDS = float(os.environ.get("CROWD_SECONDS", "4"))


def test_several_workers_and_web_processes_share_one_database(project: Project) -> None:
    workers = [project.start_worker("--processes", "2", "-v", "2") for _ in range(WORKERS)]
    crowd = [
        subprocess.Popen(
            [sys.executable, "manage.py", "crowd", str(SECONDS), str(GENERATIONS)],
            cwd=SITE,
            env=project.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(WEB_PROCESSES)
    ]
    answers = [process.communicate(timeout=(SECONDS + 60) * PATIENCE) for process in crowd]
    assert [error for _, error in answers if error] == []
    asked = sum(int(answer) for answer, _ in answers)
    print(f"{asked} jobs of {WEB_PROCESSES} web processes and {WORKERS} workers in {SECONDS:g} s")

    def ended() -> bool:
        (row,) = project.database.rows("select count(*) as ended from gristmill_result where state = 'successful'")
        return bool(row["ended"] == asked)

    wait_for(f"{asked} jobs to end", ended, within=60)
    assert [line for worker in workers for line in worker.said().splitlines() if "locked" in line.lower()] == []

"""
Transactional jobs while their worker is killed again and again.

DRAIN_JOBS is how many (600 without it), with a kill for each 250 and three at least. SEED repeats whom a kill met.
"""

from __future__ import annotations

import os
import random
import signal
from collections import Counter

from project import Project
from waiting import wait_for

JOBS = int(os.environ.get("DRAIN_JOBS", "600"))
KILLS = max(JOBS // 250, 3)
SEED = int(os.environ.get("SEED", "0")) or random.SystemRandom().randrange(1, 2**32)


def test_transactional_effects_happen_exactly_once_however_often_the_worker_is_killed(project: Project) -> None:
    print(f"SEED={SEED}")
    chance = random.Random(SEED)
    project.manage("flood", "leave_a_mark", str(JOBS))

    def ended() -> int:
        (row,) = project.database.rows("select count(*) as ended from gristmill_result")
        return int(row["ended"])

    def start() -> None:
        project.start_worker("--processes", "4", "--heartbeat", "0.5")

    start()
    for kill in range(1, KILLS + 1):
        goal = JOBS * kill // (KILLS + 1)
        wait_for(f"{goal} jobs to end", lambda goal=goal: ended() >= goal, within=60)
        worker = project.workers[-1]
        if chance.random() < 0.3:
            worker.send_to_all(signal.SIGKILL)
        else:
            worker.send(signal.SIGKILL)
        start()
    wait_for(f"{JOBS} jobs to end", lambda: ended() == JOBS, within=120)

    states = Counter(project.states().values())
    assert states == {"successful": JOBS}
    effects = project.database.rows("select job, count(*) as times from work_effect group by job")
    assert len(effects) == JOBS, "effects of jobs that are not successful, or none of some that are"
    assert {row["times"] for row in effects} == {1}
    outcomes = Counter(row["outcome"] for row in project.database.rows("select outcome from gristmill_attempt"))
    print(f"{JOBS} jobs, {KILLS} kills: {dict(outcomes)}")
    assert outcomes["lost"] > 0, "no kill came while a job ran, so nothing was shown"

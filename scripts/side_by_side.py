"""Runs steps side by side, as many as the cores can bear, and says of each how it ended when it has.

Steps begin in the order given; one that does not fit beside those at work is passed over until it does.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence

import steps
from steps import Done, Line, Running, Step

# A step waits now and then, for a disk, a lease or a server: half a core more than there are keeps all of them busy.
CORES = float(os.environ.get("GRISTMILL_TEST_CORES") or (os.cpu_count() or 2) + 0.5)


def run(waiting: Sequence[Step], judge: Callable[[Done], str], cores: float = CORES) -> Iterator[Done]:
    """Gives the steps as they end; `judge` has the words for a step's line, and what failed is told below it."""
    left, at_work = list(waiting), list[Running]()
    line = Line("")
    try:
        while left or at_work:
            for step in list(left):
                busy = sum(running.step.cores for running in at_work)
                if not at_work or busy + step.cores <= cores:
                    left.remove(step)
                    at_work.append(Running(step))
            for running in list(at_work):
                if done := running.done():
                    at_work.remove(running)
                    verdict = judge(done)
                    line.end(f"  {done.step.title:<36} {done.seconds:7.1f} s {done.cpu_seconds:7.1f} s cpu  {verdict}")
                    if done.status:
                        steps.tell_failure(done)
                    line = Line("")
                    yield done
            now = ", ".join(f"{running.step.title} {running.seconds:.0f} s" for running in at_work)
            line.working(f"  at work: {now}; {len(left)} to come", f"  … at work: {now}\n")
            time.sleep(0.1)
    finally:
        for running in at_work:
            running.stop()

"""What goes wrong in a chaos journey, by a seed; it counts what it did: faults that never came show nothing."""

from __future__ import annotations

import contextlib
import os
import random
import signal
from collections import Counter

import postgres
from project import Project, Worker, monotonic, parent_of
from proxy import Proxy
from waiting import pause, wait_for

# Of a worker that dies, a new one takes the place; nobody restarts what is only frozen.
OPTIONS = ("--processes", "8", "--heartbeat", "1")
GRACE_SECONDS = 30.0


class Nemesis:
    """Acts on the workers of one project, and on its server where it has one of its own."""

    def __init__(self, project: Project, seed: int, server: postgres.Server | None, proxy: Proxy | None) -> None:
        self.project, self.server, self.proxy = project, server, proxy
        self.chance = random.Random(seed)
        self.done: Counter[str] = Counter()
        self.env = {}
        if proxy is not None and server is not None:
            self.env["JOURNEY_DATABASE"] = server.url.replace(f":{server.port}/", f":{proxy.port}/")
        self.workers = [self.start() for _ in range(2)]
        self.wakes: list[tuple[float, list[int]]] = []

    def start(self) -> Worker:
        return self.project.start_worker(*OPTIONS, env=self.env)

    def rage(self, seconds: float) -> None:
        """Until the time is over and everything planned has been done, where it can be done at all."""
        ends_at = monotonic() + seconds
        plan = self.plan(seconds)
        while (now := monotonic()) < ends_at or (plan and now < ends_at + GRACE_SECONDS):
            if plan and now >= plan[0][0]:
                _, act = plan.pop(0)
                before = self.done.total()
                getattr(self, act)()
                if self.done.total() == before:
                    # Whom it was for is just not there.
                    plan.append((monotonic() + 0.5, act))
                    plan.sort()
            self.wake_up(now)
            self.replace_the_dead()
            pause(0.02)

    def plan(self, seconds: float) -> list[tuple[float, str]]:
        """When to do what: runners all the time, the rest so often in two minutes."""
        begins_at = monotonic()
        share = seconds / 120
        counts = {"kill_a_runner": 120 * share, "kill_a_worker": 7 * share, "freeze": 11 * share}
        if self.proxy is not None:
            counts |= {"black_hole": 4 * share, "cut_a_commit": 5 * share, "crash_the_server": 2 * share}
        acts = []
        for act, count in counts.items():
            # Spread over the time, each at a moment of its own, none in the last tenth.
            number = max(round(count), 1)
            acts += [
                (begins_at + 3 + (seconds * 0.9 - 3) * (place + self.chance.random()) / number, act)
                for place in range(number)
            ]
        return sorted(acts)

    def runners(self, worker: Worker) -> list[int]:
        zygotes = {pid for pid in worker.processes() if parent_of(pid) == worker.pid}
        return [pid for pid in worker.processes() if parent_of(pid) in zygotes]

    def kill_a_runner(self) -> None:
        victims = self.runners(self.chance.choice(self.workers))
        if victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.chance.choice(victims), signal.SIGKILL)
                self.done["runners killed"] += 1

    def kill_a_worker(self) -> None:
        worker = self.chance.choice(self.workers)
        if worker.process.poll() is None:
            worker.send(signal.SIGKILL)
            self.done["workers killed"] += 1

    def freeze(self) -> None:
        worker = self.chance.choice(self.workers)
        seconds = self.chance.choice((1.0, 2.0, 5.0, 12.0))
        frozen = worker.processes()
        if self.chance.random() < 0.5:
            frozen = self.runners(worker)[:1]
        for pid in frozen:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        self.wakes.append((monotonic() + seconds, frozen))
        self.done["frozen"] += 1

    def wake_up(self, now: float) -> None:
        for at, frozen in list(self.wakes):
            if now >= at:
                self.wakes.remove((at, frozen))
                for pid in frozen:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGCONT)

    def black_hole(self) -> None:
        assert self.proxy
        self.proxy.black_hole()
        pause(self.chance.choice((0.5, 2.0, 4.0)))
        self.proxy.heal()
        self.done["black holes"] += 1

    def cut_a_commit(self) -> None:
        assert self.proxy
        before = self.proxy.cut_at_commit
        self.proxy.cut_next_commits(1)
        with contextlib.suppress(AssertionError):
            wait_for("a commit to cut", lambda: self.proxy and self.proxy.cut_at_commit > before, within=3)
        self.done["commits cut"] += self.proxy.cut_at_commit - before

    def crash_the_server(self) -> None:
        assert self.server and self.server.process
        self.server.process.kill()
        self.server.process.wait()
        # Refused for as long as a process of the old one holds its shared memory.
        wait_for("the server to start again", lambda: self.server and self.server.serves(self.server.port), within=60)
        self.done["servers killed"] += 1

    def replace_the_dead(self) -> None:
        for place, worker in enumerate(self.workers):
            if worker.process.poll() is not None:
                self.workers[place] = self.start()

    def rest(self) -> None:
        """Heals everything."""
        self.wake_up(float("inf"))
        if self.proxy is not None:
            self.proxy.cuts_at_commit = 0
            self.proxy.heal()
        self.replace_the_dead()

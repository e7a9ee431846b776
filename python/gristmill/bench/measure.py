"""The measurements: each gives named figures, and says in its docstring what they mean."""

import time
from pathlib import Path

from . import rows, tasks
from .goals import goals, wide
from .line import enqueue_many, rate
from .ranks import percentile
from .restart import restart
from .schedules import schedules
from .worker import Track, worker


def drain(track: Track, *, backend: str, processes: int, jobs: int) -> dict[str, float]:
    """Jobs a second from the first body to the last, all of them waiting before the worker starts."""
    enqueue_many(backend, jobs)
    with worker(track, backend=backend, processes=processes):
        return {"drain, jobs/s": rate(track.wait_for(jobs))}


def latency(track: Track, *, backend: str, processes: int, jobs: int) -> dict[str, float]:
    """Milliseconds from the enqueue call to the body, on an idle worker, one job every 50 ms."""
    task = tasks.noop.using(backend=backend)
    with worker(track, backend=backend, processes=processes) as process:
        task.enqueue(-1)
        track.wait_for(1)
        time.sleep(1.5)  # the worker is to be idle: that is the state which is measured
        track.clear()
        called = []
        for number in range(jobs):
            called.append(time.monotonic_ns())
            task.enqueue(number)
            time.sleep(0.05)
        started = dict(track.wait_for(jobs))
        waits = sorted((started[number] - at) / 1e6 for number, at in enumerate(called))
        return {
            "latency p50, ms": percentile(waits, 50),
            "latency p99, ms": percentile(waits, 99),
            **{f"memory of {name}, MB PSS": size for name, size in memory(process.pid).items()},
        }


def enqueue(track: Track, *, backend: str, processes: int, jobs: int) -> dict[str, float]:
    """Jobs a second that one process enqueues: a call a job, and in bulk. Nothing runs them."""
    del track, processes
    task = tasks.noop.using(backend=backend)
    task.enqueue(-1)
    single = max(1, jobs // 10)
    before = time.perf_counter()
    for number in range(single):
        task.enqueue(number)
    one_by_one = time.perf_counter() - before
    before = time.perf_counter()
    enqueue_many(backend, jobs)
    bulk = time.perf_counter() - before
    return {"enqueue one by one, jobs/s": single / one_by_one, "enqueue in bulk, jobs/s": jobs / bulk}


def idle(track: Track, *, backend: str, processes: int, jobs: int) -> dict[str, float]:
    """Per cent of one core that an idle worker takes, supervisor and all its processes, over ten seconds."""
    del jobs
    with worker(track, backend=backend, processes=processes) as process:
        tasks.noop.using(backend=backend).enqueue(-1)
        track.wait_for(1)
        time.sleep(5)  # lets the polls grow to their longest
        before, at = cpu_seconds(process.pid), time.monotonic()
        time.sleep(10)
        return {"idle, % of a core": 100 * (cpu_seconds(process.pid) - before) / (time.monotonic() - at)}


def backlog(track: Track, *, backend: str, processes: int, jobs: int) -> dict[str, float]:
    """
    Tells what a million rows of each kind cost a drain.

    As a part of the rate beside none (1.0: nothing), and how many milliseconds an urgent job behind a million others
    waits for its start.
    """
    figures = {}
    plain = drain(track, backend=backend, processes=processes, jobs=jobs)["drain, jobs/s"]
    for kind in rows.KINDS:
        rows.clear(backend)
        track.clear()
        rows.fill(backend, kind, rows.MILLION)
        plain_again = 0.0
        if kind != "ready":
            plain_again = drain(track, backend=backend, processes=processes, jobs=jobs)["drain, jobs/s"]
        if kind == "ready":
            with worker(track, backend=backend, processes=processes):
                plain_again = rate(track.wait_for(jobs)[:jobs])
                at = time.monotonic_ns()
                tasks.noop.using(backend=backend, priority=100).enqueue(-7)
                # The body writes down when it ran; to look often would take a core away from what is measured.
                time.sleep(1)
                while -7 not in (started := dict(tasks.read(track.path))):
                    time.sleep(1)
                figures["urgent behind a million, ms"] = (started[-7] - at) / 1e6
        figures[f"rate beside a million {kind}, of the plain rate"] = plain_again / plain
    return figures


MEASUREMENTS = {
    "drain": drain,
    "latency": latency,
    "enqueue": enqueue,
    "idle": idle,
    "backlog": backlog,
    "goals": goals,
    "wide": wide,
    "schedules": schedules,
    "restart": restart,
}


def memory(supervisor: int) -> dict[str, float]:
    """Proportional set sizes: supervisor, zygote, and the mean of the runners. Empty where /proc lacks them."""
    try:
        zygotes = children(supervisor)
        runners = [runner for zygote in zygotes for runner in children(zygote)]
        sizes = {"supervisor": pss(supervisor), "zygote": sum(map(pss, zygotes))}
        return {**sizes, "a runner": sum(map(pss, runners)) / max(len(runners), 1)}
    except OSError:
        return {}


def pss(pid: int) -> float:
    """Megabytes (10⁶ bytes) of one process."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def children(pid: int) -> list[int]:
    """Process ids of the children of all its threads."""
    return [
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]


def cpu_seconds(pid: int) -> float:
    """User and system seconds of a process and all below it, that have not ended."""
    import os

    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return own + sum(cpu_seconds(child) for child in children(pid))

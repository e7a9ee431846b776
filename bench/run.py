"""Races Gristmill against its peers on this machine, in turn, several rounds, and prints medians and ratios.

Rates of a shared machine drift two or three times within an hour; the ratio of two contenders in one round
does not. So contenders take turns, every round starts with fresh databases, and what is compared is the
median of the rounds' ratios. `make bench` runs this with a PostgreSQL whose data is on tmpfs.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import record
from contenders.base import Contender
from contenders.gristmill import Gristmill
from contenders.pgqueuer import PgQueuer
from contenders.tasksdb import TasksDB

CACHE = Path(os.environ.get("GRISTMILL_CACHE") or Path.home() / ".cache" / "gristmill")
CONTENDERS = {"postgres": [Gristmill, TasksDB, PgQueuer], "sqlite": [Gristmill, TasksDB]}


def main() -> int:
    """Runs what was asked for and prints it; the last line is JSON with `--json`."""
    options = arguments()
    results: dict[str, dict[str, dict[str, list[float]]]] = {}
    for database in options.database:
        for round_number in range(options.rounds):
            for kind in CONTENDERS[database]:
                if options.only and kind.name not in options.only:
                    continue
                for what in options.measure:
                    say(f"{database} round {round_number + 1}/{options.rounds}: {kind.name} {what}")
                    with tempfile.TemporaryDirectory(prefix="bench-", dir=scratch_root()) as scratch:
                        figures = measure(kind, database, what, Path(scratch), options)
                    for figure, value in figures.items():
                        results.setdefault(database, {}).setdefault(figure, {}).setdefault(kind.name, []).append(value)
    for database, figures in results.items():
        print(f"\n{conditions(database, options.postgres)}")
        table(figures)
    for database in options.database if options.alone else ():
        alone(database, options)
    if options.json:
        print(json.dumps(results))
    return 0


def measure(
    kind: type[Contender], database: str, what: str, scratch: Path, options: argparse.Namespace
) -> dict[str, float]:
    """One contender, one database of its own, one measurement."""
    with fresh_database(database, options.postgres) as url:
        contender = kind(python_of(kind, options.python), url, scratch)
        contender.prepare()
        return MEASUREMENTS[what](contender, options)


def drain(contender: Contender, options: argparse.Namespace) -> dict[str, float]:
    """Jobs a second from the first body to the last, with all of them in line before the workers start."""
    jobs = int(contender.drain_jobs * options.scale)
    contender.fill(jobs)
    processes = contender.start()
    try:
        ran = wait_for(contender, jobs, patience=120)
    finally:
        contender.stop(processes)
    times = [moment for _, moment in ran]
    numbers = {number for number, _ in ran}
    if len(numbers) != len(ran):
        say(f"  {contender.name}: {len(ran) - len(numbers)} jobs ran twice")
    return {"drain, jobs/s": (len(ran) - 1) / ((max(times) - min(times)) / 1e9)}


def latency(contender: Contender, options: argparse.Namespace) -> dict[str, float]:
    """Milliseconds from the enqueue call to the body, on idle workers, one job every 50 ms."""
    jobs = int(200 * options.scale)
    processes = contender.start()
    try:
        contender.run(contender.enqueue_command("paced", 1, 0))
        wait_for(contender, 1, patience=30)
        time.sleep(1.5)  # lets the workers go idle: the state that is measured
        os.truncate(contender.file, 0)
        before = contender.run(contender.enqueue_command("paced", jobs, 0.05)).split()
        ran = dict(wait_for(contender, jobs, patience=30))
    finally:
        contender.stop(processes)
    waits = sorted((ran[number] - int(moment)) / 1e6 for number, moment in enumerate(before) if number in ran)
    return {"latency p50, ms": percentile(waits, 50), "latency p99, ms": percentile(waits, 99)}


def enqueue(contender: Contender, options: argparse.Namespace) -> dict[str, float]:
    """Calls a second of one process: one job a call, and in bulk where there is such a call."""
    single, bulk = int(1_000 * options.scale), int(20_000 * options.scale)
    figures = {
        "enqueue one by one, jobs/s": single / float(contender.run(contender.enqueue_command("single", single, 0)))
    }
    if contender.name != "django-tasks-db":
        figures["enqueue in bulk, jobs/s"] = bulk / float(contender.run(contender.enqueue_command("bulk", bulk, 0)))
    return figures


MEASUREMENTS: dict[str, Callable[[Contender, argparse.Namespace], dict[str, float]]] = {
    "drain": drain,
    "latency": latency,
    "enqueue": enqueue,
}


def wait_for(contender: Contender, jobs: int, patience: float) -> list[tuple[int, int]]:
    """Waits until so many bodies ran; gives up after `patience` seconds without another one."""
    size, since = -1, time.monotonic()
    while True:
        now_size = os.path.getsize(contender.file) if os.path.exists(contender.file) else 0
        if now_size >= jobs * 16:
            return record.read(contender.file)
        if now_size != size:
            size, since = now_size, time.monotonic()
        if time.monotonic() - since > patience:
            log = contender.log.read_text(errors="replace")[-3000:]
            sys.exit(f"{contender.name}: {max(size, 0) // 16} of {jobs} jobs ran, then nothing for {patience} s\n{log}")
        time.sleep(0.02)


def alone(database: str, options: argparse.Namespace) -> None:
    """What has no peer to race: memory, idleness, and what a million rows of each kind cost."""
    say(f"{database}: gristmill alone; a million rows are written four times, which takes minutes")
    with (
        tempfile.TemporaryDirectory(prefix="bench-", dir=scratch_root()) as scratch,
        fresh_database(database, options.postgres) as url,
    ):
        contender = Gristmill(options.python, url, Path(scratch))
        contender.prepare()
        print(contender.run(contender.manage("gristmill", "bench", "latency", "idle", "backlog")))


def conditions(database: str, server: str) -> str:
    """Under which settings a table was measured."""
    if database == "sqlite":
        return "sqlite, for all contenders: journal_mode wal, synchronous normal, the file on the disk"
    answer = subprocess.run(
        ["psql", "-qAt", server, "-c", "show server_version", "-c", "show fsync", "-c", "show synchronous_commit"],
        capture_output=True,
        text=True,
        check=True,
    )
    version, fsync, commit = answer.stdout.split("\n")[:3]
    return f"PostgreSQL {version}, fsync {fsync}, synchronous_commit {commit}"


class fresh_database:
    """A database of its own for one measurement, gone afterwards."""

    def __init__(self, kind: str, server: str) -> None:
        self.kind, self.server = kind, server
        # On the disk, where people have theirs.
        self.folder = tempfile.TemporaryDirectory(prefix="bench-sqlite-")
        self.name = f"bench_{os.getpid()}_{time.monotonic_ns()}"

    def __enter__(self) -> str:
        if self.kind == "sqlite":
            return f"sqlite://{self.folder.name}/bench.sqlite3"
        self._sql(f"create database {self.name}")
        return f"{self.server.rsplit('/', 1)[0]}/{self.name}"

    def __exit__(self, *_: object) -> None:
        if self.kind == "postgres":
            self._sql(f"drop database {self.name} with (force)")
        self.folder.cleanup()

    def _sql(self, statement: str) -> None:
        subprocess.run(["psql", "-q", self.server, "-c", statement], check=True)


def python_of(kind: type[Contender], ours: str) -> str:
    """The interpreter of a contender's environment, made when missing."""
    if not kind.packages:
        return ours
    home = CACHE / "bench" / kind.name
    python = home / "bin" / "python"
    stamp = home / "packages.txt"
    wanted = "\n".join(kind.packages)
    if not stamp.exists() or stamp.read_text() != wanted:
        say(f"installing {kind.name}")
        base = subprocess.run(
            [ours, "-c", "import sys; print(sys._base_executable)"], capture_output=True, text=True, check=True
        ).stdout.strip()
        subprocess.run([base, "-m", "venv", "--clear", str(home)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *kind.packages], check=True)
        stamp.write_text(wanted)
    return str(python)


def table(figures: dict[str, dict[str, list[float]]]) -> None:
    """Medians, and the median of the rounds' ratios against ours."""
    for figure, contenders in figures.items():
        print(f"  {figure}")
        ours = contenders.get("gristmill")
        for name, values in contenders.items():
            line = f"    {name:<18}{statistics.median(values):>12,.1f}   ({min(values):,.1f} to {max(values):,.1f})"
            if ours and name != "gristmill":
                ratio = statistics.median(mine / theirs for mine, theirs in zip(ours, values, strict=False))
                line += f"   ours is {ratio:,.2f} times that"
            print(line)


def percentile(ordered: list[float], percent: int) -> float:
    """Nearest rank."""
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def scratch_root() -> str | None:
    """Where the task's file is: in memory when there is some."""
    return "/dev/shm" if os.path.isdir("/dev/shm") else None


def say(text: str) -> None:
    """Progress."""
    print(text, file=sys.stderr, flush=True)


def arguments() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--database", nargs="+", choices=list(CONTENDERS), default=list(CONTENDERS))
    parser.add_argument("--measure", nargs="+", choices=list(MEASUREMENTS), default=list(MEASUREMENTS))
    parser.add_argument("--only", nargs="+", help="contenders to run; default all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="more or fewer jobs than usual")
    parser.add_argument("--python", default=sys.executable, help="interpreter that has gristmill installed")
    parser.add_argument("--postgres", default=os.environ.get("GRISTMILL_TEST_POSTGRES", ""), help="server URL")
    parser.add_argument("--alone", action="store_true", help="also what has no peer: memory, idle, backlog")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if "postgres" in options.database and not options.postgres:
        parser.error("--postgres or GRISTMILL_TEST_POSTGRES must name a server")
    return options


if __name__ == "__main__":
    sys.exit(main())

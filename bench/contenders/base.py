"""What the race asks of a contender."""

import os
import signal
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parent.parent


class Contender:
    """One queue, set up its own way. A subclass says how; nothing here measures."""

    #: Shown in the tables.
    name = ""
    #: Packages installed into its virtual environment, from PyPI.
    packages: tuple[str, ...] = ()
    #: Waiting jobs for a drain: enough for some seconds.
    drain_jobs = 2_000
    #: Worker processes started for it, each one a command.
    workers = 1

    def __init__(self, python: str, database: str, scratch: Path) -> None:
        self.python = python
        self.database = database
        self.file = str(scratch / f"{self.name}.ran")
        self.log = scratch / f"{self.name}.log"
        self.environment = {
            **os.environ,
            "BENCH_DATABASE": database,
            "BENCH_FILE": self.file,
            "PYTHONPATH": os.pathsep.join(
                [str(BENCH), str(BENCH / "site"), *filter(None, [os.environ.get("PYTHONPATH")])]
            ),
            "DJANGO_SETTINGS_MODULE": "settings",
        }

    def prepare(self) -> None:
        """Makes its tables."""
        raise NotImplementedError

    def fill(self, jobs: int) -> None:
        """Puts jobs 0..jobs in line, as its API would write them."""
        raise NotImplementedError

    def worker_command(self) -> list[str]:
        """Starts one worker."""
        raise NotImplementedError

    def enqueue_command(self, how: str, jobs: int, pause: float) -> list[str]:
        """Enqueues through its API; prints seconds (`single`, `bulk`) or nanoseconds before each call (`paced`)."""
        raise NotImplementedError

    def run(self, command: list[str]) -> str:
        """Runs a command of this contender to its end and gives back what it printed."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{self.name}: {' '.join(command[:4])} … failed\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
        return done.stdout

    def start(self) -> list[subprocess.Popen[bytes]]:
        """Starts its workers."""
        log = self.log.open("ab")
        return [
            subprocess.Popen(
                self.worker_command(), env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
            for _ in range(self.workers)
        ]

    def stop(self, processes: list[subprocess.Popen[bytes]]) -> None:
        """Stops them, gently first."""
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

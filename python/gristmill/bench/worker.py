"""The workers that a benchmark starts, and what their jobs wrote."""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from . import tasks

#: Seconds without another job after which a measurement gives up.
PATIENCE = 60


class Track:
    """The file that bodies append to."""

    def __init__(self, folder: str) -> None:
        self.path = str(Path(folder) / "ran")
        Path(self.path).touch()

    def clear(self) -> None:
        """Forgets what ran; workers go on appending."""
        os.truncate(self.path, 0)

    def ran(self) -> int:
        """Returns how many bodies ran."""
        return os.path.getsize(self.path) // 16

    def wait_for(self, jobs: int) -> list[tuple[int, int]]:
        """Waits until so many bodies ran and returns them."""
        seen, since = -1, time.monotonic()
        while (ran := self.ran()) < jobs:
            if ran != seen:
                seen, since = ran, time.monotonic()
            if time.monotonic() - since > PATIENCE:
                raise TimeoutError(f"{ran} of {jobs} jobs ran, then none for {PATIENCE} s")
            time.sleep(0.01)
        return tasks.read(self.path)


@contextlib.contextmanager
def track() -> Iterator[Track]:
    """Makes a track, in memory where the machine has such a folder."""
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(prefix="gristmill-bench-", dir=memory) as folder:
        yield Track(folder)


@contextlib.contextmanager
def worker(
    track: Track, *, backend: str, processes: int, schedules: bool = False
) -> Iterator["subprocess.Popen[bytes]"]:
    """
    Runs a worker that knows the benchmark's task and no other, so that it leaves the project's jobs alone.

    And its schedules too, unless it is to have `schedules`: it would take them all for removed.
    """
    environment = {**os.environ, tasks.FILE: track.path, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "django", "gristmill", "worker", "--backend", backend]
    command += ["--processes", str(processes), "--no-reload", "--label", "bench-{pid}"]
    command += [] if schedules else ["--no-schedules"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            yield process
        except TimeoutError as error:
            log.seek(0)
            raise TimeoutError(f"{error}\n{log.read()[-2000:].decode(errors='replace')}") from None
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

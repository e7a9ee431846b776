"""
Prints what a no-op job costs inside a runner.

`python bench/runner.py [jobs] [--profile] [--bare]` forks one runner behind a socketpair and keeps its pipe full.
`--bare` disconnects Django's own signal receivers and their log lines, to tell the runner's cost from theirs.
"""

import json
import os
import socket
import sys
import time
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "python"))

import django
from django.conf import settings

settings.configure(
    SECRET_KEY="bench",
    USE_TZ=True,
    LOGGING_CONFIG=None,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    TASKS={"default": {"BACKEND": "django.tasks.backends.immediate.ImmediateBackend"}},
)
django.setup()

from django.tasks import task  # noqa: E402
from django.tasks.signals import task_finished, task_started  # noqa: E402

from gristmill.runner import loop  # noqa: E402
from gristmill.runner.frame import JOB, Parser, pack  # noqa: E402
from gristmill.tasks import registry  # noqa: E402


@task
def noop() -> None:
    """Does nothing."""


def frame_of(number: int) -> tuple[bytes, bytes]:
    """Returns a job's key and its frame."""
    job = uuid.uuid4().bytes
    request = {
        "args": [],
        "kwargs": {},
        "options": None,
        "id": job.hex(),
        "task": noop.module_path,
        "backend": "default",
        "queue_name": "default",
        "run_after": None,
        "enqueued_at": "2026-01-01 10:00:00.000000",
        "claimed_at": "2026-01-01 10:00:00.000000",
        "started_at": None,
        "worker_id": uuid.uuid4().hex,
        "token": number,
        "priority": 0,
        "attempt": 1,
    }
    key = JOB.pack(job, number)
    return key, pack(ord("R"), key + json.dumps(request).encode())


def main() -> None:
    """Forks, feeds, counts."""
    jobs = next((int(word) for word in sys.argv[1:] if word.isdigit()), 20_000)
    registry.register(noop)
    if "--bare" in sys.argv:
        task_started.receivers.clear()
        task_finished.receivers.clear()
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        if "--profile" in sys.argv:
            import cProfile

            cProfile.runctx("loop.Runner(theirs).run()", globals(), {"theirs": theirs}, sort="tottime")
        else:
            loop.Runner(theirs).run()
        print(f"{time.process_time() / jobs * 1e6:.1f} µs of CPU a job in the runner, start included", flush=True)
        os._exit(0)
    theirs.close()
    frames = [frame_of(number) for number in range(jobs)]
    parser, done, sent = Parser(), 0, 0
    started = time.perf_counter()
    while done < jobs:
        ahead = min(64 - (sent - done), jobs - sent)
        if ahead > 32 or (ahead and sent + ahead == jobs):
            ours.sendall(b"".join(frame for _, frame in frames[sent : sent + ahead]))
            sent += ahead
        done += sum(1 for kind, _ in parser.feed(ours.recv(65536)) if kind == ord("D"))
    took = time.perf_counter() - started
    print(f"{took / jobs * 1e6:.1f} µs a job, {jobs / took:,.0f} jobs a second")
    ours.sendall(pack(ord("Q")))
    os.waitpid(pid, 0)


if __name__ == "__main__":
    main()

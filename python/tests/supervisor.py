"""The worker's side of the wire, for tests: starts a zygote on a small project and talks to it and its runners."""

import contextlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gristmill.runner.frame import JOB, Parser, pack

PATIENCE = 120
SOURCE = Path(__file__).parent.parent

SETTINGS = """
SECRET_KEY = "test"
USE_TZ = True
INSTALLED_APPS = ["shop"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "shop.sqlite3"}}
TASKS = {"default": {"BACKEND": "backend.Backend"}}
"""

# Stands in for the real backend, whose tables these tests do not need.
BACKEND = """
from dataclasses import dataclass
from typing import Any

from gristmill.compat import BaseTaskBackend, Task
from gristmill.tasks import registry


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredTask(Task):
    backoff: Any = None

    def __post_init__(self):
        Task.__post_init__(self)
        registry.register(self)


class Backend(BaseTaskBackend):
    task_class = RegisteredTask
    supports_defer = supports_async_task = supports_priority = True

    def enqueue(self, task, args, kwargs):
        raise NotImplementedError
"""

Frame = tuple[str, bytes]


#: What the engine says of a job that it would try again after an Exception.
AGAIN = {"retried_classes": ["builtins.Exception"]}


class Peer:
    """One socket and the frames that came through it."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.socket.settimeout(PATIENCE)
        self.parser = Parser()
        self.frames: list[Frame] = []

    def next(self) -> Frame | None:
        """Waits for the next frame; None when the other end has closed."""
        while not self.frames:
            try:
                data = self.socket.recv(65536)
            except ConnectionError:
                return None
            if not data:
                return None
            self.frames += [(chr(kind), payload) for kind, payload in self.parser.feed(data)]
        return self.frames.pop(0)

    def expect(self, kind: str) -> bytes:
        """Waits for the next frame, which has to be of that kind; gives its payload."""
        frame = self.next()
        assert frame is not None, f"closed before {kind}"
        assert frame[0] == kind, frame
        return frame[1]

    def is_silent(self) -> bool:
        return not self.frames and not select.select([self.socket], [], [], 0)[0]


class Runner(Peer):
    """A runner, by number. Tells it what becomes of ends that it asks about; the test sees what concerns the job."""

    number = 0
    pid = 0
    # What ends by this kind of frame is said to have become; "" goes on.
    verdicts = {"D": "successful", "F": "failed", "P": "", "K": ""}
    # Whether the test sees, and answers, everything.
    sees_all = False

    def next(self) -> Frame | None:
        while (frame := super().next()) is not None:
            if self.sees_all:
                return frame
            kind, payload = frame
            key = payload[: JOB.size]
            if kind == "A":
                if payload.endswith(b"?"):
                    self.asks = key
            elif not (
                kind == "N"
                or (kind == "S" and payload.endswith(b"~"))
                or (kind == "F" and b'"advice": "asked"' in payload)
            ):
                if kind in self.verdicts and self.asks == key:
                    self.settle(key, self.verdicts[kind])
                return frame
        return None

    asks = b""

    def settle(self, key: bytes, state: str) -> None:
        """Says what has become of an end."""
        self.asks = b""
        self.socket.sendall(pack(ord("V"), key + state.encode()))

    def send(self, task: str, arguments: Any = (), *, token: int = 1, **changes: Any) -> bytes:
        """Sends it one job; gives the job's key."""
        key, frame = self.key_of(task, arguments, token=token, **changes)
        self.socket.sendall(frame)
        return key

    def key_of(self, task: str, arguments: Any = (), *, token: int = 1, **changes: Any) -> tuple[bytes, bytes]:
        """Makes a job; gives its key and the frame that sends it."""
        job = uuid.uuid4()
        request = {
            "args": list(arguments),
            "kwargs": {},
            "options": None,
            "id": job.hex,
            "task": f"shop.tasks.{task}",
            "backend": "default",
            "queue_name": "default",
            "run_after": None,
            "enqueued_at": "2026-01-01 10:00:00.000000",
            "claimed_at": "2026-01-01 10:00:00.000000",
            "started_at": None,
            "worker_id": "a" * 32,
            "token": token,
            "priority": 0,
            "attempt": 1,
            "retried_classes": [],
            "retries_conflict": True,
        }
        key = JOB.pack(job.bytes, token)
        return key, pack(ord("R"), key + json.dumps({**request, **changes}).encode())

    def start(self, task: str, arguments: Any = (), **changes: Any) -> bytes:
        """Sends it one job and waits for its start; gives the job's key."""
        key = self.send(task, arguments, **changes)
        assert self.expect("S")[: len(key)] == key
        return key

    def rest(self, key: bytes) -> list[tuple[str, Any]]:
        """Waits for the end of a job that has started; gives what was said of it until then, JSON read."""
        return self.rest_until(key, "DFPKU")

    def rest_until(self, key: bytes, kinds: str) -> list[tuple[str, Any]]:
        """Waits for a frame of one of these kinds about a job; gives what was said of it until then, JSON read."""
        said: list[tuple[str, Any]] = []
        while not said or said[-1][0] not in kinds:
            frame = self.next()
            assert frame is not None, f"closed after {said}"
            kind, payload = frame
            assert payload[: len(key)] == key, frame
            text = payload[len(key) :].decode()
            said.append((kind, json.loads(text) if kind in "DFPGT" else text))
        return said

    def all_of(self, task: str, arguments: Any = (), **changes: Any) -> dict[str, Any]:
        """Runs one job to its end; gives what was said of it by kind, the newest of each."""
        return dict(self.rest(self.start(task, arguments, **changes)))

    def cancel(self, key: bytes) -> None:
        self.socket.sendall(pack(ord("X"), key))
        os.kill(self.pid, signal.SIGUSR1)

    def answer(self, key: bytes, statements: list[str], binds: Any = ()) -> None:
        """Says how a transactional job is to be ended."""
        script = json.dumps({"statements": statements, "binds": list(binds)})
        self.socket.sendall(pack(ord("W"), key + script.encode()))

    def recall(self, key: bytes) -> None:
        self.socket.sendall(pack(ord("C"), key))

    def run(self, task: str, arguments: Any = (), **changes: Any) -> Any:
        """Runs one job to its end; gives the value it returned."""
        key = self.send(task, arguments, **changes)
        assert self.expect("S")[: len(key)] == key
        done = self.expect("D")
        assert done[: len(key)] == key
        return json.loads(done[len(key) :])

    def fail(self, task: str, arguments: Any = (), **changes: Any) -> dict[str, str]:
        """Runs one job to its failure; gives what was recorded."""
        key = self.send(task, arguments, **changes)
        assert self.expect("S")[: len(key)] == key
        failure: dict[str, str] = json.loads(self.expect("F")[len(key) :])
        return failure


class Zygote(Peer):
    """A zygote on a project in `folder`."""

    def __init__(
        self, folder: Path, tasks: str, *, settings: str = SETTINGS, reload: bool = False, errors: int | None = None
    ) -> None:
        self.folder = folder
        (folder / "shop").mkdir(exist_ok=True)
        (folder / "shop" / "__init__.py").touch()
        (folder / "shop" / "tasks.py").write_text(
            f"import asyncio, os, signal, sys, time; FOREVER = 600\nfrom gristmill.compat import task\n{tasks}"
        )
        (folder / "settings.py").write_text(settings)
        (folder / "backend.py").write_text(BACKEND)
        ours, theirs = socket.socketpair()
        super().__init__(ours)
        environment = {**os.environ, "PYTHONPATH": f"{SOURCE}:{folder}", "GRISTMILL_CONTROL_FD": "0"}
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
        environment.pop("DJANGO_SETTINGS_MODULE", None)
        with (folder / "errors").open("w") as file:
            # Not a pipe: nobody would read it, and a runner that logs much would wait for ever.
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gristmill.worker.zygote"],
                stdin=theirs,
                env=environment,
                cwd=folder,
                stderr=file if errors is None else errors,
                start_new_session=True,
            )
        theirs.close()
        boot = {"settings_module": "settings", "python_path": [], "backend": "default", "reload": reload}
        ours.sendall(pack(ord("B"), json.dumps(boot).encode()))
        self.numbers = 0

    def hello(self) -> dict[str, Any]:
        hello: dict[str, Any] = json.loads(self.expect("H"))
        return hello

    def ask_to_spawn(self) -> Runner:
        ours, theirs = socket.socketpair()
        runner = Runner(ours)
        self.numbers += 1
        runner.number = self.numbers
        frame = pack(ord("S"), json.dumps({"runner": runner.number}).encode())
        socket.send_fds(self.socket, [frame], [theirs.fileno()])
        theirs.close()
        return runner

    def spawn(self) -> Runner:
        """Has it fork a runner, and waits until that is up."""
        runner = self.ask_to_spawn()
        self.up(runner)
        return runner

    def up(self, runner: Runner) -> None:
        spawned = json.loads(self.expect("P"))
        assert spawned["runner"] == runner.number
        runner.pid = spawned["pid"]
        runner.expect("H")

    def exited(self) -> dict[str, Any]:
        exited: dict[str, Any] = json.loads(self.expect("X"))
        return exited

    def alert(self, runner: Runner) -> None:
        self.socket.sendall(pack(ord("A"), json.dumps({"runner": runner.number}).encode()))

    def kill(self, runner: Runner) -> None:
        self.socket.sendall(pack(ord("K"), json.dumps({"runner": runner.number}).encode()))

    def vouch(self, seconds: float) -> None:
        until = time.clock_gettime_ns(time.CLOCK_BOOTTIME) + int(seconds * 1e9)
        self.socket.sendall(pack(ord("L"), struct.pack("<Q", until)))

    def hand_over(self) -> socket.socket:
        """Gives it something to keep open for its worker; the other end of that, which notices when it is closed."""
        ours, theirs = socket.socketpair()
        socket.send_fds(self.socket, [pack(ord("W"))], [theirs.fileno()])
        theirs.close()
        return ours

    def errors(self) -> str:
        """What it and its runners have written to the standard error."""
        return (self.folder / "errors").read_text()

    def close(self) -> None:
        """Closes the control socket and waits for its end."""
        self.socket.close()
        self.process.wait(timeout=PATIENCE)


def wait_for(path: Path) -> str:
    """Waits until a file has content; gives it."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if content := path.read_text():
                return content
        time.sleep(0.002)
    raise AssertionError(f"{path} has not appeared")


def until(condition: Callable[[], Any]) -> Any:
    """Waits until a condition holds; gives what it says."""
    deadline = time.monotonic() + PATIENCE
    while not (answer := condition()):
        assert time.monotonic() < deadline, "it has not come about"
        time.sleep(0.002)
    return answer


def gone(pid: int) -> bool:
    """Tells whether a process has ended, reaped or not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def wait_until_gone(pid: int, seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not gone(pid):
        assert time.monotonic() < deadline, f"process {pid} lives on"
        time.sleep(0.002)

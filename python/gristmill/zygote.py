"""
Imports the project once and forks runners from it; kills them when the worker no longer vouches for them.

It runs no task code, ever, so nothing that a task does can keep it from ending that task: it is the fence between a
worker that has lost its lease and jobs that others may already have been given. Single-threaded, with no connection
open, so that every fork starts clean. Started by the worker as `python -m gristmill.zygote`; the frames are those of
`docs/design/wire.md`.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import logging
import os
import platform
import random
import select
import signal
import socket
import sys
import time
import traceback
from array import array
from collections import deque
from dataclasses import dataclass
from inspect import iscoroutinefunction
from types import FrameType
from typing import Any, NoReturn

from gristmill import registry, runner
from gristmill.alone import CannotServe, refuse_threads
from gristmill.frame import INSTANT, BadFrame, Parser, pack
from gristmill.import_failure import files_of, why_it_failed
from gristmill.running import capture
from gristmill.watcher import RELOAD_INTERVAL, Watcher

PR_SET_PDEATHSIG = 1
# What people and service managers send to whole process groups. Only the worker decides when work ends.
LEFT_TO_THE_WORKER = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
# More descriptors than this in one message do not come: one send carries one.
DESCRIPTORS_AT_ONCE = 16


@dataclass
class Runner:
    """A forked process that has not been reaped yet."""

    number: int
    pid: int
    # Who killed it, if the zygote did: "kill" (the worker asked) or "lease".
    killed: str | None = None


class Zygote:
    """The loop: control frames, ended runners, the lease."""

    def __init__(self, control: socket.socket, reload: bool) -> None:
        self.control = control
        # SIGCHLD writes to one end, so that an ended runner wakes the loop.
        self.wakeup, self.wakeup_end = socket.socketpair()
        self.wakeup.setblocking(False)
        self.wakeup_end.setblocking(False)
        signal.set_wakeup_fd(self.wakeup_end.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, ignore)
        self.watcher = Watcher() if reload else None
        self.parser = Parser()
        self.received: deque[int] = deque()
        self.unsent = b""
        self.runners: dict[int, Runner] = {}
        # Spawns that wait until there is a lease again: (number, descriptor).
        self.waiting: list[tuple[int, int]] = []
        self.deadline: int | None = None
        self.lapsed = False

    def run(self) -> None:
        """Serves until the worker closes the control socket."""
        poll = select.poll()
        poll.register(self.wakeup, select.POLLIN)
        while True:
            poll.register(self.control, select.POLLIN | (select.POLLOUT if self.unsent else 0))
            poll.poll(self._patience())
            with contextlib.suppress(BlockingIOError):
                self.wakeup.recv(4096)
            # The lease first: whatever else there is to do, no runner outlives it.
            self._enforce_lease()
            if not self._receive():
                break
            self._reap()
            self._send(b"")
            if self.watcher and (path := self.watcher.changed()):
                self._send(pack(ord("M"), json.dumps({"path": path}).encode()))
        self.end()

    def end(self) -> None:
        """Kills every runner with its process group and reaps it."""
        for each in self.runners.values():
            kill_group(each.pid)
        for each in self.runners.values():
            with contextlib.suppress(ChildProcessError):
                os.waitpid(each.pid, 0)
        self.runners.clear()

    def _patience(self) -> float | None:
        """How long to wait for something to happen, in milliseconds."""
        waits = []
        if self.deadline is not None and not self.lapsed:
            waits.append((self.deadline - time.monotonic_ns()) / 1e6 + 1)
        if self.watcher:
            waits.append(RELOAD_INTERVAL * 1000)
        return max(0.0, min(waits)) if waits else None

    def _enforce_lease(self) -> None:
        if self.deadline is None or self.lapsed or time.monotonic_ns() < self.deadline:
            return
        self.lapsed = True
        for each in self.runners.values():
            self._kill(each, "lease")

    def _receive(self) -> bool:
        """Reads what the worker sent and acts on it; False when it closed the control socket."""
        while True:
            try:
                data, descriptors = receive(self.control)
            except BlockingIOError:
                return True
            except ConnectionError:
                return False
            self.received.extend(descriptors)
            if not data:
                return False
            for kind, payload in self.parser.feed(data):
                self._act(chr(kind), payload)

    def _act(self, kind: str, payload: bytes) -> None:
        if kind == "L":
            (self.deadline,) = INSTANT.unpack(payload)
            self.lapsed = False
            self._enforce_lease()
            if not self.lapsed:
                waiting, self.waiting = self.waiting, []
                for number, descriptor in waiting:
                    self._spawn(number, descriptor)
        elif kind == "S":
            number, descriptor = json.loads(payload)["runner"], self.received.popleft()
            if self.lapsed:
                self.waiting.append((number, descriptor))
            else:
                self._spawn(number, descriptor)
        elif kind == "K":
            number = json.loads(payload)["runner"]
            self._reap()
            if each := self.runners.get(number):
                self._kill(each, "kill")
            for waits in [waits for waits in self.waiting if waits[0] == number]:
                self.waiting.remove(waits)
                os.close(waits[1])
                self._report(Runner(number, 0, killed="kill"), -signal.SIGKILL)
        elif kind == "A":
            # Not its process group: what a task has started does not know this signal.
            if each := self.runners.get(json.loads(payload)["runner"]):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(each.pid, signal.SIGUSR1)
        else:
            raise BadFrame(f"a control frame of kind {kind!r}")

    def _spawn(self, number: int, descriptor: int) -> None:
        try:
            refuse_threads()
        except CannotServe as error:
            self._send(pack(ord("E"), json.dumps({"message": str(error), "traceback": ""}).encode()))
            self._flush()
            self.end()
            os._exit(1)
        zygote_pid = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._become_runner(zygote_pid, descriptor)
        # Also done by the child: whoever comes first, the group exists before anyone needs it.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.setpgid(pid, pid)
        os.close(descriptor)
        self.runners[number] = Runner(number, pid)
        self._send(pack(ord("P"), json.dumps({"runner": number, "pid": pid}).encode()))

    def _become_runner(self, zygote_pid: int, descriptor: int) -> NoReturn:
        status = 1
        try:
            os.setpgid(0, 0)
            die_with_parent(zygote_pid)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for inherited in (self.control, self.wakeup, self.wakeup_end):
                inherited.close()
            for _, other in self.waiting:
                os.close(other)
            for other in self.received:
                os.close(other)
            random.seed()
            if numpy := sys.modules.get("numpy"):
                numpy.random.seed()
            gc.enable()
            runner.serve(socket.socket(fileno=descriptor))
            status = 0
        except BaseException:
            with contextlib.suppress(BaseException):
                traceback.print_exc()
        finally:
            os._exit(status)

    def _kill(self, each: Runner, why: str) -> None:
        each.killed = each.killed or why
        kill_group(each.pid)

    def _reap(self) -> None:
        """Reports every runner that has ended, after killing what it left behind in its process group."""
        for number, each in list(self.runners.items()):
            # Looked at before it is reaped: as long as it is a zombie, nobody else can get its process group's number.
            if os.waitid(os.P_PID, each.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                continue
            kill_group(each.pid)
            _, status = os.waitpid(each.pid, 0)
            del self.runners[number]
            self._report(each, os.waitstatus_to_exitcode(status))

    def _report(self, each: Runner, exit_code: int) -> None:
        ended = {
            "runner": each.number,
            "pid": each.pid,
            "signal": -exit_code if exit_code < 0 else None,
            "status": exit_code if exit_code >= 0 else None,
            "killed": each.killed,
        }
        self._send(pack(ord("X"), json.dumps(ended).encode()))

    def _send(self, data: bytes) -> None:
        """Sends without waiting: a worker that does not read must not keep the lease from being enforced."""
        self.unsent += data
        with contextlib.suppress(BlockingIOError, ConnectionError):
            while self.unsent:
                self.unsent = self.unsent[self.control.send(self.unsent, socket.MSG_DONTWAIT) :]

    def _flush(self) -> None:
        self.control.settimeout(5)
        with contextlib.suppress(OSError):
            self.control.sendall(self.unsent)


def receive(control: socket.socket) -> tuple[bytes, array[int]]:
    """Reads without waiting what was sent, and the descriptors that came with it; raises BlockingIOError if nothing."""
    # Not socket.recv_fds(), which takes flags and ignores them.
    descriptors = array("i")
    data, messages, _, _ = control.recvmsg(
        65536,
        socket.CMSG_SPACE(DESCRIPTORS_AT_ONCE * descriptors.itemsize),
        socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC,
    )
    for level, kind, content in messages:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
    return data, descriptors


def boot(settings_module: str | None, python_path: list[str]) -> None:
    """Imports Django, the project and its tasks, and closes what they opened; raises whatever they raise."""
    if python_path:
        sys.path[:] = python_path
    if settings_module:
        os.environ["DJANGO_SETTINGS_MODULE"] = settings_module

    import django

    django.setup()
    # Imported before logging was set up, which turns off every logger that it does not name.
    logging.getLogger("gristmill").disabled = False
    registry.load()

    from django.core.cache import caches
    from django.db import connections

    connections.close_all()
    caches.close_all()
    gc.collect()
    gc.freeze()
    refuse_threads()


def die_with_parent(parent: int) -> None:
    """Has the kernel SIGKILL this process when its parent's thread ends; ends it now if that has happened already."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def kill_group(pid: int) -> None:
    """SIGKILLs a runner and everything in its process group."""
    # The group does not exist yet when neither side of the fork has come to make it.
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)


def prctl(option: int, value: int) -> None:
    """Sets an attribute of this process in the kernel; raises OSError when that fails."""
    if _libc.prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


_libc: Any = ctypes.CDLL(None, use_errno=True)


def ignore(number: int, frame: FrameType | None) -> None:
    """Does nothing with a signal, yet as a handler: programs started from here get the default back."""


def read_boot(control: socket.socket, parser: Parser) -> dict[str, Any] | None:
    """Waits for the first frame; None when the worker has gone."""
    while data := control.recv(65536):
        for kind, payload in parser.feed(data):
            if kind != ord("B"):
                raise BadFrame(f"a first frame of kind {chr(kind)!r}")
            request: dict[str, Any] = json.loads(payload)
            return request
    return None


def take_control() -> socket.socket:
    """Moves the control socket to a descriptor that no program started from here inherits."""
    inherited = int(os.environ.pop("GRISTMILL_CONTROL_FD"))
    control = socket.socket(fileno=os.dup(inherited))
    null = os.open(os.devnull, os.O_RDWR)
    if inherited == 0:
        os.dup2(null, 0)
    else:
        os.close(inherited)
    os.close(null)
    return control


def main() -> None:
    """Boots, says hello or why not, and serves."""
    parent = os.getppid()
    control = take_control()
    # Until it reads the control socket, an import that hangs would outlive the worker.
    die_with_parent(parent)
    # A runner may be alerted before it knows what that means.
    for number in (*LEFT_TO_THE_WORKER, signal.SIGUSR1):
        signal.signal(number, ignore)
    # The user's own value is for the programs that tasks start.
    own = os.environ.pop("GRISTMILL_PYTHONPATH", None)
    os.environ.pop("PYTHONPATH", None)
    if own is not None:
        os.environ["PYTHONPATH"] = own
    gc.disable()

    request = read_boot(control, Parser())
    if request is None:
        return
    # Before logging is set up, which remembers the streams that it finds.
    capture.install()
    try:
        boot(request["settings_module"], request["python_path"])
        announced = schedules_of(request.get("backend", "default"))
    except BaseException as error:
        refuse(control, error, reload=request["reload"])
        sys.exit(1)

    prctl(PR_SET_PDEATHSIG, 0)
    if os.getppid() != parent:
        return
    hello = {
        "tasks": registry.names(),
        "async": async_names(),
        "pid": os.getpid(),
        "python": platform.python_version(),
        "django": sys.modules["django"].get_version(),
        **announced,
    }
    zygote = Zygote(control, request["reload"])
    control.sendall(pack(ord("H"), json.dumps(hello).encode()))
    try:
        zygote.run()
    except BaseException:
        # Whatever went wrong, no runner is left without a fence.
        zygote.end()
        raise


def schedules_of(backend: str) -> dict[str, Any]:
    """Returns the schedules of the worker's backend, as it announces them; raises for those that are wrong."""
    from gristmill.aliases import gristmill_backends
    from gristmill.scheduling.announcing import announcement

    served = gristmill_backends().get(backend)
    return {"schedules": [], "schedulable": {}} if served is None else announcement(served)


def async_names() -> list[str]:
    """Names the tasks of which many run at a time in one runner: coroutine functions."""
    tasks = [(name, registry.get("default", name)) for name in registry.names()]
    return [
        name
        for name, task in tasks
        if task is not None and iscoroutinefunction(task.func) and not getattr(task, "transactional", False)
    ]


def refuse(control: socket.socket, error: BaseException, *, reload: bool) -> None:
    """Says why it cannot serve. With `reload` it stays until a source file changes, and says so."""
    runner_text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    text = json.dumps({"message": why_it_failed(error), "traceback": runner_text[-65536:]})
    # Before it says anything: a change made in answer must be seen.
    watcher = Watcher(also=files_of(error))
    with contextlib.suppress(ConnectionError):
        control.sendall(pack(ord("E"), text.encode()))
        if reload:
            poll = select.poll()
            poll.register(control, select.POLLIN)
            while not (path := watcher.changed()):
                # The worker has nothing to say to it any more: readable means gone.
                if poll.poll(RELOAD_INTERVAL * 1000):
                    return
            control.sendall(pack(ord("M"), json.dumps({"path": path}).encode()))


if __name__ == "__main__":
    main()

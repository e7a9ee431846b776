"""
Imports the project once and forks runners from it; kills them when the worker no longer vouches for them.

It runs no task code, ever, so nothing that a task does can keep it from ending that task: it is the fence between a
worker that has lost its lease and jobs that others may already have been given. Single-threaded, with no connection
open, so that every fork starts clean. Started by the worker as `python -m gristmill.worker.zygote`; the frames are
those of `docs/design/wire.md`.
"""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import os
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
from types import FrameType
from typing import Any, NoReturn

from gristmill.runner import capture, serving
from gristmill.runner.frame import INSTANT, BadFrame, Parser, pack
from gristmill.runner.processes import (
    MARK,
    adopt_orphans,
    children,
    die_with_parent,
    kill_group,
    kill_orphans,
    outlive_parent,
)
from gristmill.tasks.discovery.modules import task_files
from gristmill.worker import logs
from gristmill.worker.booting import boot, schedules_of, what_is_known
from gristmill.worker.fork_safety import CannotServe, refuse_threads
from gristmill.worker.import_failure import files_of, why_it_failed
from gristmill.worker.watcher import RELOAD_INTERVAL, Watcher

logger = logging.getLogger("gristmill")

# What people and service managers send to whole process groups. Only the worker decides when work ends.
LEFT_TO_THE_WORKER = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
# More descriptors than this in one message do not come: one send carries one.
DESCRIPTORS_AT_ONCE = 16
# The clock of leases, which goes on while the machine sleeps; where there is no such clock, the one that may not.
BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
SECOND = 1_000_000_000
# The longest wait until the next look at the lease: so late it is noticed that the machine has slept.
NOTICES_SLEEP = SECOND
# How long to wait after a fork that failed: twice as long each time, and never longer than this.
FIRST_WAIT, LONGEST_WAIT = SECOND // 10, 5 * SECOND
# How long what a runner has left behind may take to die, and how long until the next look at it.
ORPHANS_DIE, LOOK_AGAIN = 2 * SECOND, SECOND // 200


@dataclass
class Runner:
    """A forked process that has not been reaped yet."""

    number: int
    pid: int
    # Who killed it, if the zygote did: "kill" (the worker asked) or "lease".
    killed: str | None = None


@dataclass
class Ended:
    """A runner that has been reaped, and is reported when what it left behind is gone."""

    runner: Runner
    exit_code: int
    # When to wait no longer.
    until: int


class Zygote:
    """The loop: control frames, ended runners, the lease."""

    def __init__(self, control: socket.socket, reload: bool, lease_clock: int = BOOT_CLOCK) -> None:
        self.control = control
        self.lease_clock = lease_clock
        # SIGCHLD writes to one end, so that an ended runner wakes the loop.
        self.wakeup, self.wakeup_end = socket.socketpair()
        self.wakeup.setblocking(False)
        self.wakeup_end.setblocking(False)
        signal.set_wakeup_fd(self.wakeup_end.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, ignore)
        self.watcher = Watcher(found=task_files) if reload else None
        self.parser = Parser()
        self.received: deque[int] = deque()
        self.unsent = b""
        self.runners: dict[int, Runner] = {}
        self.ended: list[Ended] = []
        # What the project has started while it was imported.
        self.spared = set(children())
        adopt_orphans()
        # Spawns that wait, until there is a lease again or a fork succeeds: (number, descriptor).
        self.waiting: list[tuple[int, int]] = []
        self.failed_forks = 0
        self.fork_at = 0
        self.deadline: int | None = None
        self.lapsed = False
        # By which others see that something of this worker may still run; the end of this process closes it.
        self.life: int | None = None

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
            self._spawn_waiting()
            self._reap()
            self._send(b"")
            if self.watcher and (path := self.watcher.changed()):
                self._send(pack(ord("M"), json.dumps({"path": path}).encode()))
        self.end()
        signal.set_wakeup_fd(-1)
        for each in (self.control, self.wakeup, self.wakeup_end):
            each.close()

    def end(self) -> None:
        """Kills every runner and all that it has started, and reaps it."""
        for each in self.runners.values():
            kill_group(each.pid)
        for each in self.runners.values():
            with contextlib.suppress(ChildProcessError):
                os.waitpid(each.pid, 0)
        self.runners.clear()
        until = time.monotonic_ns() + ORPHANS_DIE
        while kill_orphans(self.spared, ()) and time.monotonic_ns() < until:
            time.sleep(LOOK_AGAIN / SECOND)
            self._collect()

    def _patience(self) -> float | None:
        """How long to wait for something to happen, in milliseconds."""
        now = time.monotonic_ns()
        instants = []
        if self.deadline is not None and not self.lapsed:
            # A wait counts no time in which the machine sleeps, and the lease does.
            left = self.deadline - self._lease_time() + SECOND // 1000
            instants.append(now + min(left, NOTICES_SLEEP))
        if self.waiting and not self.lapsed:
            instants.append(self.fork_at)
        if self.ended:
            instants.append(now + LOOK_AGAIN)
        if self.watcher:
            instants.append(now + int(RELOAD_INTERVAL * SECOND))
        return max(0.0, (min(instants) - now) / 1e6) if instants else None

    def _lease_time(self) -> int:
        return time.clock_gettime_ns(self.lease_clock)

    def _enforce_lease(self) -> None:
        if self.deadline is None or self.lapsed or self._lease_time() < self.deadline:
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
        elif kind == "W":
            before, self.life = self.life, self.received.popleft()
            if before is not None:
                os.close(before)
        elif kind == "S":
            self.waiting.append((json.loads(payload)["runner"], self.received.popleft()))
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

    def _spawn_waiting(self) -> None:
        """Forks the runners that were asked for, while there is a lease; waits where the system lets it fork none."""
        while self.waiting and not self.lapsed and time.monotonic_ns() >= self.fork_at:
            number, descriptor = self.waiting[0]
            try:
                self._spawn(number, descriptor)
            except OSError as error:
                # Too many processes, or too little memory: those that live go on, and may end.
                wait = min(FIRST_WAIT * 2 ** min(self.failed_forks, 16), LONGEST_WAIT)
                self.failed_forks += 1
                self.fork_at = time.monotonic_ns() + wait
                logger.warning("a runner cannot be forked (%s); trying again in %g s", error, wait / SECOND)
            else:
                self.failed_forks = 0
                del self.waiting[0]

    def _spawn(self, number: int, descriptor: int) -> None:
        """Forks a runner; raises OSError where it cannot."""
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
            self._become_runner(zygote_pid, number, descriptor)
        # Also done by the child: whoever comes first, the group exists before anyone needs it.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.setpgid(pid, pid)
        os.close(descriptor)
        self.runners[number] = Runner(number, pid)
        self._send(pack(ord("P"), json.dumps({"runner": number, "pid": pid}).encode()))

    def _become_runner(self, zygote_pid: int, number: int, descriptor: int) -> NoReturn:
        status = 1
        try:
            os.setpgid(0, 0)
            die_with_parent(zygote_pid)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for inherited in (self.control, self.wakeup, self.wakeup_end):
                inherited.close()
            for _, other in self.waiting:
                if other != descriptor:
                    os.close(other)
            for other in (*self.received, *([] if self.life is None else [self.life])):
                os.close(other)
            os.environ[MARK] = str(number)
            random.seed()
            if numpy := sys.modules.get("numpy"):
                numpy.random.seed()
            gc.enable()
            serving.serve(socket.socket(fileno=descriptor))
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
        """Reports every runner that has ended, once all that it left behind has been killed and is gone."""
        self._collect()
        if not self.ended:
            return
        living = {each.pid for each in self.runners.values()}
        left = kill_orphans(self.spared | living, self.runners)
        now = time.monotonic_ns()
        waiting = []
        for each in self.ended:
            if left and now < each.until:
                waiting.append(each)
                continue
            if left:
                logger.error("what runner %d has left behind does not die: %s", each.runner.pid, sorted(left))
            self._report(each.runner, each.exit_code)
        self.ended = waiting

    def _collect(self) -> None:
        """Reaps every child that has ended."""
        with contextlib.suppress(ChildProcessError):
            while child := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                each = next((each for each in self.runners.values() if each.pid == child.si_pid), None)
                if each is not None:
                    # As long as it is a zombie, nobody else can get its process group's number.
                    kill_group(each.pid)
                    del self.runners[each.number]
                _, status = os.waitpid(child.si_pid, 0)
                self.spared.discard(child.si_pid)
                if each is not None:
                    until = time.monotonic_ns() + ORPHANS_DIE
                    self.ended.append(Ended(each, os.waitstatus_to_exitcode(status), until))

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
    capture.install(logs.printed if logs.is_json() else None)
    try:
        boot(request["settings_module"], request["python_path"])
        announced = schedules_of(request.get("backend", "default"))
    except BaseException as error:
        refuse(control, error, reload=request["reload"])
        sys.exit(1)

    outlive_parent()
    if os.getppid() != parent:
        return
    hello = {"pid": os.getpid(), **what_is_known(), **announced}
    # Where nobody takes its jobs while all of them sleep, its worker's leases stand still too.
    lease_clock = BOOT_CLOCK if request.get("leases_count_sleep", True) else time.CLOCK_MONOTONIC
    zygote = Zygote(control, request["reload"], lease_clock)
    control.sendall(pack(ord("H"), json.dumps(hello).encode()))
    try:
        zygote.run()
    except BaseException:
        # Whatever went wrong, no runner is left without a fence.
        zygote.end()
        raise


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

"""Tasks that do what no task should, each in one way; the failure catalogue's hostile and unlucky handlers."""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
from typing import Any

from asgiref.sync import async_to_sync, sync_to_async
from django.db import connection, transaction
from work.tasks import PULSE_SECONDS, write_down

from gristmill import Constant, task

MEBIBYTE = 1024 * 1024


@task
def exits() -> None:
    """Says goodbye as scripts do."""
    sys.exit(3)


@task
def interrupts_itself() -> None:
    """Raises what Ctrl-C raises."""
    raise KeyboardInterrupt


@task
def exits_without_a_word() -> None:
    """Ends its process with status 0, which is no success."""
    os._exit(0)


@task
def segfaults() -> None:
    """Reads what is not there."""
    ctypes.string_at(0)


@task(timeout=1)
def loops() -> None:
    """Never ends, in Python."""
    while True:
        pass


@task(timeout=1)
def loops_in_c() -> None:
    """Never ends, in C that looks at no signal: an expression that backtracks for years."""
    re.match(r"(a+)+$", "a" * 60 + "b")


@task(timeout=1)
def turns_a_deaf_ear() -> None:
    """Blocks every signal that can be blocked, ignores the others, and catches whatever is raised."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    for number in (signal.SIGALRM, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    while True:
        try:
            time.sleep(60)
        except BaseException:
            continue


@task
def leaves_a_thread() -> str:
    """Returns, and leaves a thread that would not end for a minute."""
    threading.Thread(target=time.sleep, args=(60,), daemon=False).start()
    return "gone"


@task
def leaves_a_child() -> int:
    """Returns, and leaves a process behind; gives its id."""
    return subprocess.Popen(["sleep", "600"], stdin=subprocess.DEVNULL, start_new_session=False).pid


@task
def forks_a_twin() -> str:
    """Returns twice: here, and in a child that knows no better."""
    return "child" if os.fork() == 0 else "parent"


@task
def uses_a_process_pool() -> list[int]:
    """Does what daemonic processes may not."""
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return pool.map(abs, [-1, -2, -3])


@task
def closes_descriptors() -> str:
    """Closes what is not its own."""
    os.closerange(3, 4096)
    return "closed"


@task
def closes_its_output() -> str:
    """Closes the standard streams."""
    sys.stdout.close()
    sys.stderr.close()
    return "quiet"


@task
def prints_a_gigabyte() -> str:
    """Prints lines of ten million letters, a gigabyte in all."""
    line = "x" * 10_000_000
    for _ in range(50):
        print(line)
        print(line, file=sys.stderr)
    return "printed"


@task(max_memory_mb=300)
def eats_memory() -> None:
    """Takes more than it may."""
    kept = []
    while True:
        kept.append(bytearray(16 * MEBIBYTE))


class Unprintable(Exception):
    """Cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no words for it")

    __repr__ = __str__


@task
def raises_what_cannot_be_shown() -> None:
    """Raises it."""
    raise Unprintable


@task
def raises_fifty_megabytes() -> None:
    """Has much to say about its failure."""
    raise ValueError("y" * (50 * MEBIBYTE))


@task
def raises_odd_characters() -> None:
    """Fails in words that no database stores."""
    raise ValueError("\x00 and \ud800 and \x1b[31m")


@task
def raises_a_thousand_causes() -> None:
    """Fails because of a failure because of a failure."""
    cause: BaseException | None = None
    for number in range(1000):
        error = ValueError(str(number))
        error.__cause__ = cause
        cause = error
    assert cause is not None
    raise cause


@task
def recurses() -> None:
    """Calls itself for ever."""
    recurses.func()


@task
def returns_a_set() -> Any:
    """Returns what JSON cannot hold."""
    return {1, 2, 3}


@task
def returns_itself() -> Any:
    """Returns a list that holds itself."""
    endless: list[Any] = []
    endless.append(endless)
    return endless


@task
def returns_twenty_megabytes() -> str:
    """Returns more than may be stored."""
    return "z" * (20 * MEBIBYTE)


@task
def leaves_a_transaction_open() -> str:
    """Enters a transaction and never leaves it."""
    transaction.atomic().__enter__()
    connection.cursor().execute("select 1")
    return "open"


@task
def moves_the_furniture() -> str:
    """Leaves a process in which nothing is where it was."""
    os.chdir("/")
    os.umask(0o777)
    os.environ.clear()
    os.environ["TZ"] = "Pacific/Kiritimati"
    time.tzset()
    sys.stdout = sys.stderr = sys.stdin = None  # type: ignore[assignment]
    return "moved"


@task
def litters() -> str:
    """Makes garbage that raises when it is collected."""

    class Trap:
        def __del__(self) -> None:
            raise RuntimeError("in a destructor")

    traps = [Trap() for _ in range(10)]
    del traps
    gc.collect()
    return "collected"


def goes_on(context: Any) -> None:
    """Shows that it lives, and hears of no end."""
    while True:
        time.sleep(PULSE_SECONDS)
        write_down(context, "alive")


@task(takes_context=True, timeout=1, max_attempts=2, backoff=Constant(0))
async def goes_on_in_a_thread(context: Any) -> None:
    """Is stopped while a function of it works in a thread."""
    write_down(context, "start")
    await sync_to_async(goes_on, thread_sensitive=False)(context)


@task(takes_context=True, timeout=1, max_attempts=2, backoff=Constant(0))
def goes_on_in_a_loop(context: Any) -> None:
    """Is stopped while an async function of it works in a loop of its own."""

    async def blocks() -> None:
        goes_on(context)

    write_down(context, "start")
    async_to_sync(blocks)()


@task(takes_context=True, timeout=1, max_attempts=2, backoff=Constant(0))
def goes_on_in_a_program(context: Any) -> None:
    """Is stopped while a program of it works, in a session of its own."""
    write_down(context, "start")
    if os.fork() == 0:
        os.setsid()
        # As if it were the process that has started it.
        pid = os.getppid()
        os.getpid = lambda: pid
        goes_on(context)
    time.sleep(600)

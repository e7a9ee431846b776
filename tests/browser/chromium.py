"""
A headless Chromium that tests speak to by its own DevTools protocol, over a pipe.

The pipe (`--remote-debugging-pipe`: JSON with a zero byte behind it, on descriptors 3 and 4) asks for nothing beside
the browser: no driver that has to fit its version, no library, no port that somebody else may take. When this process
ends, however it does, the pipe closes and the browser goes. And the protocol tells what a driver does not: violated
policies, errors of the console, each request, and how a page looks by night and without scripts.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from waiting import PATIENCE

OPTIONS = (
    *("--headless", "--remote-debugging-pipe", "--no-first-run", "--no-default-browser-check", "--disable-gpu"),
    # It asks nobody but the site: no updates, no lists of bad addresses.
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-pings"),
    *("--disable-dev-shm-usage", "--hide-scrollbars", "--force-color-profile=srgb", "--lang=en"),
)
ANSWERS_WITHIN = 15.0
# Becomes the browser, with two descriptors where it looks for them.
BECOME = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execvp(sys.argv[3], sys.argv[3:])"
)
# Above those, so that neither is written over before it is read.
LEAST_DESCRIPTOR = 10

Listener = Callable[[str, dict[str, Any]], None]


class Chromium:
    """The process and its pipe; one thread speaks to it, and hears events whenever it waits for an answer."""

    def __init__(self, path: str, folder: Path) -> None:
        self.log = folder / "chromium.log"
        self.listeners: dict[str, Listener] = {}
        self._number, self._rest = 0, b""
        self._answers: dict[int, dict[str, Any]] = {}
        its_end, self._write = lifted(os.pipe())
        self._read, its_other_end = lifted(os.pipe())
        options = [*OPTIONS, f"--user-data-dir={folder / 'profile'}"]
        if os.geteuid() == 0:
            # Its sandbox is not for root.
            options.append("--no-sandbox")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", BECOME, str(its_end), str(its_other_end), path, *options],
                pass_fds=(its_end, its_other_end),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        os.close(its_end)
        os.close(its_other_end)

    def command(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """What it answers; an AssertionError where it refuses, or says nothing."""
        number = self.post(method, session, **parameters)
        deadline = time.monotonic() + ANSWERS_WITHIN * PATIENCE
        while number not in self._answers:
            left = deadline - time.monotonic()
            assert left > 0, f"the browser has not answered {method}"
            self.listen(left)
        answer = self._answers.pop(number)
        assert "error" not in answer, f"{method}: {answer['error']}"
        result: dict[str, Any] = answer["result"]
        return result

    def post(self, method: str, session: str | None = None, **parameters: Any) -> int:
        """Asks without waiting for the answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._write, data) :]
        return self._number

    def listen(self, seconds: float) -> None:
        """Hears what there is to hear, for so long at most."""
        if not select.select([self._read], [], [], seconds)[0]:
            return
        data = os.read(self._read, 1 << 20)
        assert data, f"the browser has gone:\n{self.log.read_text(errors='replace')[-2000:]}"
        *messages, self._rest = (self._rest + data).split(b"\0")
        for text in messages:
            message = json.loads(text)
            if "id" in message:
                self._answers[message["id"]] = message
            elif listener := self.listeners.get(message.get("sessionId", "")):
                listener(message["method"], message["params"])

    def close(self) -> None:
        """Ends it, with all its processes."""
        with contextlib.suppress(AssertionError, OSError):
            self.post("Browser.close")
            self.process.wait(ANSWERS_WITHIN)
        os.close(self._write)
        os.close(self._read)
        self.process.kill()
        self.process.wait()


def lifted(descriptors: tuple[int, int]) -> tuple[int, int]:
    """The same two, under higher numbers."""
    first, second = (fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, LEAST_DESCRIPTOR) for each in descriptors)
    for each in descriptors:
        os.close(each)
    return first, second

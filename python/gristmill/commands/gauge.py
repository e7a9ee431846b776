"""How far a long command is, for whoever waits for it."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING

from django.core.management.base import OutputWrapper

if TYPE_CHECKING:
    from typing_extensions import Self

#: What takes less is done before a person has read anything.
SILENT_SECONDS = 1.0
#: Between two lines where nothing can be written over, as in a log.
LOG_SECONDS = 10.0
#: Between two changes of a line on a terminal.
TERMINAL_SECONDS = 0.1


class Gauge:
    """Says on a stream how many jobs are done, once it has taken longer than a second."""

    def __init__(self, stream: OutputWrapper, text: str, total: str = "") -> None:
        self.stream = stream
        self.text = f"{text} {{:,}}" + (f" of {total}" if total else "")
        self.terminal = stream.isatty()
        self.next_at = time.monotonic() + SILENT_SECONDS
        self.shown = False

    def __enter__(self) -> Self:
        return self

    def show(self, count: int) -> None:
        """Says it, if it is time to."""
        now = time.monotonic()
        if now < self.next_at:
            return
        line = self.text.format(count)
        self.next_at = now + (TERMINAL_SECONDS if self.terminal else LOG_SECONDS)
        self.shown = True
        # To the line's beginning, and what is left of the one before is cleared.
        self.stream.write(f"\r{line} …\x1b[K" if self.terminal else f"{line} …", ending="" if self.terminal else "\n")
        self.stream.flush()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self.shown and self.terminal:
            self.stream.write("\r\x1b[K", ending="")
            self.stream.flush()

"""Notices that source files have changed, for workers that start afresh when they do."""

import contextlib
import os
import sys
import time
from collections.abc import Callable

# Seconds between two looks.
RELOAD_INTERVAL = 0.5


class Watcher:
    """Tells when a source file that this process imported has changed, or a new one is to be imported."""

    def __init__(self, also: list[str] | None = None, found: Callable[[], list[str]] | None = None) -> None:
        self.also = also or []
        # Names the files that are to be imported, as they are found now.
        self.found = found or list
        self.seen = self._modified()
        self.files = set(self.found())
        self.next_look = time.monotonic() + RELOAD_INTERVAL

    def changed(self) -> str | None:
        """Returns one file that changed since the last look; looks no more often than `RELOAD_INTERVAL`."""
        if time.monotonic() < self.next_look:
            return None
        self.next_look = time.monotonic() + RELOAD_INTERVAL
        seen, self.seen = self.seen, self._modified()
        changed = next((path for path, modified in self.seen.items() if seen.get(path, modified) != modified), None)
        files, self.files = self.files, set(self.found())
        return changed or next(iter(self.files - files), None)

    def _modified(self) -> dict[str, int]:
        paths = [path for module in list(sys.modules.values()) if (path := getattr(module, "__file__", None))]
        modified = {}
        for path in [*paths, *self.also]:
            # A file that is being replaced is gone for a moment; that is a change too.
            modified[path] = 0
            with contextlib.suppress(OSError):
                modified[path] = os.stat(path).st_mtime_ns
        return modified

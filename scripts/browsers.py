"""Finds the browser that the admin's pages are driven in."""

from __future__ import annotations

import os
import shutil

# The names that distributions have for it; the variable names any other.
VARIABLE = "GRISTMILL_CHROMIUM"
NAMES = ("chromium", "chromium-browser", "google-chrome")
ADVICE = "Debian, Ubuntu: apt-get install chromium"


def chromium() -> str | None:
    """Its path, if this machine has one."""
    return os.environ.get(VARIABLE) or next((path for name in NAMES if (path := shutil.which(name))), None)

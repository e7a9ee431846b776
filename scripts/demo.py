"""`make demo`: sets up, then lets the example site's own `manage.py demo` do the work in view of the reader."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import environments
import photographs
import steps

SITE = steps.ROOT / "examples" / "django_site"


def hold_files() -> int:
    """Takes the site's files for as long as this process lives, so that a demo never empties a site that is served."""
    (SITE / "var").mkdir(exist_ok=True)
    descriptor = os.open(SITE / "var" / "in-use", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise steps.stop("Another `make demo` or `make dev` is at work on the same files; stop it first.") from None
    return descriptor


def show(python: Path, folder: Path) -> int:
    """Its status. It has a session of its own, so that Ctrl-C reaches it once: from here."""
    demo = subprocess.Popen(
        [python, "manage.py", "demo", folder],
        cwd=SITE,
        env={**os.environ, "DATABASE_URL": ""},
        start_new_session=True,
    )
    try:
        return demo.wait()
    finally:
        steps.end(demo)


def main() -> int:
    steps.stop_on_signals()
    try:
        python = environments.pair("best") / "python"
        chosen = os.environ.get("PHOTOS")
        folder = Path(chosen).expanduser().absolute() if chosen else photographs.fetch()
        hold_files()
        return show(python, folder)
    except steps.StepFailed:
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())

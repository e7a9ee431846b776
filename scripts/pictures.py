"""`make pictures`: the documentation's pictures of the admin, made anew by a browser."""

from __future__ import annotations

import subprocess
import sys

import environments
import steps


def main() -> int:
    steps.stop_on_signals()
    try:
        python = environments.pair("new") / "python"
    except steps.StepFailed:
        return 1
    return subprocess.call([python, steps.ROOT / "tests" / "browser" / "photograph.py"])


if __name__ == "__main__":
    sys.exit(main())

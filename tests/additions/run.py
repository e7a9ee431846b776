"""
Makes each addition in a copy of the tree, and looks whether what has to pass with it does.

    scripts/run ../tests/additions/run.py [--only WORD]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "plants"))

import copies
import environments
import plant_steps
import postgres
import steps
from additions import ADDITIONS, Addition


def fails(addition: Addition, tree: Path, env: dict[str, str]) -> str:
    """Makes an addition; gives the first command that fails with it, or nothing. The copy is put right afterwards."""
    before = {name: (tree / name).read_text() for name in addition.files}
    try:
        for edit in addition.edits:
            text = (tree / edit.file).read_text()
            if why := edit.does_not_apply(text):
                return why
            (tree / edit.file).write_text(text.replace(edit.after, edit.after + edit.put))
        for command in (plant_steps.ENVIRONMENT, *addition.passes):
            if subprocess.run(["sh", "-c", command], cwd=tree, env={**env, "PYTHONPATH": "python"}).returncode:
                return command
        return ""
    finally:
        for name, text in before.items():
            (tree / name).write_text(text)


def main() -> int:
    parser = argparse.ArgumentParser(description="Makes additions, and runs what has to pass with them.")
    parser.add_argument("--only", metavar="WORD", default="", help="additions with this word in what they are")
    arguments = parser.parse_args()
    steps.stop_on_signals()
    failed = asked = 0
    with copies.copy() as tree, postgres.server() as url:
        env = plant_steps.environment(url, str(environments.TARGET))
        for addition in ADDITIONS:
            if arguments.only in addition.what:
                began = time.monotonic()
                why = fails(addition, tree, env)
                asked, failed = asked + 1, failed + bool(why)
                said = f"FAILED: {why}" if why else "passes"
                files = f"{len(addition.files)} files, {addition.most_files} at most"
                print(f"{addition.what}: {files}, {time.monotonic() - began:.0f} s: {said}", flush=True)
    print(f"{asked - failed} passed, {failed} failed")
    return 1 if failed or not asked else 0


if __name__ == "__main__":
    sys.exit(main())

"""
A throw-away copy of the tree, in which bugs are planted: whoever is killed leaves none in a checkout.

It lies in one place, beside the compiled crates of this user, so that the next run compiles and installs only what has
changed. Whatever a killed run has left in it is put right before anything is asked.
"""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import steps
from steps import CACHE, ROOT

FOLDER = CACHE / "plants"


@contextlib.contextmanager
def copy() -> Iterator[Path]:
    """The copy, as the tree is now; nobody else plants in it meanwhile."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise steps.stop(f"Another run plants its bugs in {FOLDER} just now; wait for its end.") from None
        tree = FOLDER / "tree"
        bring_up_to_date(tree)
        yield tree


def bring_up_to_date(tree: Path) -> None:
    """
    Makes the copy hold what git knows of the tree, and what it does not ignore, with changes that are not committed.

    Only what differs is written, and dated now: cargo goes by dates, and may have compiled a planted bug.
    """
    tree.mkdir(exist_ok=True)
    if not (tree / ".git").exists():
        # Some tests ask git which files there are.
        subprocess.run(["git", "init", "--quiet", tree], check=True)
    wanted = files_of(ROOT)
    for name in files_of(tree) - wanted:
        (tree / name).unlink()
    for name in wanted:
        source, target = ROOT / name, tree / name
        data = source.read_bytes()
        if not target.exists() or target.read_bytes() != data:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        shutil.copymode(source, target)


def files_of(tree: Path) -> set[str]:
    """Its files, by their paths within it."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=tree,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return {name for name in listed.split("\0") if name and (tree / name).is_file()}

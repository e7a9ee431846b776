"""Times every page of the admin on a database that is nearly empty and on one with a million finished jobs.

Two processes have a fresh database each, made by the package's migrations, one of them filled. They take turns: each
page is asked for several times through Django's test client. A page is too slow where its median is over 300 ms and
over three times that on the nearly empty database; it asks too much with more than twelve statements, the two of
Django's among them.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
MOST_SECONDS, MOST_TIMES, MOST_QUERIES = 0.3, 3.0, 12
POSTGRES = "GRISTMILL_TEST_POSTGRES"


def main() -> int:
    """Measures, prints a table, and fails where a page is beyond its bounds; the last line is JSON with `--json`."""
    options = arguments()
    found: list[dict[str, Any]] = []
    for database in options.database:
        with tempfile.TemporaryDirectory(prefix="pages-") as scratch:
            found += measured(database, Path(scratch), options)
    tell(found)
    if options.json:
        print(json.dumps(found))
    return 1 if any(page["wrong"] for page in found) else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Times the admin's pages, nearly empty and full.")
    parser.add_argument("--database", nargs="+", choices=["postgres", "sqlite"], default=["postgres", "sqlite"])
    parser.add_argument("--finished", type=int, default=1_000_000, metavar="N", help="Jobs that have ended.")
    parser.add_argument("--ready", type=int, default=100_000, metavar="N", help="Jobs that are ready.")
    parser.add_argument("--requests", type=int, default=9, metavar="N", help="Requests a page, of which the median.")
    parser.add_argument("--json", action="store_true", help="Print what was found as JSON at the end.")
    return parser.parse_args()


def measured(database: str, scratch: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """What was found on one kind of database. Both take turns, as what else the machine does comes and goes."""
    with (
        contextlib.closing(Site(database, "empty", scratch, 0, 0)) as empty,
        contextlib.closing(Site(database, "full", scratch, options.finished, options.ready)) as full,
    ):
        return [page(database, name, empty, full, options.requests) for name in full.pages]


def page(database: str, name: str, empty: "Site", full: "Site", requests: int) -> dict[str, Any]:
    """The medians of one page; each is asked once before, for what a process keeps."""
    empty.ask(name), full.ask(name)
    turns = [(empty.ask(name), full.ask(name)) for _ in range(requests)]
    little, much = ([seconds for seconds, _ in each] for each in zip(*turns, strict=True))
    found = {"page": name, "database": database, "queries": max(queries for _, (_, queries) in turns)}
    found |= {"empty": statistics.median(little), "full": statistics.median(much)}
    found["ratio"] = statistics.median(after / before for before, after in zip(little, much, strict=True))
    slow = found["full"] > MOST_SECONDS and found["ratio"] > MOST_TIMES
    return {**found, "wrong": ", ".join(["slow"] * slow + ["asks too much"] * (found["queries"] > MOST_QUERIES))}


class Site:
    """A process with a database of its own, filled with so many finished and ready jobs."""

    def __init__(self, database: str, name: str, scratch: Path, finished: int, ready: int) -> None:
        url = os.environ.get(POSTGRES, "") if database == "postgres" else f"sqlite:///{scratch}/{name}.sqlite3"
        if not url:
            sys.exit(f"{POSTGRES} names no PostgreSQL; make pages-bench starts one")
        print(f"  {database}, {name}: is filled", file=sys.stderr, flush=True)
        path = os.pathsep.join([str(HERE), str(HERE.parents[1] / "python")])
        about = {"PAGES_DATABASE": url, "PAGES_NAME": f"gristmill_pages_{name}", "PYTHONPATH": path}
        self.process = subprocess.Popen(
            [sys.executable, HERE / "measure.py", str(finished), str(ready)],
            env={**os.environ, **about, "DJANGO_SETTINGS_MODULE": "pages_settings"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pages: list[str] = self.answer()

    def ask(self, page: str) -> tuple[float, int]:
        """Seconds and statements of one request."""
        assert self.process.stdin is not None
        print(page, file=self.process.stdin, flush=True)
        seconds, queries = self.answer()
        return seconds, queries

    def answer(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            sys.exit(self.process.wait() or 1)
        return json.loads(line)

    def close(self) -> None:
        """Has it drop its database and end."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def tell(pages: list[dict[str, Any]]) -> None:
    """Prints the table."""
    print(f"\n{'PAGE':<34} {'DATABASE':<9} {'QUERIES':>7} {'EMPTY, ms':>10} {'FULL, ms':>10} {'RATIO':>6}")
    for page in pages:
        empty, full = page["empty"] * 1_000, page["full"] * 1_000
        line = f"{page['page']:<34} {page['database']:<9} {page['queries']:>7} {empty:>10.1f} {full:>10.1f}"
        print(f"{line} {page['ratio']:>6.1f}  {page['wrong']}".rstrip())


if __name__ == "__main__":
    sys.exit(main())

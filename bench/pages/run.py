"""Times every page of the admin on a database that is nearly empty and on one with a million finished jobs.

For each database a process of its own fills a fresh one through the package's migrations, asks each page several times
through Django's test client, and tells medians and numbers of statements. A page is too slow where its median is over
300 ms and over three times that on the nearly empty database; it asks too much with more than twelve statements.
"""

import argparse
import json
import os
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
    """What one process found on one database."""
    url = os.environ.get(POSTGRES, "") if database == "postgres" else f"sqlite:///{scratch}/pages.sqlite3"
    if not url:
        sys.exit(f"{POSTGRES} names no PostgreSQL; make pages-bench starts one")
    asked = [str(getattr(options, name)) for name in ("finished", "ready", "requests")]
    path = os.pathsep.join([str(HERE), str(HERE.parents[1] / "python")])
    env = {**os.environ, "PAGES_DATABASE": url, "PYTHONPATH": path, "DJANGO_SETTINGS_MODULE": "pages_settings"}
    done = subprocess.run([sys.executable, HERE / "measure.py", *asked], env=env, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.returncode)
    pages: list[dict[str, Any]] = json.loads(done.stdout)
    for page in pages:
        page["database"] = database
        page["ratio"] = page["full"] / max(page["empty"], 1e-6)
        slow = page["full"] > MOST_SECONDS and page["ratio"] > MOST_TIMES
        page["wrong"] = ", ".join(["slow"] * slow + ["asks too much"] * (page["queries"] > MOST_QUERIES))
    return pages


def tell(pages: list[dict[str, Any]]) -> None:
    """Prints the table."""
    print(f"\n{'PAGE':<34} {'DATABASE':<9} {'QUERIES':>7} {'EMPTY, ms':>10} {'FULL, ms':>10} {'RATIO':>6}")
    for page in pages:
        empty, full = page["empty"] * 1_000, page["full"] * 1_000
        line = f"{page['page']:<34} {page['database']:<9} {page['queries']:>7} {empty:>10.1f} {full:>10.1f}"
        print(f"{line} {page['ratio']:>6.1f}  {page['wrong']}".rstrip())


if __name__ == "__main__":
    sys.exit(main())

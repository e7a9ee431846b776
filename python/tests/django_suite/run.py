"""
Runs Django's own tests of its Tasks framework against Gristmill: `python python/tests/django_suite/run.py`.

The tests are those of the sdist of the installed Django, fetched with pip and kept under ~/.cache/gristmill (or
GRISTMILL_CACHE). They run once on SQLite and once on the PostgreSQL server of GRISTMILL_TEST_POSTGRES. Where a test
names one of Django's two built-in backends, it is given Gristmill's (see shim.py); nothing else of a test is
changed. `left_out.toml` names the tests that cannot be asked of another backend, and how many there are.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HERE = Path(__file__).resolve().parent
PYTHON = HERE.parents[1]

# Django 5.2 has no tasks framework, and the backport's sdist has no tests: it is asked the questions of Django 6.0.
VERSION_OF_BACKPORT_TESTS = "6.0"

BACKENDS = "tests.django_suite.shim"
AIMED = [
    (
        r"from django\.tasks\.backends\.dummy import DummyBackend",
        f"from {BACKENDS} import SuiteBackend as DummyBackend",
    ),
    (
        r"from django\.tasks\.backends\.immediate import ImmediateBackend",
        f"from {BACKENDS} import AtOnceBackend as ImmediateBackend",
    ),
    (r"django\.tasks\.backends\.dummy\.DummyBackend", f"{BACKENDS}.SuiteBackend"),
    (r"django\.tasks\.backends\.immediate\.ImmediateBackend", f"{BACKENDS}.AtOnceBackend"),
    # Enqueueing needs a database, which SimpleTestCase refuses.
    (
        r"from django\.test import SimpleTestCase, TransactionTestCase, override_settings",
        f"from django.test import override_settings\nfrom {BACKENDS} import SuiteTestCase\n"
        "SimpleTestCase = TransactionTestCase = SuiteTestCase",
    ),
    (
        r"from django\.test import SimpleTestCase, override_settings",
        f"from django.test import override_settings\nfrom {BACKENDS} import SuiteTestCase as SimpleTestCase",
    ),
    (r"^    available_apps = \[\]\n", ""),
]
BACKPORT = [
    (r"\bdjango\.tasks\b", "django_tasks"),
    (r"\bInvalidTask\b", "InvalidTaskError"),
    (r"\bInvalidTaskBackend\b", "InvalidTaskBackendError"),
    (r"does not support async Tasks", "does not support async tasks"),
]


def main() -> int:
    """Runs the suite on each database, each in a process of its own, and gives back an exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().splitlines()[0])
    parser.add_argument("--database", choices=["sqlite", "postgres"], action="append", help="only this one (repeat)")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("tests", nargs="*", help="only these, like tasks.test_tasks.TaskTestCase.test_name")
    options = parser.parse_args()
    if options.one:
        return run_on(options.one, options.tests)
    statuses = []
    for database in options.database or ["sqlite", "postgres"]:
        url = os.environ.get("GRISTMILL_TEST_POSTGRES", "") if database == "postgres" else ""
        if database == "postgres" and not url:
            print("set GRISTMILL_TEST_POSTGRES to the URL of a server whose role may create databases", file=sys.stderr)
            return 2
        environment = {
            **os.environ,
            "DATABASE_URL": url,
            "DJANGO_SETTINGS_MODULE": "tests.django_suite.suite_settings",
            # A few tests call the synchronous API from a coroutine, as the in-memory backends allow.
            "DJANGO_ALLOW_ASYNC_UNSAFE": "1",
            "PYTHONPATH": os.pathsep.join(filter(None, [str(PYTHON), os.environ.get("PYTHONPATH")])),
        }
        command = [sys.executable, __file__, "--one", database, *options.tests]
        statuses.append(subprocess.run(command, env=environment, check=False).returncode)
    return max(statuses)


def run_on(database: str, only: list[str]) -> int:
    """Runs the suite in this process, on the database that the settings name."""
    import django
    from django.test.utils import get_runner

    version = django.get_version()
    series = ".".join(version.split(".")[:2])
    backport = django.VERSION < (6, 0)
    rules = tomllib.loads((HERE / "left_out.toml").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        source = VERSION_OF_BACKPORT_TESTS if backport else version
        write_aimed_tests(sdist(source), Path(folder), backport=backport)
        sys.path.insert(0, folder)
        django.setup()
        from django.conf import settings

        runner = get_runner(settings)(verbosity=1, interactive=False)
        suite = runner.build_suite(only or ["tasks"])
        left_out = {entry["test"]: entry["reason"] for entry in rules["left_out"] if series in versions(entry)}
        found = {test.id() for test in tests_in(suite)}
        chosen = [test for test in tests_in(suite) if test.id() not in left_out]
        runner.setup_test_environment()
        old_config = runner.setup_databases()
        try:
            result = runner.run_suite(unittest.TestSuite(chosen))
        finally:
            runner.teardown_databases(old_config)
            runner.teardown_test_environment()
    asked = f"Django {series}'s tests" + (f" on Django {version} with django-tasks" if backport else f" ({version})")
    if backport:
        asked = asked.replace(series, source, 1)
    skipped = len(found & set(left_out))
    bad = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
    print(f"{asked} on {database}: {result.testsRun} run, {result.testsRun - bad} passed, {skipped} left out")
    wrong = bad > 0
    if not only:
        expected = rules["expected"].get(series)
        for name, number in (("run", result.testsRun), ("left_out", skipped)):
            if expected is None or expected[name] != number:
                wrong = True
                print(f"left_out.toml expects {name} = {expected and expected[name]} for Django {series}, not {number}")
        for test in sorted(set(left_out) - found):
            wrong = True
            print(f"left_out.toml names {test}, which Django {series} does not have")
    return int(wrong)


def versions(entry: dict[str, Any]) -> list[str]:
    """Returns the Django series that an entry is about."""
    given: list[str] = entry.get("versions", ["5.2", "6.0", "6.1"])
    return given


def tests_in(suite: Any) -> Iterator[unittest.TestCase]:
    """Yields the single tests of a suite."""
    for item in suite:
        if isinstance(item, unittest.TestCase):
            yield item
        else:
            yield from tests_in(item)


def sdist(version: str) -> Path:
    """Returns Django's source archive of a version or series, fetched once."""
    cache = Path(os.environ.get("GRISTMILL_CACHE") or Path.home() / ".cache" / "gristmill") / "django"
    pattern = f"[dD]jango-{version}.tar.gz" if version.count(".") > 1 else f"[dD]jango-{version}*.tar.gz"
    found = sorted(cache.glob(pattern)) if cache.exists() else []
    if not found:
        cache.mkdir(parents=True, exist_ok=True)
        wanted = f"Django=={version}" if version.count(".") > 1 else f"Django~={version}.0"
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-binary", "Django", "--no-deps"]
        # The archive is only read, so it need not fit this Python.
        command += ["--ignore-requires-python", "--dest", str(cache), wanted]
        if subprocess.run(command, check=False).returncode:
            raise SystemExit(f"Django {version}'s source archive, which has the tests, could not be fetched with pip")
        found = sorted(cache.glob(pattern))
    return found[-1]


def write_aimed_tests(archive: Path, folder: Path, *, backport: bool) -> None:
    """Writes the package `tasks` of Django's tests, aimed at Gristmill, into a folder."""
    (folder / "tasks").mkdir()
    with tarfile.open(archive) as tar:
        for member in tar.getmembers():
            match = re.fullmatch(r"[^/]+/tests/tasks/([a-z_]+\.py)", member.name)
            content = tar.extractfile(member) if match else None
            if match and content:
                text = content.read().decode()
                for pattern, replacement in [*AIMED, *(BACKPORT if backport else [])]:
                    text = re.sub(pattern, replacement, text, flags=re.MULTILINE)
                (folder / "tasks" / match[1]).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())

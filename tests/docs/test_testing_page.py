"""Every block of the guide to testing runs, as Django's tests and as pytest's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from test_pages import Project, blocks

PAGE = "docs/guides/testing.md"
INI = "[pytest]\nDJANGO_SETTINGS_MODULE = settings\npythonpath = .\n"


def project_of(folder: Path) -> Project:
    settings = [block for block in blocks("README.md") if block.place == "settings.py"]
    return Project(folder, [*settings, *blocks(PAGE)])


def test_the_pages_tests_pass_under_djangos_runner(tmp_path: Path) -> None:
    project = project_of(tmp_path)
    said = project.manage("test", "shop", "--parallel", "2")
    assert "Ran 7 tests" in said and "OK" in said


def test_the_pages_tests_pass_under_pytest(tmp_path: Path) -> None:
    project = project_of(tmp_path)
    project.write("pytest.ini", INI)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "gristmill.pytest_plugin", "-p", "no:cacheprovider", "-q"),
            *(
                "shop/tests.py",
                "shop/test_later.py",
                "shop/test_ran.py",
                "shop/test_functions.py",
                "shop/test_async.py",
            ),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "8 passed" in done.stdout, done.stdout + done.stderr

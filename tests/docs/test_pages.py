"""Every block of code in the pages for users runs: settings, tasks and calls, in a fresh Django project."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# These have tests of their own.
OWN = ("mail.md", "testing.md")
GUIDES = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("docs/guides/*.md") if path.name not in OWN)
STARTS = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("docs/start/*.md"))
PAGES = ("README.md", *STARTS, *GUIDES)

BEFORE = """
from pathlib import Path
BASE_DIR = Path(__file__).resolve().parent
SECRET_KEY = "only in a test"
USE_TZ = True
INSTALLED_APPS = ["shop"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db.sqlite3"}}
"""
INSTALLED = 'INSTALLED_APPS += ["gristmill"]\n'
# What the pages say in words about Django 5.2.
ON_DJANGO_5 = "import django\nif django.VERSION < (6, 0): INSTALLED_APPS += ['django_tasks']\n"


@dataclass(frozen=True)
class Block:
    """One fenced block of a page; Python blocks say in their first line where they belong."""

    language: str
    text: str

    @property
    def place(self) -> str:
        found = re.match(r"# (.+)\n", self.text)
        return found[1] if found else ""


def blocks(page: str) -> list[Block]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return [
        Block(language, body) for language, body in re.findall(r"^```(\w+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    ]


class Project:
    """A Django project in a folder of its own."""

    def __init__(self, folder: Path, page: list[Block]) -> None:
        self.folder = folder
        settings = "\n".join(block.text for block in page if block.place == "settings.py")
        self.write("settings.py", BEFORE + settings + ON_DJANGO_5)
        self.write("shop/__init__.py", "")
        for place in {block.place for block in page if block.place.startswith("shop/")}:
            texts = [block.text for block in page if block.place == place]
            self.write(place, on_this_django("\n".join(texts)))

    @property
    def path(self) -> str:
        """Where Python looks for modules: the project, then wherever it looked for the tests' own."""
        return os.pathsep.join(filter(None, [str(self.folder), os.environ.get("PYTHONPATH")]))

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def manage(self, *arguments: str) -> str:
        """What a management command prints; it must succeed."""
        done = subprocess.run(
            [sys.executable, "-m", "django", *arguments],
            cwd=self.folder,
            env={**os.environ, "DJANGO_SETTINGS_MODULE": "settings", "PYTHONPATH": self.path},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr


def on_this_django(text: str) -> str:
    import django

    return text if django.VERSION >= (6, 0) else text.replace("from django.tasks", "from django_tasks")


@pytest.mark.parametrize("page", ["README.md", "docs/start/django.md"])
def test_a_reader_who_copies_every_block_has_a_job_that_ran(page: str, tmp_path: Path) -> None:
    code = blocks(page)
    project = Project(tmp_path, code)
    project.manage("migrate", "--verbosity", "0")
    calls = [block.text for block in code if block.place in ("anywhere", "in a view")]
    assert calls
    project.manage("shell", "-c", "\n".join(calls))
    project.manage("gristmill", "worker", "--until-done", "--processes", "1")
    look = "from gristmill.models import Job; print('JOBS', *Job.objects.values_list('state', 'result'))"
    said = project.manage("shell", "-c", look)
    assert "('successful', 'receipt for order 7')" in said
    assert set(re.findall(r"\('(\w+)',", said)) == {"successful"}


def asserting(text: str) -> str:
    """A block whose lines `expression  # -> what it is` are held to that."""
    return re.sub(
        r"^(\S.*?)  # -> (.+)$",
        lambda found: f"assert repr(({found[1]})) == {found[2]!r}, ({found[1]})",
        text,
        flags=re.MULTILINE,
    )


@pytest.mark.parametrize("page", GUIDES)
def test_every_block_of_a_guide_runs_and_is_right(page: str, tmp_path: Path) -> None:
    code = [block for block in blocks(page) if block.language == "python"]
    settings = [block for block in code if block.place == "settings.py"]
    usual = [block for block in blocks("README.md") if block.place == "settings.py"]
    app = [Block("python", f"# settings.py\n{INSTALLED}")] if settings else usual
    strays = [block.text for block in code if not re.fullmatch(r"settings\.py|anywhere|shop/\w+\.py", block.place)]
    assert strays == [], "these blocks do not say where they belong"

    project = Project(tmp_path, [*app, *code])
    project.manage("migrate", "--verbosity", "0")
    modules = {block.place for block in code if block.place.startswith("shop/")}
    imports = [f"import {place.removesuffix('.py').replace('/', '.')}" for place in sorted(modules)]
    calls = [asserting(block.text) for block in code if block.place == "anywhere"]
    assert calls
    project.manage("shell", "-c", "\n".join([*imports, *calls]))


def test_with_the_line_of_the_sqlite_page_no_check_has_anything_to_say(tmp_path: Path) -> None:
    page = [*blocks("README.md"), *blocks("docs/start/sqlite.md")]
    project = Project(tmp_path, page)
    said = project.manage("migrate")
    assert "to WAL, so that workers and web processes can share it" in said
    assert "no issues" in project.manage("check", "--database", "default")


@pytest.mark.parametrize("page", PAGES)
def test_every_option_that_a_page_names_exists(page: str, tmp_path: Path) -> None:
    project = Project(tmp_path, blocks("README.md"))
    help_text = project.manage("gristmill", "worker", "--help") + project.manage("gristmill", "--help")
    shell = "\n".join(block.text for block in blocks(page) if block.language in ("sh", "ini", "dockerfile"))
    for line in shell.splitlines():
        if "gristmill worker" in line or '"gristmill", "worker"' in line:
            for option in re.findall(r"--[a-z-]+", line.split("#")[0]):
                assert option in help_text
        for command in re.findall(r"manage\.py gristmill (\w+)", line):
            assert command in help_text

"""The pages for whoever runs it: their settings pass the checks, their calls run, and their commands exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from test_pages import Project, blocks

PAGES = (
    "docs/operating/jobs.md",
    "docs/operating/worker.md",
    "docs/operating/explain.md",
    "docs/operating/doctor.md",
    "docs/operating/looking.md",
    "docs/operating/health.md",
    "docs/operating/pulse.md",
    "docs/operating/logging.md",
)


@pytest.mark.parametrize("page", ["docs/operating/jobs.md", "docs/operating/explain.md"])
def test_every_call_of_a_page_about_jobs_does_what_it_says(page: str, tmp_path: Path) -> None:
    calls = [block.text for block in blocks(page) if block.place == "anywhere"]
    project = Project(tmp_path, blocks("README.md"))
    project.manage("migrate", "--verbosity", "0")

    project.manage("shell", "-c", "\n".join(calls))

    assert calls


def test_no_check_has_anything_to_say_about_the_settings_of_the_page_about_workers(tmp_path: Path) -> None:
    line = [block for block in blocks("docs/start/sqlite.md") if block.place == "settings.py"]
    project = Project(tmp_path, [*blocks("README.md"), *line, *blocks("docs/operating/worker.md")])
    project.manage("migrate", "--verbosity", "0")

    assert "no issues" in project.manage("check", "--database", "default")


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_exists_with_its_options(page: str, tmp_path: Path) -> None:
    project = Project(tmp_path, blocks("README.md"))
    shell = "\n".join(block.text for block in blocks(page) if block.language == "sh")
    commands = [shlex.split(line, comments=True)[3:] for line in shell.splitlines() if "manage.py gristmill" in line]
    assert commands
    for name in {command[0] for command in commands}:
        help_text = project.manage("gristmill", name, "--help")
        given = {word for command in commands if command[0] == name for word in command if word.startswith("--")}
        assert {option for option in given if not re.search(rf"{option}\b", help_text)} == set()


def test_every_option_of_the_worker_is_explained(tmp_path: Path) -> None:
    page = Path(__file__).resolve().parents[2].joinpath("docs/operating/worker.md").read_text(encoding="utf-8")
    help_text = Project(tmp_path, blocks("README.md")).manage("gristmill", "worker", "--help")
    own = help_text.split("Django's options:")[0].split("options:")[1]

    options = set(re.findall(r"^  (?:-\w, )?(--[a-z-]+)", own, re.MULTILINE)) - {"--help", "--max-jobs"}

    assert {option for option in options if option not in page} == set()


def test_the_settings_of_the_page_about_logging_work(tmp_path: Path) -> None:
    page = [block for block in blocks("docs/operating/logging.md") if block.place == "settings.py"]
    project = Project(tmp_path, [*blocks("README.md"), *page])
    said = project.manage("shell", "-c", "import logging; logging.getLogger('shop').warning('said of %s', 'it')")

    assert re.search(r"^\d{4}-\d\d-\d\dT\S+Z  WARN said of it$", said, re.MULTILINE)

"""Every block of the guide to mail runs, with EMAIL_BACKEND and with MAILERS, and a real worker sends its message."""

from __future__ import annotations

from pathlib import Path

import django
import pytest
from test_pages import INSTALLED, Block, Project, asserting, blocks

PAGE = "docs/guides/mail.md"
WITH_MAILERS = ", with MAILERS"
WAYS = ["", WITH_MAILERS] if django.VERSION >= (6, 1) else [""]

# A folder stands for the server that the page names.
TO_A_FOLDER = {
    "": """
TASKS["default"]["OPTIONS"]["EMAIL"]["backend"] = "django.core.mail.backends.filebased.EmailBackend"
EMAIL_FILE_PATH = BASE_DIR / "sent"
""",
    WITH_MAILERS: """
FILES = "django.core.mail.backends.filebased.EmailBackend"
MAILERS["smtp"] = {"BACKEND": FILES, "OPTIONS": {"file_path": BASE_DIR / "sent"}}
""",
}


def project_of(folder: Path, way: str, more: str = "") -> Project:
    """The page's project, by one of the two ways; what the other way has of the same place is left out."""
    code = [block for block in blocks(PAGE) if block.language == "python"]
    both = [block for block in code if WITH_MAILERS not in block.place]
    if way:
        own = [block for block in code if WITH_MAILERS in block.place]
        both = [block for block in both if block.place != "shop/tests.py" and "EMAIL_BACKEND =" not in block.text]
        both += [Block("python", block.text.replace(WITH_MAILERS, "", 1)) for block in own]
    settings = Block("python", f"# settings.py\n{more}")
    return Project(folder, [Block("python", f"# settings.py\n{INSTALLED}"), *both, settings])


@pytest.mark.parametrize("way", WAYS)
def test_a_worker_sends_the_message_of_the_page(way: str, tmp_path: Path) -> None:
    project = project_of(tmp_path, way, TO_A_FOLDER[way])
    project.manage("migrate", "--verbosity", "0")
    calls = [asserting(block.text) for block in blocks(PAGE) if block.place == "anywhere"]
    project.manage("shell", "-c", "\n".join(calls))
    assert not (tmp_path / "sent").exists()
    project.manage("gristmill", "worker", "--until-done", "--processes", "1")
    (sent,) = (tmp_path / "sent").iterdir()
    assert "Thank you for order 7." in sent.read_text()


@pytest.mark.parametrize("way", WAYS)
def test_the_settings_of_the_page_have_nothing_amiss_and_its_test_passes(way: str, tmp_path: Path) -> None:
    project = project_of(tmp_path, way)
    assert "gristmill.E" not in project.manage("check")
    said = project.manage("test", "shop")
    assert "Ran 1 test" in said and "OK" in said


def test_every_block_says_where_it_belongs() -> None:
    places = {block.place for block in blocks(PAGE)}
    assert {place.removesuffix(WITH_MAILERS) for place in places} == {"settings.py", "anywhere", "shop/tests.py"}

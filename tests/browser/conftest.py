"""One site, one worker and one browser for all tests here, and a tab for each."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import browsers
import project
import pytest
from chromium import Chromium
from serving import PASSWORD, SITE, USER, Served, Worker, forget_jobs, session_of
from tab import Tab

FOLDER = Path(tempfile.mkdtemp(prefix="gristmill-browser-"))
LETTERS = FOLDER / "letters"
# An open page looks as often as a test has patience for.
REFRESH_SECONDS = 0.2


def pytest_configure(config: pytest.Config) -> None:
    """Sets Django up before models are imported: on the server that DATABASE_URL names, else on a SQLite file."""
    server = os.environ.get("DATABASE_URL")
    database = project.new_database("postgres" if server else "sqlite", FOLDER, server)
    LETTERS.mkdir()
    more = {"BROWSER_DATABASE": database.url, "BROWSER_LETTERS": str(LETTERS), "DJANGO_SETTINGS_MODULE": "settings"}
    os.environ.update(more)
    sys.path.insert(0, str(SITE))
    import django

    django.setup()


def pytest_unconfigure() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)


@pytest.fixture(scope="session")
def served() -> Iterator[Served]:
    """The site, with a superuser."""
    from django.contrib.auth import get_user_model
    from django.core.management import call_command

    from gristmill.admin import page

    call_command("migrate", verbosity=0)
    get_user_model().objects.create_superuser(USER, password=PASSWORD)
    page.REFRESH_SECONDS = REFRESH_SECONDS
    site = Served()
    yield site
    site.stop()


@pytest.fixture(scope="session")
def own_worker(served: Served) -> Iterator[Worker]:
    """A worker that serves every queue, when it is wanted."""
    own = Worker(SITE, FOLDER / "worker.log", "--processes", "2")
    yield own
    own.stop()


@pytest.fixture
def worker(own_worker: Worker) -> Worker:
    """The same, at work."""
    own_worker.start()
    return own_worker


@pytest.fixture(scope="session")
def browser() -> Iterator[Chromium]:
    path = browsers.chromium()
    if path is None:
        pytest.skip(f"there is no chromium ({browsers.ADVICE})")
    started = Chromium(path, FOLDER)
    yield started
    started.close()


@pytest.fixture
def empty(served: Served) -> None:
    """No job, queue or schedule of an earlier test."""
    forget_jobs()


@pytest.fixture
def stranger(browser: Chromium, served: Served) -> Iterator[Tab]:
    """A tab of somebody who has not logged in."""
    tab = Tab(browser, served.url)
    tab.ask("Network.clearBrowserCookies")
    yield tab
    tab.close()
    assert tab.reports == []


@pytest.fixture
def tab(stranger: Tab) -> Tab:
    """A tab of the operator."""
    stranger.ask("Network.setCookie", name="sessionid", value=session_of(USER), url=stranger.site)
    return stranger


@pytest.fixture(scope="session")
def pictures() -> Callable[[str], Path]:
    """Where screenshots go: the folder that BROWSER_PICTURES names, else one that is thrown away."""
    folder = Path(os.environ.get("BROWSER_PICTURES", FOLDER / "pictures"))
    folder.mkdir(parents=True, exist_ok=True)
    return lambda name: folder / f"{name}.png"

"""What can be imported, and what the package says when it cannot work."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import gristmill
from gristmill.backend import GristmillBackend
from gristmill.compat import Task, task_backends
from tests.app.tasks import add


def run(code: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "DJANGO_SETTINGS_MODULE": "tests.settings",
    }
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)


def test_public_names_are_what_they_say_after_everything_is_imported():
    assert isinstance(task_backends["default"], GristmillBackend)
    assert isinstance(gristmill.task(add.func), Task)
    assert gristmill.call(1, two=2).kwargs == {"two": 2}


@pytest.mark.parametrize("door", ["backend", "explain", "operations", "testing"])
def test_importing_the_package_imports_no_models(door):
    answer = run(f"import gristmill, gristmill.{door}, sys; print('gristmill.models' in sys.modules)")

    assert answer.stdout.strip() == "False", answer.stderr


def test_tasks_can_be_defined_before_apps_are_ready():
    answer = run("import tests.app.tasks as tasks; print(type(tasks.add).__module__)")

    assert answer.stdout.strip() == "gristmill.tasks.task", answer.stderr


def test_settings_may_name_shapes_and_exceptions():
    answer = run(
        "import sys, types; from gristmill import Exponential, Unique, task; "
        "import tests.settings as settings; "
        "settings.TASKS['default']['OPTIONS'] = {'DEFAULTS': {'backoff': Exponential(3)}}; "
        "import django; django.setup(); from tests.app.tasks import add; "
        "from gristmill.enqueue.preparation import prepared_for; "
        "print(prepared_for(add.get_backend(), add).options_json)"
    )

    assert '"base":3.0' in answer.stdout, answer.stderr


@pytest.mark.parametrize("name", gristmill.__all__)
def test_every_public_name_is_there_and_none_is_a_module(name):
    assert getattr(gristmill, name) is not None
    assert not (Path(gristmill.__file__).parent / f"{name}.py").exists()
    assert getattr(gristmill, name).__doc__


def test_an_old_django_without_the_backport_says_what_to_install():
    answer = run("import django, sys; django.VERSION = (5, 2); sys.modules['django_tasks'] = None; import gristmill")

    assert "install the backport with: pip install 'gristmill[django52]'" in answer.stderr
    assert answer.returncode != 0


def test_nothing_that_could_run_stored_code_is_imported():
    sources = Path(gristmill.__file__).parent.rglob("*.py")
    words = ("import pickle", "import marshal", "import shelve", "yaml.load", "eval(", "exec(")

    found = [(path.name, word) for path in sources for word in words if word in path.read_text(encoding="utf-8")]

    assert found == []


@pytest.mark.parametrize("flag", ["defer", "async_task", "get_result", "priority"])
def test_everything_of_djangos_api_is_supported(flag):
    assert getattr(GristmillBackend, f"supports_{flag}") is True

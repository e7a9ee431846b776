"""Hooks of a transactional job's commit: called after its end, in a time of their own, and never to its cost."""

from collections.abc import Iterator

import pytest

from tests.dsn import settings_of_runners
from tests.supervisor import SETTINGS, Runner, Zygote
from tests.test_runner_transactional import ACCEPT, TRANSACTIONAL, carry, to_write
from tests.test_runner_transactional import TASKS as TRANSACTIONAL_TASKS

TASKS = f"""
{TRANSACTIONAL_TASKS}
from pathlib import Path
from gristmill.compat import task_backends
from gristmill.runner.attempt import call_of
HERE = Path(__file__).parent.parent

@task
def with_hooks(name):
    make.func(name)
    transaction.on_commit(lambda: make.func(name + " on commit"))
    transaction.on_commit(lambda: 1 / 0)
    transaction.on_commit(lambda: make.func(name + " on commit too"))

@task
def make_slowly_on_commit(name, slow=1):
    make.func(name)
    def wait():
        print("waits")
        while not (HERE / "go on").exists(): time.sleep(0.002)
    for _ in range(slow):
        transaction.on_commit(wait)
    transaction.on_commit(lambda: make.func(name + " on commit"))

@task
def hasten(seconds):
    task_backends["default"].callback_timeout = seconds
    call_of.cache_clear()

@task
def die_on_commit(name):
    make.func(name)
    transaction.on_commit(lambda: os._exit(3))

@task
def leave_on_commit(name):
    make.func(name)
    transaction.on_commit(sys.exit)
    transaction.on_commit(lambda: make.func(name + " on commit"))
"""


@pytest.fixture(scope="module")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    zygote = Zygote(tmp_path_factory.mktemp("project"), TASKS, settings=SETTINGS + settings_of_runners())
    zygote.hello()
    yield zygote
    zygote.close()


@pytest.fixture
def runner(zygote: Zygote) -> Iterator[Runner]:
    (zygote.folder / "go on").unlink(missing_ok=True)
    runner = zygote.spawn()
    runner.run("prepare")
    yield runner
    zygote.kill(runner)
    assert zygote.exited()["runner"] == runner.number


@pytest.fixture
def hasty(zygote: Zygote, runner: Runner) -> Runner:
    """One that waits for no callback longer than a moment; it ends by itself."""
    hasty = zygote.spawn()
    hasty.run("hasten", [0.2])
    return hasty


def test_an_on_commit_callback_that_fails_costs_neither_the_job_nor_the_others(runner: Runner) -> None:
    assert carry(runner, "with_hooks", ["a"]) == [("K", "")]
    output = runner.expect("O").decode(errors="ignore")
    assert "after the commit, an on_commit callback failed:" in output
    assert "ZeroDivisionError" in output
    assert runner.run("made") == ["a", "a on commit", "a on commit too"]
    assert runner.run("ended") == [1]


def test_a_callback_that_leaves_or_dies_costs_neither_the_job_nor_its_end(zygote: Zygote, runner: Runner) -> None:
    assert carry(runner, "leave_on_commit", ["a"]) == [("K", "")]
    assert "SystemExit" in runner.expect("O").decode(errors="ignore")
    assert runner.run("made") == ["a", "a on commit"]
    lost = zygote.spawn()
    assert carry(lost, "die_on_commit", ["b"], token=2) == [("K", "")]
    assert lost.next() is None
    assert zygote.exited()["status"] == 3
    assert runner.run("made") == ["a", "a on commit", "b"]


def test_the_end_is_sent_before_what_is_called_on_commit(zygote: Zygote, runner: Runner) -> None:
    other = zygote.spawn()
    key = runner.start("make_slowly_on_commit", ["a"], options={**TRANSACTIONAL, "timeout": 600})
    to_write(runner, key)
    runner.sees_all = True
    runner.answer(key, ACCEPT, [1])
    # What it says of itself from here on is no part of the end, and none of the job's limits holds for it.
    assert runner.expect("A") == key
    assert runner.expect("K") == key
    assert other.run("made") == ["a"]
    assert runner.is_silent()
    (zygote.folder / "go on").touch()
    assert runner.expect("O") == key + b"waits\n"
    assert runner.expect("N") == key
    assert other.run("made") == ["a", "a on commit"]
    zygote.kill(other)
    assert zygote.exited()["runner"] == other.number


def test_a_callback_that_takes_too_long_is_cut_off_and_the_others_are_called(
    zygote: Zygote, runner: Runner, hasty: Runner
) -> None:
    key = hasty.start("make_slowly_on_commit", ["a"], options=TRANSACTIONAL)
    to_write(hasty, key)
    hasty.answer(key, ACCEPT, [1])
    assert hasty.rest(key) == [("K", "")]
    output = hasty.expect("O").decode(errors="ignore")
    assert "an on_commit callback took longer than CALLBACK_TIMEOUT = 0.2 s, and was cut off" in output
    assert hasty.expect("L") == b""
    assert hasty.next() is None
    assert zygote.exited()["status"] == 0
    assert runner.run("made") == ["a", "a on commit"]


def test_callbacks_that_never_end_are_not_waited_for_without_end(zygote: Zygote, runner: Runner, hasty: Runner) -> None:
    key = hasty.start("make_slowly_on_commit", ["a", 5], options=TRANSACTIONAL)
    to_write(hasty, key)
    hasty.answer(key, ACCEPT, [1])
    assert hasty.rest(key) == [("K", "")]
    assert "3 more on_commit callbacks were not called" in hasty.expect("O").decode(errors="ignore")
    assert hasty.expect("L") == b""
    assert hasty.next() is None
    assert zygote.exited()["status"] == 0
    assert runner.run("made") == ["a"]

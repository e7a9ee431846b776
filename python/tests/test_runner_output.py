"""What handlers print and say of themselves: captured, bounded, and never in the way."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.supervisor import SETTINGS, Runner, Zygote, until

TASKS = """
import io, json, logging, threading
from pathlib import Path

HERE = Path(__file__).parent.parent

@task
def quiet(): return 1

@task
def say(*texts, to="stdout"):
    for text in texts: print(text, end="", file=getattr(sys, to))

@task
def say_much(count, text):
    for _ in range(count): sys.stdout.write(text)
    import resource
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

@task
def print_and_leave_a_transaction_open():
    from django.db import transaction
    sys.stderr.write("y" * 200_000)
    transaction.atomic().__enter__()

@task
def fail_loudly():
    print("before")
    raise ValueError("no")

@task
def log_something():
    logging.getLogger("shop").error("from a logger %d", 5)

@task
def write_bytes():
    sys.stdout.buffer.write("é".encode())
    sys.stdout.buffer.write(b"\\xff\\n")
    sys.stdout.buffer.flush()

@task
def ask_the_stream():
    print(file=sys.stdout, flush=True)
    return [sys.stdout.isatty(), sys.stdout.fileno(), sys.stdout.writable(), type(sys.stdout.encoding).__name__,
            sys.stderr.errors, sys.stdout.closed]

@task
def close_them():
    sys.stdout.close()
    sys.stderr.close()

@task
def write_none():
    sys.stdout.write(None)

@task
def from_a_thread():
    thread = threading.Thread(target=print, args=("from a thread",))
    thread.start()
    thread.join()

@task
def from_a_process():
    import subprocess
    subprocess.run(["echo", "a process's own"], check=True)

@task(takes_context=True)
def progress(context, *calls):
    for call in calls: context.progress(*call)

@task(takes_context=True)
def hurry(context, count):
    for number in range(count): context.progress(number, count, f"at {number}")

@task(takes_context=True)
def describe(context, changes):
    for change in changes:
        context.metadata.update(change)
        context.progress(1)
    context.metadata["last"] = True

@task(takes_context=True)
def bad(context, expression):
    eval(expression)

@task(takes_context=True)
def take_note(context):
    context.log("half-way")
    return [context.attempt, context.task_result.id]

@task(takes_context=True)
def keep_the_context(context):
    global kept
    kept = context

@task
def use_the_kept_one():
    kept.progress(9)
    return "fine"

@task(takes_context=True)
def from_threads(context):
    def work(number):
        for step in range(50): context.progress(number * 1000 + step)
    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
"""


@pytest.fixture(scope="module")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    settings = SETTINGS + (
        "LOGGING = {'version': 1, 'handlers': {'c': {'class': 'logging.StreamHandler'}}, 'root': {'handlers': ['c']}}\n"
    )
    zygote = Zygote(tmp_path_factory.mktemp("project"), TASKS, settings=settings)
    zygote.hello()
    yield zygote
    zygote.close()


@pytest.fixture
def runner(zygote: Zygote) -> Iterator[Runner]:
    runner = zygote.spawn()
    yield runner
    zygote.kill(runner)
    assert zygote.exited()["runner"] == runner.number


def test_a_job_that_prints_nothing_has_no_output(runner: Runner) -> None:
    assert runner.rest(runner.start("quiet")) == [("D", 1)]


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_what_a_handler_prints_comes_before_its_end(runner: Runner, stream: str) -> None:
    said = runner.rest(runner.start("say", ["a\n", "b", "ü"], kwargs={"to": stream}))
    assert said == [("O", "a\nbü"), ("D", None)]
    assert runner.rest(runner.start("quiet")) == [("D", 1)]


def test_it_goes_on_to_the_real_stream_too(runner: Runner, zygote: Zygote) -> None:
    runner.all_of("say", ["a line with an end\n", "one without"], kwargs={"to": "stderr"})
    until(lambda: "a line with an end\none without" in zygote.errors())


def test_failures_have_output_too(runner: Runner) -> None:
    (first, _), (second, _) = runner.rest(runner.start("fail_loudly"))
    assert (first, second) == ("O", "F")


def test_loggers_that_django_set_up_write_to_the_output(runner: Runner) -> None:
    assert runner.all_of("log_something")["O"] == "from a logger 5\n"


def test_bytes_are_output_too(runner: Runner) -> None:
    assert runner.all_of("write_bytes")["O"] == "é\ufffd\n"


def test_threads_write_to_the_output_of_the_job_that_runs(runner: Runner) -> None:
    assert runner.all_of("from_a_thread")["O"] == "from a thread\n"


def test_the_streams_behave_like_the_real_ones(runner: Runner) -> None:
    tty, number, writable, encoding, errors, closed = runner.all_of("ask_the_stream")["D"]
    assert (number, writable, encoding, errors, closed) == (1, True, "str", "backslashreplace", False)
    assert isinstance(tty, bool)
    assert runner.fail("write_none")["exception_class_path"] == "builtins.TypeError"
    runner.run("close_them")
    assert runner.all_of("say", ["still there"])["O"] == "still there"


@pytest.mark.parametrize("text", ["x" * 1023 + "\n", "y" * 100_000, "é", "\ud800\0", "long " * 2_000_000])
def test_a_gigabyte_costs_bounded_memory_and_keeps_its_ends(runner: Runner, zygote: Zygote, text: str) -> None:
    before = runner.run("say_much", [0, ""])
    count = max(1, min(400_000_000 // len(text), 150_000))
    said = runner.all_of("say_much", [count, text])
    output = said["O"]
    assert len(output.encode()) <= 64 * 1024
    assert "characters left out …]" in output
    assert said["D"] - before < 100 * 1024
    # On the real stream it ends too; nobody needs to read it for the job to go on.
    assert (zygote.folder / "errors").stat().st_size < 1024 * 1024


@pytest.mark.parametrize("count", [33_000, 60_000])
def test_letters_of_several_bytes_count_by_their_bytes(runner: Runner, count: int) -> None:
    # Few enough by their number: nothing has been left out yet when the bytes are counted.
    output = runner.all_of("say_much", [count, "é"])["O"]
    assert len(output.encode()) <= 64 * 1024
    assert "characters left out …]" in output


def test_what_is_logged_after_a_job_that_printed_much_is_still_shown(runner: Runner, zygote: Zygote) -> None:
    runner.all_of("say_much", [200, "x" * 1023 + "\n"])
    assert zygote.errors().count("left a transaction open") == 0
    runner.all_of("print_and_leave_a_transaction_open")
    until(lambda: "left a transaction open" in zygote.errors())


def test_the_ends_are_those_of_what_was_printed(runner: Runner) -> None:
    output = runner.all_of("say", ["first ", "x" * 200_000, " last"])["O"]
    assert output.startswith("first xxx")
    assert output.endswith("xxx last")
    assert f"{200_000 + 11 - 65_408:,} characters left out" in output


def test_progress_is_told_while_the_job_runs(runner: Runner) -> None:
    said = runner.rest(runner.start("progress", [[1], [2, 4], [3, 4, "nearly"], [None, None, "ü"]]))
    assert said == [
        ("G", {"done": 1.0, "total": None, "message": None, "metadata": None}),
        ("G", {"done": 2.0, "total": 4.0, "message": None, "metadata": None}),
        ("G", {"done": 3.0, "total": 4.0, "message": "nearly", "metadata": None}),
        ("G", {"done": None, "total": None, "message": "ü", "metadata": None}),
        ("D", None),
    ]


def test_at_most_ten_a_second_are_sent_and_always_the_newest(runner: Runner) -> None:
    began = time.monotonic()
    said = runner.rest(runner.start("hurry", [20_000]))
    seconds = time.monotonic() - began
    assert 2 <= len(said) - 1 <= 10 * (seconds + 1) + 1
    assert said[-2] == ("G", {"done": 19_999.0, "total": 20_000.0, "message": "at 19999", "metadata": None})


def test_metadata_goes_with_the_next_progress_and_before_the_end(runner: Runner) -> None:
    *told, end = runner.rest(runner.start("describe", [[{"a": 1}, {"b": [None]}]]))
    assert [each["metadata"] for _, each in told] == [
        {"a": 1},
        {"a": 1, "b": [None]},
        {"a": 1, "b": [None], "last": True},
    ]
    assert end == ("D", None)


@pytest.mark.parametrize(
    "expression",
    [
        "context.progress(float('nan'))",
        "context.progress('5')",
        "context.progress(1, float('inf'))",
        "context.progress(1, 2, 'a\\0b')",
        "context.progress(1, 2, 'x' * 17_000)",
        "[context.metadata.update(a={1}), context.progress(1)]",
        "[context.metadata.update(a='x' * 17_000), context.progress(1)]",
    ],
)
def test_progress_that_cannot_be_stored_is_refused_where_it_is_said(runner: Runner, expression: str) -> None:
    failure = runner.all_of("bad", [expression])["F"]
    assert failure["exception_class_path"] in ("builtins.TypeError", "builtins.ValueError")


def test_metadata_that_cannot_be_stored_does_not_cost_the_result(runner: Runner) -> None:
    said = runner.all_of("bad", ["context.metadata.update(a={1})"])
    assert said["D"] is None
    assert "its metadata is not recorded" in said["O"]


def test_a_log_line_has_the_time_of_day(runner: Runner) -> None:
    said = runner.all_of("take_note", attempt=1)
    moment, text = said["O"].split(" ", 1)
    assert len(moment.split(":")) == 3
    assert text == "half-way\n"
    assert said["D"][0] == 1


def test_nothing_is_said_of_a_job_that_has_ended(runner: Runner) -> None:
    runner.run("keep_the_context")
    assert runner.run("use_the_kept_one") == "fine"


def test_threads_may_report(runner: Runner) -> None:
    *told, (kind, _) = runner.rest(runner.start("from_threads"))
    assert kind == "D"
    assert told and all(kind == "G" for kind, _ in told)


def test_nobody_needs_to_read_the_real_stream(tmp_path: Path) -> None:
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(writes, b"x" * 4096)
    full = Zygote(tmp_path, TASKS, errors=writes)
    full.hello()
    runner = full.spawn()
    assert runner.all_of("say", ["x" * 50_000, "\n"], kwargs={"to": "stderr"})["O"] == "x" * 50_000 + "\n"
    full.close()
    os.close(reads)
    os.close(writes)

"""The steps of the gate: what is asked, at which size, how many cores it keeps busy, and why it takes its time.

`check` can be answered without running the project. `tests` are all the others, each on its own, so that they run side
by side: a test binary of Rust, a pair of Python and Django on a database, the journeys. `more` is what CI adds: the
other halves of what one pair answers for both. `longest` is what only `make test-long` has.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import browsers
import environments
import postgres
import sizes
import steps
from steps import CACHE, ROOT, Step

PYTHON_SOURCES = ("python", "scripts", "tests", "examples", "bench")
CARGO_DENY = "cargo-deny@0.20.2"
CARGO = {"CARGO_TARGET_DIR": str(environments.TARGET)}
# The rules of the package's own tests (settings, warnings) are not those of the others.
PLAIN = ("-c", "tests/pytest.ini")
WITH_POSTGRES = "sh scripts/run postgres.py"
# The tests in a browser that every run has; the others are more.
BROWSER_FIRST = ("watching", "operator", "refreshing")

THEME = "admin: Django 6.0, django-unfold"
TROUBLES = "tests/journeys/test_troubles.py"

# By crate and test binary: the cores that it keeps busy (what it asks of a server included), and what takes its time.
RUST_STEPS = {
    ("core", "unit"): (1.0, "every decision, and random calendars"),
    ("store", "sqlite"): (1.5, "each question three times: our driver, a hosted session, Python's driver"),
    ("store", "postgres"): (1.5, "each question three times, on a database emptied for it"),
    ("store", "plans"): (1.5, "each statement explained under made-up statistics, among a thousand strange rows"),
    ("store", "model"): (1.0, "random verbs against a plain model"),
    ("store", "goals"): (1.0, "random graphs against a plain model"),
    ("store", "ticks"): (1.0, "eight workers that stall and die in the middle of a tick"),
    ("engine", "unit"): (1.5, "a simulated fleet with the database's real statements, and planted bugs"),
    ("engine", "sqlite"): (1.0, "workers of which each call breaks once, waiting for answers that never come"),
    ("engine", "postgres"): (1.0, "workers of which each call breaks once, waiting for answers that never come"),
    ("pool", "unit"): (0.5, "frames, and an actor with made-up runners"),
}
POOL_STEPS = (0.75, "Python processes that start, crash and are waited for")
OTHER_STEPS = (0.5, "small tests")


def check() -> list[Step]:
    """What can be said without running the project."""
    new, tools = environments.VENVS / "new" / "bin", environments.VENVS / "tools" / "bin"
    sources = [name for name in PYTHON_SOURCES if (ROOT / name).exists()]
    return [
        Step("rust: format", ["cargo", "fmt", "--all", "--check"], hint="`cargo fmt --all` mends it."),
        Step(
            "python: format",
            [tools / "ruff", "format", "--check", *sources],
            hint="`.venv/tools/bin/ruff format` mends it.",
        ),
        Step("python: lint", [tools / "ruff", "check", *sources]),
        pytest("house rules", new, "tests/tidy", *PLAIN, cores=0.5),
        Step(
            "rust: lint",
            ["cargo", "clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"],
            env=CARGO,
            cores=1.5,
            why="compiles every crate once more, for its lints",
        ),
        Step("python: types", [new / "mypy", "--strict"], env={"PYTHONPATH": "python"}, why="reads Django's types too"),
        *types_of_users(new, tools),
        *licences(),
    ]


def types_of_users(new: Path, tools: Path) -> list[Step]:
    """What projects see of our types, by each checker that they may have."""
    mypy, uses = new / "mypy", "python/tests/typed/uses.py"
    title = "types in a project"
    return [
        Step(f"{title}: mypy", [mypy, "--config-file", "python/tests/typed/mypy.ini", uses]),
        Step(f"{title}: Django's plugin", [mypy, "--strict", uses], env={"PYTHONPATH": "python"}),
        Step(f"{title}: pyright", [tools / "pyright", "--pythonpath", new / "python", "-p", "python/tests/typed"]),
    ]


def licences() -> list[Step]:
    """Licences, sources and banned crates. Advisories are not asked for: their database is no package."""
    kept = CACHE / "tools"
    found = shutil.which("cargo-deny") or shutil.which("cargo-deny", path=str(kept / "bin"))
    title, asked = "rust: licences and sources", "check bans licenses sources"
    command = f"--workspace --log-level error {asked}"
    answered = (
        CACHE / "licences" / environments.digest([(ROOT / name).read_text() for name in ("Cargo.lock", "deny.toml")])
    )
    if answered.exists():
        steps.say(f"  {title}: as when they were last asked about; Cargo.lock and deny.toml are the same")
        return []
    keep = f"mkdir -p '{answered.parent}' && touch '{answered}'"
    if found:
        return [Step(title, ["sh", "-c", f"'{found}' {command} && {keep}"])]
    if not os.environ.get("CI"):
        steps.say(f"  {title}: skipped, there is no cargo-deny (cargo install --locked {CARGO_DENY})")
        return []
    # Minutes to build, so it is built where nobody waits, as fast as it can be, and kept for the next run.
    install = f"cargo install --quiet --locked --debug --root '{kept}' {CARGO_DENY}"
    return [
        Step(
            title,
            ["sh", "-c", f"{install} && '{kept}/bin/cargo-deny' {command} && {keep}"],
            why="builds cargo-deny once",
        )
    ]


def rust(only: str = "") -> list[Step]:
    """A step for each test binary, of one crate or of all; whatever has to be compiled is compiled first."""
    python = environments.VENVS / environments.best("best") / "bin" / "python"
    found = []
    for crate, target, executable in test_binaries():
        if only in ("", crate):
            cores, why = RUST_STEPS.get((crate, target), POOL_STEPS if crate == "pool" else OTHER_STEPS)
            which = "--lib --bins" if target == "unit" else f"--test {target}"
            package = "gristmill" if crate == "cli" else f"gristmill-{crate}"
            found.append(
                Step(
                    f"rust: {crate}, {target}",
                    [executable],
                    cwd=ROOT / "crates" / crate,
                    env={"GRISTMILL_TEST_PYTHON": str(python), "RUST_BACKTRACE": "0"},
                    cores=cores,
                    why=why,
                    repeat=f"{WITH_POSTGRES} cargo test -p {package} {which} -- {{test}}",
                    one=[executable, "--exact", "--test-threads", "1"],
                )
            )
    return found


def test_binaries() -> list[tuple[str, str, Path]]:
    """Crate, name and path of each test binary; `unit` is what stands beside the code."""
    command = ["cargo", "build", "--workspace", "--all-targets", "--quiet", "--message-format", "json"]
    told = subprocess.run(command, cwd=ROOT, env={**os.environ, **CARGO}, capture_output=True, text=True)
    found = []
    for line in told.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["profile"]["test"]:
            crate, kind = Path(message["manifest_path"]).parent.name, message["target"]["kind"][0]
            target = message["target"]["name"] if kind == "test" else "unit"
            found.append((crate, target, Path(message["executable"])))
    if told.returncode or not found:
        raise steps.stop("The Rust tests did not build: `cargo build --workspace --all-targets` says why.")
    return sorted(found)


def python(pair: str, database: str) -> Step:
    """The package's own tests."""
    url = os.environ[postgres.VARIABLE] if database == "PostgreSQL" else ""
    asked = pytest(
        f"python: {pair}, {database}",
        environments.VENVS / pair / "bin",
        "-n",
        "2",
        env={"DATABASE_URL": url, "TEST_PAIR": pair},
        cores=1.5,
        why="runners and zygotes as real processes",
    )
    if url:
        return replace(
            asked, repeat=f"{WITH_POSTGRES} sh -c 'DATABASE_URL=${postgres.VARIABLE} .venv/{pair}/bin/pytest {{test}}'"
        )
    return replace(asked, repeat=f".venv/{pair}/bin/pytest {{test}}")


def django_suite(pair: str) -> Step:
    """The tests that Django has for its own backends."""
    return Step(
        f"django's own suite: {pair}",
        [environments.VENVS / pair / "bin" / "python", "python/tests/django_suite/run.py"],
        env={"TEST_PAIR": pair},
        cores=0.75,
    )


def site() -> Step:
    """The example site's own tests."""
    best = environments.VENVS / environments.best("best") / "bin"
    return Step(
        "example site", [best / "python", "manage.py", "test", "--verbosity", "1"], cwd=ROOT / "examples/django_site"
    )


def pages(pair: str) -> Step:
    """The code in the pages for users."""
    return pytest(f"pages: {pair}", environments.VENVS / pair / "bin", "tests/docs", *PLAIN)


def wheel() -> Step:
    """What people install."""
    return pytest("wheel", environments.VENVS / "new" / "bin", "tests/wheel", *PLAIN, why="builds it")


def cron() -> Step:
    """When a schedule is due, held against croniter's answers."""
    new = environments.VENVS / "new" / "bin"
    env = {"GRISTMILL_BINARY": str(new / "gristmill")}
    return pytest("cron: against croniter", new, "tests/cron", *PLAIN, env=env, why="random expressions and zones")


def journeys() -> Step:
    """Real workers and real signals. Most of their time they wait: for leases to lapse, for graces to end."""
    new = environments.VENVS / "new" / "bin"
    arguments = ("tests/journeys", f"--ignore={TROUBLES}", *PLAIN, "-n", "3", "--dist", "worksteal")
    return pytest("journeys", new, *arguments, cores=1.0, why="real workers, whose leases have to lapse")


def troubles() -> Step:
    """Each kind of trouble that the overview tells of, made by real workers; `python` makes them up in rows."""
    new = environments.VENVS / "new" / "bin"
    return pytest("journeys: troubles", new, TROUBLES, *PLAIN, "-n", "3", cores=1.0, why="troubles take their time")


def browser() -> list[Step]:
    """The admin's pages in a real browser: that they show, act and go on by themselves."""
    return in_browser("browser", *(f"tests/browser/test_{name}.py" for name in BROWSER_FIRST), cores=1.0)


def rest_in_browser() -> list[Step]:
    """The rest: by keyboard, on a phone, without JavaScript, and that no text of the tables runs."""
    rest = (f"--ignore=tests/browser/test_{name}.py" for name in BROWSER_FIRST)
    return in_browser("browser, the rest", "tests/browser", *rest, cores=1.5, why="hostile texts on every page")


def in_browser(title: str, *arguments: str, **about: Any) -> list[Step]:
    """A step of tests in a browser, where there is one."""
    if browsers.chromium() is None:
        steps.say(f"  {title}: skipped, there is no chromium ({browsers.ADVICE})")
        return []
    new = environments.VENVS / "new" / "bin"
    return [pytest(title, new, *arguments, *PLAIN, env={"DATABASE_URL": ""}, **about)]


def vulnerabilities() -> Step:
    """Known vulnerabilities in what the Python side installs, where the package index can be asked about them."""
    tools = environments.VENVS / "tools" / "bin"
    argv = [tools / "pip-audit", "--progress-spinner", "off", "-r", "scripts/requirements/new.txt"]
    return Step("python: known vulnerabilities", argv, cores=0.25, why="asks the package index")


def pytest(title: str, bin_folder: Path, *arguments: str, env: Mapping[str, str] | None = None, **about: Any) -> Step:
    """A step of pytest's."""
    named = "-c tests/pytest.ini {test}" if PLAIN[0] in arguments else "{test}"
    return Step(
        title,
        [bin_folder / "pytest", "-q", "--durations", "3", "--durations-min", "1", *arguments],
        env=env or {},
        repeat=f"{WITH_POSTGRES} {steps.shown(bin_folder)}/pytest {named}",
        one=[bin_folder / "pytest", "-q", *(PLAIN if PLAIN[0] in arguments else ())],
        **about,
    )


def tests() -> list[Step]:
    """What `make test` asks beside `check`, the longest first."""
    return [
        journeys(),
        *browser(),
        *sorted(rust(), key=lambda step: -step.cores),
        python("new", "PostgreSQL"),
        python("old", "SQLite"),
        cron(),
        django_suite("new"),
        pages("new"),
        site(),
        vulnerabilities(),
    ]


def more() -> list[Step]:
    """What CI adds: the halves that another pair or database answered for, and what people install."""
    halves = [python("old", "PostgreSQL"), python("new", "SQLite"), django_suite("old"), pages("old")]
    return [*halves, *rest_in_browser(), troubles(), wheel()]


def longest() -> list[Step]:
    """What `make test-long` alone adds, in environments of their own."""
    return [theme()]


def theme() -> Step:
    """The admin's pages on the Django between the two pairs, within the pages of a theme."""
    env = {"DJANGO_SETTINGS_MODULE": "tests.settings_unfold", "DATABASE_URL": ""}
    files = ("python/tests/test_admin.py", "python/tests/test_theme.py")
    asked = pytest(THEME, environments.VENVS / "unfold" / "bin", "-n", "2", *files, env=env)
    return replace(asked, repeat="DJANGO_SETTINGS_MODULE=tests.settings_unfold .venv/unfold/bin/pytest {test}")


def sized(chosen: Sequence[Step], full: Collection[str]) -> list[Step]:
    """The same steps, with their sizes in the environment: those named are full."""
    return [replace(step, env={**sizes.env(full), **step.env}) for step in chosen]

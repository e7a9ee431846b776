"""Facts about this tree that must stay true: floors, SQL, sizes, and what must never be written down."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import tomllib

ROOT = Path(__file__).resolve().parents[2]

# An arrow of ARCHITECTURE.md: which crates of ours a crate may name. Nothing points back.
FLOORS = {
    "core": set(),
    "store": {"core"},
    "engine": {"core", "store"},
    "pool": {"core", "store", "engine"},
    "cli": {"core", "store", "engine", "pool"},
}
DIALECTS = ("postgres", "sqlite")

# Beyond this a file has usually outgrown its one idea.
MOST_LINES = 500
GENERATED = {"Cargo.lock"}

STORE = ROOT / "crates" / "store"


def tree(*suffixes: str) -> list[Path]:
    """Every file of the repository, or those that end so; what git ignores is no part of it."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    paths = [ROOT / name for name in listed.split("\0") if name]
    return [path for path in paths if path.is_file() and (not suffixes or path.suffix in suffixes)]


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def lines_matching(pattern: str, paths: list[Path]) -> list[str]:
    """Where a pattern occurs, as `file:line: text`; this file, which names the patterns, is not asked."""
    found = re.compile(pattern)
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in paths
        if path != Path(__file__) and path.name not in GENERATED
        for number, line in enumerate(text_of(path).splitlines(), start=1)
        if found.search(line)
    ]


def test_every_crate_stands_on_a_floor() -> None:
    assert {path.parent.name for path in ROOT.glob("crates/*/Cargo.toml")} == set(FLOORS)


@pytest.mark.parametrize("crate", FLOORS)
def test_a_crate_depends_on_lower_floors_only(crate: str) -> None:
    manifest = tomllib.loads(text_of(ROOT / "crates" / crate / "Cargo.toml"))
    tables = [manifest, *manifest.get("target", {}).values()]
    named = {
        name for table in tables for name in {**table.get("dependencies", {}), **table.get("build-dependencies", {})}
    }
    ours = {name.removeprefix("gristmill-") for name in named if name.startswith("gristmill")}
    assert ours <= FLOORS[crate], f"{crate} may lean on {sorted(FLOORS[crate])} only"


@pytest.mark.parametrize("crate", sorted(set(FLOORS) - {"store"}))
def test_only_the_store_speaks_sql(crate: str) -> None:
    # The simulation's oracle looks at the tables from outside, as a test does.
    inside = ROOT / "crates" / crate / "src"
    sources = [path for path in tree(".rs") if path.is_relative_to(inside) and "sim" not in path.parts]
    statement = r'"\s*(select\s.+\sfrom\s|insert into\s|update\s\w+\sset\s|delete from\s)'
    assert lines_matching(statement, sources) == []


def test_each_database_has_the_same_migrations() -> None:
    names = [sorted(path.name for path in (STORE / "migrations" / dialect).glob("*.sql")) for dialect in DIALECTS]
    assert names[0], "no migrations found where they are said to be"
    assert all(each == names[0] for each in names)


def test_no_statement_of_several_leaves_out_a_bind() -> None:
    # The driver counts a number that a statement does not name as one more bind, so a later one would be null.
    for path in (STORE / "src" / "sqlite").glob("*.sql"):
        for statement in re.sub(r"--.*", "", text_of(path)).split(";\n\n"):
            binds = {int(number) for number in re.findall(r"\?(\d+)", statement)}
            assert binds == set(range(1, len(binds) + 1)), f"{path.name}: {statement}"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_each_verb_has_its_sql_and_no_sql_lies_about_unused(dialect: str) -> None:
    source = "\n".join(text_of(path) for path in STORE.glob("src/**/*.rs"))
    verbs = set(re.findall(r'sql!\(\s*"(\w+)"', source))
    # A part that is put together with others for one database; no verb of its own.
    parts = set(re.findall(rf'include_str!\(\s*"(?:\.\./)?{dialect}/(\w+)\.sql"', source))
    files = {path.stem for path in STORE.glob(f"src/{dialect}/*.sql")}
    assert verbs, "no verb found where they are said to be"
    assert verbs - files == set(), "these verbs have no SQL"
    assert files - verbs - parts == set(), "nobody asks for these files"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_sql_file_says_what_it_promises(dialect: str) -> None:
    silent = [path.name for path in STORE.glob(f"src/{dialect}/*.sql") if not text_of(path).startswith("-- ")]
    assert silent == []


def test_no_file_has_outgrown_its_idea() -> None:
    long = {
        str(path.relative_to(ROOT)): len(text_of(path).splitlines())
        for path in tree(".rs", ".py", ".sql", ".md", ".css", ".html")
        # What a database said of itself grows with the tables.
        if path.parent != STORE / "schema"
    }
    assert {name: lines for name, lines in long.items() if lines > MOST_LINES} == {}


def test_no_path_of_anyones_machine_is_written_down() -> None:
    assert lines_matching(r"(?<![\w.])/(root|work|farm|Users|home/\w+)/", tree()) == []


def test_nothing_is_left_for_later_in_comments() -> None:
    assert (
        lines_matching(r"\b(TODO|FIXME|XXX|HACK)\b|todo!\(|unimplemented!\(|dbg!\(", tree(".rs", ".py", ".sql", ".md"))
        == []
    )


def test_nothing_from_the_database_can_become_code() -> None:
    package = [path for path in tree(".py") if path.is_relative_to(ROOT / "python" / "gristmill")]
    assert package
    assert (
        lines_matching(r"\b(pickle|marshal|shelve|dill)\b|(?<![\w.])(eval|exec)\(|yaml\.(unsafe_)?load\(", package)
        == []
    )


def test_no_test_sleeps_to_wait() -> None:
    # What tasks do is another matter: they may take their time. Polling sleeps for milliseconds, with a deadline.
    modules = [path for path in tree(".py") if path.name.startswith("test_")]
    rust = [path for path in tree(".rs") if "tests" in path.parts]
    assert lines_matching(r"\bsleep\(\s*[1-9]", modules) + lines_matching(r"sleep\(Duration::from_secs", rust) == []


def test_the_promise_stands_in_the_readme_word_for_word() -> None:
    readme = " ".join(text_of(ROOT / "README.md").split())
    for promise in (
        "Transactional jobs: exactly-once database effects. Other jobs: at least once, never two live attempts while "
        "clocks tick at the same rate and processes are not frozen, and never a stale write to the queue.",
        "Enqueueing is part of your transaction: commit and the job exists, roll back and it never did.",
        "Who can write the queue tables can make workers run any **registered** task with any arguments, "
        "and nothing else.",
    ):
        assert promise in readme


def test_links_between_our_pages_lead_somewhere() -> None:
    dead = []
    for page in tree(".md"):
        for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", text_of(page)):
            if not (page.parent / target).exists():
                dead.append(f"{page.relative_to(ROOT)}: {target}")
    assert dead == []


def test_one_version_is_told_everywhere() -> None:
    workspace = tomllib.loads(text_of(ROOT / "Cargo.toml"))["workspace"]["package"]["version"]
    locked = tomllib.loads(text_of(ROOT / "Cargo.lock"))["package"]
    assert {package["version"] for package in locked if package["name"].startswith("gristmill")} == {workspace}

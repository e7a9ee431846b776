"""Facts about this tree that must stay true: floors, SQL, sizes, and what must never be written down."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest
import tomllib

from gristmill.database.dialects import statements_of

ROOT = Path(__file__).resolve().parents[2]

# An arrow of ARCHITECTURE.md: which crates of ours a crate may name. Nothing points back.
FLOORS = {
    "core": set(),
    "store": {"core"},
    "engine": {"core", "store"},
    "pool": {"core", "store", "engine"},
    "cli": {"core", "store", "engine", "pool"},
    # Beside the floors: what their tests lean on.
    "testkit": {"core", "store"},
}

# Beyond this a file has usually outgrown its one idea.
MOST_LINES = 500
GENERATED = {"Cargo.lock"}

STORE = ROOT / "crates" / "store"
DIALECTS = sorted(path.parent.name for path in STORE.glob("sql/*/migrations"))

# Where Python itself speaks SQL of the queue's tables, and why it is no verb of the store.
PYTHON_WITH_SQL = {
    "bench/": "puts a million rows in place and looks at them from outside, as a test does",
    "doctor/": "asks questions that no verb answers; mends by verbs and the ORM",
    "inspect/drawing/": "looks at a bounded number of edges; changes nothing",
    "inspect/explaining/": "looks at bounded numbers of rows for `explain`; changes nothing",
    "inspect/lanes.py": "goes from lane to lane for `status`; changes nothing",
    "inspect/late.py": "looks at what is first to be due; changes nothing",
    "inspect/health.py": "counts to just beyond a limit for `health`; changes nothing",
    "inspect/listing/": "looks at a page of jobs, or at bounded strides of a table; changes nothing",
    "inspect/counted.py": "reads a bounded number of counts for curves; changes nothing",
    "inspect/survey.py": "looks at bounded numbers of rows for `status`; changes nothing",
    "database/wake.py": "asks whether a worker is idle, on PostgreSQL's own channel of notifications",
    "migrations/": "drops the tables, where a migration is undone",
}


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


def test_what_make_is_told_to_end_is_what_it_runs() -> None:
    # A shell between the two would end alone, and leave the site and its worker behind.
    (line,) = [line for line in text_of(ROOT / "Makefile").splitlines() if line.startswith("RUN =")]
    assert line.endswith("&& exec sh scripts/run")
    assert "exec " in text_of(ROOT / "scripts" / "run")


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


@pytest.mark.parametrize("crate", sorted(set(FLOORS) - {"store", "testkit"}))
def test_only_the_store_speaks_sql(crate: str) -> None:
    # The simulation's oracle looks at the tables from outside, as a test does.
    inside = ROOT / "crates" / crate / "src"
    sources = [path for path in tree(".rs") if path.is_relative_to(inside) and "sim" not in path.parts]
    statement = r'"\s*(select\s.+\sfrom\s|insert into\s|update\s\w+\sset\s|delete from\s)'
    assert lines_matching(statement, sources) == []


@pytest.mark.parametrize("place", PYTHON_WITH_SQL)
def test_python_that_speaks_sql_of_the_queues_tables_is_named(place: str) -> None:
    named = [path for path, _ in python_with_sql() if path.startswith(place)]
    assert named, f"{place} speaks no SQL any more: take it off the list"


def test_python_carries_out_the_stores_sql_and_has_none_of_its_own() -> None:
    own = [f"{path}: {text}" for path, text in python_with_sql() if not path.startswith(tuple(PYTHON_WITH_SQL))]
    assert own == []


def python_with_sql() -> list[tuple[str, str]]:
    """Every text of the package in which a statement stands beside a table of the queue; docstrings are none."""
    package = ROOT / "python" / "gristmill"
    statement = re.compile(r"\b(select|insert|update|delete|from|into|join|drop)\b[^;]*\bgristmill_\w*", re.IGNORECASE)
    found = []
    for path in tree(".py"):
        if not path.is_relative_to(package):
            continue
        module = ast.parse(text_of(path))
        said = {id(node.value) for node in ast.walk(module) if isinstance(node, ast.Expr)}
        # What an f-string puts in between may be the rest of a name.
        for node in ast.walk(module):
            if isinstance(node, ast.JoinedStr):
                said |= {id(part) for part in node.values}
                text = "".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said:
                text = node.value
            else:
                continue
            if statement.search(text):
                found.append((str(path.relative_to(package)), text[:80]))
    return found


def test_each_database_has_the_same_migrations() -> None:
    names = [
        sorted(path.name for path in (STORE / "sql" / dialect / "migrations").glob("*.sql")) for dialect in DIALECTS
    ]
    assert names[0], "no migrations found where they are said to be"
    assert all(each == names[0] for each in names)


def test_no_statement_of_several_leaves_out_a_bind() -> None:
    # The driver counts a number that a statement does not name as one more bind, so a later one would be null.
    for path in (STORE / "sql" / "sqlite").glob("*.sql"):
        for statement in statements_of("sqlite", path.stem):
            binds = {int(number) for number in re.findall(r"\?(\d+)", re.sub(r"--.*", "", statement))}
            assert binds == set(range(1, len(binds) + 1)), f"{path.name}: {statement}"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_each_file_is_as_many_statements_as_it_declares(dialect: str) -> None:
    for path in (STORE / "sql" / dialect).glob("*.sql"):
        statements = statements_of(dialect, path.stem)
        parted = [part for statement in statements for part in statement.split(";\n\n") if part.strip()]
        assert len(parted) == len(statements), path.name


@pytest.mark.parametrize("dialect", DIALECTS)
def test_each_verb_has_its_sql_and_no_sql_lies_about_unused(dialect: str) -> None:
    source = "\n".join(text_of(path) for path in STORE.glob("src/**/*.rs"))
    verbs = set(re.findall(r'sql!\(\s*"(\w+)"', source))
    # What some dialects have a use for: a verb's rare half, a way around locks, temporary tables.
    some = set(re.findall(r'sql!\(some: "(\w+)"', source)) | set(re.findall(r"scratch: &\[([^\]]*)\]", source))
    some = {name for listed in some for name in re.findall(r"\w+", listed)}
    files = {path.stem for path in STORE.glob(f"sql/{dialect}/*.sql")}
    assert (verbs - files, files - verbs - some) == (set(), set())


# Said with one it would cost more: an update that looks its values up, a batch and what is left of it.
TWICE = {
    "conflict": {"conflict"},
    "enqueue_gates": {"wants"},
    "notify": {"picked"},
    "raise_deadline": {"picked", "wanted"},
    "resolve": {"picked", "wanted"},
    "sync": {"held", "evaluated", "moved"},
}


def test_a_statement_reads_a_temporary_table_once() -> None:
    # Not every database can open one twice in a statement, and what can be said with one can be said for all.
    for path in (STORE / "sql" / "sqlite").glob("*.sql"):
        for statement in statements_of("sqlite", path.stem):
            named = re.findall(r"temp\.gristmill_(\w+)", re.sub(r"--.*", "", statement))
            twice = {name for name in named if named.count(name) > 1}
            assert twice <= TWICE.get(path.stem, set()), f"{path.name}: {statement}"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_part_is_named_somewhere(dialect: str) -> None:
    # What stands in braces and is no part would reach the database as it is.
    parts = {path.stem for folder in ("sql", f"sql/{dialect}") for path in STORE.glob(f"{folder}/parts/*.sql")}
    files = [path for path in STORE.glob(f"sql/{dialect}/**/*.sql") if path.parent.name != "migrations"]
    code = "\n".join(re.sub(r"--.*", "", text_of(path)) for path in [*files, *STORE.glob("sql/parts/*.sql")])
    named = set(re.findall(r"\{(?:\w+\.)?(\w+)\}", code))
    assert (named - parts - {path.stem for path in files}, parts - named) == (set(), set())


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_sql_file_says_what_it_promises(dialect: str) -> None:
    silent = [path.name for path in STORE.glob(f"sql/{dialect}/*.sql") if not text_of(path).startswith("-- ")]
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


def test_no_statement_of_postgres_offers_the_index_of_workers_for_a_job_that_is_named() -> None:
    # A planner that knows nothing of the table takes it, and has every job of the worker looked at for each of them.
    probe = re.compile(r"from gristmill_running\n\s+where id = [^)]*?worker_id = ", re.DOTALL)
    offers = [str(path) for path in (ROOT / "crates/store/sql/postgres").glob("*.sql") if probe.search(text_of(path))]
    assert offers == []


def test_no_file_is_a_link() -> None:
    # Archives, patches and some systems make a text of it that names the other file.
    listed = subprocess.run(["git", "ls-files", "-s"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert [line for line in listed.splitlines() if not line.startswith("1006") and not line.startswith("1007")] == []

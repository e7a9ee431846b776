"""
What it takes to add something to Gristmill: each addition is a dummy, made by edits, and what has to pass with it.

They say how many files a change touches. One that needs more than it may has lost its one place: mend that, not this.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Edit(NamedTuple):
    """What is put behind a text, which stands so many times in its file."""

    file: str
    after: str
    put: str
    times: int = 1

    def does_not_apply(self, text: str) -> str:
        """Says why it cannot be made in this text of its file; nothing when it can."""
        times = text.count(self.after)
        return "" if times == self.times else f"{self.after!r} stands {times} times in {self.file}, not {self.times}"


class Addition(NamedTuple):
    """Something that people add."""

    what: str
    # So many files may be touched.
    most_files: int
    edits: Sequence[Edit]
    # Lines for the shell, run in the root of a copy.
    passes: Sequence[str]
    # Files that these write anew.
    written: frozenset[str] = frozenset()

    @property
    def files(self) -> set[str]:
        return {edit.file for edit in self.edits} | self.written


OPTION = Addition(
    "a task option",
    4,
    [
        Edit("python/gristmill/tasks/options.py", "    hold: bool | NotGiven\n", "    dummy: int | NotGiven | None\n"),
        Edit(
            "python/gristmill/tasks/options.py",
            "    hold: bool | NotGiven = option(rules.true_or_false)\n",
            '    dummy: int | NotGiven | None = option(rules.whole(1, "for none"), usual=None, has_default=True)\n',
        ),
        Edit(
            "crates/core/src/options.rs",
            "    pub takes_context: bool,\n",
            "    /// A dummy.\n    pub dummy: Option<u32>,\n",
        ),
        Edit("crates/core/src/options.rs", "            takes_context: false,\n", "            dummy: None,\n"),
        Edit(
            "docs/guides/options.md",
            "| `hold` | its jobs wait until somebody releases them | `False` |\n",
            "| `dummy` | nothing | none |\n",
        ),
    ],
    [
        "sh scripts/run suite.py step 'rust: core'",
        ".venv/new/bin/pytest -q python/tests/test_options.py python/tests/test_checks.py",
        ".venv/new/bin/python -c \"import os; os.environ['DJANGO_SETTINGS_MODULE'] = 'tests.settings'; import django; "
        'django.setup(); from tests.app.tasks import add; assert add.using(dummy=7).options.dummy == 7"',
    ],
)

SQL = "crates/store/sql"
COLUMN = Addition(
    "a column of the place rows",
    12,
    [
        Edit(f"{SQL}/postgres/migrations/0001_initial.sql", "    counts text,\n", "    dummy text,\n", 5),
        Edit(f"{SQL}/sqlite/migrations/0001_initial.sql", "    counts text,\n", "    dummy text,\n", 5),
        # Replaced by a unique job, it is placed anew.
        Edit(f"{SQL}/postgres/migrations/0001_routines.sql", "counts, started_at, awaited", ", dummy", 2),
        Edit(f"{SQL}/parts/carried.sql", "deadline, awaited", ", dummy"),
        Edit(f"{SQL}/sqlite/ended.sql", "    counts text,\n", "    dummy text,\n"),
        Edit(
            "python/gristmill/migrations/0001_initial.py",
            '("counts", models.TextField(null=True)),\n',
            '                        ("dummy", models.TextField(null=True)),\n',
            5,
        ),
        Edit(
            "python/gristmill/models/rows.py",
            "    counts = models.TextField(null=True)\n",
            "    dummy = models.TextField(null=True)\n",
        ),
        Edit("crates/testkit/src/conformance/dump_sqlite.sql", "counts, started_at, awaited", ", dummy", 5),
    ],
    [
        "GRISTMILL_UPDATE_SCHEMA=1 sh scripts/run suite.py step 'rust: store, sqlite'",
        "GRISTMILL_UPDATE_SCHEMA=1 sh scripts/run suite.py step 'rust: store, postgres'",
        ".venv/new/bin/pytest -q python/tests/test_schema.py python/tests/test_unique.py",
    ],
    frozenset({"crates/store/schema/postgres.sql", "crates/store/schema/sqlite.sql"}),
)

ADDITIONS = [OPTION, COLUMN]

"""Walks through the tables, page by page, and looks again at what it finds before that counts."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.db import DatabaseError

from gristmill.doctor.check import CannotTell, Finding, Key, Question, RowCheck
from gristmill.doctor.checks import CHECKS
from gristmill.doctor.examination import Examination, among, between, keys_after
from gristmill.doctor.mending import mend

#: Findings of one check that are told; it is not asked for more.
MOST_FINDINGS = 1_000
#: Keys that are looked at again in one statement.
AGAIN = 50
#: What is on its way somewhere has arrived by then.
PAUSE_SECONDS = 2.0
#: A page is not made smaller than this for a check that takes too long.
FEWEST_ROWS = 1
#: After so many rows without an answer, a check is given up.
UNANSWERED_ROWS = 3


@dataclass
class Report:
    """What an examination found."""

    database: str
    checks: int = 0
    rows: int = 0
    seconds: float = 0.0
    findings: list[Finding] = field(default_factory=list)
    # Checks that could not be carried out, with the reason.
    unchecked: dict[str, str] = field(default_factory=dict)
    # Checks that found more than are told.
    more: list[str] = field(default_factory=list)
    # Checks that nobody needs to pass: no worker lives whose work it would be.
    skipped: list[str] = field(default_factory=list)

    @property
    def problems(self) -> list[Finding]:
        """What is broken, and has not been put right."""
        return [finding for finding in self.findings if not finding.warning and not finding.mended]

    @property
    def warnings(self) -> list[Finding]:
        """What someone should look at."""
        return [finding for finding in self.findings if finding.warning]

    @property
    def exit_status(self) -> int:
        """2 where something could not be checked, 1 where something is broken, else 0."""
        return 2 if self.unchecked else 1 if self.problems else 0

    def as_dict(self) -> dict[str, Any]:
        """Returns it in JSON's types."""
        return {
            "database": self.database,
            "checks": self.checks,
            "rows": self.rows,
            "seconds": round(self.seconds, 3),
            "findings": [finding.as_dict() for finding in self.findings],
            "unchecked": self.unchecked,
            "more": self.more,
            "skipped": self.skipped,
        }


def examine(
    using: str,
    *,
    fix: bool = False,
    actor: str = "",
    looked_at: Callable[[int], None] = lambda rows: None,
    pause: Callable[[float], None] = time.sleep,
) -> Report:
    """
    Holds the queue's tables on a database against the invariants; with `fix`, puts right what may be.

    `actor` is written down with what is put right. `looked_at` is told how many rows have been looked at so far.
    """
    started = time.monotonic()
    report = Report(using)
    examination = Examination(using, looked_at)
    with examination.read_only():
        found = first_look(examination, report)
    if found:
        pause(PAUSE_SECONDS)
        again = Examination(using)
        with again.read_only():
            report.findings = still_so(again, report, found)
    if fix:
        for finding in report.findings:
            if finding.mend:
                finding.mended = mend(examination, finding, actor)
    report.seconds = time.monotonic() - started
    return report


def first_look(examination: Examination, report: Report) -> list[Finding]:
    """Asks every check, those of one table together; gives what seems to be wrong."""
    asked = [check for check in CHECKS if applies(check, examination, report)]
    report.checks = len(asked)
    by_walk: dict[tuple[str, int], list[RowCheck]] = {}
    for check in asked:
        if isinstance(check, RowCheck):
            by_walk.setdefault((check.table, check.rows), []).append(check)
    found: list[Finding] = []
    for (table, rows), checks in by_walk.items():
        found += walk(examination, report, table, rows, checks)
    for check in asked:
        if isinstance(check, Question):
            found += ask(examination, report, check)
    return found


def applies(check: RowCheck | Question, examination: Examination, report: Report) -> bool:
    """Tells whether a check is for this database as it is."""
    if isinstance(check, Question) and check.vendor not in ("", examination.vendor):
        return False
    if check.needs_worker and not examination.living:
        report.skipped.append(check.name)
        return False
    return True


def walk(examination: Examination, report: Report, table: str, rows: int, checks: list[RowCheck]) -> list[Finding]:
    """Asks the checks of one table for each page of it."""
    found: dict[str, list[Finding]] = {check.name: [] for check in checks}
    asked, after, size = list(checks), None, rows
    # Rows that a check had no answer for; for a few of them the others are still looked at.
    unanswered = dict.fromkeys((check.name for check in checks), 0)
    left_out: list[RowCheck] = []
    while asked:
        try:
            keys, page = page_of(examination, table, after, size, [check for check in asked if check not in left_out])
        except Unanswered as refused:
            if size > FEWEST_ROWS and refused.check is not None:
                size = max(size // 8, FEWEST_ROWS)
                continue
            for check in [refused.check] if refused.check is not None else asked:
                report.unchecked[check.name] = str(refused)
                unanswered[check.name] += 1 if refused.check is not None else UNANSWERED_ROWS
                left_out.append(check)
            asked = [check for check in asked if unanswered[check.name] < UNANSWERED_ROWS]
            continue
        left_out = []
        for finding in page:
            found[finding.check].append(finding)
        report.rows += len(keys)
        if keys:
            examination.looked_at(report.rows)
        full = [check for check in asked if len(found[check.name]) >= MOST_FINDINGS]
        report.more += (check.name for check in full)
        asked = [check for check in asked if check not in full]
        if len(keys) < size:
            break
        after, size = keys[-1], min(size * 2, rows)
    return [finding for findings in found.values() for finding in findings[:MOST_FINDINGS]]


class Unanswered(Exception):
    """A statement that the database gave no answer to, with its check; None where the keys were asked for."""

    def __init__(self, check: RowCheck | None, error: DatabaseError) -> None:
        super().__init__(" ".join(str(error).split()) or type(error).__name__)
        self.check = check


def page_of(
    examination: Examination, table: str, after: Key | None, rows: int, checks: list[RowCheck]
) -> tuple[list[Key], list[Finding]]:
    """Asks the checks for one page; gives its keys and what was found."""
    asking: RowCheck | None = None
    found = []
    try:
        with examination.reading() as cursor:
            keys = keys_after(cursor, table, after, rows)
            if not keys:
                return [], []
            condition, binds = between(table, after, keys[-1])
            for asking in checks:
                cursor.execute(asking.statement(condition, examination.vendor), {**examination.binds, **binds})
                found += [
                    finding
                    for row in cursor.fetchall()
                    if (finding := asking.finding(row, examination.vendor)) is not None
                ]
    except DatabaseError as error:
        raise Unanswered(asking, error) from error
    return keys, found


def ask(examination: Examination, report: Report, question: Question) -> list[Finding]:
    """Asks a question; what the database cannot answer is noted."""
    try:
        findings = question.ask(examination)
    except CannotTell as error:
        report.unchecked[question.name] = str(error)
        return []
    except DatabaseError as error:
        report.unchecked[question.name] = str(Unanswered(None, error))
        return []
    if len(findings) > MOST_FINDINGS:
        report.more.append(question.name)
    return findings[:MOST_FINDINGS]


def still_so(examination: Examination, report: Report, found: list[Finding]) -> list[Finding]:
    """Looks again, and gives what is still not as it must be."""
    confirmed = []
    for check in CHECKS:
        earlier = [finding for finding in found if finding.check == check.name]
        if not earlier:
            continue
        if isinstance(check, Question):
            known = {finding.key for finding in earlier}
            confirmed += [finding for finding in ask(examination, report, check) if finding.key in known]
            continue
        for start in range(0, len(earlier), AGAIN):
            keys = [finding.key for finding in earlier[start : start + AGAIN]]
            try:
                confirmed += sorted(look_at(examination, check, keys), key=lambda finding: finding.subject)
            except DatabaseError as error:
                report.unchecked[check.name] = str(Unanswered(check, error))
    return confirmed


def look_at(examination: Examination, check: RowCheck, keys: list[Key]) -> list[Finding]:
    """Asks a check about a few rows by their keys."""
    condition, binds = among(check.table, keys)
    with examination.reading() as cursor:
        cursor.execute(check.statement(condition, examination.vendor), {**examination.binds, **binds})
        return [finding for row in cursor.fetchall() if (finding := check.finding(row, examination.vendor)) is not None]

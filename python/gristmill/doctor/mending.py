"""
Puts right what a statement can, one row a transaction, and writes down what it did.

Counts of gates are counted again; what was forgotten to be carried through the graph is asked for once more, so that
the engine decides by what is true then; keys and progress that belong to nobody go. Nothing here moves a job. What is
left of rows that somebody has deleted is in `orphans.py`.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import DatabaseError
from django.db.models import Count

from gristmill.database.transactions import read_committed
from gristmill.database.wake import wake_after_commit
from gristmill.doctor import orphans
from gristmill.doctor.check import PLACES, Finding, RowCheck
from gristmill.doctor.checks import CHECKS
from gristmill.doctor.examination import LOCK_TIMEOUT, STATEMENT_TIMEOUT, Examination, among
from gristmill.models import Action, EdgeRow, GateRow, JobRow, ProgressRow, PropagationRow, ResultRow, UniqueKeyRow
from gristmill.values.ids import new_id
from gristmill.values.moments import database_now
from gristmill.verbs.batched import words


def mend(examination: Examination, finding: Finding, actor: str) -> str:
    """Puts right what was found, if it is still so; gives what was done, or "" where nothing was."""
    check = next(check for check in checks_by_row() if check.name == finding.check)
    using = examination.using
    ours = not examination.connection.in_atomic_block
    try:
        with read_committed(using):
            if ours:
                limit_patience(examination)
            lock(examination, finding)
            if not still_so(examination, check, finding):
                return "it was no more so"
            done = MENDS[finding.mend](examination, finding)
            write_down(examination, finding, actor, done)
            if finding.mend in ("counts", "evaluate", "gate", "gone", "notify", "place", "resolve"):
                wake_after_commit(examination.connection)
            return done
    except DatabaseError:
        # Somebody works on it at this moment; what is still wrong then is found by the next run.
        return ""


def limit_patience(examination: Examination) -> None:
    """Makes sure that nobody waits long for this transaction, and it for nobody; a caller's own keeps its rules."""
    if examination.vendor == "postgresql":
        with examination.connection.cursor() as cursor:
            cursor.execute(
                "select set_config('statement_timeout', %s, true), set_config('lock_timeout', %s, true)",
                [STATEMENT_TIMEOUT, LOCK_TIMEOUT],
            )


def lock(examination: Examination, finding: Finding) -> None:
    """Locks the gate that is about to be counted again: edges and counts change under that lock."""
    if finding.mend in ("counts", "gate", "gone") and examination.vendor == "postgresql":
        gates = GateRow.objects.using(examination.using).select_for_update()
        list(gates.filter(pk=UUID(finding.subject)))


def still_so(examination: Examination, check: RowCheck, finding: Finding) -> bool:
    """Asks the check again, in the transaction that mends."""
    condition, binds = among(check.table, [finding.key])
    with examination.connection.cursor() as cursor:
        cursor.execute(check.statement(condition, examination.vendor), {**examination.binds, **binds})
        return any(check.finding(row, examination.vendor) is not None for row in cursor.fetchall())


def counts(examination: Examination, finding: Finding) -> str:
    """Counts a gate's edges again, and has it evaluated."""
    using, job_id = examination.using, UUID(finding.subject)
    gate = GateRow.objects.using(using).get(pk=job_id)
    edges = EdgeRow.objects.using(using).filter(dependent_id=job_id, epoch=gate.epoch)
    counted = dict(edges.order_by().values_list("state").annotate(count=Count("precondition_id")))
    numbers = {state: counted.get(state, 0) for state in ("open", "successful", "failed")}
    GateRow.objects.using(using).filter(pk=job_id).update(**numbers)
    ask_for(examination, "evaluate", job_id)
    return "counted again: " + ", ".join(f"{number} {state}" for state, number in numbers.items())


def evaluate(examination: Examination, finding: Finding) -> str:
    """Has a gate evaluated."""
    ask_for(examination, "evaluate", UUID(finding.subject))
    return "asked for its gate to be evaluated"


def resolve(examination: Examination, finding: Finding) -> str:
    """Has a job's edges held against their preconditions, after a look for cycles."""
    other = finding.details.get("precondition_id")
    ask_for(examination, "resolve", UUID(finding.subject), UUID(other) if other else None, checks=True)
    return "asked for its preconditions to be looked at"


def notify(examination: Examination, finding: Finding) -> str:
    """Has a precondition's end told to the job that waits for it."""
    ask_for(examination, "notify", UUID(finding.details["precondition_id"]), UUID(finding.subject))
    return "asked for its precondition's end to be told"


def key(examination: Examination, finding: Finding) -> str:
    """Frees a unique key."""
    rows = UniqueKeyRow.objects.using(examination.using)
    rows.filter(pk=finding.key[0], job_id=UUID(finding.subject)).delete()
    return "freed the key"


def progress(examination: Examination, finding: Finding) -> str:
    """Forgets progress that no attempt of the job reported."""
    rows = ProgressRow.objects.using(examination.using)
    rows.filter(pk=UUID(finding.subject), token=finding.details["token"]).delete()
    return "forgot the progress"


def row(examination: Examination, finding: Finding) -> str:
    """Removes a row that belongs to no job."""
    check = next(each for each in checks_by_row() if each.name == finding.check)
    return orphans.remove(examination, check.table, finding)


def place(examination: Examination, finding: Finding) -> str:
    """Gives a job a place, and tells those who wait for it where it has ended."""
    job_id = UUID(finding.subject)
    done = orphans.place(examination, job_id)
    if ResultRow.objects.using(examination.using).filter(pk=job_id, awaited=True).exists():
        ask_for(examination, "notify", job_id)
    return done


def gate(examination: Examination, finding: Finding) -> str:
    """Sees to a job whose gate is gone or too old, and has the new one resolved."""
    job_id = UUID(finding.subject)
    done = orphans.gate(examination, job_id)
    if GateRow.objects.using(examination.using).filter(pk=job_id, resolved=False).exists():
        ask_for(examination, "resolve", job_id, checks=True)
    return done


def gone(examination: Examination, finding: Finding) -> str:
    """Takes a precondition that is no job for failed, and has the gate evaluated."""
    job_id = UUID(finding.subject)
    done = orphans.gone(examination, job_id, UUID(finding.details["precondition_id"]))
    if GateRow.objects.using(examination.using).filter(pk=job_id).exists():
        counts(examination, finding)
    return done


MENDS = {
    "counts": counts,
    "evaluate": evaluate,
    "gate": gate,
    "gone": gone,
    "key": key,
    "notify": notify,
    "place": place,
    "progress": progress,
    "resolve": resolve,
    "row": row,
}


def checks_by_row() -> list[RowCheck]:
    """Returns the checks of rows."""
    return [check for check in CHECKS if isinstance(check, RowCheck)]


def ask_for(
    examination: Examination, kind: str, job_id: UUID, other_id: UUID | None = None, *, checks: bool = False
) -> None:
    """Adds a propagation that is due now."""
    due_at = database_now(examination.connection)
    PropagationRow.objects.using(examination.using).create(
        kind=kind, job_id=job_id, other_id=other_id, checks=checks, due_at=due_at
    )


def write_down(examination: Examination, finding: Finding, actor: str, done: str) -> None:
    """Notes what was done to a job, and who did it; of what is no job, nothing is kept."""
    if not JobRow.objects.using(examination.using).filter(pk=UUID(finding.subject)).exists():
        return
    Action.objects.using(examination.using).create(
        id=new_id(),
        job_id=UUID(finding.subject),
        verb="doctor",
        token=token_of(examination, UUID(finding.subject)),
        actor=words(f"{actor}: {done} ({finding.check})".removeprefix(": "), "actor") or "",
        acted_at=database_now(examination.connection),
    )


def token_of(examination: Examination, job_id: UUID) -> int:
    """Returns a job's token; 0 where it has no place."""
    pk = GateRow._meta.pk.get_db_prep_value(job_id, examination.connection)
    branches = " union all ".join(f"select token from gristmill_{place} where id = %s" for place in PLACES)
    with examination.connection.cursor() as cursor:
        cursor.execute(f"select max(token) from ({branches}) as found", [pk] * len(PLACES))
        row: tuple[Any, ...] = cursor.fetchall()[0]
    return int(row[0] or 0)

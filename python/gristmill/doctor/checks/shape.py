"""I12: what is stored reads as what it is, and moments are in their order."""

from __future__ import annotations

import json
from datetime import timedelta
from itertools import pairwise
from typing import Any

from gristmill.doctor.check import Details, RowCheck

#: Texts may have 256 KiB each, so there are fewer in a page.
ROWS = 100
#: Clocks that are put right jump so far at most.
JUMP = timedelta(seconds=1)
KINDS = {"args": (list, "a list"), "kwargs": (dict, "an object"), "options": (dict, "an object")}


def unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuses an object that has a name twice."""
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a name occurs twice in one object")
    return dict(pairs)


def refuse(text: str) -> Any:
    """Refuses NaN and infinities."""
    raise ValueError(f"{text} is not JSON")


def fault(text: str) -> str | None:
    """Says why a text is not JSON that every reader takes for the same; None where it is."""
    try:
        json.loads(text, object_pairs_hook=unique_names, parse_constant=refuse)
        return "has a NUL character" if "\\u0000" in text.replace("\\\\", "") else None
    except (ValueError, RecursionError) as error:
        return " ".join(str(error).split())


def of_kind(name: str) -> Any:
    """Returns a closer look at one column of a job."""

    def look(row: Details) -> str | None:
        text = row["text"]
        wrong = fault(text)
        kind, said = KINDS[name]
        if wrong is None and not isinstance(json.loads(text), kind):
            wrong = f"not {said}"
        return f"its {name} cannot be read: {wrong}" if wrong else None

    return look


def returned(row: Details) -> str | None:
    """Looks at what an attempt returned."""
    wrong = fault(row["text"])
    return f"what attempt {row['token']} returned cannot be read: {wrong}" if wrong else None


def out_of_order(row: Details) -> str | None:
    """Says which moments of an attempt are not in their order."""
    steps = [(name, row[f"{name}_at"]) for name in ("enqueued", "claimed", "started", "ended")]
    known = [(name, moment) for name, moment in steps if moment is not None]
    for (earlier, before), (later, after) in pairwise(known):
        if before - after > JUMP:
            return f"attempt {row['token']} was {later} before it was {earlier}"
    return None


CHECKS = (
    *(
        RowCheck(
            name=f"{name} that cannot be read",
            invariant="I12",
            claim=f"A job's {name} are JSON: {said}.",
            table="gristmill_job",
            sql=f"select {{key}}, here.{name}\nfrom gristmill_job as here\nwhere {{range}}\n"
            f"    and here.{name} is not null",
            columns=("text",),
            says=of_kind(name),
            rows=ROWS,
        )
        for name, (_, said) in KINDS.items()
    ),
    RowCheck(
        name="return value that cannot be read",
        invariant="I12",
        claim="What an attempt returned is JSON.",
        table="gristmill_attempt",
        sql="select {key}, here.return_value\nfrom gristmill_attempt as here\nwhere {range}\n"
        "    and here.return_value is not null",
        columns=("text",),
        says=returned,
        rows=ROWS,
    ),
    RowCheck(
        name="attempt out of order",
        invariant="I12",
        claim="A job is enqueued, then claimed, then started, then ended.",
        table="gristmill_attempt",
        sql="""select {key}, job.enqueued_at, here.claimed_at, here.started_at, here.ended_at
from gristmill_attempt as here
left join gristmill_job as job on job.id = here.job_id
where {range}
    and (
        here.claimed_at < job.enqueued_at
        or here.started_at < here.claimed_at
        or here.ended_at < here.started_at
        or here.ended_at < here.claimed_at
    )""",
        columns=("enqueued_at", "claimed_at", "started_at", "ended_at"),
        says=out_of_order,
        warning=True,
    ),
    RowCheck(
        name="ended before it was enqueued",
        invariant="I12",
        claim="A job ends after it was enqueued.",
        table="gristmill_result",
        sql="""select {key}, job.enqueued_at, here.finished_at
from gristmill_result as here
join gristmill_job as job on job.id = here.id
where {range}
    and here.finished_at < job.enqueued_at""",
        columns=("enqueued_at", "finished_at"),
        says=lambda row: "ended before it was enqueued" if row["enqueued_at"] - row["finished_at"] > JUMP else None,
        warning=True,
    ),
)

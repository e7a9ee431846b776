"""I2, I3, I4, I6, I7: attempts, tokens and generations."""

from __future__ import annotations

import json
from typing import Any

from gristmill.doctor.check import PLACES, Details, RowCheck

CLAIMABLE = ("ready", "scheduled", "waiting")
#: As the engine counts them in core/state.
CRASHES, LOSSES, INTERRUPTIONS = 3, 5, 20


def tell_counts(row: Details, *names: str) -> None:
    """Puts these of a place row's counts in their place, so that people read numbers."""
    stored = read_object(row.pop("counts"))
    row |= {name: count if isinstance(count := stored.get(name, 0), int) else 0 for name in names}


def should_be_poisoned(row: Details) -> str | None:
    """Says that a job killed its runners, or was cut short, as often as it may, and would still run."""
    tell_counts(row, "crashes", "losses", "interruptions")
    if row["crashes"] < CRASHES and row["losses"] < LOSSES and row["interruptions"] < INTERRUPTIONS:
        return None
    return (
        f"{row['task_name']} would run again after {row['crashes']} crashes in a row, {row['losses']} losses, "
        f"{row['interruptions']} interruptions"
    )


def out_of_attempts(row: Details) -> str | None:
    """Says that a job has failed as often as it may, and would still run."""
    tell_counts(row, "failures")
    most = read_object(row["text"]).get("max_attempts", 1)
    if not row["failures"] or not isinstance(most, int) or row["failures"] < most:
        return None
    return f"{row['task_name']} failed {row['failures']} times, may do so {most} times, and would still run"


def read_object(text: str | None) -> dict[str, Any]:
    """Returns a JSON object that somebody may have damaged; nothing where it cannot be read."""
    try:
        read = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}


def overtaken(place: str) -> RowCheck:
    """The token of a place is the newest that was given out."""
    # A running job's own attempt is open, so none of its token has ended.
    newer = ">=" if place == "running" else ">"
    return RowCheck(
        name=f"{place}: newer attempt",
        invariant="I3, I4",
        claim=f"No attempt of a job in {place} has a newer token than the job.",
        table=f"gristmill_{place}",
        sql=f"""select {{key}}, here.task_name, here.token, attempt.token
from gristmill_{place} as here
join gristmill_attempt as attempt on attempt.job_id = here.id
    and attempt.token {newer} here.token
where {{range}}""",
        columns=("task_name", "token", "attempt_token"),
        says="{task_name} has token {token}, but an attempt of token {attempt_token} has ended",
    )


def unrecorded_retry(place: str) -> RowCheck:
    """Every generation after the first was asked for by somebody."""
    return RowCheck(
        name=f"{place}: retry without a record",
        invariant="I6",
        claim=f"What ended and is in {place} again was retried by somebody, which is written down.",
        table=f"gristmill_{place}",
        sql=f"""select {{key}}, here.task_name, here.generation
from gristmill_{place} as here
where {{range}}
    and here.generation > 1
    and here.generation - 1 > (
        select count(*)
        from gristmill_action as action
        where action.job_id = here.id
            and action.verb = 'retry'
    )""",
        columns=("task_name", "generation"),
        says="{task_name} is in generation {generation}, but fewer retries are written down",
    )


CHECKS = (
    *(overtaken(place) for place in PLACES),
    *(unrecorded_retry(place) for place in PLACES),
    RowCheck(
        name="attempt without a job",
        invariant="I2",
        claim="What ran was asked for.",
        table="gristmill_attempt",
        sql="""select {key}, here.outcome
from gristmill_attempt as here
left join gristmill_job as job on job.id = here.job_id
where {range}
    and job.id is null""",
        columns=("outcome",),
        says="attempt {token} ({outcome}) belongs to no job",
        mend="row",
    ),
    RowCheck(
        name="success without an attempt",
        invariant="I3",
        claim="A successful job has the attempt that succeeded.",
        table="gristmill_result",
        sql="""select {key}, here.task_name, here.token
from gristmill_result as here
where {range}
    and here.state = 'successful'
    and not exists (
        select 1
        from gristmill_attempt as attempt
        where attempt.job_id = here.id
            and attempt.token = here.token
            and attempt.outcome = 'successful'
    )""",
        columns=("task_name", "token"),
        says="{task_name} is successful, but has no successful attempt of token {token}",
    ),
    *(
        RowCheck(
            name=f"{place}: should be poisoned",
            invariant="I7",
            claim=f"What crashed {CRASHES} times in a row, was lost {LOSSES} times or interrupted {INTERRUPTIONS} "
            "times is not claimed again.",
            table=f"gristmill_{place}",
            sql=f"""select {{key}}, here.task_name, here.counts
from gristmill_{place} as here
where {{range}}
    and here.counts is not null""",
            columns=("task_name", "counts"),
            says=should_be_poisoned,
        )
        for place in CLAIMABLE
    ),
    *(
        RowCheck(
            name=f"{place}: out of attempts",
            invariant="I7",
            claim="What failed as often as it may is not claimed again.",
            table=f"gristmill_{place}",
            sql=f"""select {{key}}, here.task_name, here.counts, job.options
from gristmill_{place} as here
join gristmill_job as job on job.id = here.id
where {{range}}
    and here.counts is not null""",
            columns=("task_name", "counts", "text"),
            says=out_of_attempts,
        )
        for place in CLAIMABLE
    ),
    RowCheck(
        name="running for nobody",
        invariant="I3, I8",
        claim="What runs belongs to a worker; what a lost worker ran is given back.",
        table="gristmill_running",
        sql="""select {key}, here.task_name, here.worker_id, here.claimed_at
from gristmill_running as here
left join gristmill_worker as worker on worker.id = here.worker_id
where {range}
    and here.claimed_at < %(minute_ago)s
    and (worker.id is null or worker.lost_at < %(minute_ago)s or worker.stopped_at < %(minute_ago)s)""",
        columns=("task_name", "worker_id", "claimed_at"),
        says="{task_name} runs on a worker that is gone, and nobody has given it back",
        needs_worker=True,
    ),
)

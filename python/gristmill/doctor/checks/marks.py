"""I6, I11, I12: what lies beside a job's place goes with it: unique keys, cancel requests, progress."""

from __future__ import annotations

from gristmill.doctor.check import PLACES, RowCheck

PROBES = "\n".join(f"left join gristmill_{place} as {place} on {place}.id = here.job_id" for place in PLACES)
TOKEN = f"coalesce({', '.join(f'{place}.token' for place in PLACES)})"

CHECKS = (
    RowCheck(
        name="key of a job that left its states",
        invariant="I11",
        claim="A unique key is held by a job that is in the states it declared.",
        table="gristmill_unique_key",
        sql=f"""select {{key}}, here.job_id, here.until
from gristmill_unique_key as here
{PROBES}
where {{range}}
    and (here.expires_at is null or here.expires_at > %(now)s)
    and ready.id is null
    and scheduled.id is null
    and waiting.id is null
    and (here.until in ('started', 'each_start') or running.id is null)
    and (here.until <> 'pruned' or result.id is null)""",
        columns=("job_id", "until"),
        says="holds its unique key until it is {until}, which it is: no other job can have it",
        job="job_id",
        mend="key",
    ),
    RowCheck(
        name="cancel request left over",
        invariant="I6",
        claim="A cancel request goes when its job has ended.",
        table="gristmill_cancel_request",
        sql="""select {key}, here.asked_at
from gristmill_cancel_request as here
left join gristmill_running as running on running.id = here.job_id
where {range}
    and running.id is null
    and here.asked_at < %(minute_ago)s""",
        columns=("asked_at",),
        says="was asked to end, does not run, and the request is still there",
        needs_worker=True,
    ),
    *(
        RowCheck(
            name=f"{what} without a job",
            invariant="I12",
            claim=f"What lies beside a job goes with it: its {what} too.",
            table=f"gristmill_{table}",
            sql=f"""select {{key}}{", here.job_id" if also else ""}
from gristmill_{table} as here
left join gristmill_job as job on job.id = here.job_id
where {{range}}
    and here.{since} < %(minute_ago)s
    and job.id is null""",
            columns=("job_id",) if also else (),
            says=f"is no job, and has {a} {what}",
            job="job_id",
            mend="row",
        )
        for a, what, table, since, also in (
            ("a", "cancel request", "cancel_request", "asked_at", False),
            ("a", "propagation", "propagation", "due_at", True),
            ("an", "action", "action", "acted_at", True),
        )
    ),
    RowCheck(
        name="progress of another attempt",
        invariant="I4, I12",
        claim="What is known of a job's progress comes from an attempt that it had.",
        table="gristmill_progress",
        sql=f"""select {{key}}, here.token, {TOKEN}
from gristmill_progress as here
{PROBES}
where {{range}}
    and ({TOKEN} is null or here.token > {TOKEN})""",
        columns=("token", "newest_token"),
        says="has progress of token {token}, and its newest token is {newest_token}",
        mend="progress",
    ),
)

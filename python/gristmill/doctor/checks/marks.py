"""I6, I11, I12: what lies beside a job's place goes with it: unique keys, wishes to cancel, progress."""

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
    and (here.until = 'started' or running.id is null)
    and (here.until <> 'pruned' or result.id is null)""",
        columns=("job_id", "until"),
        says="holds its unique key until it is {until}, which it is: no other job can have it",
        job="job_id",
        mend="key",
    ),
    RowCheck(
        name="wish to cancel left over",
        invariant="I6",
        claim="A wish to cancel goes when its job has ended.",
        table="gristmill_control",
        sql="""select {key}, here.asked_at
from gristmill_control as here
left join gristmill_running as running on running.id = here.job_id
where {range}
    and running.id is null
    and here.asked_at < %(minute_ago)s""",
        columns=("asked_at",),
        says="was asked to end, does not run, and the wish is still there",
        needs_worker=True,
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

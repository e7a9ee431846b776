-- The attempts of a job that have ended, oldest first.
-- $1 job id
-- Index: gristmill_attempt's primary key.
select
    token,
    generation::bigint,
    worker_id::text,
    runner_pid::bigint,
    to_char(claimed_at at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS.US'),
    to_char(started_at at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS.US'),
    to_char(ended_at at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS.US'),
    outcome,
    reason,
    return_value,
    exception_class_path,
    traceback,
    output
from gristmill_attempt
where job_id = $1::uuid
order by token

-- The attempts of a job that have ended, oldest first.
-- ?1 job id
-- Index: gristmill_attempt's primary key.
select
    token,
    generation,
    worker_id,
    runner_pid,
    claimed_at,
    started_at,
    ended_at,
    outcome,
    reason,
    return_value,
    exception_class_path,
    traceback,
    output
from gristmill_attempt
where job_id = ?1
order by token

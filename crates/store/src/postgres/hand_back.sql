-- Puts open attempts that never started back to ready, as if they had not been claimed; their tokens stay spent.
-- A job that is unique until it has started takes its key again, if nobody else has.
-- $1 attempts in order of id: [{id, token}]
-- Gives the (id, token) that it put back. A token that is not the running row's changes nothing.
-- Index: primary keys, one probe an attempt.
with freed as (
    delete from gristmill_running as running
    using json_to_recordset($1::json) as returned (id uuid, token bigint)
    where running.id = returned.id
        and running.token = returned.token
    returning running.*
),
readied as (
    insert into gristmill_ready (
        id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
        failures, crashes, losses, postpones, interruptions, started_at
    )
    select
        id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
        failures, crashes, losses, postpones, interruptions, started_at
    from freed
),
relocked as materialized (
    select gristmill_take_back_key(job.id, job.unique_key)
    from freed
    join gristmill_job as job on job.id = freed.id
    where job.unique_until = 'started'
)
select id::text, token
from freed
where (select count(*) from relocked) is not null

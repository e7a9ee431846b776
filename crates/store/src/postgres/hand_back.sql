-- Puts open attempts that never started back to ready, as if they had not been claimed; their tokens stay spent.
-- A job that is unique until it has started takes its key again, if nobody else has.
-- $1 attempts in order of id: [{id, token}]
-- One with a gate is judged anew: while it was claimed, nobody took it back where the gate does not hold any more.
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
        failures, crashes, losses, postpones, interruptions, started_at, awaited
    )
    select
        id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
        failures, crashes, losses, postpones, interruptions, started_at, awaited
    from freed
),
judged as (
    insert into gristmill_errand (kind, job_id, due_at)
    select 'judge', freed.id, freed.claimed_at
    from freed
    join gristmill_gate as gate on gate.job_id = freed.id
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

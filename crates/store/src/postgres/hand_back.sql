-- Puts open attempts that never started back to ready, as if they had not been claimed; their tokens stay spent.
-- $1 attempts in order of id: [{id, token}]
-- Gives the (id, token) that it put back. A token that is not the running row's changes nothing.
-- Index: gristmill_running's primary key, one probe an attempt.
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
)
select id::text, token
from freed

-- Puts open attempts that never started back to ready, as if they had not been claimed; their tokens stay spent.
-- A job that is unique until it has started takes its key again, if nobody else has.
-- ?1 attempts: [{id, token}]
-- One with a gate is judged anew: while it was claimed, nobody took it back where the gate does not hold any more.
-- Gives the (id, token) that it put back. A token that is not the running row's changes nothing.
-- Index: primary keys, one probe an attempt.
insert into gristmill_ready (
    id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
    failures, crashes, losses, postpones, interruptions, started_at, awaited
)
select
    running.id, running.backend, running.queue_name, running.task_name, running.priority, running.run_after,
    running.deadline, running.token, running.generation,
    running.failures, running.crashes, running.losses, running.postpones, running.interruptions, running.started_at,
    running.awaited
from json_each(?1) as returned
cross join gristmill_running as running
where running.id = json_extract(returned.value, '$.id')
    and running.token = json_extract(returned.value, '$.token');

insert into gristmill_unique_key (key, job_id, until)
select job.unique_key, job.id, job.unique_until
from json_each(?1) as returned
cross join gristmill_running as running
cross join gristmill_job as job
where running.id = json_extract(returned.value, '$.id')
    and running.token = json_extract(returned.value, '$.token')
    and job.id = running.id
    and job.unique_until = 'started'
on conflict do nothing;

insert into gristmill_errand (kind, job_id, due_at)
select 'judge', running.id, running.claimed_at
from json_each(?1) as returned
cross join gristmill_running as running
cross join gristmill_gate as gate
where running.id = json_extract(returned.value, '$.id')
    and running.token = json_extract(returned.value, '$.token')
    and gate.job_id = running.id;

delete from gristmill_running
where id in (
    select running.id
    from json_each(?1) as returned
    cross join gristmill_running as running
    where running.id = json_extract(returned.value, '$.id')
        and running.token = json_extract(returned.value, '$.token')
)
returning id, token;

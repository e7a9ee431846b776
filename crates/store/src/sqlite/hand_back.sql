-- Puts open attempts that never started back to ready, as if they had not been claimed; their tokens stay spent.
-- ?1 attempts: [{id, token}]
-- Gives the (id, token) that it put back. A token that is not the running row's changes nothing.
-- Index: gristmill_running's primary key, one probe an attempt.
insert into gristmill_ready (
    id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
    failures, crashes, losses, postpones, interruptions, started_at
)
select
    running.id, running.backend, running.queue_name, running.task_name, running.priority, running.run_after,
    running.deadline, running.token, running.generation,
    running.failures, running.crashes, running.losses, running.postpones, running.interruptions, running.started_at
from json_each(?1) as returned
cross join gristmill_running as running
where running.id = json_extract(returned.value, '$.id')
    and running.token = json_extract(returned.value, '$.token');

delete from gristmill_running
where id in (
    select running.id
    from json_each(?1) as returned
    cross join gristmill_running as running
    where running.id = json_extract(returned.value, '$.id')
        and running.token = json_extract(returned.value, '$.token')
)
returning id, token;

-- Every band that has a ready job, after a given one and in order of the index, with its first job's deadline.
-- A band of a paused queue is named too, so that a full page shows, and says so.
-- $1 backend, $2 queue_name, $3 task_name, $4 priority of the last band already known
-- $5 limit
-- Index: gristmill_ready_claim, one probe a band: each step asks for the first row behind the whole band before it.
with recursive band as (
    (
        select backend, queue_name, task_name, priority, deadline
        from gristmill_ready
        where (backend, queue_name, task_name, priority) > ($1, $2, $3, $4::smallint)
        order by backend, queue_name, task_name, priority, deadline, id
        limit 1
    )
    union all
    select next.*
    from band
    cross join lateral (
        select backend, queue_name, task_name, priority, deadline
        from gristmill_ready
        where (backend, queue_name, task_name, priority)
            > (band.backend, band.queue_name, band.task_name, band.priority)
        order by backend, queue_name, task_name, priority, deadline, id
        limit 1
    ) as next
)
select
    backend,
    queue_name,
    task_name,
    priority::bigint,
    to_char(deadline at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS.US'),
    exists (
        select
        from gristmill_queue as paused
        where paused.backend = band.backend
            and paused.queue_name = band.queue_name
    )
from band
limit $5::bigint

-- Every band that has a ready job, after a given one and in order of the index, with its first job's deadline.
-- A band of a paused queue is named too, so that a full page shows, and says so.
-- ?1 backend, ?2 queue_name, ?3 task_name, ?4 priority of the last band already known
-- ?5 limit
-- Index: gristmill_ready_claim, one probe a band: each step asks for the first row behind the whole band before it.
-- Without lateral joins a step can carry one value, so it carries the first row's id; a null one ends it.
-- A plus takes the columns' affinity away: SQLite compares whole rows by the index only with values of none.
with recursive head (id) as (
    select (
        select id
        from gristmill_ready
        where (backend, queue_name, task_name, priority) > (?1, ?2, ?3, ?4)
        order by backend, queue_name, task_name, priority, deadline, id
        limit 1
    )
    union all
    select (
        select next.id
        from gristmill_ready as next
        where (next.backend, next.queue_name, next.task_name, next.priority)
            > (+last.backend, +last.queue_name, +last.task_name, +last.priority)
        order by next.backend, next.queue_name, next.task_name, next.priority, next.deadline, next.id
        limit 1
    )
    from head
    cross join gristmill_ready as last
    where last.id = head.id
    limit ?5
)
select
    band.backend,
    band.queue_name,
    band.task_name,
    band.priority,
    +band.deadline,
    exists (
        select 1
        from gristmill_queue as paused
        where paused.backend = band.backend
            and paused.queue_name = band.queue_name
    )
from head
cross join gristmill_ready as band
where band.id = head.id

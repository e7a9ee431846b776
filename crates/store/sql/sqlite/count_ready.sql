-- Counts the ready jobs of a lane, to a limit.
-- ?1 backend, ?2 queue_name, ?3 task_name
-- ?4 limit
-- Index: gristmill_ready_claim, as many entries as are counted.
select count(*)
from (
    select 1
    from gristmill_ready
    where backend = ?1
        and queue_name = ?2
        and task_name = ?3
    limit ?4
) as counted

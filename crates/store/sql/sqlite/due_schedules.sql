-- Schedules that are due; nobody else settles their ticks before the transaction ends.
-- ?1 backend
-- ?2 queues that are served, as a list; null is all
-- ?3 queues that are not, as a list
-- ?4 now
-- ?5 limit
-- ?6 name of the only one that is meant; null is all
-- ?7 names that are left alone, as a list
-- Gives (name, task name, definition, job, created at, high water, now), those first that have been due longest.
-- Index: gristmill_schedule_due, from the backend's start.
select
    name,
    task_name,
    definition,
    job,
    created_at,
    high_water,
    ?4
from gristmill_schedule
where backend = ?1
    and next_at is not null
    and next_at <= ?4
    and paused_at is null
    and removed_at is null
    and problem is null
    and (?6 is null or name = ?6)
    and name not in (select value from json_each(?7))
    and (?2 is null or queue_name in (select value from json_each(?2)))
    and queue_name not in (select value from json_each(?3))
order by next_at
limit ?5

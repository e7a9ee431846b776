-- Every schedule of a backend, in order of the names.
-- ?1 backend
-- Gives (name, task name, definition, job, created at, high water, origin, queue name, is removed, is paused, has a problem).
-- Index: gristmill_schedule's primary key, its range of the backend.
select
    name,
    task_name,
    definition,
    job,
    created_at,
    high_water,
    origin,
    queue_name,
    removed_at is not null,
    paused_at is not null,
    problem is not null
from gristmill_schedule
where backend = ?1
order by name

-- Every schedule of a backend, locked, in order of the names; waits for rounds of ticks that are under way.
-- $1 backend
-- Gives (name, task name, definition, job, created at, high water, origin, queue name, is removed, is paused, has a problem).
-- Index: gristmill_schedule's primary key, its range of the backend.
select
    name,
    task_name,
    definition,
    job,
    to_char(created_at at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS.US'),
    to_char(high_water at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS.US'),
    origin,
    queue_name,
    removed_at is not null,
    paused_at is not null,
    problem is not null
from gristmill_schedule
where backend = $1
order by name
for update

-- Writes schedules down as they were announced. None of them is removed then.
-- $1 backend
-- $2 schedules: [{name, origin, queue_name, task_name, definition, job, marks, looks}]; marks: ticks up to now are settled;
--      looks: whoever ticks looks at it next, whatever was wrong with it before
-- $3 now
-- Gives nothing.
-- Index: gristmill_schedule's primary key, one probe a schedule. The high-water mark never goes back.
insert into gristmill_schedule as known (
    backend, name, origin, queue_name, task_name, definition, job, created_at, defined_at, high_water, next_at
)
select
    $1, new.name, new.origin, new.queue_name, new.task_name, new.definition, new.job,
    $3::timestamp at time zone 'utc',
    $3::timestamp at time zone 'utc',
    case when new.marks then $3::timestamp at time zone 'utc' end,
    case when new.looks then $3::timestamp at time zone 'utc' end
from json_to_recordset($2::json) as new (
    name text, origin text, queue_name text, task_name text, definition text, job text, marks boolean, looks boolean
)
order by new.name
on conflict (backend, name) do update
set origin = excluded.origin,
    queue_name = excluded.queue_name,
    task_name = excluded.task_name,
    definition = excluded.definition,
    job = excluded.job,
    defined_at = excluded.defined_at,
    removed_at = null,
    high_water = greatest(known.high_water, excluded.high_water),
    next_at = coalesce(excluded.next_at, known.next_at),
    problem = case when excluded.next_at is null then known.problem end

-- Writes schedules down as they were announced. None of them is removed then.
-- ?1 backend
-- ?2 schedules: [{name, origin, queue_name, task_name, definition, job, marks, looks}]; marks: ticks up to now are settled;
--      looks: whoever ticks looks at it next, whatever was wrong with it before
-- ?3 now
-- Gives nothing.
-- Index: gristmill_schedule's primary key, one probe a schedule. The high-water mark never goes back.
insert into gristmill_schedule (
    backend, name, origin, queue_name, task_name, definition, job, created_at, defined_at, high_water, next_at
)
select
    ?1,
    json_extract(new.value, '$.name'),
    json_extract(new.value, '$.origin'),
    json_extract(new.value, '$.queue_name'),
    json_extract(new.value, '$.task_name'),
    json_extract(new.value, '$.definition'),
    json_extract(new.value, '$.job'),
    ?3,
    ?3,
    iif(json_extract(new.value, '$.marks'), ?3, null),
    iif(json_extract(new.value, '$.looks'), ?3, null)
from json_each(?2) as new
where true
on conflict (backend, name) do update
set origin = excluded.origin,
    queue_name = excluded.queue_name,
    task_name = excluded.task_name,
    definition = excluded.definition,
    job = excluded.job,
    defined_at = excluded.defined_at,
    removed_at = null,
    high_water = coalesce(max(high_water, excluded.high_water), high_water, excluded.high_water),
    next_at = coalesce(excluded.next_at, next_at),
    problem = iif(excluded.next_at is null, problem, null)

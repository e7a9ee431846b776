-- Asks for jobs; the trigger gristmill_job_place puts each in its place: ready, or scheduled when its date is still
-- to come.
-- ?1 jobs: [{id, backend, queue_name, task_name, priority, run_after or null, args, kwargs, options or null}]
-- ?2 now
-- Gives the moment at which they were asked for.
-- The last statement names the jobs too, because the driver miscounts where a lower bind is left out.
insert into gristmill_job (
    id, backend, queue_name, task_name, priority, run_after, enqueued_at, args, kwargs, options
)
select
    json_extract(new.value, '$.id'),
    json_extract(new.value, '$.backend'),
    json_extract(new.value, '$.queue_name'),
    json_extract(new.value, '$.task_name'),
    json_extract(new.value, '$.priority'),
    json_extract(new.value, '$.run_after'),
    ?2,
    json_extract(new.value, '$.args'),
    json_extract(new.value, '$.kwargs'),
    json_extract(new.value, '$.options')
from json_each(?1) as new;

select ?2
where ?1 is not null;

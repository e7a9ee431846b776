-- statements: 2
-- Asks for jobs and puts each in its place: ready, or scheduled when its date is still to come, or waiting when it is held or
-- waits for others; enqueue_gates.sql says for which. A job whose unique key another job has is not made; a key that has run
-- out, or whose job somebody has deleted by hand, is nobody's.
-- ?1 jobs: [{id, backend, queue_name, task_name, priority, args, kwargs, options or null, run_after or run_delay (seconds from
--      now) or neither, deadline or deadline_delay or neither, retention (seconds) or null, held, unique_key or null,
--      unique_until, unique_period (seconds) or null, waits, awaited (one of the same enqueue waits for it)}]
-- ?2 now
-- ?3 what the jobs have in common, likewise, or null: what one of them says itself comes first
-- Gives (moment, null, null), and for each job that was not made (null, its id, the id of the one that has its key, or null
-- where someone took the key while this looked: ask again).
-- Index: gristmill_unique_key's primary key, one probe a key.
insert into gristmill_enqueue (
    id, backend, queue_name, task_name, priority, args, kwargs, options, run_after, run_delay, deadline, deadline_delay,
    retention, held, unique_key, unique_until, unique_period, waits, awaited, now
)
select
    json_extract(new.value, '$.id'),
    coalesce(json_extract(new.value, '$.backend'), json_extract(?3, '$.backend')),
    coalesce(json_extract(new.value, '$.queue_name'), json_extract(?3, '$.queue_name')),
    coalesce(json_extract(new.value, '$.task_name'), json_extract(?3, '$.task_name')),
    coalesce(json_extract(new.value, '$.priority'), json_extract(?3, '$.priority')),
    json_extract(new.value, '$.args'),
    json_extract(new.value, '$.kwargs'),
    coalesce(json_extract(new.value, '$.options'), json_extract(?3, '$.options')),
    coalesce(json_extract(new.value, '$.run_after'), json_extract(?3, '$.run_after')),
    coalesce(json_extract(new.value, '$.run_delay'), json_extract(?3, '$.run_delay')),
    coalesce(json_extract(new.value, '$.deadline'), json_extract(?3, '$.deadline')),
    coalesce(json_extract(new.value, '$.deadline_delay'), json_extract(?3, '$.deadline_delay')),
    coalesce(json_extract(new.value, '$.retention'), json_extract(?3, '$.retention')),
    coalesce(json_extract(new.value, '$.held'), json_extract(?3, '$.held')),
    json_extract(new.value, '$.unique_key'),
    coalesce(json_extract(new.value, '$.unique_until'), json_extract(?3, '$.unique_until')),
    coalesce(json_extract(new.value, '$.unique_period'), json_extract(?3, '$.unique_period')),
    coalesce(json_extract(new.value, '$.waits'), json_extract(?3, '$.waits')),
    json_extract(new.value, '$.awaited'),
    ?2
from json_each(?1) as new
where ?2 is not null;

select ?2, null, null
union all
select null, asked.id, held.job_id
from (
    select json_extract(new.value, '$.id') as id, json_extract(new.value, '$.unique_key') as unique_key
    from json_each(?1) as new
    where json_extract(new.value, '$.unique_key') is not null
) as asked
cross join gristmill_unique_key as held
where held.key = asked.unique_key
    and held.job_id <> asked.id;

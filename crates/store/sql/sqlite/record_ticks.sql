-- Writes down what became of ticks; one that is there stays as it is.
-- ?1 backend
-- ?2 ticks: [{schedule, nominal, job_id or null, skipped or null}]
-- ?3 now
-- Gives (schedule, nominal) of those that are new.
-- Index: gristmill_tick's primary key, one probe a tick.
insert into gristmill_tick (backend, schedule, nominal, found_at, job_id, skipped)
select
    ?1,
    json_extract(new.value, '$.schedule'),
    json_extract(new.value, '$.nominal'),
    ?3,
    json_extract(new.value, '$.job_id'),
    json_extract(new.value, '$.skipped')
from json_each(?2) as new
where true
on conflict do nothing
returning schedule, nominal

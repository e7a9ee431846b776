-- Writes down what became of ticks; one that is there stays as it is.
-- $1 backend
-- $2 ticks: [{schedule, nominal, job_id or null, skipped or null}]
-- $3 now
-- Gives (schedule, nominal) of those that are new.
-- Index: gristmill_tick's primary key, one probe a tick.
insert into gristmill_tick (backend, schedule, nominal, found_at, job_id, skipped)
select $1, new.schedule, new.nominal at time zone 'utc', $3::timestamp at time zone 'utc', new.job_id, new.skipped
from json_to_recordset($2::json) as new (schedule text, nominal timestamp, job_id uuid, skipped text)
on conflict do nothing
returning schedule, to_char(nominal at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS.US')

-- Writes what running handlers say of themselves; the newest stands.
-- ?1 [{job, token, done, total, message, metadata}] in order of job, each job once
-- ?2 now
-- A token that is not the running row's changes nothing.
-- Index: primary keys, one probe a job.
insert into gristmill_progress (job_id, token, done, total, message, metadata, updated_at)
select
    running.id,
    running.token,
    json_extract(said.value, '$.done'),
    json_extract(said.value, '$.total'),
    json_extract(said.value, '$.message'),
    json_extract(said.value, '$.metadata'),
    ?2
from json_each(?1) as said
cross join gristmill_running as running
where running.id = json_extract(said.value, '$.job')
    and running.token = json_extract(said.value, '$.token')
on conflict (job_id) do update
set token = excluded.token,
    done = excluded.done,
    total = excluded.total,
    message = excluded.message,
    metadata = excluded.metadata,
    updated_at = excluded.updated_at
where gristmill_progress.token <= excluded.token

-- Writes what running handlers say of themselves; the newest stands.
-- $1 [{job, token, done, total, message, metadata}] in order of job, each job once
-- $2 now, or null for the server's clock
-- A token that is not the running row's changes nothing.
-- Index: primary keys, one probe a job.
insert into gristmill_progress as known (job_id, token, done, total, message, metadata, updated_at)
select
    said.job, said.token, said.done, said.total, said.message, said.metadata,
    coalesce($2::timestamp at time zone 'utc', clock_timestamp())
from json_to_recordset($1::json) as said (
    job uuid, token bigint, done double precision, total double precision, message text, metadata text
)
cross join lateral (
    select
    from gristmill_running
    where id = said.job
        and token = said.token
    offset 0
) as running
on conflict (job_id) do update
set token = excluded.token,
    done = excluded.done,
    total = excluded.total,
    message = excluded.message,
    metadata = excluded.metadata,
    updated_at = excluded.updated_at
where known.token <= excluded.token

-- Tells the arguments of the jobs that have these keys; who asks is the one writer.
-- ?1 keys, as a list
-- Gives (key, job, whether new arguments may replace its own, args, kwargs). A key that is missing has moved on: ask for the job again.
-- Index: primary keys, one probe a key.
select
    held.key,
    held.job_id,
    exists (
        select 1 from gristmill_ready where id = held.job_id and started_at is null
        union all
        select 1 from gristmill_scheduled where id = held.job_id and started_at is null
        union all
        select 1 from gristmill_waiting where id = held.job_id and started_at is null
    ),
    job.args,
    job.kwargs
from json_each(?1) as wanted
cross join gristmill_unique_key as held
cross join gristmill_job as job indexed by sqlite_autoindex_gristmill_job_1
where held.key = wanted.value
    and job.id = held.job_id
order by held.key;

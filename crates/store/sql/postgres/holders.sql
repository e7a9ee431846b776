-- Locks the places of the jobs that have these keys, in the order of the keys, and tells their arguments.
-- $1 keys, as a list
-- Gives (key, job, whether new arguments may replace its own, args, kwargs). A key that is missing has moved on: ask for the job again.
-- Index: primary keys, one probe a key.
select wanted.key, holder.job_id::text, coalesce(not holder.is_started, false), job.args, job.kwargs
from (select distinct value as key from json_array_elements_text($1::json) as value order by value) as wanted
cross join lateral gristmill_lock_holder(wanted.key) as holder
cross join lateral (
    select args, kwargs
    from gristmill_job
    where id = holder.job_id
    offset 0
) as job

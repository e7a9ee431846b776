-- Settles with the jobs that have these keys, in the order of the keys. "keep" leaves a job, but for an earlier date, which moves
-- it earlier; "replace" gives one that has not started new arguments, options, priority and dates. One that has started
-- only comes sooner, and that where its key is its own until each start. What waits goes on waiting for what it waits for.
-- $1 conflicts: [{unique_key, on_conflict, priority, args, kwargs, options or null, run_after or run_delay (seconds from now) or
--      neither, deadline or deadline_delay or neither, retention or null, unique_period or null}]
-- $2 now, or null for the server's clock
-- Gives (key, job or null, whether it has moved). Null: it has moved on or the key is free, so ask for the job again.
-- A job's place stays locked until this transaction ends, so that one that is kept starts after that, and sees its data.
-- Index: primary keys, one probe a key.
select wanted.unique_key, settled.job_id::text, settled.has_moved
from (
    select asked.*, now
    from json_to_recordset($1::json) as asked (
        unique_key text, on_conflict text, priority smallint, args text, kwargs text, options text,
        run_after timestamp, run_delay double precision, deadline timestamp, deadline_delay double precision,
        retention double precision, unique_period double precision
    )
    cross join (select coalesce($2::timestamp at time zone 'utc', clock_timestamp()) as now) as clock
    order by unique_key
) as wanted
cross join lateral gristmill_conflict(
    unique_key, on_conflict, priority, args, kwargs, options,
    coalesce(run_after at time zone 'utc', now + run_delay * interval '1 second'),
    coalesce(deadline at time zone 'utc', now + deadline_delay * interval '1 second'),
    retention, unique_period, now
) as settled
